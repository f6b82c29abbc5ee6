"""Two entries, one of them with memory behind it, field by field."""

from __future__ import annotations

import ctypes
import struct

from helpers.entries.compiler import Entry, Pointee

FIELDS = {
    "opcode": (0, 1),
    "flags": (1, 1),
    "ioprio": (2, 2),
    "fd": (4, 4),
    "off": (8, 8),
    "addr": (16, 8),
    "len": (24, 4),
    "op_flags": (28, 4),
    "user_data": (32, 8),
    "buf_index": (40, 2),
    "personality": (42, 2),
    "file_index": (44, 4),
    "addr3": (48, 8),
    "pad2": (56, 8),
}
USER_DATA = range(32, 40)


def _hide(data: bytes, places: list[int]) -> bytes:
    """With the addresses that stand there taken out."""
    hidden = bytearray(data)
    for place in places:
        hidden[place : place + 8] = bytes(8)
    return bytes(hidden)


def _address(data: bytes, place: int) -> int:
    return int(struct.unpack_from("=Q", data, place)[0])


def _name(place: int) -> str:
    return next(name for name, (start, _) in FIELDS.items() if start == place)


def _behind(data: bytes, pointee: Pointee, inner: list[int]) -> str | None:
    """What is wrong with the memory that a field leads to."""
    address = _address(data, pointee.field)
    told = _name(pointee.field)
    if address == 0:
        return f"{told} is null"
    if pointee.inner is not None:
        address = _address(ctypes.string_at(address + pointee.inner, 8), 0)
        told = f"{told}->[{pointee.inner}]"
        if address == 0:
            return f"{told} is null"
    if pointee.bytes is None:
        return None
    there = ctypes.string_at(address, len(pointee.bytes))
    if _hide(there, inner) == _hide(pointee.bytes, inner):
        return None
    return f"{told} leads to {there.hex()}, in C to {pointee.bytes.hex()}"


def differences(data: bytes, entry: Entry) -> list[str]:
    """In what an entry of ours, whose memory is alive, differs from that of C."""
    places = [pointee.field for pointee in entry.pointees]
    ours, theirs = _hide(data, places), _hide(entry.bytes, places)
    found = []
    for name, (start, size) in FIELDS.items():
        if start in USER_DATA:
            continue
        one, other = ours[start : start + size], theirs[start : start + size]
        if one != other:
            found.append(f"{name} is {one[::-1].hex()}, in C {other[::-1].hex()}")
    for pointee in entry.pointees:
        same = [p.inner for p in entry.pointees if p.field == pointee.field]
        inner = [at for at in same if at is not None] if pointee.inner is None else []
        if told := _behind(data, pointee, inner):
            found.append(told)
    return found
