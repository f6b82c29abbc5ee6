"""The enumerations against the kernel's own header, and their behaviour as numbers."""

from __future__ import annotations

import enum
import inspect
import re
from pathlib import Path

import pytest

from helpers import interface
from uring_rs import flags
from uring_rs.flags import Features, Op, RegisterOp, SetupFlags, SqeFlags

HEADER = Path("/usr/include/linux/io_uring.h")

# Later than 6.18, or no bits: masks of others.
LATER = {"IORING_SETUP_SQE_MIXED", "IORING_SETUP_SQ_REWIND", "IORING_TIMEOUT_IMMEDIATE_ARG"}

CLASSES = [
    value
    for value in vars(flags).values()
    if inspect.isclass(value) and value.__module__ == flags.__name__
]


def header() -> str:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} is not installed (linux-libc-dev)")
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def member(name: str) -> int:
    """What this package calls it."""
    found = interface.member(name)
    assert found is not None, f"no member for {name}"
    return found.value


def test_bits_are_those_of_the_header() -> None:
    text = header()
    bits = dict(re.findall(r"#define\s+(IO\w+)\s+\(1U\s*<<\s*(\w+)\)", text))
    numbers = re.search(r"(IOSQE_FIXED_FILE_BIT.*?)}", text, re.DOTALL)
    assert numbers
    order = re.findall(r"\w+_BIT", numbers[1])
    checked = 0
    for name, bit in bits.items():
        if name in LATER or name == "IO_URING_OP_SUPPORTED":
            continue
        shift = order.index(bit) if bit in order else int(bit)
        assert member(name) == 1 << shift, name
        checked += 1
    assert checked > 50


def test_numbers_are_those_of_the_header() -> None:
    text = header()
    numbers = re.findall(
        r"\b(IORING_(?:UN)?REGISTER_\w+|IORING_RESTRICTION_\w+)\s*=\s*(\d+)(?!\w)", text
    )
    for name, number in numbers:
        if name != "IORING_REGISTER_LAST" and int(number) <= RegisterOp.QUERY:
            assert member(name) == int(number), name
    assert len(numbers) > 20
    assert flags.ProbeOpFlags.SUPPORTED == 1


def test_operations_are_those_of_the_header() -> None:
    found = re.search(r"\bIORING_OP_NOP\b.*?IORING_OP_LAST", header(), re.DOTALL)
    assert found
    names = re.findall(r"\bIORING_OP_(\w+),", found[0])
    assert len(names) > 40
    for number, name in enumerate(names[: len(Op)]):
        assert Op[name] == number


def test_the_interface_of_6_18_is_whole() -> None:
    """The counts that IORING_REGISTER_QUERY of a 6.18 kernel gives."""
    assert sorted(Op) == list(range(63))
    registers = sorted(set(RegisterOp) - {RegisterOp.USE_REGISTERED_RING})
    assert registers == list(range(36))
    for kind, mask in [
        (Features, 0x3FFFF),
        (SetupFlags, 0x7FFFF),
        (SqeFlags, 0x7F),
        (flags.EnterFlags, 0xFF),
    ]:
        assert sum(kind) == mask


def test_since_is_a_kernel_and_never_goes_back() -> None:
    versions = [tuple(map(int, op.since.split("."))) for op in Op]
    assert versions == sorted(versions)
    assert (Op.READ.since, Op.PIPE.since) == ("5.6", "6.16")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_documented_with_their_manual_page(kind: type[enum.Enum]) -> None:
    doc = kind.__doc__
    assert doc
    assert re.search(r"\b[a-z0-9_]+\([237]\)", doc), "names no manual page"
    assert kind.__name__ in flags.__all__


def test_they_are_numbers() -> None:
    both = SqeFlags.IO_LINK | SqeFlags.ASYNC
    assert both == 20
    assert isinstance(both, int)
    assert Op(22) is Op.READ
    assert Op["READ"] == 22
    # What a later kernel adds must pass through, not raise.
    later = Features(1 << 40 | 1)
    assert Features.SINGLE_MMAP in later
    assert int(later) == 1 << 40 | 1
