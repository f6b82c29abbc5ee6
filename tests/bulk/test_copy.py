"""`copy` makes what `cp -a` and `cp -p` make."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from helpers.child import run_child
from helpers.trees import allocated, facts, make_rich, open_folders, temporary
from uring_rs import CopyResult, copy


@pytest.fixture
def rich(tmp_path: Path) -> Iterator[Path]:
    """A tree with one of everything."""
    with open_folders(tmp_path):
        yield make_rich(tmp_path / "rich")


def same_as_cp(source: Path, ours: Path, theirs: Path) -> None:
    subprocess.run(["cp", "-a", source, theirs], check=True)
    made, expected = facts(ours), facts(theirs)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []
    assert allocated(ours) == allocated(theirs)
    assert temporary(ours) == []


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_everything_is_kept_as_cp_keeps_it(rich: Path, tmp_path: Path, threads: int | None) -> None:
    done = copy(rich, tmp_path / "ours", recursive=True, threads=threads)
    same_as_cp(rich, tmp_path / "ours", tmp_path / "theirs")
    assert done.target == str(tmp_path / "ours")
    assert (done.files, done.directories, done.symlinks, done.specials) == (16, 4, 3, 1)
    assert done.hard_links == 4
    sizes = [p.lstat() for p in rich.rglob("*") if p.is_file() and not p.is_symlink()]
    assert done.bytes == sum({s.st_ino: s.st_size for s in sizes}.values())
    assert done.in_holes >= 5_000_000
    assert done.errors == ()


def test_over_what_is_there(rich: Path, tmp_path: Path) -> None:
    """Files that differ, links in the place of files and the reverse; folders are merged."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for target in (ours, theirs):
        subprocess.run(["cp", "-a", rich, target], check=True)
        (target / "65537.bin").write_bytes(os.urandom(3_000_000))
        (target / "9000000.bin").write_bytes(b"short")
        (target / "dangling").unlink()
        (target / "dangling").write_bytes(b"no link any more")
        (target / "deep" / "er").chmod(0o700)
        (target / "deep" / "er" / "script").chmod(0o600)
        (target / "deep" / "er" / "more").write_bytes(b"stays")
        os.utime(target / "deep" / "er" / "more", ns=(8, 8))
        (target / "empty").chmod(0o777)
        os.utime(target, ns=(7, 7))
    copy(f"{rich}/.", ours, recursive=True)
    subprocess.run(["cp", "-a", f"{rich}/.", theirs], check=True)
    made, expected = facts(ours), facts(theirs)
    assert [name for name in expected if made.get(name) != expected[name]] == []
    assert made.keys() == expected.keys()
    assert temporary(ours) == []


def test_a_file_where_a_link_was_is_not_written_through_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    for name in ("src", "dst"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "name").write_bytes(b"new")
    (tmp_path / "dst" / "name").symlink_to("../precious")
    copy(f"{tmp_path}/src/.", tmp_path / "dst", recursive=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "dst" / "name").is_symlink()
    assert (tmp_path / "dst" / "name").read_bytes() == b"new"


def test_a_folder_is_not_merged_into_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").touch()
    (tmp_path / "dst").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "dst" / "src").symlink_to("../outside")
    with pytest.raises(NotADirectoryError) as caught:
        copy(tmp_path / "src", tmp_path / "dst", recursive=True)
    assert caught.value.filename == f"{tmp_path}/dst/src"
    assert os.listdir(tmp_path / "outside") == []
    # But the folder that was named may be a link to one.
    (tmp_path / "link").symlink_to("outside")
    copy(tmp_path / "src", tmp_path / "link", recursive=True)
    assert os.listdir(tmp_path / "outside" / "src") == ["file"]
    copy(f"{tmp_path}/src/.", tmp_path / "link", recursive=True)
    assert sorted(os.listdir(tmp_path / "outside")) == ["file", "src"]


def test_one_file(rich: Path, tmp_path: Path) -> None:
    """As `cp -p`: through links at both ends, into folders, over what is there."""
    (tmp_path / "to").mkdir()
    source = rich / "deep" / "to-file"
    done = copy(os.fsencode(source), os.fsencode(tmp_path / "to"))
    assert done.target == os.fsencode(tmp_path / "to" / "to-file")
    assert done.files == 1
    made = tmp_path / "to" / "to-file"
    assert not made.is_symlink()
    assert made.read_bytes() == source.read_bytes()
    assert made.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert made.stat().st_nlink == 1
    (tmp_path / "link").symlink_to("to/to-file")
    copy(rich / "4096.bin", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert made.read_bytes() == (rich / "4096.bin").read_bytes()
    copy(rich / "deep" / "to-file", tmp_path / "as-link", recursive=True)
    assert os.readlink(tmp_path / "as-link") == "../1.bin"


def test_a_file_with_several_names_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new content")
    (tmp_path / "old").write_bytes(b"old, and longer than that")
    os.link(tmp_path / "old", tmp_path / "twin")
    copy(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "twin").read_bytes() == b"new content"


def test_special_files_of_the_kernel(tmp_path: Path) -> None:
    """Files that say they are empty and are not, and devices."""
    assert copy("/proc/version", tmp_path / "version").by_read_write > 0
    assert (tmp_path / "version").read_bytes() == Path("/proc/version").read_bytes()
    copy("/dev/null", tmp_path / "null")
    assert (tmp_path / "null").read_bytes() == b""
    copy(tmp_path / "version", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="mem") as caught:
        copy("/proc/self/mem", tmp_path / "mem")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/proc/self/mem")
    assert sorted(os.listdir(tmp_path)) == ["null", "version"]


def test_sockets_and_devices(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(source / "socket"))
    expected = 1
    if os.geteuid() == 0:
        os.mknod(source / "device", stat.S_IFCHR | 0o640, os.makedev(1, 3))
        expected += 1
    assert copy(source, tmp_path / "copy", recursive=True).specials == expected
    assert facts(tmp_path / "copy") == facts(source)
    refused = copy(source, tmp_path / "none", recursive=True, specials=False, errors="collect")
    assert [error.errno for error in refused.errors] == [errno.EOPNOTSUPP] * expected
    assert os.listdir(tmp_path / "none") == []


def test_refusals(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_bytes(b"precious")
    (folder / "file").mkdir(parents=True)
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nowhere")
    os.link(file, tmp_path / "hard")
    (tmp_path / "link").symlink_to(folder)
    cases: list[tuple[Path | str, Path | str, bool, type[OSError], int, Path | str]] = [
        (folder, tmp_path / "new", False, IsADirectoryError, errno.EISDIR, folder),
        (file, file, False, OSError, errno.EINVAL, file),
        (file, tmp_path / "hard", False, OSError, errno.EINVAL, tmp_path / "hard"),
        (folder, folder, True, OSError, errno.EINVAL, folder),
        (folder, folder / "x" / "y", True, OSError, errno.EINVAL, folder),
        (folder, tmp_path / "link" / "x", True, OSError, errno.EINVAL, folder),
        (folder, file, True, NotADirectoryError, errno.ENOTDIR, file),
        (file, folder, False, IsADirectoryError, errno.EISDIR, folder / "file"),
        (file, f"{tmp_path}/new/", False, NotADirectoryError, errno.ENOTDIR, f"{tmp_path}/new/"),
        (
            file,
            tmp_path / "dangling",
            False,
            FileNotFoundError,
            errno.ENOENT,
            tmp_path / "dangling",
        ),
        (file, tmp_path / "a" / "b", False, FileNotFoundError, errno.ENOENT, tmp_path / "a" / "b"),
        (tmp_path / "no", tmp_path / "x", True, FileNotFoundError, errno.ENOENT, tmp_path / "no"),
    ]
    before = facts(tmp_path)
    for src, dst, recursive, kind, number, name in cases:
        with pytest.raises(kind) as caught:
            copy(src, dst, recursive=recursive)
        assert (caught.value.errno, caught.value.filename) == (number, str(name)), (src, dst)
    assert facts(tmp_path) == before
    with pytest.raises(OSError, match="same file") as same:
        copy(file, tmp_path / "hard")
    assert same.value.filename2 == str(file)


def test_arguments(tmp_path: Path) -> None:
    wrong: Any = copy
    for arguments, options, kind in [
        (("a",), {}, TypeError),
        ((1, "b"), {}, TypeError),
        (("a", "b"), {"errors": "ignore"}, ValueError),
        (("a", "b"), {"progress": 1}, TypeError),
        (("a", "b"), {"threads": 0}, ValueError),
        (("a\0", "b"), {}, ValueError),
        (("a", "b\0"), {}, ValueError),
    ]:
        with pytest.raises(kind):
            wrong(*arguments, **options)
    with pytest.raises(FileNotFoundError) as caught:
        copy(b"", str(tmp_path))
    assert caught.value.filename == b""


def test_errors_are_collected(tmp_path: Path) -> None:
    """What can be copied is; each failure names its file."""
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        (source / name / "file").write_bytes(b"content")
    (target / "a" / "file").mkdir(parents=True)
    (target / "b").write_bytes(b"in the way")
    done = copy(f"{source}/.", target, recursive=True, errors="collect")
    told = {(error.errno, error.filename) for error in done.errors}
    assert told == {
        (errno.EISDIR, f"{target}/a/file"),
        (errno.ENOTDIR, f"{target}/b"),
    }
    assert done.files == 0
    with pytest.raises((IsADirectoryError, NotADirectoryError)):
        copy(f"{source}/.", target, recursive=True)


def test_progress(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1000))
    told: list[tuple[int, int | None, int]] = []
    copy(tmp_path / "file", tmp_path / "copy", progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (1000, 1000, 1)
    copy(tmp_path, tmp_path.parent / "again", recursive=True, progress=lambda *n: told.append(n))
    assert told[-1] == (2000, None, 3)


def test_deeper_than_a_path_may_be_and_with_few_descriptors(tmp_path: Path) -> None:
    """A chain of 200 folders of long names, each with a file, and 40 descriptors to be had."""
    code = """
    import os, resource, sys
    import uring_rs
    top = os.getcwd()
    def chain(make):
        for depth in range(200):
            name = "folder-%d-" % depth + "x" * 60
            if make:
                os.mkdir(name)
                for other in ("file", "other"):
                    with open(other, "w") as file:
                        file.write(str(depth))
                os.mkdir("side")
            else:
                assert sorted(os.listdir(".")) == sorted(["file", name, "other", "side"]), depth
                assert open("file").read() == str(depth)
                assert os.stat(".").st_mtime_ns == depth * 10**9, depth
            os.chdir(name)
        for depth in reversed(range(200)):
            os.chdir("..")
            if make:
                os.utime(".", ns=(depth * 10**9, depth * 10**9))
    os.mkdir("src")
    os.chdir("src")
    chain(True)
    os.chdir(top)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    done = uring_rs.copy("src", "dst", recursive=True)
    assert (done.files, done.directories) == (400, 401), done
    os.chdir("dst")
    chain(False)
    found = list(uring_rs.walk("."))
    assert len(found) == 800, len(found)
    assert max(len(path) for path, _ in found) > 10_000
    """
    try:
        run_child(code, cwd=tmp_path)
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "src", tmp_path / "dst"], check=True)


def test_many_names_in_one_folder_take_little_memory() -> None:
    code = """
    import os, resource, sys
    import uring_rs
    os.mkdir("src")
    open("src/0", "w").close()
    folder = os.open("src", os.O_RDONLY)
    for number in range(1, 20_000):
        os.mknod("%d" % number, dir_fd=folder)
    os.close(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert uring_rs.copy("src", "dst", recursive=True).files == 20_000
    count = sum(1 for _ in uring_rs.walk("dst"))
    assert count == 20_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 4_000, grown  # KiB; what is known of each would be more
    """
    # Where making files costs least.
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        run_child(code, cwd=folder)


@pytest.mark.parametrize("switch", ["disabled", "seccomp"])
def test_no_ring_is_needed(rich: Path, tmp_path: Path, switch: str) -> None:
    code = """
    import sys, uring_rs
    if sys.argv[3] == "seccomp":
        from helpers.seccomp import SECCOMP_RET_KILL_PROCESS, refuse_io_uring
        refuse_io_uring(0, action=SECCOMP_RET_KILL_PROCESS)
    uring_rs.copy(sys.argv[1], sys.argv[2], recursive=True)
    assert len(uring_rs.stat_many(sys.argv[1:3])) == 2
    assert len(list(uring_rs.walk(sys.argv[2]))) > 20
    """
    env = {"URING_RS_DISABLE": "1"} if switch == "disabled" else {}
    run_child(code, str(rich), str(tmp_path / "copy"), switch, env=env)
    assert facts(tmp_path / "copy") == facts(rich)


names = st.binary(min_size=1, max_size=20).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
leaves = st.one_of(
    st.tuples(st.just("file"), st.integers(0, 200_000), st.sampled_from([0o600, 0o444, 0o755])),
    st.tuples(st.just("sparse"), st.integers(0, 2_000_000), st.integers(0, 2_000_000)),
    st.tuples(st.just("link"), st.binary(min_size=1, max_size=50), st.none()),
    st.tuples(st.just("again"), st.none(), st.none()),
    st.tuples(st.just("fifo"), st.none(), st.none()),
)
forests: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(names, leaves, max_size=5),
    lambda inner: st.dictionaries(names, st.one_of(leaves, inner), max_size=4),
    max_leaves=12,
)


def grow(top: bytes, forest: dict[bytes, Any], last: list[bytes]) -> None:
    """Make these files. `again` is one more name of the last."""
    os.mkdir(top)
    for name, what in forest.items():
        path = os.path.join(top, name)
        if isinstance(what, dict):
            grow(path, what, last)
            continue
        kind, one, two = what
        if kind == "file":
            with open(path, "wb") as file:
                file.write(b"%d " % one * (one // 4))
                os.fchmod(file.fileno(), two)
        elif kind == "sparse":
            with open(path, "wb") as file:
                file.truncate(one)
                os.pwrite(file.fileno(), b"data", two)
        elif kind == "link":
            os.symlink(one.replace(b"\0", b"0"), path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif last:
            os.link(last[-1], path, follow_symlinks=False)
        else:
            continue
        last.append(path)


@settings(max_examples=60)
@given(forests, st.sampled_from([1, 2, 3]))
def test_any_tree(forest: dict[bytes, Any], threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        grow(os.fsencode(top / "src"), forest, [])
        copy(top / "src", top / "ours", recursive=True, threads=threads)
        expected, made = facts(top / "src"), facts(top / "ours")
        assert made == expected
        # And once more over it: nothing changes but inodes.
        copy(f"{top}/src/.", top / "ours", recursive=True, threads=threads)
        assert facts(top / "ours") == expected


def test_reflink_and_access_lists_where_there_are_any(rich: Path) -> None:
    """Whichever way the data took, all of it is accounted for."""
    with tempfile.TemporaryDirectory(dir=rich.parent) as folder:
        done = copy(rich / "300000.bin", folder)
        assert done.by_reflink + done.by_copy_file_range + done.by_read_write == 300_000
        other = "/dev/shm" if os.path.isdir("/dev/shm") else folder
        with tempfile.TemporaryDirectory(dir=other) as shm:
            done = copy(rich / "300000.bin", shm)
            assert done.bytes == 300_000
            assert Path(shm, "300000.bin").read_bytes() == (rich / "300000.bin").read_bytes()


def test_result_is_a_plain_record() -> None:
    done = CopyResult("x", files=1, by_read_write=2, in_holes=3)
    assert done.bytes == 5
    assert done == CopyResult("x", files=1, by_read_write=2, in_holes=3)
    assert sys.modules[copy.__module__] is uring_rs.tree
