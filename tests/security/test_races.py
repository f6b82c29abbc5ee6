"""Somebody who may write to the trees swaps folders, files and links while they are copied, walked,
read and written: nothing outside them is read into the copy, and nothing there is written."""

from __future__ import annotations

import pytest

from helpers.cases import run_cases

pytestmark = pytest.mark.once

# `swapping(pairs)` exchanges two names again and again in a thread, until it is left.
WORLD = """
import contextlib, ctypes, os, stat, sys, tempfile, threading, time
import uring_rs

SECRET = b"SECRET" * 1000
folder = tempfile.mkdtemp()
os.chdir(folder)
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2

def exchange(one, other):
    # Both names stay, and mean the other's file: no moment with neither.
    if libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")

@contextlib.contextmanager
def swapping(*pairs):
    stop, turns, wrong = threading.Event(), [0], []
    def swap():
        try:
            while not stop.is_set():
                for pair in pairs:
                    exchange(*pair)
                turns[0] += 1
        except BaseException as error:
            wrong.append(error)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield turns
    finally:
        stop.set()
        thread.join()
        assert not wrong, wrong
        # As it was in the beginning, for what is checked.
        if turns[0] % 2:
            for pair in reversed(pairs):
                exchange(*pair)

def put(path, data=b"public"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)

def make(root, wide=12, deep=6):
    for number in range(wide):
        put(f"{root}/sub/{number}")
        put(f"{root}/{number}")
    below = f"{root}/sub"
    for number in range(deep):
        below += "/deep"
        put(f"{below}/file")

def contents(root):
    # Every regular file below, not through links.
    for above, _, names in os.walk(root):
        for name in names:
            path = os.path.join(above, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    yield path, file.read()

def state(root):
    return {path: data for path, data in contents(root)} | {"names": sorted(
        os.path.join(above, name) for above, dirs, files in os.walk(root) for name in dirs + files)}

def clear(root):
    import shutil
    shutil.rmtree(root, ignore_errors=True)

def until(turns, least, seconds, work):
    # So many swaps were seen, or the time is up; at least twice in any case.
    end, rounds = time.monotonic() + seconds, 0
    while rounds < 2 or (rounds < least and time.monotonic() < end):
        work(rounds)
        rounds += 1
    return rounds
"""


def test_copying_while_somebody_swaps() -> None:
    run_cases(
        f"""{WORLD}
put("outside/secret", SECRET), put("outside/deep/file", SECRET), put("outside/7", SECRET)
before = state("outside")

def copied(source="source", target="target"):
    with contextlib.suppress(OSError):
        return uring_rs.copy(source, target, recursive=True, errors="collect", threads=2)

def nothing_secret(root):
    for path, data in contents(root):
        assert SECRET[:6] not in data, path
    assert state("outside") == before

@case
def folders_of_the_source():
    make("source")
    os.symlink(os.path.abspath("outside"), "link")
    def work(number):
        copied(target=f"target{{number}}")
        nothing_secret(f"target{{number}}")
    with swapping(("source/sub", "link")) as turns:
        until(turns, 40, 1.0, work)

@case
def files_of_the_source():
    make("source")
    os.symlink(os.path.abspath("outside/secret"), "file_link")
    def work(number):
        copied(target=f"file_target{{number}}")
        nothing_secret(f"file_target{{number}}")
    with swapping(("source/7", "file_link"), ("source/sub/3", "source/sub/deep")) as turns:
        until(turns, 40, 1.0, work)

@case
def folders_of_the_target():
    make("source")
    make("victim_target")
    os.symlink(os.path.abspath("outside"), "target_link")
    def work(number):
        copied(target="victim_target/.")
        copied("source/.", "victim_target")
        assert state("outside") == before
    with swapping(("victim_target/sub", "target_link")) as turns:
        until(turns, 40, 1.0, work)
    nothing_secret("victim_target")

@case
def files_of_the_target():
    make("source")
    make("file_victim")
    os.symlink(os.path.abspath("outside/secret"), "target_file_link")
    def work(number):
        copied("source/.", "file_victim")
        assert state("outside") == before
    with swapping(("file_victim/7", "target_file_link")) as turns:
        until(turns, 40, 1.0, work)

@case
def a_folder_that_is_moved_out():
    # What is walked just now gets another place: its `..` leads elsewhere then. Few descriptors, so
    # that folders far up are closed and opened again by that way.
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    make("source", wide=4, deep=60)
    os.makedirs("elsewhere/place")
    put("elsewhere/secret", SECRET), put("elsewhere/file", SECRET), put("elsewhere/place/file")
    def work(number):
        copied(target=f"moved{{number}}")
        nothing_secret(f"moved{{number}}")
        clear(f"moved{{number}}")
    with swapping(("source/sub/deep/deep", "elsewhere/place")) as turns:
        until(turns, 12, 1.5, work)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
""",
        least=5,
        timeout=50,
        options=["-W", "ignore"],
    )


def test_walking_reading_and_writing_while_somebody_swaps() -> None:
    run_cases(
        f"""{WORLD}
put("outside/secret", SECRET), put("outside/deep/outer", SECRET)
before = state("outside")

@case
def walking():
    make("source")
    os.symlink(os.path.abspath("outside"), "link")
    def work(number):
        for path, status in uring_rs.walk("source", errors="yield"):
            assert os.path.basename(path) not in ("secret", "outer"), path
    with swapping(("source/sub", "link")) as turns:
        until(turns, 200, 1.0, work)

@case
def a_name_swapped_under_write_many():
    # Where the file goes is settled once for each batch: by the folder that was found then.
    make("target")
    os.symlink(os.path.abspath("outside/secret"), "file_link")
    def work(number):
        uring_rs.write_many((f"target/{{n}}", b"new" * number) for n in range(12))
        assert state("outside") == before
    with swapping(("target/7", "file_link")) as turns:
        until(turns, 60, 1.0, work)

@case
def a_name_swapped_under_save():
    make("saved")
    os.symlink(os.path.abspath("outside/secret"), "saved_link")
    def work(number):
        uring_rs.save("saved/7", [b"new"] * 3, fsync=False)
        assert state("outside") == before
    with swapping(("saved/7", "saved_link")) as turns:
        until(turns, 100, 1.0, work)
    # A directory in its place is refused, and nothing is left of the attempt.
    refused(IsADirectoryError, lambda: uring_rs.save("saved/sub", [b"new"]))
    assert not [name for name in os.listdir("saved") if name.endswith(".uring_rs")]

@case
def one_file_is_one_file():
    # A file swapped while it is read is one or the other, never pieces of both.
    put("./one", b"a" * 300_000), put("./two", b"b" * 300_000)
    def work(number):
        for _, data in uring_rs.read_many(["one"] * 8):
            assert len(data) == 300_000 and len(set(data)) == 1
        assert len(set(b"".join(uring_rs.stream("one", chunk=65536)))) == 1
        views = uring_rs.read_ranges("one", [0, 100_000, 200_000], 100_000)
        assert len(set(bytes(views.out))) == 1
    with swapping(("one", "two")) as turns:
        until(turns, 60, 1.0, work)
""",
        least=4,
        timeout=40,
        options=["-W", "ignore"],
    )
