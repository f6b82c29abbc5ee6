/*
 * Says what the kernel's headers say: the value of constants, the layout of structures.
 *
 * tests/rust/abi.rs writes names.h, one line for each name it wants to know, and drops the lines
 * that the compiler rejects because these headers are older than the name.
 */
#include <stddef.h>
#include <stdio.h>

#include <asm/mman.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <linux/version.h>
#include <linux/xattr.h>

#ifdef __has_include
#if __has_include(<linux/time_types.h>)
#include <linux/time_types.h>
#endif
#if __has_include(<linux/io_uring/query.h>)
#include <linux/io_uring/query.h>
#endif
#if __has_include(<linux/io_uring/zcrx.h>)
#include <linux/io_uring/zcrx.h>
#endif
#if __has_include(<linux/blkdev.h>)
#include <linux/blkdev.h>
#endif
#endif

#define CONSTANT(name) \
	printf("constant %s %d %llu\n", #name, (name) < 0, (unsigned long long)(name));
#define STRUCTURE(tag) \
	printf("struct %s %zu\n", #tag, sizeof(struct tag));
#define FIELD(tag, field) \
	printf("field %s.%s %zu %zu\n", #tag, #field, offsetof(struct tag, field), \
	       sizeof(((struct tag *)0)->field));

int main(void)
{
	printf("version %d %d\n", LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 255);
#include "names.h"
	return 0;
}
