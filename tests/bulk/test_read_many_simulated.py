"""`read_many` on the simulated kernel: short reads, signals, shortages and errors in any place cost
nothing but the files they hit, whatever the order, the limits and the way."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import ReadMany, SimKernel, read_many

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

SMALL = 16 << 10
SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from([4096, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL, (1 << 20) + 7, 5 << 20]),
)
HARMLESS = [errno.EINTR, errno.EAGAIN]
DEADLY = [errno.EIO, errno.EACCES, errno.ENOMEM, errno.ESTALE]


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    sizes = draw(st.lists(SIZES, max_size=40))
    largest = max(sizes, default=0)
    return {
        "sizes": sizes,
        "cold": draw(st.sampled_from([0, 50, 100])),
        "in_flight": draw(st.sampled_from([1, 2, 3, 8, 64])),
        "order": draw(st.sampled_from(["completion", "input"])),
        "max_bytes": draw(st.one_of(st.none(), st.integers(max(1, largest // 2), 12 << 20))),
        "way": draw(st.sampled_from(["auto", "ring", "threads"])),
        # Of requests: short reads and errors; of plain calls the same; of enter shortages.
        "requests": draw(
            st.lists(
                st.tuples(
                    st.integers(0, 60),
                    st.one_of(
                        st.tuples(st.just("result"), st.integers(1, 5000)),
                        st.tuples(st.just("result"), st.sampled_from(HARMLESS).map(int.__neg__)),
                        st.tuples(st.just("result"), st.sampled_from(DEADLY).map(int.__neg__)),
                        st.tuples(st.just("late"), st.integers(1, 5_000_000)),
                        st.tuples(st.just("twice"), st.just(0)),
                    ),
                ),
                max_size=8,
            )
        ),
        "calls": draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["plain", "enter"]),
                    st.integers(0, 60),
                    st.one_of(
                        st.sampled_from([errno.EINTR, errno.EAGAIN]),
                        st.tuples(st.just("short"), st.integers(1, 300)),
                    ),
                ),
                max_size=8,
            )
        ),
        "broken": draw(st.lists(st.integers(0, 80), max_size=3)),
        "seed": draw(st.integers(0, 1000)),
    }


def contents(number: int, size: int) -> bytes:
    return bytes((number * 7 + 1) % 256 for _ in range(min(size, 50))).ljust(
        size, bytes([number % 256])
    )


def prepare(job: dict[str, Any]) -> tuple[SimKernel, dict[str, bytes]]:
    kernel = SimKernel(job["seed"], cold_percent=job["cold"])
    files = {f"f{number}": contents(number, size) for number, size in enumerate(job["sizes"])}
    for name, data in files.items():
        kernel.close(kernel.file(name, data))
    for nth, (what, value) in job["requests"]:
        kernel.fail_request(nth, what, value)
    for call, nth, fault in job["calls"]:
        kernel.fail_call(call, nth, fault)
    for nth in job["broken"]:
        kernel.fail_call("plain", nth, errno.EIO)
    return kernel, files


def left_clean(kernel: SimKernel) -> None:
    assert (kernel.open_fds, kernel.in_flight, kernel.live_maps) == ([], 0, 0)
    assert kernel.violations == []


@given(job=jobs())
@settings(max_examples=150)
@example(
    job={
        "sizes": [5 << 20, 10, 5 << 20],
        "cold": 100,
        "in_flight": 3,
        "order": "input",
        "max_bytes": 5 << 20,
        "way": "auto",
        "requests": [(2, ("result", 1)), (3, ("result", -errno.EIO))],
        "calls": [],
        "broken": [],
        "seed": 1,
    }
)
@example(  # The kernel's ENOMEM is the file's error, not the process's.
    job={
        "sizes": [0, 3],
        "cold": 50,
        "in_flight": 1,
        "order": "completion",
        "max_bytes": None,
        "way": "ring",
        "requests": [(0, ("result", -errno.ENOMEM))],
        "calls": [],
        "broken": [],
        "seed": 0,
    }
)
def test_every_file_is_whole_or_says_why_not(job: dict[str, Any]) -> None:
    kernel, files = prepare(job)
    results = ReadMany(
        files,
        in_flight=job["in_flight"],
        order=job["order"],
        max_bytes=job["max_bytes"],
        errors="yield",
        way=job["way"],
        kernel=kernel,
    )
    found = list(results)
    names = [name for name, _ in found]
    assert names == list(files) if job["order"] == "input" else sorted(names) == sorted(files)
    most = len(job["broken"]) + sum(value < 0 for _, (_, value) in job["requests"])
    for name, data in found:
        if isinstance(data, OSError):
            assert data.filename == name
            too_big = job["max_bytes"] is not None and len(files[name]) > job["max_bytes"]
            if data.errno != errno.EFBIG or not too_big:
                assert data.errno in DEADLY
                most -= 1
        else:
            assert data == files[name], name
    assert most >= 0
    stats = results.stats
    assert stats["files"] + stats["failed"] == len(files)
    if job["max_bytes"] is not None:
        assert stats["peak_bytes"] <= job["max_bytes"]
    results.close()
    left_clean(kernel)


@given(job=jobs(), taken=st.integers(0, 20), dropped=st.booleans())
@settings(max_examples=80)
def test_left_in_the_middle_it_leaves_nothing_behind(
    job: dict[str, Any], taken: int, dropped: bool
) -> None:
    kernel, files = prepare({**job, "broken": []})
    results = ReadMany(
        files,
        in_flight=job["in_flight"],
        order=job["order"],
        errors="yield",
        way=job["way"],
        kernel=kernel,
    )
    for _, (name, data) in zip(range(taken), results, strict=False):
        assert isinstance(data, Exception) or data == files[name]
    if dropped:
        del results
    else:
        results.close()
        results.close()
        assert list(results) == []
    left_clean(kernel)


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("short", [{4}, {4, 20}, {5, 6}])
def test_where_descriptors_are_short_it_waits_for_some(order: Any, short: set[int]) -> None:
    # Nothing is cached, so the plain calls are the openings.
    kernel = SimKernel(1, cold_percent=100)
    files = {f"f{number}": contents(number, 1000 + number) for number in range(60)}
    for name, data in files.items():
        kernel.close(kernel.file(name, data))
    for nth in short:
        kernel.fail_call("plain", nth, errno.EMFILE)
    assert dict(read_many(files, order=order, in_flight=8, kernel=kernel)) == files
    assert kernel.faults_left == 0
    left_clean(kernel)


def test_where_there_are_never_enough_descriptors_it_is_an_error() -> None:
    kernel = SimKernel(1)
    kernel.close(kernel.file("f", b"1"))
    for nth in range(100):
        kernel.fail_call("plain", nth, errno.EMFILE)
    found = list(read_many(["f"] * 3, kernel=kernel, errors="yield"))
    assert [getattr(error, "errno", None) for _, error in found] == [errno.EMFILE] * 3
    left_clean(kernel)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EMFILE])
def test_where_rings_are_refused_threads_do_it(number: int) -> None:
    def refusing() -> SimKernel:
        kernel = SimKernel(1, cold_percent=100)
        kernel.close(kernel.file("f", b"contents"))
        for nth in range(40):
            kernel.fail_call("setup", nth, number)
        return kernel

    kernel = refusing()
    results: Any = ReadMany(["f"] * 20, way="auto", kernel=kernel)
    assert list(results) == [("f", b"contents")] * 20
    assert results.stats["backend"] == "threads"
    with pytest.raises(uring_rs.UringUnavailable):
        ReadMany(["f"], way="ring", kernel=refusing())
    results.close()
    left_clean(kernel)


def test_a_claim_of_more_than_there_was_room_for_is_not_believed() -> None:
    kernel = SimKernel(1, cold_percent=100)
    kernel.close(kernel.file("f", b"contents"))
    kernel.fail_request(0, "lie", 1 << 20)
    with pytest.raises(OSError, match="Input/output") as caught:
        list(read_many(["f"], kernel=kernel))
    assert caught.value.errno == errno.EIO
    left_clean(kernel)
