"""The Python face under fuzzing: programs of calls of everything that is public, with arguments
that are right, wrong or hostile, on the real kernel and on a simulated one.

    face.py FOLDER [libFuzzer options] [corpus]     coverage-guided, by atheris
    face.py FOLDER --random SEED SECONDS            without atheris or its coverage
    face.py FOLDER --replay FILE...                 once each

Every exception is an answer; a panic of the Rust side, a SystemError, a signal or a hang is none.
It runs in FOLDER, as nobody, where it may do what it likes.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import faulthandler
import gc
import inspect
import os
import random
import resource
import shutil
import signal
import stat
import sys
import time
import warnings
from pathlib import Path
from typing import Any

if len(sys.argv) < 3 or not sys.argv[2].startswith("--"):
    import atheris

    # Loaded while there are files to load it from.
    import atheris.core_with_libfuzzer

    seen = atheris.instrument_imports(include=["uring_rs"])
else:
    seen = contextlib.nullcontext()
with seen:
    from values import Source, World

    import uring_rs
    from uring_rs import _uring, ioqueue, selectors, testing

NOBODY = 65534
# A call that waits is ended by a signal after so long, a program that does not end by force.
CALL_SECONDS = 0.1
PROGRAM_SECONDS = 60
CALLS = 40

# Where the arguments mean what only a driver knows, nothing can be checked (SAFETY.md).
NOT_CALLED = {"prep_uring_cmd", "uring_cmd"}
# Not for programs: what the package calls at its own end.
NOT_PUBLIC = {"_close_all", "_constants", "_operations", "_register_operations"}


class Overdue(Exception):
    """The call took too long."""


def _functions() -> list[tuple[str, Any]]:
    found = []
    for module in (uring_rs, _uring, testing):
        for name in sorted(vars(module)):
            value = getattr(module, name)
            if name in NOT_PUBLIC or name.startswith("__") or not callable(value):
                continue
            if isinstance(value, type) and issubclass(value, (BaseException, enum.Enum)):
                continue
            if inspect.ismodule(value):
                continue
            found.append((name, value))
    found += [("IoQueue", ioqueue.IoQueue), ("UringSelector", selectors.UringSelector)]
    return list(dict(found).items())


FUNCTIONS = _functions()
SQES = [name for name in sorted(dir(uring_rs.Sqe)) if not name.startswith("_")]
SPECIAL = ["__len__", "__iter__", "__next__", "__enter__", "__exit__", "__index__", "__hash__"]
SPECIAL += ["__repr__", "__getitem__", "__eq__", "__buffer__", "__init__", "__sizeof__", "__dir__"]
SPECIAL += ["__reduce_ex__", "__class_getitem__", "__format__", "__lt__", "__bool__"]


def names_of(kind: type) -> list[str]:
    """What can be asked of objects of this class."""
    names = [name for name in dir(kind) if not name.startswith("_") and name not in NOT_CALLED]
    return names + [name for name in SPECIAL if hasattr(kind, name)]


NAMES: dict[type, list[str]] = {}
PARAMETERS: dict[Any, list[inspect.Parameter]] = {}


def parameters(function: Any, key: Any) -> list[inspect.Parameter]:
    if key not in PARAMETERS:
        try:
            found = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):
            found = [inspect.Parameter("anything", inspect.Parameter.POSITIONAL_ONLY)]
        PARAMETERS[key] = found
    return PARAMETERS[key]


def arguments(world: World, function: Any, key: Any, name: str) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that the signature takes, as a rule."""
    source = world.source
    positional: list[Any] = []
    by_name: dict[str, Any] = {}
    closes = name.endswith("close")
    for parameter in parameters(function, key):
        kinds = inspect.Parameter
        if parameter.kind in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL):
            continue
        optional = parameter.default is not kinds.empty
        if optional and source.number() % 3:
            continue
        # What is closed must be nobody's but the program's.
        if closes and parameter.name in ("file", "fd"):
            value: Any = world.throwaway()
        else:
            value = world.value(parameter.name)
        if parameter.kind is kinds.KEYWORD_ONLY or (optional and by_name) or optional:
            by_name[parameter.name] = value
        else:
            positional.append(value)
    return positional, by_name


def call(world: World, function: Any, key: Any, name: str) -> Any:
    positional, by_name = arguments(world, function, key, name)
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS, CALL_SECONDS)
    try:
        return function(*positional, **by_name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def step(world: World) -> None:
    """One call, of a function or of something that an earlier one gave."""
    source = world.source
    if not world.things or source.chance(6):
        name, function = source.pick(FUNCTIONS)
        result = call(world, function, name, name)
    elif source.chance(8):
        name = source.pick(SQES)
        if name in NOT_CALLED:
            return
        result = call(world, getattr(uring_rs.Sqe, name), ("Sqe", name), name)
    else:
        thing = world.thing()
        kind = type(thing)
        if kind not in NAMES:
            NAMES[kind] = names_of(kind)
        name = source.pick(NAMES[kind] or ["__repr__"])
        attribute = getattr(thing, name)
        result = attribute
        if callable(attribute):
            result = call(world, attribute, (kind, name), name)
        elif source.chance(4):
            setattr(thing, name, world.value(name))
    keep(world, result)


def keep(world: World, result: Any) -> None:
    """What can be used again is."""
    module = type(result).__module__
    if isinstance(result, list | tuple):
        for item in list(result)[:3]:
            keep(world, item)
    elif module.startswith("uring_rs") or isinstance(result, memoryview):
        world.things.append(result)
        if len(world.things) > 12:
            world.things.pop(world.source.number() % 12)


def begin(world: World) -> None:
    """Something to begin with: a ring, on one kernel or the other."""
    source = world.source
    if source.number() % 2:
        world.sim = uring_rs.SimKernel(source.number(2))
        file = world.sim.file("a", bytes(100))
        world.fds += [file, *world.sim.pipe(), *world.sim.socketpair()]
        world.things.append(world.sim)
    entries = source.number() % 16 + 1
    shared = bool(source.number() % 2)
    world.things.append(uring_rs.Ring(entries, shared=shared, kernel=world.sim))


def end(world: World) -> None:
    """Everything is closed, by force where it must be, and then nothing is left."""
    rings = [thing for thing in world.things if hasattr(thing, "close")]
    for thing in rings:
        with contextlib.suppress(Exception):
            thing.close(timeout=0.2) if isinstance(thing, uring_rs.Ring) else thing.close()
    world.things.clear()
    for sock in world.pair:
        sock.close()
    world.epoll.close()
    # Of no file type either, so none that `close_results` would close.
    with contextlib.suppress(OSError):
        os.close(world.event)
    del rings
    if world.sim is not None:
        # Who waits for what never comes does as he was told.
        wrong = [text for text in world.sim.violations if not text.startswith("waiting for")]
        if wrong:
            raise AssertionError(wrong)


def run(data: bytes) -> None:
    """One program. What is no `Exception` of Python's passes through: a panic is a finding."""
    faulthandler.dump_traceback_later(PROGRAM_SECONDS, exit=True)
    first = os.open(".", os.O_RDONLY)
    world = World(Source(data))
    try:
        with contextlib.suppress(Exception):
            begin(world)
        for _ in range(CALLS):
            if world.source.over:
                break
            try:
                step(world)
            except SystemError as error:
                # CPython's own, of a memoryview that was released: iter(view).
                if "'__iter__'" not in str(error) or "memoryview" not in str(error):
                    raise
            except Exception:
                continue
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        while True:
            try:
                end(world)
                break
            except Overdue:
                continue
    del world
    gc.collect()
    close_results(first)
    no_ring_left()
    faulthandler.cancel_dump_traceback_later()
    clean()


def close_results(first: int) -> None:
    """Close what requests opened. Rings and their like, of no file type, are their makers'."""
    os.close(first)
    for fd in range(first, first + 200):
        with contextlib.suppress(OSError):
            if stat.S_IFMT(os.fstat(fd).st_mode) != 0:
                os.close(fd)


def no_ring_left() -> None:
    """Every ring is closed by now, but for those that wait for the last of their requests.

    One that a request of its own holds (as its file, say) lives until it is closed: SAFETY.md, I7.
    So does a queue that the program made an attribute of something that lives for ever.
    """
    for each in gc.get_objects():
        if isinstance(each, uring_rs.Ring):
            with contextlib.suppress(Exception):
                each.close(timeout=0.2)
        elif isinstance(each, (ioqueue.IoQueue, selectors.UringSelector)):
            with contextlib.suppress(Exception):
                each.close()
    for _ in range(200):
        left = [number for number in range(512) if is_ring(number)]
        if not left:
            return
        uring_rs._uring._graveyard()
        time.sleep(0.01)
    raise AssertionError(f"rings were left open: {left}")


def is_ring(number: int) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(str(number), dir_fd=DESCRIPTORS).endswith("[io_uring]")
    return False


# Opened while there is a /proc.
DESCRIPTORS = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)


def clean() -> None:
    for entry in os.scandir("."):
        if entry.name in KEPT:
            continue
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


# What the run itself has in its folder.
KEPT = {"corpus", "artifacts", "current"}


def overdue(_number: int, _frame: Any) -> None:
    raise Overdue


def confine(folder: Path) -> None:
    """Nobody, in that folder, with no network, no other processes and bounded appetites."""
    os.chdir(folder)
    for name in ("corpus", "artifacts"):
        os.makedirs(name, exist_ok=True)
        os.chmod(name, 0o777)
    os.chmod(".", 0o777)
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        # CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET; where that is refused the rest still holds.
        libc.unshare(0x00020000 | 0x08000000 | 0x40000000)
        os.chroot(".")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 26, 1 << 26))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # which takes terabytes
        resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, overdue)


def warm_up() -> None:
    """Import what is imported late, while there are files to import from."""
    import asyncio  # noqa: F401
    import concurrent.futures  # noqa: F401
    import encodings.idna  # noqa: F401
    import hashlib  # noqa: F401
    import linecache  # noqa: F401
    import traceback  # noqa: F401
    import zlib  # noqa: F401

    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401
    with contextlib.suppress(Exception):
        uring_rs.probe()
    for _ in range(2):
        for name, function in FUNCTIONS:
            parameters(function, name)


def at_random(seed: int, seconds: float) -> None:
    """Programs of random bytes; the one that runs is in `current`, should it be the last."""
    chosen = random.Random(seed)
    current = os.open("current", os.O_RDWR | os.O_CREAT, 0o666)
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = chosen.randbytes(chosen.choice([20, 60, 150, 400]))
        os.ftruncate(current, 0)
        os.pwrite(current, data, 0)
        run(data)
        count += 1
    os.ftruncate(current, 0)
    print(f"Done {count} runs in {seconds:.0f} second(s)", file=sys.stderr, flush=True)


def main() -> None:
    folder, options = Path(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("ignore")
    faulthandler.enable()
    inputs = [Path(name).read_bytes() for name in options[1:] if options[0] == "--replay"]
    warm_up()
    if options[:1] == ["--replay"]:
        confine(folder)
        for data in inputs:
            run(data)
        print(f"Done {len(inputs)} runs in 0 second(s)", file=sys.stderr, flush=True)
    elif options[:1] == ["--random"]:
        confine(folder)
        at_random(int(options[1]), float(options[2]))
    else:
        confine(folder)
        atheris.Setup([sys.argv[0], *options], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
