"""`read_many` among threads, signals, forks and refusals: nothing lost, nothing left behind."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import uring_rs
from uring_rs import ReadMany, SimKernel, read_many

RunChild = Callable[..., CompletedProcess[str]]

# What children begin with: a tree of their own in cold files.
PRELUDE = """
    import errno, gc, os, signal, sys, threading, time, logging
    import uring_rs
    from uring_rs import read_many, ReadMany

    folder = sys.argv[1]
    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def cool():
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    class Interrupted(Exception):
        pass

    def interrupted(wait):
        # Have the handler of a signal raise in the middle of this, once others have not.
        seen = [0]
        done = threading.Event()
        main = threading.main_thread().ident

        def waiting():
            wait()

        def handler(number, frame):
            if frame.f_code is waiting.__code__:
                seen[0] += 1
                if seen[0] == 3:
                    raise Interrupted

        def bother():
            while not done.wait(0.01):
                signal.pthread_kill(main, signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, handler)
        thread = threading.Thread(target=bother)
        thread.start()
        try:
            waiting()
        except Interrupted:
            print("interrupted", flush=True)
        done.set()
        thread.join()

    def check(found):
        assert sorted(path for path, _ in found) == paths
        for path, data in found:
            with open(path, "rb") as file:
                assert file.read() == data
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    # A child without privileges reads it, too.
    for parent in (folder, *folder.parents[:3]):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp"):
            parent.chmod(0o755)
    for number in range(150):
        size = 200_000 if number % 50 == 7 else 100 * number
        (folder / f"{number:03d}").write_bytes(bytes([number]) * size)
        (folder / f"{number:03d}").chmod(0o644)
    return folder


@pytest.fixture
def child(run_child: RunChild, folder: Path) -> Callable[..., str]:
    import textwrap

    def run(code: str, **options: Any) -> str:
        whole = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
        return run_child(whole, str(folder), **options).stdout

    return run


@pytest.fixture
def paths(folder: Path) -> list[str]:
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


# Threads.


@pytest.mark.parametrize("way", ["auto", "threads"])
def test_threads_share_an_iterator(paths: list[str], way: str) -> None:
    results: Any = ReadMany(paths * 20, way=way, in_flight=16)
    taken: list[tuple[str, bytes]] = []
    failures: list[BaseException] = []

    def take() -> None:
        try:
            taken.extend(results)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(path for path, _ in taken) == sorted(paths * 20)
    for path, data in taken[::37]:
        assert data == Path(path).read_bytes()
    assert results.stats["files"] == len(paths) * 20


def test_threads_have_an_iterator_each(paths: list[str]) -> None:
    wrong: list[str] = []

    def take() -> None:
        wanted = {path: Path(path).read_bytes() for path in paths}
        if dict(read_many(paths, order="input")) != wanted:
            wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closed_by_another_thread(paths: list[str]) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield from paths

    results = read_many(endless())
    began = threading.Event()

    def take() -> None:
        for _ in results:
            began.set()

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    began.wait()
    results.close()
    for thread in threads:
        thread.join()
    assert list(results) == []


def test_made_in_a_thread_that_is_gone(paths: list[str]) -> None:
    made: list[Any] = []

    def make() -> None:
        results = read_many(paths)
        made.append(next(results))
        made.append(results)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    first, results = made
    assert sorted(path for path, _ in [first, *results]) == paths


# Sources that come back to the iterator.


def test_a_source_that_asks_the_iterator_for_results(paths: list[str]) -> None:
    def hungry() -> Iterator[str]:
        yield paths[0]
        next(results)

    results = read_many(hungry())
    assert next(results)[0] == paths[0]
    with pytest.raises(RuntimeError, match="its own iterable"):
        next(results)
    assert list(results) == []


def test_a_source_that_closes_the_iterator(paths: list[str]) -> None:
    ended = []

    def closing() -> Iterator[str]:
        try:
            yield from paths
            results.close()
            yield from paths
        finally:
            results.close()
            ended.append(True)

    results = read_many(closing())
    for path, data in results:
        assert data == Path(path).read_bytes()
    assert ended == [True]
    assert list(results) == []


def test_a_path_that_closes_the_iterator(paths: list[str]) -> None:
    class Closing:
        def __fspath__(self) -> str:
            results.close()
            return paths[0]

    results = read_many([Closing()] * 3)
    assert list(results) == []


# Ends.


@pytest.mark.parametrize("way", ["auto", "threads"])
@pytest.mark.parametrize("how", ["break", "close", "with", "raise", "drop"])
def test_left_early_nothing_is_left_behind(way: str, how: str) -> None:
    kernel = SimKernel(3, cold_percent=100)
    kernel.close(kernel.file("f", bytes(50_000)))
    results: Any = ReadMany(["f"] * 100, way=way, kernel=kernel)
    assert next(results) == ("f", bytes(50_000))
    if how == "break":
        for _ in results:
            break
        del _, results
    elif how == "close":
        results.close()
        assert list(results) == []
    elif how == "with":
        with results:
            next(results)
        assert list(results) == []
    elif how == "raise":
        with pytest.raises(LookupError), results:
            raise LookupError
        assert list(results) == []
    else:
        del results
    gc.collect()
    assert (kernel.open_fds, kernel.in_flight, kernel.live_maps) == ([], 0, 0)
    assert kernel.violations == []


def test_a_cycle_through_the_source_is_collected(paths: list[str]) -> None:
    class Source:
        def __init__(self) -> None:
            self.results: Any = read_many(self)

        def __iter__(self) -> Source:
            return self

        def __next__(self) -> str:
            return paths[0]

    source = Source()
    next(source.results)
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is None


def test_results_live_as_long_as_somebody_has_them(paths: list[str]) -> None:
    kept = [data for _, data in read_many(paths)]
    again = [data for _, data in read_many(paths, order="input")]
    assert sorted(kept) == sorted(again)


def test_at_the_end_of_the_interpreter(child: Callable[..., str]) -> None:
    child(
        """
        cool()
        kept = read_many(paths)
        next(kept)
        also = read_many(paths, in_flight=8)
        next(also)
        builtins = __builtins__
        builtins.kept = also
        """
    )


def test_in_a_daemon_thread_at_the_end_of_the_interpreter(child: Callable[..., str]) -> None:
    child(
        """
        def endless():
            while True:
                yield from paths
        began = threading.Event()
        def take():
            for _ in read_many(endless()):
                began.set()
        threading.Thread(target=take, daemon=True).start()
        began.wait()
        """
    )


# Signals and forks.


@pytest.mark.parametrize("way", ["auto", "threads"])
def test_ctrl_c(child: Callable[..., str], way: str) -> None:
    # A FUSE file system would hang for ever; a simulated kernel whose request is late does as well.
    out = child(
        f"""
        kernel = uring_rs.SimKernel(1, cold_percent=100)
        kernel.close(kernel.file("f", b"x"))
        def endless():
            while True:
                yield "f"
        results = ReadMany(endless(), kernel=kernel, way={way!r})
        main = threading.main_thread().ident
        taken = 0
        try:
            for _ in results:
                taken += 1
                if taken == 1000:
                    signal.pthread_kill(main, signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
        # It goes on, or is closed: both in order.
        assert next(results) == ("f", b"x")
        results.close()
        assert kernel.open_fds == [] and kernel.in_flight == 0, kernel.open_fds
        """
    )
    assert out == "interrupted\n"


def test_ctrl_c_while_it_waits(child: Callable[..., str]) -> None:
    out = child(
        """
        # The request never ends, not even by cancelling, and the waits are real ones.
        kernel = uring_rs.SimKernel(1, cold_percent=100, patience_ms=60_000)
        kernel.close(kernel.file("f", b"x"))
        kernel.fail_request(0, "late", 1 << 62)
        results = ReadMany(["f"], kernel=kernel)
        interrupted(results.__next__)
        interrupted(results.close)
        os._exit(0)
        """
    )
    assert out == "interrupted\n" * 2


def test_ctrl_c_while_another_thread_has_the_turn(child: Callable[..., str]) -> None:
    out = child(
        """
        asked, go_on = threading.Event(), threading.Event()
        def slow():
            asked.set()
            go_on.wait()
            yield from paths
        results = read_many(slow())
        taken = []
        thread = threading.Thread(target=lambda: taken.extend(results))
        thread.start()
        asked.wait()
        interrupted(results.__next__)
        go_on.set()
        thread.join()
        check(taken)
        """
    )
    assert out == "interrupted\n"


@pytest.mark.parametrize("way", ["auto", "threads"])
def test_fork_in_the_middle(child: Callable[..., str], way: str) -> None:
    child(
        f"""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        cool()
        results = ReadMany(paths, way={way!r}, in_flight=8)
        found = [next(results)]
        before = set(os.listdir("/proc/self/fd"))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                try:
                    next(results)
                except uring_rs.ForkedRing:
                    code = 0
                results.close()
                try:
                    results.stats
                    code = 2
                except uring_rs.ForkedRing:
                    pass
                del results
                gc.collect()
                # A new one works.
                check(list(ReadMany(paths, way={way!r})))
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                code = 3
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        found.extend(results)
        check(found)
        """
    )


# Hosts that refuse.


@pytest.mark.parametrize("number", ["EPERM", "ENOSYS", "EACCES"])
def test_under_a_filter_threads_do_it(child: Callable[..., str], number: str) -> None:
    out = child(
        f"""
        from helpers.seccomp import refuse_io_uring
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s")
        refuse_io_uring(errno.{number})
        cool()
        for order in ("completion", "input"):
            results = read_many(paths, order=order)
            check(list(results))
        assert results.stats["ring"] == 0
        try:
            read_many(paths, require_uring=True)
        except uring_rs.UringUnavailable:
            print("required")
        """
    )
    # One line, if anything had to wait at all, however many jobs.
    assert out.replace("INFO uring_rs\n", "", 1) == "required\n"


def test_turned_off_it_says_so_once(child: Callable[..., str]) -> None:
    out = child(
        """
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s")
        cool()
        for _ in range(3):
            results = read_many(paths)
            check(list(results))
            assert results.stats["ring"] == 0
        """,
        env={"URING_RS_DISABLE": "1"},
    )
    assert out == "INFO uring_rs\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_privileges_and_lockable_memory(child: Callable[..., str], folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    secret.chmod(0o600)
    out = child(
        """
        import ctypes
        from helpers import host
        cool()
        secret = os.path.join(os.path.dirname(folder), "secret")
        host.become_nobody()
        # The one capability that is left lets it read everything.
        header = host.CapHeader(host.CAPABILITY_VERSION_3, 0)
        data = (host.CapData * 2)()
        assert ctypes.CDLL(None).capset(ctypes.byref(header), data) == 0
        host.limit_lockable_memory(64 << 10)
        check(list(read_many(paths)))
        ((_, error),) = read_many([secret], errors="yield")
        print(type(error).__name__, error.filename == secret)
        """
    )
    assert out == "PermissionError True\n"


@pytest.mark.parametrize("way", ["auto", "threads"])
@pytest.mark.parametrize("order", ["completion", "input"])
def test_with_few_descriptors(child: Callable[..., str], way: str, order: str) -> None:
    child(
        f"""
        import resource
        cool()
        # The module and the first ring are there before the limit is.
        list(ReadMany(paths[:3], way={way!r}))
        cool()
        open_now = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        hold = []
        while True:
            try:
                hold.append(os.dup(0))
            except OSError:
                break
        # Two for the ring (its own, and one for a test of it), three for files.
        for fd in hold[-5:]:
            os.close(fd)
        check(list(ReadMany(paths, way={way!r}, order={order!r}, in_flight=100)))
        """
    )


def test_where_there_is_no_compiled_module(run_child: RunChild) -> None:
    run_child(
        """
        import sys
        sys.modules["uring_rs._uring"] = None
        import uring_rs
        try:
            uring_rs.read_many(["x"])
        except uring_rs.UringUnavailable as error:
            assert "cannot be loaded" in str(error), error
        else:
            raise SystemExit("it worked")
        """
    )


def test_the_names_are_public() -> None:
    assert uring_rs.read_many is read_many
    assert {"read_many", "ReadMany"} <= set(uring_rs.__all__)
    assert ReadMany[str, bytes].__origin__ is ReadMany  # type: ignore[attr-defined]
