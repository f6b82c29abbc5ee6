"""What goes into the kernel and comes out of it unchanged: times, addresses, control messages,
vectors, and the order of many requests over small rings."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import math
import os
import socket
import struct
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import Sqe

ALL = settings().max_examples
each = settings(max_examples=max(10, ALL // 10))
some = settings(max_examples=max(10, ALL // 20))

I64_MAX = 2**63 - 1


class Entry(ctypes.Structure):
    """The first half of struct io_uring_sqe."""

    _fields_ = (
        ("opcode", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("ioprio", ctypes.c_uint16),
        ("fd", ctypes.c_int32),
        ("off", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
    )


class Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_uint64),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_uint64),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_uint64),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


def entry(sqe: Sqe) -> Entry:
    return Entry.from_buffer_copy(memoryview(sqe))


# --- times


def nanoseconds(seconds: object) -> int:
    """The time that a timeout of so many seconds hands to the kernel."""
    sqe = Sqe.timeout(seconds)  # type: ignore[arg-type]
    whole, rest = map(int, struct.unpack("<qq", ctypes.string_at(entry(sqe).addr, 16)))
    assert 0 <= rest < 10**9
    return whole * 10**9 + rest


@each
@given(st.floats(min_value=0, max_value=9.2e9))
def test_seconds_as_floats(seconds: float) -> None:
    """Rounded up as the standard library does; beyond 104 days a float has no nanoseconds."""
    exact = Fraction(seconds) * 10**9
    unsure = Fraction(math.ulp(seconds * 1e9)) / 2
    assert exact - unsure <= nanoseconds(seconds) < exact + unsure + 1


@each
@given(st.integers(0, I64_MAX // 10**9))
def test_seconds_as_ints(seconds: int) -> None:
    assert nanoseconds(seconds) == seconds * 10**9


@each
@given(st.fractions(0, 10**6))
def test_seconds_as_other_numbers(seconds: Fraction) -> None:
    assert nanoseconds(seconds) == nanoseconds(float(seconds))


@each
@given(st.one_of(st.floats(max_value=-5e-324), st.integers(max_value=-1), st.just(math.nan)))
def test_times_that_are_none(seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        nanoseconds(seconds)


@each
@given(st.one_of(st.floats(min_value=9.3e9), st.integers(min_value=2**64)))
def test_times_without_end(seconds: float) -> None:
    with pytest.raises(OverflowError):
        nanoseconds(seconds)


# --- addresses


def sockaddr(address: object) -> bytes:
    sqe = Sqe.connect(0, address)  # type: ignore[arg-type]
    told = entry(sqe)
    return ctypes.string_at(told.addr, told.off)


ports = st.integers(0, 65535)
words = st.integers(0, 2**32 - 1)


@each
@given(st.ip_addresses(v=4), ports)
def test_ipv4(ip: ipaddress.IPv4Address, port: int) -> None:
    expected = struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + ip.packed + bytes(8)
    assert sockaddr((str(ip), port)) == expected


@each
@given(st.ip_addresses(v=6), ports, words, words)
def test_ipv6(ip: ipaddress.IPv6Address, port: int, flow: int, scope: int) -> None:
    expected = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, flow % 2**20)
    expected += ip.packed + struct.pack("=I", scope)
    assert sockaddr((str(ip), port, flow % 2**20, scope)) == expected


names = st.one_of(
    st.binary(min_size=1, max_size=107).map(lambda name: b"\0" + name),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda name: len(name.encode()) <= 107
    ),
)


@each
@given(names)
def test_unix_names(name: str | bytes) -> None:
    family = struct.pack("=H", socket.AF_UNIX)
    if isinstance(name, str):
        assert sockaddr(name) == family + name.encode() + b"\0"
    else:
        assert sockaddr(name) == family + name


@some
@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60))
def test_unix_names_through_the_kernel(sender: bytes, receiver: bytes) -> None:
    # Other programs have names there too, and so have other runs of this test.
    mine = b"\0uring_rs %d " % os.getpid()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
        uring_rs.Ring(4) as ring,
    ):
        one.bind(mine + b"s" + sender)
        other.bind(mine + b"r" + receiver)
        ring.prep_recvmsg(other, [bytearray(8)], user_data="received")
        ring.prep_sendmsg(one, [b"x"], address=mine + b"r" + receiver)
        found = [cqe for cqe in ring.completions(2) if cqe.user_data]
        assert [(cqe.result(), cqe.address) for cqe in found] == [(1, mine + b"s" + sender)]


@some
@given(st.integers(1, 2**24 - 2))
def test_ipv4_through_the_kernel(host: int) -> None:
    address = str(ipaddress.IPv4Address(0x7F000000 + host))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        uring_rs.Ring(4) as ring,
    ):
        one.bind((address, 0))
        other.bind(("127.0.0.1", 0))
        ring.prep_recvmsg(other, [bytearray(8)], user_data="received")
        ring.prep_sendmsg(one, [b"x"], address=other.getsockname())
        found = [cqe for cqe in ring.completions(2) if cqe.user_data]
        assert [(cqe.result(), cqe.address) for cqe in found] == [(1, one.getsockname())]


# --- control messages

messages = st.lists(
    st.tuples(st.integers(0, 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=40)),
    max_size=6,
)


def parse(control: bytes) -> Iterator[tuple[int, int, bytes]]:
    """cmsg(3), anew."""
    while control:
        length, level, kind = struct.unpack_from("@Nii", control)
        yield level, kind, control[16:length]
        control = control[(length + 7) & ~7 :]


@each
@given(messages)
def test_control_messages(ancdata: list[tuple[int, int, bytes]]) -> None:
    sqe = Sqe.sendmsg(0, [b""], ancdata)
    header = Header.from_buffer_copy(ctypes.string_at(entry(sqe).addr, ctypes.sizeof(Header)))
    control = ctypes.string_at(header.control, header.controllen) if header.controllen else b""
    assert header.controllen == sum(socket.CMSG_SPACE(len(data)) for _, _, data in ancdata)
    assert list(parse(control)) == ancdata


@some
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.binary(min_size=1, max_size=9))
def test_descriptors_arrive(which: list[int], data: bytes) -> None:
    with contextlib.ExitStack() as stack:
        ours = [os.memfd_create(f"{i}") for i in range(4)]
        for fd in ours:
            stack.callback(os.close, fd)
        left, right = socket.socketpair()
        ring = stack.enter_context(uring_rs.Ring(4))
        stack.enter_context(left)
        stack.enter_context(right)
        rights = struct.pack(f"{len(which)}i", *(ours[i] for i in which))
        into = bytearray(len(data))
        ring.prep_sendmsg(left, [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        room = socket.CMSG_SPACE(len(rights))
        ring.prep_recvmsg(right, [into], room, user_data="received")
        (cqe,) = [cqe for cqe in ring.completions(2) if cqe.user_data]
        ((level, kind, came),) = cqe.ancdata
        theirs = list(struct.unpack(f"{len(came) // 4}i", came))
        for fd in theirs:
            stack.callback(os.close, fd)
        assert (level, kind, bytes(into)) == (socket.SOL_SOCKET, socket.SCM_RIGHTS, data)
        assert [os.fstat(fd).st_ino for fd in theirs] == [os.fstat(ours[i]).st_ino for i in which]


# --- vectors

SIZE = 300
transfers = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, SIZE),
        st.lists(st.integers(0, 40), min_size=1, max_size=5),
        st.integers(0, 255),
    ),
    max_size=12,
)


def play(ring: uring_rs.Ring, fd: int, steps: list[tuple[bool, int, list[int], int]]) -> bytes:
    """Vectored reads and writes of a file beside a model of plain bytes. Returns the model."""
    model = bytearray()
    for writes, offset, sizes, seed in steps:
        total = sum(sizes)
        if writes:
            data = bytes((seed + i) % 256 for i in range(total))
            cuts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
            pieces = [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
            ring.prep_writev(fd, pieces, offset)
            if total:
                model.extend(bytes(max(0, offset + total - len(model))))
                model[offset : offset + total] = data
        else:
            into = [bytearray(size) for size in sizes]
            ring.prep_readv(fd, into, offset)
        (cqe,) = ring.completions(1)
        if writes:
            assert cqe.result() == total
        else:
            expected = bytes(model[offset : offset + total])
            assert cqe.result() == len(expected)
            assert b"".join(into) == expected.ljust(total, b"\0")
    return bytes(model)


@each
@given(transfers)
def test_vectors_on_the_running_kernel(steps: list[tuple[bool, int, list[int], int]]) -> None:
    fd = os.memfd_create("vectors")
    try:
        with uring_rs.Ring(2) as ring:
            model = play(ring, fd, steps)
        assert os.pread(fd, 4096, 0) == model
    finally:
        os.close(fd)


@each
@given(transfers, st.integers(0, 2**32), st.sampled_from([0, 50]))
def test_vectors_on_a_simulated_kernel(
    steps: list[tuple[bool, int, list[int], int]], seed: int, cold: int
) -> None:
    kernel = uring_rs.SimKernel(seed, cold_percent=cold)
    with uring_rs.Ring(2, kernel=kernel) as ring:
        model = play(ring, kernel.file("vectors", b""), steps)
    assert kernel.contents("vectors") == model
    assert kernel.violations == []


# --- many requests over small rings


@some
@given(
    st.sampled_from([1, 2, 4]),
    st.integers(0, 300),
    st.booleans(),
    st.sampled_from([None, 0, 2**32 - 3]),
)
def test_bulk_order(entries: int, count: int, shared: bool, start: int | None) -> None:
    """NOPs complete in the order they were prepared, whoever submits, however small the ring."""
    kernel = None if start is None else uring_rs.SimKernel(start=start)
    with uring_rs.Ring(entries, shared=shared, kernel=kernel) as ring:
        seen = []
        for i in range(count):
            ring.prep_nop(i)
            if i % 7 == 0:
                seen += [cqe.user_data for cqe in ring]
        # As far as they are staged, requests count too: what completed makes room for them.
        while len(seen) < count:
            seen += [cqe.user_data for cqe in ring.completions(1)]
        assert seen == list(range(count))
        assert ring.in_flight == 0
