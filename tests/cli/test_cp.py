"""`uring-rs cp` makes what `cp -r` makes, with modes and times, and never half a file."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from helpers.child import run_child


def facts(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """Everything there is below, with what a copy must keep of it."""
    found = {}
    root = os.fsencode(top)
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            text = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
            size = status.st_size if stat.S_ISREG(status.st_mode) else None
            found[os.path.relpath(path, root)] = status.st_mode, status.st_mtime_ns, size, text
    return found


def assert_same(one: Path, other: Path) -> None:
    """Two trees equal in names, types, modes, times, links and every byte."""
    first, second = facts(one), facts(other)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    done = subprocess.run(
        ["diff", "-r", "--no-dereference", one, other], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.once
def test_the_standard_library(uring: Any, stdlib: list[bytes], tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    subprocess.run(["cp", "-r", "--preserve=mode,timestamps", *stdlib, theirs], check=True)
    assert uring("cp", "-r", *stdlib, ours) == (b"", [])
    assert len(facts(ours)) > 1000
    assert_same(ours, theirs)


def test_everything_odd(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert uring("cp", "-r", odd_tree, copy) == (b"", [])
    assert_same(odd_tree, copy)
    assert copy.stat().st_mtime_ns == odd_tree.stat().st_mtime_ns


def test_again_over_what_is_there(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    """Into the existing tree, over files that differ in size, mode and content."""
    copy = tmp_path / "copy"
    uring("cp", "-r", odd_tree, copy)
    (copy / "65537.bin").write_bytes(os.urandom(3_000_000))
    (copy / "5000000.bin").write_bytes(b"short")
    (copy / "to-file").unlink()
    (copy / "to-file").write_bytes(b"no link any more")
    (copy / "deep" / "er" / "script").chmod(0o600)
    assert uring("cp", "-r", f"{odd_tree}/.", copy) == (b"", [])
    ours, theirs = facts(copy), facts(odd_tree)
    for found in (ours, theirs):  # a folder that was there keeps its own times
        for name in [name for name, fact in found.items() if stat.S_ISDIR(fact[0])]:
            del found[name]
    assert ours == theirs
    subprocess.run(["diff", "-r", "--no-dereference", odd_tree, copy], check=True)


def test_holes_stay_holes(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    uring("cp", odd_tree / "sparse", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (odd_tree / "sparse").read_bytes()
    if (odd_tree / "sparse").stat().st_blocks * 512 < 1_000_000:
        assert (tmp_path / "copy").stat().st_blocks * 512 < 2_000_000


def test_one_file_and_several(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    one, many = odd_tree / "65537.bin", [odd_tree / "0.bin", odd_tree / "5000000.bin"]
    folder = tmp_path / "folder"
    folder.mkdir()
    uring("cp", one, tmp_path / "new")
    uring("cp", *many, one, folder)
    assert (tmp_path / "new").read_bytes() == one.read_bytes()
    assert sorted(os.listdir(folder)) == ["0.bin", "5000000.bin", "65537.bin"]
    for path in [*many, one]:
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert (folder / path.name).stat().st_mtime_ns == path.stat().st_mtime_ns


def test_without_r_links_are_followed(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    uring("cp", odd_tree / "to-file", tmp_path / "copy")
    assert not (tmp_path / "copy").is_symlink()
    assert (tmp_path / "copy").read_bytes() == (odd_tree / "1.bin").read_bytes()
    uring("cp", "-r", odd_tree / "to-file", tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "1.bin"


def test_proc_and_pipes(uring: Any, tmp_path: Path) -> None:
    uring("cp", "/proc/version", tmp_path / "version")
    assert (tmp_path / "version").read_bytes() == Path("/proc/version").read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    child = uring.start("cp", fifo, tmp_path / "from-pipe")
    data = os.urandom(1_300_000)
    fifo.write_bytes(data)
    uring.end(child)
    assert (tmp_path / "from-pipe").read_bytes() == data
    child = uring.start("cp", tmp_path / "from-pipe", fifo)
    assert fifo.read_bytes() == data
    uring.end(child)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_special_files_are_reported(uring: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "fifo")
    (source / "file").write_bytes(b"x")
    _, said = uring("cp", "-r", source, tmp_path / "copy", expect=1)
    assert said == [f"uring-rs cp: {source}/fifo: not copied: it is a named pipe"]
    assert os.listdir(tmp_path / "copy") == ["file"]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A file and a folder with something in it."""
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_bytes(b"inner")
    yield tmp_path / "file", tmp_path / "folder"
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert (tmp_path / "folder" / "inner").read_bytes() == b"inner"
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []


def test_onto_itself(uring: Any, pair: tuple[Path, Path]) -> None:
    file, folder = pair
    link, hard = file.with_name("link"), file.with_name("hard")
    link.symlink_to(file)
    os.link(file, hard)
    for target in (file, link, hard):
        _, said = uring("cp", file, target, expect=1)
        assert said == [f"uring-rs cp: {target}: is the same file as {file}"]
    for target in (folder, folder / "sub", folder / "sub" / "deeper"):
        _, said = uring("cp", "-r", folder, target, expect=1)
        assert len(said) == 1
        assert "into itself" in said[0]
    assert os.listdir(folder) == ["inner"]


def test_refusals(uring: Any, pair: tuple[Path, Path], tmp_path: Path) -> None:
    file, folder = pair
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nowhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").mkdir()
    for words, complaint in [
        ((folder, tmp_path / "new"), f"{folder}: is a directory, and -r was not given"),
        ((file, file, tmp_path / "new"), f"{tmp_path}/new: is no directory"),
        (("-r", folder, file), f"{file}: is there and is no directory"),
        ((file, tmp_path / "full"), f"{tmp_path}/full/file: is a directory, where"),
        ((file, dangling), f"{dangling}: is a dangling symbolic link"),
        ((file, tmp_path / "no" / "where"), f"{tmp_path}/no/where: {os.strerror(errno.ENOENT)}"),
        ((tmp_path / "none", tmp_path / "x"), f"{tmp_path}/none: {os.strerror(errno.ENOENT)}"),
        (("/proc/self/mem", tmp_path / "mem"), f"/proc/self/mem: {os.strerror(errno.EIO)}"),
    ]:
        _, said = uring("cp", *words, expect=1)
        assert len(said) == 1
        assert said[0].startswith(f"uring-rs cp: {complaint}"), said
    assert not (tmp_path / "mem").exists()
    assert not (tmp_path / "nowhere").exists()


def test_what_has_just_been_made_is_not_overwritten(uring: Any, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text(name)
    (tmp_path / "to").mkdir()
    _, said = uring("cp", *(tmp_path / n / "same" for n in "ab"), tmp_path / "to", expect=1)
    assert len(said) == 1
    assert (tmp_path / "to" / "same").read_text() == "a"


def test_usage(uring: Any) -> None:
    for words in (["cp"], ["cp", "one"], [], ["copy"], ["cat", "--no-such"]):
        _, said = uring.end(uring.start(*words), expect=2, notice=False)
        assert said[0].startswith("usage: uring-rs")


def test_other_names_of_a_file_see_the_change(uring: Any, tmp_path: Path) -> None:
    """A file with several names is written in place, as cp does; one name alone is replaced."""
    (tmp_path / "new").write_bytes(b"new content")
    (tmp_path / "old").write_bytes(b"old, and longer than that")
    os.link(tmp_path / "old", tmp_path / "twin")
    (tmp_path / "link").symlink_to("single")
    (tmp_path / "single").write_bytes(b"old")
    uring("cp", tmp_path / "new", tmp_path / "old")
    uring("cp", tmp_path / "new", tmp_path / "link")
    assert (tmp_path / "twin").read_bytes() == b"new content"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "single").read_bytes() == b"new content"


def feed_until_it_is_copying(fifo: Path) -> BinaryIO:
    """Open the pipe and write more than pipe and buffer hold: then some of it has been read."""
    feed = open(fifo, "wb", buffering=0)  # noqa: SIM115  stays open: the copy must not end
    feed.write(b"x" * 3_000_000)
    return feed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("existing", [None, b"old content"])
def test_a_signal_leaves_no_half_file(
    uring: Any, tmp_path: Path, number: signal.Signals, existing: bytes | None
) -> None:
    fifo, folder = tmp_path / "fifo", tmp_path / "to"
    os.mkfifo(fifo)
    folder.mkdir()
    if existing is not None:
        (folder / "copy").write_bytes(existing)
    child = uring.start("cp", fifo, folder / "copy")
    with feed_until_it_is_copying(fifo):
        # Half of it is written, under another name.
        assert any(
            (folder / name).stat().st_size > len(existing or b"")
            for name in os.listdir(folder)
            if name != "copy"
        )
        child.send_signal(number)
        assert uring.end(child, expect=128 + number)[1] == []
    assert os.listdir(folder) == ([] if existing is None else ["copy"])
    if existing is not None:
        assert (folder / "copy").read_bytes() == existing


def test_a_failed_write_leaves_no_half_file(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    """A file larger than the process may write: reported, removed, and the others are copied."""
    code = """
    import resource, signal, sys
    import uring_rs.cli.cp
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    sys.exit(uring_rs.cli.main(sys.argv[1:]))
    """
    large, small = odd_tree / "5000000.bin", odd_tree / "524289.bin"
    (tmp_path / "to").mkdir()
    env = {"URING_RS_DISABLE": "1"} if uring.plain else {}
    words = ["cp", str(large), str(small), str(tmp_path / "to")]
    done = run_child(code, *words, expect=1, env=env)
    assert done.stderr.splitlines()[-1].endswith(os.strerror(errno.EFBIG))
    assert os.listdir(tmp_path / "to") == [small.name]
    assert (tmp_path / "to" / small.name).read_bytes() == small.read_bytes()


def test_few_descriptors(uring: Any, tmp_path: Path) -> None:
    """Many files with few descriptors to be had: fewer at a time, none refused."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(300):
        (source / str(number)).write_bytes(b"%d" % number)
    code = """
    import resource, sys
    import uring_rs.cli.cp
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    sys.exit(uring_rs.cli.main(sys.argv[1:]))
    """
    env = {"URING_RS_DISABLE": "1"} if uring.plain else {}
    run_child(code, "cp", "-r", str(source), str(tmp_path / "copy"), env=env)
    assert_same(source, tmp_path / "copy")


def test_json_tells_what_was_done(uring: Any, tmp_path: Path) -> None:
    (tmp_path / "tree" / "folder").mkdir(parents=True)
    (tmp_path / "tree" / "folder" / "file").write_bytes(b"12345")
    (tmp_path / "tree" / "link").symlink_to("folder/file")
    out, said = uring(
        "cp", "-r", "--json", tmp_path / "tree", tmp_path / "none", tmp_path / "folder", expect=1
    )
    assert out == b""  # several sources, and no folder to put them into
    assert "is no directory" in said[0]
    out, _ = uring("cp", "-r", "--json", tmp_path / "tree", tmp_path / "copy")
    told = json.loads(out)
    assert told["source"] == str(tmp_path / "tree")
    assert told["target"] == str(tmp_path / "copy")
    assert (told["files"], told["directories"], told["symlinks"]) == (1, 2, 1)
    assert (told["bytes"], told["errors"]) == (5, 0)
