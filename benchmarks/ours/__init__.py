"""The contestants of uring_rs itself, by question and variant."""

from harness.cells import Contestants

from . import bulk, files, growth, nops, readiness, sockets, threads

CONTESTANTS: Contestants = {
    **nops.CONTESTANTS,
    **files.CONTESTANTS,
    **sockets.CONTESTANTS,
    **growth.CONTESTANTS,
    **readiness.CONTESTANTS,
    **threads.CONTESTANTS,
    **bulk.CONTESTANTS,
}
