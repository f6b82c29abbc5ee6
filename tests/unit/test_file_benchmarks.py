"""The benchmarks of whole files do what they are said to: all jobs, on a few files."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not in a checkout"),
]

ADAPTERS = ("peers.bulk_os", "peers.bulk_threads", "peers.with_coreutils", "ours.bulk")
SIZES = {
    "SMALL_FILES": 40,
    "PER_DIRECTORY": 10,
    "LARGE_FILES": 2,
    "LARGE_NAMES": 6,
    "GIGABYTE": 2 << 20,
}
CELLS = {
    "small": "40 x 4 KiB",
    "half": "20 x 4 KiB",
    "tree": "20 x 4 KiB",
    "lists": "400 x 4 KiB",
    "gigabyte": "2 x 1 MiB",
    "": "2 x 1 MiB",
}
RANGES = "64 x 4 KiB"


class Bench:
    """The benchmarks' modules, and a corpus of a few files."""

    def __init__(self, directory: Path) -> None:
        for name in ("bars", "cells", "corpus", "data", "environment", "questions", "residency"):
            setattr(self, name, importlib.import_module(f"harness.{name}"))
        self.jobs: Any = importlib.import_module("harness.jobs")
        self.summary: Any = importlib.import_module("summary")
        self.questions = {
            question.name: question
            for question in self.questions.QUESTIONS.values()
            if question.group == "files"
        }
        self.directory = directory

    def make(self, patch: pytest.MonkeyPatch) -> None:
        for name, value in SIZES.items():
            patch.setattr(self.corpus, name, value)
        patch.setattr(self.data, "SIZES", {"reads": 1 << 20})
        self.scratch = self.data.Scratch(self.directory)
        self.scratch.make("reads")
        self.files = self.corpus.Corpus(self.directory / "corpus")
        self.files.make({question.data for question in self.questions.values()})

    def task(self, question: Any) -> Any:
        if question.file:
            offsets = self.data.load_offsets(str(self.scratch.offsets("reads")))
            file, cell = self.scratch.file("reads"), RANGES
        else:
            offsets, cell = [], CELLS[question.data]
            file = self.files.place(question.data)
        once = bool(question.before)
        new = str(self.files.new)
        return self.cells.Task(cell, str(file), offsets=offsets, once=once, new=new)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        made = Bench(tmp_path_factory.mktemp("benchmarks"))
        made.make(patch)
        yield made


def contestants(bench: Any, question: str) -> dict[str, Any]:
    found = {}
    for adapter in ADAPTERS:
        listed = importlib.import_module(adapter).CONTESTANTS.get(question, {})
        found.update({f"{adapter}:{variant}": factory for variant, factory in listed.items()})
    return found


def do(bench: Any, question: Any, factory: Any) -> None:
    job = factory(bench.task(question))
    if isinstance(job, bench.cells.Measurement):
        assert job.measure() >= 0
        return
    job.warm_up()
    bench.files.before(question, bench.scratch.file("reads") if question.file else None)
    job.task = bench.task(question)
    job.run()
    assert all(value >= 0 for value in job.notes().values())
    job.verify()


# The questions that need no host of their own: stat on cold inodes drops what all have cached.
JOBS = (
    "read_many_warm",
    "read_many_cold",
    "read_many_memory",
    "read_ranges_cold",
    "read_ranges_warm",
    "copy_file",
    "copy_tree",
    "checksum_cold",
    "checkpoint_read",
    "checkpoint_save",
    "stat_many_warm",
)


@pytest.mark.parametrize("name", JOBS)
def test_each_job_is_done_and_verified(bench: Any, name: str) -> None:
    done = 0
    for who, factory in contestants(bench, name).items():
        try:
            do(bench, bench.questions[name], factory)
        except bench.cells.Unable as reason:
            # Ours alone may say so, of a function that this version has not.
            assert who.startswith("ours"), (who, reason)
            assert not hasattr(uring_rs, str(reason).rpartition(" ")[2]), reason
        else:
            done += 1
    assert done


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_c_programs_do_and_verify_the_same_jobs(bench: Any) -> None:
    questions = [bench.questions[name] for name in JOBS if bench.questions[name].program]
    programs = bench.environment.compile_floors(bench.directory / "floors", questions)
    for question in questions:
        for floor in question.floors:
            bench.files.before(question, bench.scratch.file("reads") if question.file else None)
            task = bench.task(question)
            command = [
                str(programs[question.name]),
                f"variant={floor.variant}",
                f"file={task.file}",
                f"cells={task.cell}",
                f"new={task.new}",
                f"once={int(task.once)}",
                *([f"offsets={bench.scratch.offsets('reads')}"] if question.file else []),
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, (command, done.stderr)
            line = json.loads(done.stdout)
            assert (line["cell"], line["ops"]) == (task.cell, task.count)
            assert line["value"] > 0


def test_a_wrong_byte_fails_a_job(bench: Any) -> None:
    question = bench.questions["read_many_warm"]
    path = Path(bench.files.paths["small"][7])
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    try:
        for factory in contestants(bench, "read_many_warm").values():
            try:
                do(bench, question, factory)
            except bench.cells.Unable:
                continue
            except bench.data.WrongData as found:
                assert path.name in str(found)
            else:
                pytest.fail("the wrong byte was not found")
    finally:
        path.write_bytes(content)


def test_cold_data_is_out_of_the_page_cache(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(300_000))
    whole = -(-300_000 // bench.residency.PAGE) * bench.residency.PAGE
    assert bench.residency.cached_bytes(path) == whole
    try:
        bench.residency.drop([path])
    except bench.cells.Unable as reason:
        # A file system in memory: the data has nowhere else to be.
        assert "stays in the page cache" in str(reason)
        assert bench.residency.cached_bytes(path) == whole
    else:
        assert bench.residency.cached_bytes(path) == 0


def row(median: float, **more: float) -> dict[str, dict[str, float]]:
    return {"10": {"median": median, "min": median, "max": median, "cpu": 1.0, **more}}


def test_a_budget_takes_the_best_of_several(bench: Any) -> None:
    table = {
        "c": row(1.0),
        "uring_rs": row(2.0, cached=5.0),
        "threads:8": row(6.0),
        "threads:32": row(3.0),
    }
    asked = {"text": "", "question": "q", "cell": "10", "ours": ["uring_rs"]}

    def judged(**more: Any) -> tuple[str, float, bool]:
        one = bench.bars.judge_one({**asked, **more}, table)
        return one.against, one.value, one.reached

    assert judged(of=["threads:8", "threads:32"], faster=1.4) == ("threads:32", 1.5, True)
    assert judged(of=["threads:8", "threads:32"], faster=1.6) == ("threads:32", 1.5, False)
    assert judged(of="threads:8", times=0.25) == ("threads:8", pytest.approx(1 / 3), False)
    assert judged(of="c", faster=0.5) == ("c", 0.5, True)
    assert judged(times_c=1.9) == ("c", 2.0, False)
    assert judged(of="c", field="cpu", times=1.0) == ("c", 1.0, True)
    assert judged(field="cached", most=4) == ("", 5.0, False)


def test_budgets_name_questions_cells_and_contestants(bench: Any) -> None:
    listed = bench.bars.BARS.read_text()
    names = 0
    for bar in tomllib.loads(listed)["bar"]:
        question = bench.questions.get(bar["question"])
        if question is None:
            continue
        assert bar["cell"] in question.cells
        there = {floor.name for floor in question.floors} | {"fsspec"}
        for who in contestants(bench, question.name):
            adapter, _, variant = who.partition(":")
            name = "uring_rs" if adapter == "ours.bulk" else adapter.rpartition("_")[2]
            there.add(f"{name}:{variant}" if variant else name)
        wanted = bar.get("of", [])
        assert {*bar["ours"], *([wanted] if isinstance(wanted, str) else wanted)} <= there
        names += 1
    assert names >= 14


def test_the_table_tells_whole_jobs_and_times_of_ours(bench: Any) -> None:
    table = {
        "c": row(10.0),
        "uring_rs": row(20.0, cached=0.0),
        "os:read": row(200.0, cached=4096.0),
        "threads:8": row(50.0),
    }
    question = {"contestants": table, "unit": "us", "ops": {"10": 1000}}
    make = bench.summary.FileRow
    line = bench.summary.file_line({"q": question}, make("q", "10", "work", "os:read"))
    assert (
        line == "| work | 20 ms | 200 ms (10.00 x) | 50 ms (2.50 x) `threads:8` | 10 ms (0.50 x) |"
    )
    cached = make("q", "10", "cache", "os:read", field="cached")
    line = bench.summary.file_line({"q": question}, cached)
    assert line.startswith("| cache | 0 bytes | 4 KiB |")
