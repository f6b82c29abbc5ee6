"""`copy` where things go wrong: full disks, signals, kills, and trees that change underneath."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from helpers.child import child_env, run_child
from helpers.trees import facts, make_rich, open_folders, temporary
from uring_rs import copy

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount(2) is refused here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def whole_files(source: Path, target: Path) -> int:
    """Every file of the copy is whole, and there is nothing else: how many there are."""
    count = 0
    for path in target.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (source / path.relative_to(target)).read_bytes(), path
            count += 1
    return count


@pytest.mark.parametrize("over", [False, True])
def test_a_full_disk(tmp_path: Path, small_disk: Path, over: bool) -> None:
    """The error names the file; nothing is half written, and what was there is still there."""
    source, target = tmp_path / "source", small_disk / "target"
    (source / "in").mkdir(parents=True)
    for number in range(6):
        (source / "in" / str(number)).write_bytes(bytes([number]) * 600_000)
    if over:
        (target / "in").mkdir(parents=True)
        for number in range(6):
            (target / "in" / str(number)).write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as caught:
        copy(f"{source}/.", target, recursive=True)
    assert caught.value.errno == errno.ENOSPC
    assert str(target / "in") in (caught.value.filename2 or caught.value.filename)
    assert temporary(small_disk) == []
    contents = [path.read_bytes() for path in (target / "in").iterdir()]
    assert {len(content) for content in contents} <= {600_000, 3}
    assert contents.count(b"old") >= 3 * over
    done = copy(f"{source}/.", target, recursive=True, errors="collect")
    assert {error.errno for error in done.errors} == {errno.ENOSPC}
    assert done.files + len(done.errors) == 6
    assert temporary(small_disk) == []
    for path in (target / "in").iterdir():
        assert path.read_bytes() in ((source / "in" / path.name).read_bytes(), b"old")


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Whatever has its final name by then is whole."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(300):
        (source / str(number)).write_bytes(os.urandom(100_000))
    os.mkfifo(source / "zzz")
    code = (
        "import sys, uring_rs\nwhile 1: uring_rs.copy(f'{sys.argv[1]}/.', sys.argv[2], recursive=1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, source, target], env=child_env())
    try:
        while not target.exists() or len(os.listdir(target)) < 50:
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    for path in target.iterdir():
        if not path.name.endswith(".uring_rs") and path.is_file():
            assert path.read_bytes() == (source / path.name).read_bytes()


class Feed:
    """Writes to a pipe, and keeps it open until told."""

    def __init__(self, pipe: Path) -> None:
        os.mkfifo(pipe)
        self.pipe = pipe
        self.end = threading.Event()

    def run(self, then: Callable[[], object]) -> None:
        with open(self.pipe, "wb", buffering=0) as feed:
            # More than the pipe holds: when this returns, some has been read.
            feed.write(b"x" * 500_000)
            then()
            self.end.wait(30)


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path / "pipe")


class Interrupted(Exception):
    pass


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


@pytest.mark.parametrize("existing", [None, b"old content"])
def test_a_signal_ends_a_copy_and_leaves_nothing(
    tmp_path: Path, feed: Feed, existing: bytes | None
) -> None:
    target = tmp_path / "to" / "copy"
    target.parent.mkdir()
    if existing is not None:
        target.write_bytes(existing)
    seen: list[list[str]] = []
    main = threading.main_thread().ident
    assert main is not None

    def then() -> None:
        seen.append(temporary(tmp_path))
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=feed.run, args=[then])
    thread.start()
    try:
        with pytest.raises(Interrupted):
            copy(feed.pipe, target)
    finally:
        feed.end.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".copy.")
    assert os.listdir(target.parent) == ([] if existing is None else ["copy"])
    if existing is not None:
        assert target.read_bytes() == existing


def test_an_exception_in_progress_ends_a_copy(tmp_path: Path, feed: Feed) -> None:
    (tmp_path / "to").mkdir()
    told = []

    def progress(size: int, total: int | None, names: int) -> None:
        told.append((size, total, names))
        if size:
            raise Interrupted

    thread = threading.Thread(target=feed.run, args=[lambda: None])
    thread.start()
    try:
        with pytest.raises(Interrupted):
            copy(feed.pipe, tmp_path / "to" / "copy", progress=progress)
    finally:
        feed.end.set()
        thread.join()
    assert told[-1][1:] == (None, 0)
    assert os.listdir(tmp_path / "to") == []


def test_ctrl_c_in_a_tree(tmp_path: Path) -> None:
    """With helpers at work: KeyboardInterrupt, and nothing left under a temporary name."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(400):
        (source / str(number)).write_bytes(b"%d" % number * 1000)
    code = """
    import sys, uring_rs
    print("ready", flush=True)
    try:
        while True:
            uring_rs.copy(f"{sys.argv[1]}/.", sys.argv[2], recursive=True, threads=3)
    except KeyboardInterrupt:
        sys.exit(7)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), source, target], env=child_env()
    )
    try:
        while not target.exists() or len(os.listdir(target)) < 20:
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 7
    finally:
        child.kill()
        child.wait()
    assert temporary(target) == []
    assert whole_files(source, target) >= 20


def test_a_tree_that_changes_underneath(tmp_path: Path) -> None:
    """Files vanish, grow, become links to outside, folders too, on both sides: the copies never
    get what is outside, and nothing outside is touched."""
    source, target, outside = tmp_path / "source", tmp_path / "target", tmp_path / "outside"
    for folder in (source / "in", target, outside):
        folder.mkdir(parents=True)
    secret = b"secret" * 1000
    (outside / "secret").write_bytes(secret)
    (outside / "file").write_bytes(secret)
    before = facts(outside)
    stop = threading.Event()

    def meddle() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            for top in (source, target):
                for name in ("in", "file"):
                    path, spare = top / name, top / f"spare-{name}"
                    shutil.rmtree(spare, ignore_errors=True)
                    try:
                        spare.symlink_to(outside / name if name == "file" else outside)
                        if path.is_dir() and not path.is_symlink():
                            shutil.rmtree(path)
                        spare.rename(path)
                        path.unlink()
                        if name == "in":
                            path.mkdir()
                            (path / "file").write_bytes(b"inner" * turn)
                        else:
                            path.write_bytes(b"outer" * turn)
                    except OSError:
                        pass  # the copy has just done something there, too

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        for _ in range(150):
            copy(f"{source}/.", target, recursive=True, errors="collect", threads=2)
            assert facts(outside) == before
    finally:
        stop.set()
        thread.join()
    assert temporary(target) == []
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() != secret


def test_without_privileges(tmp_path: Path) -> None:
    """What may not be kept is not, and nothing fails by that."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody: what root makes is to be copied")
    with open_folders(tmp_path):
        rich = make_rich(tmp_path / "rich")
        os.chown(rich / "4096.bin", 1234, 2345)
        (rich / "4096.bin").chmod(0o6755)
        place = tmp_path / "to"
        place.mkdir()
        place.chmod(0o777)
        code = """
        import sys, uring_rs
        from helpers.host import become_nobody
        become_nobody()
        done = uring_rs.copy(sys.argv[1], sys.argv[2], recursive=True)
        assert done.files == 16 and not done.errors, done
        again = uring_rs.copy(sys.argv[1] + "/.", sys.argv[2], recursive=True, errors="collect")
        print({error.errno for error in again.errors})
        """
        run_child(code, str(rich), str(place / "copy"))
        expected, made = facts(rich, owners=False), facts(place / "copy", owners=False)
        for name in (b"deep/er/script", b"4096.bin"):  # set-user-ID of somebody else's
            expected[name] = (expected[name][0] & 0o171777, *expected[name][1:])
        assert made == expected


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """An access list as the kernel stores it: tag, permissions, whose."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_access_lists(tmp_path: Path) -> None:
    nobody, none = 65534, 0xFFFFFFFF
    named = access_list((1, 6, none), (2, 7, nobody), (4, 4, none), (16, 7, none), (32, 0, none))
    source = tmp_path / "source"
    source.mkdir()
    for name in ("with", "without"):
        (source / name).write_bytes(b"content")
    (source / "folder").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    try:
        os.setxattr(source / "with", "system.posix_acl_access", named)
        os.setxattr(source / "folder", "system.posix_acl_default", named)
        os.setxattr(place, "system.posix_acl_default", named)
    except OSError as error:
        pytest.skip(f"the file system of {tmp_path} has no access lists: {error.strerror}")
    copy(source, place / "ours", recursive=True)
    copy(source / "without", place / "one")
    # (GNU cp 9.10 leaves what the new folder gives its files, where the old ones had no list.)
    assert facts(place / "ours") == facts(source)
    assert os.listxattr(place / "one") == []


def test_several_at_once(tmp_path: Path) -> None:
    with open_folders(tmp_path), ThreadPoolExecutor(4) as pool:
        rich = make_rich(tmp_path / "rich")
        targets = [tmp_path / str(number) for number in range(6)]
        done = list(pool.map(lambda target: copy(rich, target, recursive=True), targets))
        assert {result.files for result in done} == {16}
        assert all(facts(target) == facts(rich) for target in targets)
