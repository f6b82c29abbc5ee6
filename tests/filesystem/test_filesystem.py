"""`uring://` as a file system: found by its name, complete, and at home in any process."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem

from helpers.child import run_child
from uring_rs.fsspec import UringFileSystem


@pytest.fixture(params=["ring", "threads"])
def fs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> UringFileSystem:
    """The file system, once with rings and once where they are turned off."""
    if request.param == "threads":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return UringFileSystem(auto_mkdir=True, skip_instance_cache=True)


def test_found_by_its_entry_point(tmp_path: Path) -> None:
    assert type(fsspec.filesystem("uring")) is UringFileSystem
    with fsspec.open(f"uring://{tmp_path}/file", "wb") as file:
        file.write(b"through a URL")
    with fsspec.open(f"uring://{tmp_path}/file", "rt") as file:
        assert file.read() == "through a URL"
    assert fsspec.open_local(f"uring://{tmp_path}/file") == str(tmp_path / "file")
    assert fsspec.get_mapper(f"uring://{tmp_path}")["file"] == b"through a URL"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("uring:///a/b", "/a/b"),
        ("uring:/a/b/", "/a/b"),
        ("/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        (Path("/a/b"), "/a/b"),
        ("uring:///", "/"),
        (["uring:///a", "/b"], ["/a", "/b"]),
    ],
)
def test_paths(given: Any, path: Any) -> None:
    assert UringFileSystem._strip_protocol(given) == path


def test_names_go_there_and_back() -> None:
    fs = UringFileSystem()
    assert fs.unstrip_protocol("/a/b") == "uring:///a/b"
    assert fs._parent("uring:///a/b") == "/a"
    assert UringFileSystem._strip_protocol("relative") == f"{os.getcwd()}/relative"


def test_not_taken_for_the_plain_local_file_system() -> None:
    """Whoever asks by type would never call cat_ranges."""
    assert not isinstance(UringFileSystem(), LocalFileSystem)


def test_everything_a_local_file_system_does(fs: UringFileSystem, tmp_path: Path) -> None:
    top = str(tmp_path)
    fs.makedirs(f"{top}/a/b")
    fs.pipe({f"{top}/a/one": b"1", f"{top}/a/b/two": b"22", f"{top}/new/three": b"333"})
    fs.pipe_file(f"{top}/a/four", b"4444")
    assert sorted(fs.ls(f"{top}/a", detail=False)) == [f"{top}/a/{n}" for n in ("b", "four", "one")]
    assert fs.glob(f"uring://{top}/**/t*") == [f"{top}/a/b/two", f"{top}/new/three"]
    assert fs.find(top) == sorted(str(p) for p in tmp_path.rglob("*") if p.is_file())
    assert fs.du(top) == 1 + 2 + 3 + 4
    info = fs.info(f"{top}/a/four")
    assert (info["size"], info["type"], info["name"]) == (4, "file", f"{top}/a/four")
    assert fs.info(f"{top}/a")["type"] == "directory"
    assert (fs.isfile(f"{top}/a/one"), fs.isdir(f"{top}/a"), fs.exists(f"{top}/no")) == (1, 1, 0)
    fs.symlink(f"{top}/a/one", f"{top}/link")
    fs.link(f"{top}/a/one", f"{top}/hard")
    assert fs.islink(f"{top}/link")
    assert fs.cat_file(f"{top}/hard") == b"1"
    fs.touch(f"{top}/touched")
    assert fs.modified(f"{top}/touched") is not None
    assert fs.created(f"{top}/touched") is not None
    fs.chmod(f"{top}/touched", 0o600)
    assert fs.info(f"{top}/touched")["mode"] & 0o777 == 0o600
    fs.mv(f"{top}/a/one", f"{top}/moved")
    assert (fs.exists(f"{top}/a/one"), fs.cat_file(f"{top}/moved")) == (False, b"1")
    fs.cp_file(f"{top}/moved", f"{top}/copies/moved")
    assert fs.cat_file(f"{top}/copies/moved") == b"1"
    fs.rm_file(f"{top}/moved")
    with pytest.raises(ValueError, match="recursive"):
        fs.rm(f"{top}/a")
    fs.rm([f"{top}/a", f"{top}/new"], recursive=True)
    assert not fs.exists(f"{top}/a")
    fs.mkdir(f"{top}/made")
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{top}/made")
    fs.rmdir(f"{top}/made")
    assert fs.head(f"{top}/copies/moved", 1) == fs.tail(f"{top}/copies/moved", 1) == b"1"
    assert fs.ukey(f"{top}/copies/moved")


def test_open_has_what_a_python_file_has(fs: UringFileSystem, tmp_path: Path) -> None:
    path = f"{tmp_path}/deep/file"
    with fs.open(path, "w", encoding="latin-1", newline="") as file:
        file.write("one\ntwo\nthräee\n")
    with fs.open(path, "rb", block_size=4096, cache_type="none") as file:
        assert file.readline() == b"one\n"
        assert file.seek(-3, os.SEEK_END) == file.tell() == 12
        assert file.read() == b"ee\n"
        buffer = bytearray(3)
        file.seek(0)
        assert (file.readinto(buffer), bytes(buffer)) == (3, b"one")
    with fs.open(path, "ab") as file:
        file.write(b"more")
    with fs.open(f"{path}.gz", "wb", compression="gzip") as file:
        file.write(b"compressed")
    assert fs.cat_file(path).endswith(b"more")
    with fs.open(f"{path}.gz", "rb", compression="infer") as file:
        assert file.read() == b"compressed"
    with pytest.raises(FileNotFoundError):
        fs.open(f"{tmp_path}/none")


def test_without_auto_mkdir_a_folder_must_be_there(tmp_path: Path) -> None:
    fs = UringFileSystem()
    with pytest.raises(FileNotFoundError):
        fs.open(f"{tmp_path}/none/file", "wb")
    with pytest.raises(FileNotFoundError):
        fs.pipe({f"{tmp_path}/none/file": b""})


def test_a_transaction_shows_all_files_at_its_end(fs: UringFileSystem, tmp_path: Path) -> None:
    with fs.transaction:
        fs.pipe({f"{tmp_path}/a": b"a", f"{tmp_path}/b": b"b"})
        assert os.listdir(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


class Told(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.branches: list[tuple[str, str]] = []
        self.children: list[Callback] = []

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Callback:
        self.branches.append((path_1, path_2))
        self.children.append(Callback())
        return self.children[-1]


def test_get_and_put_tell_how_far_they_are(fs: UringFileSystem, tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 3_000_000, "deep/c": 0}
    for name, size in sizes.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(os.urandom(size))
    for call, there in ((fs.get, "got"), (fs.put, "put")):
        told = Told()
        call(f"{tmp_path}/source", f"{tmp_path}/{there}", recursive=True, callback=told)
        for name in sizes:
            copied = (tmp_path / there / name).read_bytes()
            assert copied == (tmp_path / "source" / name).read_bytes()
        assert told.value == told.size == 5  # and two folders
        assert len(told.branches) == 3
        assert sum(child.value for child in told.children) == 3_000_010


def test_get_into_an_open_file(fs: UringFileSystem, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    target = io.BytesIO()
    fs.get_file(f"{tmp_path}/file", target)
    assert target.getvalue() == b"content"


def test_put_that_must_not_replace(fs: UringFileSystem, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        fs.put_file(f"{tmp_path}/file", f"{tmp_path}/there", mode="create")
    assert (tmp_path / "there").read_bytes() == b"old"
    fs.put_file(f"{tmp_path}/file", f"{tmp_path}/there")
    assert (tmp_path / "there").read_bytes() == b"new"


def test_pickled(tmp_path: Path) -> None:
    fs = UringFileSystem(auto_mkdir=True)
    assert fs.cat_ranges([__file__], [0], [3]) == [b'"""']  # used, and holds nothing of it
    again = pickle.loads(pickle.dumps(fs))
    assert (again, again.auto_mkdir, type(again)) == (fs, True, UringFileSystem)
    assert UringFileSystem.from_json(fs.to_json()) == fs
    (tmp_path / "file").write_bytes(b"0123456789")
    with fs.open(f"{tmp_path}/file") as file:
        file.seek(4)
        with pickle.loads(pickle.dumps(file)) as other:
            assert other.read(2) == b"45"


def test_from_many_threads(fs: UringFileSystem, tmp_path: Path) -> None:
    paths = []
    for number in range(50):
        (tmp_path / f"{number:02}").write_bytes(bytes([number]) * 5000)
        paths.append(f"{tmp_path}/{number:02}")
    found: list[Any] = []

    def work() -> None:
        for _ in range(5):
            found.append(fs.cat_ranges(paths, 10, 13))
            found.append(list(fs.cat(paths).values()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert all([data[:3] for data in each] == [bytes([n]) * 3 for n in range(50)] for each in found)


FORKED = """
import os, sys
import fsspec
fs = fsspec.filesystem("uring")
path = sys.argv[1]
assert fs.cat_ranges([path] * 100, list(range(100)), 200)[0] == b"x" * 200
for _ in range(3):
    if (child := os.fork()) == 0:
        ok = fs.cat_ranges([path] * 100, 0, 5) == [b"xxxxx"] * 100 and fs.cat([path])
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
assert fs.cat_file(path) == b"x" * 100_000
print("done")
"""


def test_used_before_and_after_a_fork(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert run_child(FORKED, str(tmp_path / "file")).stdout == "done\n"


SPAWNED = """
import multiprocessing, sys
import fsspec

def work(fs, path):
    return fs.cat_ranges([path, path], [0, 2], [2, 4])

if __name__ == "__main__":
    fs = fsspec.filesystem("uring")
    fs.cat_file(sys.argv[1])
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        print(pool.starmap(work, [(fs, sys.argv[1])] * 4) == [[b"01", b"23"]] * 4)
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_sent_to_other_processes(tmp_path: Path, method: str) -> None:
    assert method in multiprocessing.get_all_start_methods()
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "program.py").write_text(SPAWNED)
    run = "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run_child(run, str(tmp_path / "program.py"), str(tmp_path / "file"), method)
    assert done.stdout == "True\n"
