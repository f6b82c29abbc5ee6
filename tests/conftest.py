"""What every test gets: a descriptor check, skips that name the missing kernel feature, gates."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

import uring_rs
from helpers.child import run_child as _run_child

# Deadlines measure the machine, not the code; the per-test timeout is what bounds a hang.
settings.register_profile("gate", deadline=None, max_examples=300, print_blob=True)
settings.register_profile("quick", parent=settings.get_profile("gate"), max_examples=30)
settings.register_profile(
    "long",
    parent=settings.get_profile("gate"),
    max_examples=50_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gate")


# A shell without job control has what it starts in the background ignore SIGINT, and so would every
# child that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup, with SIGHUP.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("uring_rs")
    group.addoption(
        "--min-passed",
        type=int,
        default=0,
        metavar="N",
        help="fail the run when fewer than N tests passed: a run that skips everything proves "
        "nothing",
    )
    group.addoption(
        "--not-again",
        action="store_true",
        help="leave out the tests marked once: they ran on another Python, and depend on none",
    )
    group.addoption(
        "--host-changes",
        action="store_true",
        help="run the tests marked alone, which change kernel settings of this host for a moment",
    )


def _why_not_alone(config: pytest.Config) -> str | None:
    if not config.getoption("--host-changes"):
        return "changes a kernel setting of the whole host: run with --host-changes"
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return "changes a kernel setting that tests in other workers rely on: run without -n"
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = [] if "soak" in config.option.markexpr else ["soak"]
    out += ["once"] if config.getoption("--not-again") else []
    left = [item for item in items if any(item.get_closest_marker(name) for name in out)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    reason = _why_not_alone(config)
    for item in items:
        if reason and item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.skip(reason=reason))
    # Last, so that a machine they leave in disorder has told all it can by then.
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


# Fixtures that threads may share, or that pytest-run-parallel makes for each of them.
_FOR_MANY_THREADS = {"request", "tmp_path", "requires_op"}


def _needs_one_thread(item: pytest.Item) -> bool:
    """pytest-run-parallel gives all threads of a test the same fixtures: a ring has one thread."""
    code = getattr(getattr(item, "function", None), "__code__", None)
    if code is not None and "run_child" in code.co_names:
        # What a process of its own does, it does no better eight at a time.
        return True
    names = set(getattr(item, "fixturenames", ())) - _FOR_MANY_THREADS
    manager = item.session._fixturemanager
    return any(manager.getfixturedefs(name, item) for name in names if not name.startswith("_"))


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    if _needs_one_thread(item):
        item.add_marker(pytest.mark.thread_unsafe(reason="its fixtures are for one thread"))


def pytest_collection_finish(session: pytest.Session) -> None:
    # What the imports and the collection made is here to stay; frozen, it costs the collection
    # after each test nothing.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    wanted = session.config.getoption("--min-passed")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.collectonly or reporter is None or exitstatus != pytest.ExitCode.OK:
        return
    passed = len(reporter.stats.get("passed", ()))
    if passed < wanted:
        reporter.write_line(f"only {passed} tests passed, --min-passed={wanted}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _why_no_op(name: str) -> str | None:
    """Why this operation cannot be tested here, or None."""
    found = uring_rs.probe()
    if not found.ok:
        return f"io_uring is refused here: {found.reason}"
    with uring_rs.Ring(1) as ring:
        if ring.supports(name):
            return None
    return f"the running kernel ({os.uname().release}) lacks IORING_OP_{name}"


@pytest.fixture
def requires_op() -> Callable[..., None]:
    """Call with operation names: skips, naming the first that the running kernel lacks."""

    def check(*names: str) -> None:
        for name in names:
            if reason := _why_no_op(name):
                pytest.skip(reason)

    return check


@pytest.fixture(autouse=True)
def _marked_unsanitized(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("unsanitized")
    if marker is not None and "URING_RS_SANITIZED" in os.environ:
        pytest.skip(marker.args[0])


@pytest.fixture(autouse=True)
def _marked_ops(request: pytest.FixtureRequest) -> None:
    for marker in request.node.iter_markers("requires_op"):
        for name in marker.args:
            if reason := _why_no_op(name):
                pytest.skip(reason)


@pytest.fixture
def run_child() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helpers.run_child`, for tests that would rather name a fixture than import."""
    return _run_child


def open_descriptors() -> dict[int, str]:
    """Every open descriptor of this process, with what it names."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        # The one that listed the folder is closed by now.
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture(autouse=True)
def _no_descriptor_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test exactly the descriptors of before are open."""
    before = open_descriptors()
    yield
    gc.collect()
    if request.node.get_closest_marker("may_leave_fds"):
        return
    after = open_descriptors()
    left = {fd: name for fd, name in after.items() if before.get(fd) != name}
    gone = {fd: name for fd, name in before.items() if fd not in after}
    assert not left, f"descriptors left open: {left}"
    assert not gone, f"descriptors closed that the test did not open: {gone}"
