/*
 * Prints submission entries as C makes them, for comparison with those of Python.
 *
 * tests/conformance/test_c_crosscheck.py writes cases.h: one line for each case, CASE(number, calls).
 * It drops the lines that the compiler rejects, because the headers are older. With LIBURING defined
 * liburing.h does the preparing, without it prep.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>

#include <linux/futex.h>
#include <linux/openat2.h>
#ifdef LIBURING
#include <liburing.h>
#else
#include <linux/io_uring.h>
#include <linux/time_types.h>
#endif

/* What the oldest header that will do (Linux 6.1) does not know yet. */
#include "newer.h"
#ifndef LIBURING
#include "prep.h"
#endif

static void bytes(const void *start, size_t length)
{
	for (size_t i = 0; i < length; i++)
		printf("%02x", ((const unsigned char *)start)[i]);
	printf("\n");
}

/* The field holds the address of a copy of these bytes. */
#define COPY(field, start, length) \
	(printf("copy %zu -1 ", offsetof(struct io_uring_sqe, field)), bytes(start, length))
/* The field leads to a structure whose member holds the address of a copy of these bytes. */
#define INNER(field, type, member, start, length) \
	(printf("copy %zu %zu ", offsetof(struct io_uring_sqe, field), offsetof(type, member)), \
	 bytes(start, length))
/* The field holds the address of memory for the kernel to write to. */
#define ROOM(field) printf("room %zu -1\n", offsetof(struct io_uring_sqe, field))
/* The field leads to a structure whose member holds such an address. */
#define INNER_ROOM(field, type, member) \
	printf("room %zu %zu\n", offsetof(struct io_uring_sqe, field), offsetof(type, member))

#define CASE(number, ...) \
	{ \
		struct io_uring_sqe entry = {0}, *sqe = &entry; \
		printf("case %d\n", number); \
		__VA_ARGS__; \
		printf("entry "); \
		bytes(sqe, sizeof(*sqe)); \
	}

/* The kernel chooses a buffer of the group. */
#define SELECT(group) (sqe->flags |= IOSQE_BUFFER_SELECT, sqe->buf_group = (group))

/* A message header without a byte of padding left to chance. */
#define MESSAGE(name, name_length, vectors, count, control, control_length) \
	struct msghdr message; \
	memset(&message, 0, sizeof(message)); \
	message.msg_name = name, message.msg_namelen = name_length; \
	message.msg_iov = vectors, message.msg_iovlen = count; \
	message.msg_control = control, message.msg_controllen = control_length

/* Memory and addresses that the cases use. */
static struct sockaddr_storage peer;
static socklen_t peer_length = sizeof(peer);
static struct __kernel_timespec second = {.tv_sec = 1}, short_time = {.tv_nsec = 250000000};
static int two_fds[2];
static struct epoll_event events[8];
static struct statx stat_result;
static siginfo_t child;
static char value[256];

int main(void)
{
	struct sockaddr_in inet = {
		.sin_family = AF_INET, .sin_port = htons(80),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 inet6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	struct sockaddr_un unix_path = {.sun_family = AF_UNIX, .sun_path = "/path"};

#include "cases.h"
	return 0;
}
