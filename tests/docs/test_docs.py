"""Every code block of the documentation runs.

A Python block runs in a process of its own, in an empty folder, with warnings as errors; a shell
block of docs/ in a shell of its own. (Those of the pages at the top install, and run everything:
their commands must exist, and other sessions run them.) The marker `<!-- continues -->` above a
block puts the blocks before it in front, in the same folder; a block of text marked
`<!-- output -->` must be what the block above it prints. A block that cannot run here is marked
`<!-- not run: why -->`: its commands must exist all the same, its Python must compile; one marked
`<!-- needs PROGRAM -->` is skipped where there is no such program.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import readme
from helpers.child import child_env, run_child
from helpers.nox_sessions import sessions

ROOT = readme.ROOT
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCKS = {page: readme.blocks(page) for page in PAGES}
LANGUAGES = {"python", "sh", "text", "toml", "rust", "json", "yaml"}
NOT_RUN = "not run:"
# Marked as not run, with the reason. More need a reason that this number is changed for.
MOST_NOT_RUN = 8


def runs(block: readme.Block) -> bool:
    """Whether a block may be run here, by what is said above it."""
    return not block.marker.startswith(NOT_RUN)


def chain(block: readme.Block) -> list[readme.Block]:
    """What runs for a block: itself, after those it continues."""
    every = [b for b in BLOCKS[block.path] if b.language in RUN and runs(b)]
    before = [b for b in every if b.line < block.line]
    found = [block]
    while found[0].marker == "continues":
        found.insert(0, before.pop())
    return found


def run_python(code: str, folder: Path) -> str:
    return run_child(code, options=["-W", "error"], cwd=folder, timeout=50).stdout


def run_shell(code: str, folder: Path) -> str:
    env = child_env()
    # As in a shell in which the environment with the package is active.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    command = ["bash", "-euo", "pipefail", "-c", code]
    ran = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, f"{code}\n--- stdout\n{ran.stdout}\n--- stderr\n{ran.stderr}"
    return ran.stdout


RUN = {"python": run_python, "sh": run_shell}
# Between a block and what it continues, so that only what it prints itself is compared.
MARK = {"python": "print(end='\\0')\n", "sh": "printf '\\0'\n"}


def of_language(*languages: str) -> Sequence[Any]:
    """Every block of these languages, as parameters."""
    every = [block for page in PAGES for block in BLOCKS[page] if block.language in languages]
    return [pytest.param(block, id=block.name) for block in every]


def runnable() -> Sequence[Any]:
    """Every block that runs: all Python, and the shell of docs/."""
    blocks = [block for page in PAGES for block in BLOCKS[page] if block.language in RUN]
    return [
        pytest.param(block, id=block.name)
        for block in blocks
        if runs(block) and (block.language == "python" or (ROOT / "docs") in block.path.parents)
    ]


@pytest.mark.parametrize("block", runnable())
def test_block_runs(block: readme.Block, tmp_path: Path) -> None:
    needed = block.marker.removeprefix("needs ")
    if needed != block.marker and not shutil.which(needed):
        pytest.skip(f"no {needed} here")
    shutil.copy(readme.README, tmp_path)
    printed = ""
    for language, parts in itertools.groupby(chain(block), lambda each: each.language):
        printed = RUN[language](MARK[language].join(part.text for part in parts), tmp_path)
    printed = printed.rpartition("\0")[2]
    following = [b for b in BLOCKS[block.path] if b.line > block.line][:1]
    if following and following[0].marker == "output":
        assert printed == following[0].text


def test_few_blocks_do_not_run() -> None:
    left = [b for page in PAGES for b in BLOCKS[page] if not runs(b)]
    for block in left:
        print(f"{block.name}: {block.marker}")
        assert block.language in RUN
        assert len(block.marker.removeprefix(NOT_RUN).split()) > 2, f"{block.name}: why?"
        if block.language == "python":
            compile(block.text, block.name, "exec")
    assert len(left) <= MOST_NOT_RUN


@pytest.mark.parametrize("block", of_language("json", "yaml"))
def test_data_is_well_formed(block: readme.Block) -> None:
    if block.language == "json":
        assert json.loads(block.text)
    else:
        assert list(yaml.safe_load_all(block.text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in BLOCKS[page]:
        assert block.language in LANGUAGES, f"{block.name}: language {block.language!r}"


# Programs of blocks that are not run, as they need what no test has.
ELSEWHERE = ("docker", "podman", "kubectl", "bpftrace", "perf")


def check_cli(words: list[str]) -> None:
    """`uring_rs SUBCOMMAND --option` must have that subcommand, and its help that option."""
    command = [sys.executable, "-m", "uring_rs", words[0], "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, env=child_env())
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"{re.escape(option)}\b", shown.stdout), f"{option} is not in the help"


def check_command(words: list[str]) -> None:
    """One command of a shell block: its program, and what of its arguments can be known."""
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words = words[1:]
    name, rest = Path(words[0]).name, words[1:]
    if name.startswith("python") and rest[:1] == ["-m"]:
        name, rest = rest[1], rest[2:]
    if name in ("uring_rs", "uring-rs"):
        check_cli(rest)
    elif name == "nox":
        asked = [b for a, b in itertools.pairwise(rest) if a in ("-s", "--session")]
        assert {re.sub(r"\(.*", "", session) for session in asked} <= sessions()
    elif name == "pip":
        assert rest[0] == "install"
        for extra in re.findall(r"\[(.*?)\]", " ".join(rest)):
            known = importlib.metadata.metadata("uring_rs").get_all("Provides-Extra") or []
            assert extra in known
    elif name not in ("venv", "cd", *ELSEWHERE):
        assert shutil.which(name), f"{name} is neither a program here nor one the test knows"


def commands(line: str) -> list[list[str]]:
    """The simple commands of a shell line; what $(...) holds counts as one word."""
    plain = re.sub(r'"?\$\(.*\)"?', "PATH", line)
    found: list[list[str]] = [[]]
    for word in shlex.shlex(plain, posix=True, punctuation_chars=True):
        if set(word) <= set("&|;"):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]


def only_checked() -> Sequence[Any]:
    """The shell blocks that do not run."""
    run = {param.values[0] for param in runnable()}
    return [param for param in of_language("sh") if param.values[0] not in run]


@pytest.mark.parametrize("block", only_checked())
def test_shell_block_exists(block: readme.Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        for words in commands(re.split(r"(?:^| )#", line)[0]):
            check_command(words)


def test_readme_opens_with_the_two_commands() -> None:
    shell = [block for block in BLOCKS[readme.README] if block.language == "sh"]
    assert [block.marker for block in shell[:2]] == [readme.JOB, readme.TEST]
    assert readme.job().startswith(".venv/bin/python -m uring_rs sum ")
    install, run = readme.command(readme.TEST).rsplit(" && ", 1)
    assert install == "python3 -m venv .venv && .venv/bin/pip install nox"
    assert run == ".venv/bin/nox"


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "readme.py show test-command" in script
    # Any other way to run tests there would be one that the README does not tell of.
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"\b(nox|pytest|cargo test|maturin)\b", code)
    shown = subprocess.run(
        [sys.executable, ROOT / "tests" / "helpers" / "readme.py", "show", readme.TEST],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == readme.command(readme.TEST)


LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


CODE_PATH = re.compile(r"`((?:src|tests|python|benchmarks|examples|docs)/[\w./*-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """A path in backquotes is a promise that the file is there, or a pattern that matches."""
    named = set(CODE_PATH.findall(page.read_text(encoding="utf-8")))
    missing = sorted(name for name in named if not list(ROOT.glob(name.rstrip("/"))))
    assert not missing, f"{page.name} names what is not there"


FIGURE = re.compile(r"\d[\d.]* (?:ns|µs|ms|s|KiB)\b")


@pytest.mark.parametrize("page", ["explanation/performance.md", "explanation/threads.md"])
def test_figures_are_those_of_the_readme(page: str) -> None:
    """Measured again, they change in the README's tables: then the pages must follow."""
    told = set(FIGURE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
    sizes = {"4 KiB", "1 KiB", "64 KiB"}
    measured = set(FIGURE.findall(readme.README.read_text(encoding="utf-8")))
    assert told - sizes <= measured
