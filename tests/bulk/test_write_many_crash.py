"""`write_many` and `save` when the process, the disk or the permissions end it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import run_child
from uring_rs import save, write_many

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

BACKENDS = {"auto": {}, "disabled": {"URING_RS_DISABLE": "1"}}

# A process that forks writers and kills each at some moment: after so many items were asked for.
KILLED = """
import os, random, signal, sys
import uring_rs

folder, fsync, rounds = sys.argv[1], sys.argv[2] == "fsync", int(sys.argv[3])
random.seed(rounds)

def content(name, version):
    return b"%d:%d;" % (name, version) * (1 + (name * 37 + version) % 800)

def writer(version, say):
    def items():
        for name in range(30):
            os.write(say, b".")
            yield f"{folder}/{name}", content(name, version)
    uring_rs.write_many(items(), fsync=fsync, in_flight=8)
    if version % 2:
        chunks = (content(99, version) for _ in range(30))
        buffers = (os.write(say, b".") and chunk for chunk in chunks)
        uring_rs.save(f"{folder}/99", buffers, fsync=fsync, chunk=8192)
    os.write(say, b"!" * 200)

def whole(name, data, version):
    times = 30 if name == 99 else 1
    return any(data == content(name, v) * times for v in range(version + 1))

for version in range(rounds):
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            writer(version, say)
        finally:
            os._exit(0)
    left = random.randrange(1, 60 if version % 2 else 33)
    while left > 0:
        left -= len(os.read(hear, left))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(hear), os.close(say)
    hidden = 0
    for name in os.listdir(folder):
        if name.startswith("."):
            assert name.endswith(".uring_rs"), name
            hidden += 1
            os.unlink(f"{folder}/{name}")
            continue
        with open(f"{folder}/{name}", "rb") as file:
            assert whole(int(name), file.read(), version), (name, version)
    assert hidden <= 8, hidden
print("whole")
"""


@pytest.mark.parametrize(
    ("backend", "fsync"), [("auto", "fsync"), ("disabled", "fsync"), ("auto", "cached")]
)
def test_killed_at_any_moment(tmp_path: Path, backend: str, fsync: str) -> None:
    rounds = "5" if fsync == "fsync" else "10"
    child = run_child(KILLED, str(tmp_path), fsync, rounds, env=BACKENDS[backend], timeout=50)
    assert child.stdout == "whole\n"


INTERRUPTED = """
import os, signal, sys, threading
import uring_rs

folder, what = sys.argv[1], sys.argv[2]
with open(f"{folder}/0", "wb") as file:
    file.write(b"old")

def endless():
    n = 0
    while True:
        n += 1
        if n == 200:
            os.kill(os.getpid(), signal.SIGINT)
        yield (f"{folder}/{n}", b"x" * 5000) if what == "write_many" else b"x" * 5000

try:
    if what == "write_many":
        uring_rs.write_many(endless(), fsync=True)
    else:
        uring_rs.save(f"{folder}/0", endless())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("what", ["write_many", "save"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, what: str, backend: str) -> None:
    child = run_child(INTERRUPTED, str(tmp_path), what, env=BACKENDS[backend])
    assert child.stdout == "interrupted\n"
    names = os.listdir(tmp_path)
    assert not [name for name in names if name.startswith(".")]
    assert (tmp_path / "0").read_bytes() == b"old"
    if what == "save":
        assert names == ["0"]
    assert {(tmp_path / name).stat().st_size for name in names if name != "0"} <= {5000}


FORKED = """
import os, sys
import uring_rs

folder = sys.argv[1]

def items():
    for n in range(20):
        if n == 10 and (child := os.fork()) == 0:
            raise SystemExit("from the child")
        elif n == 10:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        yield f"{folder}/{n}", b"x"

def chunks():
    yield b"a" * 5000
    if (child := os.fork()) == 0:
        yield b"from the child"
        return
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
    yield b"b" * 5000

try:
    uring_rs.write_many(items(), fsync=True, in_flight=4)
except SystemExit:
    os._exit(7)
try:
    uring_rs.save(f"{folder}/saved", chunks())
except uring_rs.ForkedRing:
    os._exit(8)
assert sorted(os.listdir(folder)) == sorted([*map(str, range(20)), "saved"])
with open(f"{folder}/saved", "rb") as file:
    assert file.read() == b"a" * 5000 + b"b" * 5000
print("undisturbed")
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_forked_child_leaves_the_parent_alone(tmp_path: Path, backend: str) -> None:
    options = ["-W", "ignore::DeprecationWarning"]
    child = run_child(FORKED, str(tmp_path), env=BACKENDS[backend], options=options)
    assert child.stdout == "undisturbed\n"


REFUSED = """
import errno, os, sys
from helpers.seccomp import refuse_io_uring
refuse_io_uring(int(sys.argv[2]))
import uring_rs

os.chdir(sys.argv[1])
result = uring_rs.write_many(((f"{n}", b"%d" % n) for n in range(50)), fsync=True)
assert result.files == result.stats["threads"] == 50 and result.stats["ring"] == 0, result
assert all(open(str(n), "rb").read() == b"%d" % n for n in range(50))
for direct in (True, False):
    saved = uring_rs.save("saved", [b"x" * 10_000, b"y"], direct=direct)
    assert saved.stats["ring"] == 0 and saved.bytes == 10_001, saved
    assert open("saved", "rb").read() == b"x" * 10_000 + b"y"
for call in (lambda: uring_rs.write_many([("a", b"x")], require_uring=True),
             lambda: uring_rs.save("a", [b"x"], require_uring=True)):
    try:
        call()
    except uring_rs.UringUnavailable:
        assert not os.path.exists("a")
    else:
        raise AssertionError("not refused")
print("the same")
"""


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EACCES])
def test_where_rings_are_refused(tmp_path: Path, number: int) -> None:
    child = run_child(
        REFUSED, str(tmp_path), str(number), options=["-W", "ignore::ResourceWarning"]
    )
    assert child.stdout == "the same\n"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a small tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("fsync", [False, True])
def test_a_full_disk_is_named_and_leaves_no_half_file(small: Path, fsync: bool) -> None:
    old = {str(n): b"old %d" % n for n in range(4)}
    write_many((small / name, data) for name, data in old.items())
    new = b"new" * 40_000
    with pytest.raises(OSError, match="Errno") as raised:
        write_many(((small / name, new) for name in old), fsync=fsync)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename in [small / name for name in old]
    found = {path.name: path.read_bytes() for path in small.iterdir()}
    assert sorted(found) == sorted(old)
    assert all(found[name] in (old[name], new) for name in old)
    assert new in found.values()
    result = write_many(((small / name, bytes(300_000)) for name in old), errors="collect")
    assert [error.errno for _, error in result.errors] == [errno.ENOSPC] * 4


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("direct", ["auto", False])
def test_a_checkpoint_that_does_not_fit(small: Path, known: bool, direct: bool) -> None:
    save(small / "model", [b"old"], direct=direct)
    chunks = [bytes(50_000)] * 10
    with pytest.raises(OSError, match="Errno") as raised:
        save(small / "model", chunks if known else iter(chunks), direct=direct, chunk=16384)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, small / "model")
    assert os.listdir(small) == ["model"]
    assert (small / "model").read_bytes() == b"old"


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody, for whom permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


WRITERS: dict[str, Callable[[Path], object]] = {
    "write_many": lambda path: write_many([(path, b"x")], fsync=True),
    "save": lambda path: save(path, [b"x"]),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
def test_permissions(tmp_path: Path, write: Callable[[Path], object]) -> None:
    outer = tmp_path
    while outer != outer.parent:
        if os.stat(outer).st_uid == os.geteuid() and outer.name.startswith("pytest-"):
            os.chmod(outer, 0o755)
        outer = outer.parent
    os.chmod(tmp_path, 0o755)
    (tmp_path / "shut").mkdir(0o555)
    os.chmod(tmp_path / "shut", 0o555)
    (tmp_path / "inside").mkdir()
    os.chmod(tmp_path / "inside", 0o777)
    with unprivileged():
        with pytest.raises(PermissionError) as raised:
            write(tmp_path / "shut" / "a")
        assert raised.value.filename == tmp_path / "shut" / "a"
        write(tmp_path / "inside" / "a")
    assert (tmp_path / "inside" / "a").read_bytes() == b"x"
    assert os.listdir(tmp_path / "shut") == []
    os.chmod(tmp_path / "shut", 0o755)


def test_where_no_files_can_be_made() -> None:
    with pytest.raises(OSError, match="Errno") as raised:
        write_many([("/proc/self/x", b"x")])
    assert raised.value.errno in (errno.ENOENT, errno.EROFS, errno.EPERM, errno.EACCES)
