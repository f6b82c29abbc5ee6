"""A mistake on purpose: the kernel writes into memory that was freed while it waited to."""

import ctypes
import os
import threading

SIZE = 100_000

libc = ctypes.CDLL(None)
libc.malloc.argtypes = [ctypes.c_size_t]
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]

readable, writable = os.pipe()
buffer = libc.malloc(SIZE)
reader = threading.Thread(target=libc.read, args=(readable, buffer + SIZE // 2, 10))
reader.start()
libc.free(buffer)
os.write(writable, b"0123456789")
reader.join()
