"""Who may read and run what is written: never more than the rules say, at no moment."""

from __future__ import annotations

import os

import pytest

from helpers.cases import run_cases

pytestmark = pytest.mark.once

# A thread that looks at every name in a folder all the time, and notes what it saw.
WATCH = """
import contextlib, os, stat, sys, tempfile, threading
import uring_rs

folder = tempfile.mkdtemp()
os.chdir(folder)

@contextlib.contextmanager
def watched(place):
    seen, stop, ready = set(), threading.Event(), threading.Event()
    def look():
        while not stop.is_set():
            with os.scandir(place) as names:
                for entry in names:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        seen.add((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid,
                                  status.st_size > 0))
            ready.set()
    thread = threading.Thread(target=look)
    thread.start()
    ready.wait()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()

def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)
"""


def test_permissions_at_every_moment() -> None:
    run_cases(
        f"""{WATCH}
@case
def copies_are_private_until_they_are_whole():
    os.mkdir("source"), os.mkdir("target")
    for name, bits in (("private", 0o600), ("group", 0o640), ("all", 0o644), ("none", 0o400)):
        with open(f"source/{{name}}", "wb") as file:
            file.write(b"x" * 200_000)
        os.chmod(f"source/{{name}}", bits)
    os.umask(0)
    for name, most in (("private", 0o600), ("none", 0o600), ("group", 0o640)):
        with watched("target") as seen:
            for _ in range(40):
                uring_rs.copy(f"source/{{name}}", f"target/{{name}}")
                os.unlink(f"target/{{name}}")
            # Over one that is there, which is under a temporary name meanwhile.
            for _ in range(40):
                uring_rs.copy(f"source/{{name}}", f"target/{{name}}")
        assert seen and not any(bits & ~most for bits, *_ in seen), (name, seen)
        os.unlink(f"target/{{name}}")

@case
def folders_are_private_until_they_are_full():
    os.makedirs("tree/inner")
    for number in range(200):
        open(f"tree/inner/{{number}}", "w").close()
    os.chmod("tree/inner", 0o750)
    os.mkdir("tree_target")
    with watched("tree_target") as seen:
        for number in range(5):
            uring_rs.copy("tree/inner", f"tree_target/{{number}}", recursive=True)
    assert seen and {{bits for bits, *_ in seen}} <= {{0o700, 0o750}}, seen

@case
def new_files_have_what_mode_and_umask_say():
    os.umask(0o027)
    os.mkdir("new")
    with watched("new") as seen:
        for number in range(30):
            uring_rs.write_many([(f"new/{{number}}", b"x" * 100_000)])
            uring_rs.save(f"new/saved{{number}}", [b"x" * 100_000], fsync=False, mode=0o600)
    os.umask(0o022)
    assert {{bits for bits, *_ in seen}} <= {{0o640, 0o600}}, seen
    assert mode("new/0") == 0o640 and mode("new/saved0") == 0o600

@case
def what_replaces_a_file_is_private_until_it_has_its_owner():
    os.umask(0)
    os.mkdir("old")
    with open("old/file", "wb") as file:
        file.write(b"old")
    os.chmod("old/file", 0o640)
    privileged = os.geteuid() == 0
    if privileged:
        os.chown("old/file", 12345, 23456)
    with watched("old") as seen:
        for number in range(60):
            uring_rs.save("old/file", [b"x" * 100_000], fsync=False)
            uring_rs.write_many([("old/file", b"y" * 100_000)])
    os.umask(0o022)
    for bits, uid, gid, _ in seen:
        # The group may read it as soon as it is that group.
        assert not bits & 0o040 or gid == os.lstat("old/file").st_gid, seen
        assert not bits & ~0o640, seen
    assert mode("old/file") == 0o640
    if privileged:
        assert (os.stat("old/file").st_uid, os.stat("old/file").st_gid) == (12345, 23456)
""",
        least=4,
        timeout=40,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other owners")
def test_privileges_are_not_given_to_others() -> None:
    """A set-user-ID or set-group-ID bit stays with its owner, or goes."""
    run_cases(
        f"""{WATCH}
os.chmod(folder, 0o777)
with open("program", "wb") as file:
    file.write(b"#!")
os.chown("program", 12345, 23456)
os.chmod("program", 0o6755)

def as_other(work):
    # In a child that is somebody without privileges.
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(34567, 34567, 34567)
            os.setresuid(45678, 45678, 45678)
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

@case
def root_keeps_them_with_the_owner():
    uring_rs.copy("program", "by_root")
    found = os.stat("by_root")
    assert (found.st_uid, found.st_gid, mode("by_root")) == (12345, 23456, 0o6755)

@case
def a_copy_of_somebody_elses_has_none():
    as_other(lambda: uring_rs.copy("program", "by_other"))
    found = os.stat("by_other")
    assert (found.st_uid, found.st_gid, mode("by_other")) == (45678, 34567, 0o755)

@case
def nor_has_a_tree():
    os.mkdir("tree")
    uring_rs.copy("program", "tree/program")
    as_other(lambda: uring_rs.copy("tree", "tree_by_other", recursive=True))
    assert mode("tree_by_other/program") == 0o755

@case
def nor_what_is_written_in_its_place():
    for number, write in enumerate((
        lambda name: uring_rs.save(name, [b"mine"], fsync=False),
        lambda name: uring_rs.write_many([(name, b"mine")]),
    )):
        name = f"program{{number}}"
        uring_rs.copy("program", name)
        assert mode(name) == 0o6755
        as_other(lambda: write(name))
        found = os.stat(name)
        assert (found.st_uid, found.st_gid, mode(name)) == (45678, 34567, 0o755)

@case
def of_the_folders_group_neither():
    # In a set-group-ID folder new files have its group.
    os.mkdir("shared")
    os.chown("shared", 45678, 23456)
    os.chmod("shared", 0o2777)
    with open("shared/file", "wb") as file:
        file.write(b"old")
    os.chown("shared/file", 45678, 34567)
    os.chmod("shared/file", 0o640)
    as_other(lambda: uring_rs.save("shared/file", [b"new"], fsync=False))
    found = os.stat("shared/file")
    assert (found.st_uid, found.st_gid, mode("shared/file")) == (45678, 34567, 0o640)
""",
        least=5,
        timeout=30,
    )
