"""At the end of every Python that a sanitized run starts: is there memory that nobody points at?

Asked while the interpreter is still whole. Later it has let go of much that it never frees, and the
report would be about that. What is found fails the process, whatever it would have ended with.

Not asked in forked children: they keep what is their parent's for ever, and are meant to. Nor while
there are other threads: the variables of their frames are in memory that CPython maps itself, where
the sanitizer does not look, so that it would report what they hold. Nor where LEAKS_ARE_OTHERS says
so: CPython itself loses objects where it has no memory, as do interpreters within it.
"""

import atexit
import ctypes
import gc
import os
import sys
import threading

LEAKED = 23

_process = os.getpid()
_find_leaks = getattr(ctypes.CDLL(None), "__lsan_do_recoverable_leak_check", None)


def _look() -> None:
    if os.getpid() != _process:
        return
    if threading.active_count() > 1 or "LEAKS_ARE_OTHERS" in os.environ:
        return
    gc.collect()
    if _find_leaks is not None and _find_leaks():
        sys.stdout.flush()
        os._exit(LEAKED)


# The first to be registered, and so the last to run.
atexit.register(_look)
