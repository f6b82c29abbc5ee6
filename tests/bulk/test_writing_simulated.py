"""`write_many` and `save` on the simulated kernel, which fails as it is told to."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uring_rs import SimKernel, save, write_many

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

# What may be met by trying again.
PASSING = [errno.EINTR, errno.EAGAIN]
DEADLY = [errno.EIO, errno.ENOSPC, errno.EDQUOT]

faults = st.one_of(
    st.tuples(st.just("plain"), st.integers(0, 60), st.sampled_from(DEADLY + PASSING)),
    st.tuples(
        st.just("plain"), st.integers(0, 60), st.tuples(st.just("short"), st.integers(0, 600))
    ),
    st.tuples(st.just("request"), st.integers(0, 12), st.sampled_from(DEADLY + PASSING)),
    st.tuples(st.just("enter"), st.integers(0, 12), st.sampled_from([errno.EAGAIN, errno.EINTR])),
    st.tuples(st.just("setup"), st.just(0), st.sampled_from([errno.EPERM, errno.ENOSYS])),
)


def plan(kernel: SimKernel, planned: list[Any]) -> None:
    for kind, nth, what in planned:
        if kind == "request":
            kernel.fail_request(nth, "result", -what)
        else:
            kernel.fail_call(kind, nth, what)


def settled(kernel: SimKernel) -> None:
    assert kernel.open_fds == []
    assert kernel.in_flight == 0
    assert kernel.live_maps == 0
    assert kernel.violations == []


def with_old(kernel: SimKernel, old: dict[str, bytes]) -> None:
    for name, data in old.items():
        kernel.close(kernel.file(name, data))


@settings(max_examples=100)
@given(
    seed=st.integers(0, 1000),
    planned=st.lists(faults, max_size=3),
    sizes=st.lists(st.integers(0, 2000), min_size=1, max_size=8),
    in_flight=st.sampled_from([1, 2, 8]),
    fsync=st.booleans(),
    existing=st.booleans(),
)
def test_files_are_old_or_new_whatever_fails(
    seed: int, planned: list[Any], sizes: list[int], in_flight: int, fsync: bool, existing: bool
) -> None:
    kernel = SimKernel(seed, cold_percent=50)
    new = {f"f{n}": bytes([n + 1]) * size for n, size in enumerate(sizes)}
    old = dict.fromkeys(new, b"old") if existing else {}
    with_old(kernel, old)
    plan(kernel, planned)
    result = write_many(
        new.items(), in_flight=in_flight, fsync=fsync, errors="collect", kernel=kernel
    )
    failed = {str(path): error.errno for path, error in result.errors}
    for name, data in new.items():
        there = kernel.contents(name)
        if name in failed:
            assert there == old.get(name) or there == data
        else:
            assert there == data
    assert set(failed.values()) <= {*DEADLY, *PASSING}
    deadly = [fault for fault in planned if fault[2] in DEADLY]
    assert len(failed) <= max(len(sizes), 1) * len(deadly) + len(planned)
    if not [fault for fault in planned if fault[0] in ("plain", "request")]:
        assert result.files == len(new)
    # An error may hit the removal of a temporary file, too; nothing else leaves one.
    hidden = [name for name in kernel.names if name.startswith(".")]
    assert len(hidden) <= max(0, len(deadly) - 1)
    settled(kernel)


@settings(max_examples=100)
@given(
    seed=st.integers(0, 1000),
    planned=st.lists(faults, max_size=3),
    sizes=st.lists(st.integers(0, 9000), max_size=6),
    direct=st.booleans(),
    depth=st.sampled_from([1, 2, 4]),
    known=st.booleans(),
)
def test_a_checkpoint_is_old_or_new_whatever_fails(
    seed: int, planned: list[Any], sizes: list[int], direct: bool, depth: int, known: bool
) -> None:
    kernel = SimKernel(seed)
    buffers = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    with_old(kernel, {"model": b"old"})
    plan(kernel, planned)
    try:
        save(
            "model",
            buffers if known else iter(buffers),
            direct=direct,
            chunk=4096,
            depth=depth,
            kernel=kernel,
        )
    except OSError as error:
        assert error.errno in DEADLY + PASSING
        assert error.filename in ("model", ".")
        wanted = [b"".join(buffers)] if error.filename == "." else [b"old"]
        assert kernel.contents("model") in wanted
    else:
        assert kernel.contents("model") == b"".join(buffers)
    deadly = [fault for fault in planned if fault[2] in DEADLY]
    hidden = [name for name in kernel.names if name.startswith(".")]
    assert len(hidden) <= max(0, len(deadly) - 1)
    settled(kernel)


CALLS: dict[str, Callable[[SimKernel], object]] = {
    "write_many": lambda kernel: write_many([("a", b"new")], fsync=True, kernel=kernel),
    "save": lambda kernel: save("a", [b"new"], kernel=kernel),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_failed_fsync_is_not_tried_again(
    call: Callable[[SimKernel], object], number: int
) -> None:
    kernel = SimKernel(1)
    with_old(kernel, {"a": b"old"})
    kernel.fail_request(0, "result", -number)
    with pytest.raises(OSError, match="Errno") as raised:
        call(kernel)
    assert (raised.value.errno, raised.value.filename) == (number, "a")
    assert [op for op, _ in kernel.submitted].count("FSYNC") == 1
    assert kernel.contents("a") == b"old"
    assert kernel.names == ["a"]
    settled(kernel)


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_an_error_at_each_plain_call(call: Callable[[SimKernel], object]) -> None:
    outcomes = set()
    for nth in range(12):
        kernel = SimKernel(1)
        with_old(kernel, {"a": b"old"})
        kernel.fail_call("plain", nth, errno.EIO)
        try:
            call(kernel)
        except OSError as error:
            assert error.errno == errno.EIO
            outcomes.add(error.filename)
            # Only the directory's fsync comes after the new name.
            assert kernel.contents("a") == (b"new" if error.filename == "." else b"old")
        else:
            assert kernel.contents("a") == b"new"
        assert kernel.names == ["a"]
        settled(kernel)
    assert outcomes == {"a", "."}


@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("direct", [True, False])
def test_a_slow_device_when_it_is_called_off(seconds: float, direct: bool) -> None:
    """What is written when the end is decided takes longer than one look: then it is closed."""

    def refuse(written: int) -> None:
        raise LookupError(written)

    kernel = SimKernel(3)
    with_old(kernel, {"model": b"old"})
    kernel.fail_request(0, "late", int(seconds * 1e9))
    with pytest.raises(LookupError):
        save(
            "model",
            iter([bytes(4096)] * 12),
            direct=direct,
            chunk=4096,
            depth=4,
            progress=refuse,
            kernel=kernel,
        )
    assert kernel.contents("model") == b"old"
    assert kernel.names == ["model"]
    settled(kernel)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.0])
def test_slow_fsyncs_when_another_fails(seconds: float) -> None:
    kernel = SimKernel(3)
    kernel.fail_request(0, "late", int(seconds * 1e9))
    kernel.fail_request(1, "result", -errno.EIO)
    items = [(f"f{number}", b"new") for number in range(8)]
    with pytest.raises(OSError, match="Errno 5"):
        write_many(items, in_flight=64, fsync=True, kernel=kernel)
    assert not [name for name in kernel.names if name.startswith(".")]
    settled(kernel)


def test_no_progress_is_told_once_the_name_is_given() -> None:
    """An exception at any step leaves the old file, or the call has returned."""
    told = 0

    def count(written: int) -> None:
        nonlocal told
        told += 1

    def stop_at(step: int) -> Callable[[int], None]:
        left = step

        def stop(written: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise LookupError(written)

        return stop

    for sizes in ([], [10], [5000] * 4):
        buffers = [bytes(size) for size in sizes]
        told = 0
        save("model", iter(buffers), chunk=4096, progress=count, kernel=SimKernel(1))
        assert told >= min(1, len(sizes))
        for step in range(told):
            kernel = SimKernel(1)
            with_old(kernel, {"model": b"old"})
            with pytest.raises(LookupError):
                progress = stop_at(step)
                save("model", iter(buffers), chunk=4096, progress=progress, kernel=kernel)
            assert kernel.contents("model") == b"old"
            settled(kernel)
