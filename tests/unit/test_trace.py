"""Where URING_RS_TRACE=1 goes: the program's logging, or standard error if it has none."""

from __future__ import annotations

from helpers.child import run_child

EVENT = """
from uring_rs.trace import log_event
log_event("prep", {"op": "READ", "key": 7})
log_event("enter", {"to_submit": 1})
"""


def test_without_logging_it_goes_to_standard_error() -> None:
    done = run_child(EVENT)
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "uring_rs.trace: prep op='READ' key=7",
        "uring_rs.trace: enter to_submit=1",
    ]


def test_with_logging_it_goes_there() -> None:
    """Shown even where the program shows warnings only: the variable asked for it."""
    done = run_child(
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="<%(message)s>")
        """
        + "\n"
        + "\n".join("        " + line for line in EVENT.strip().splitlines())
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["<prep op='READ' key=7>", "<enter to_submit=1>"]


def test_a_level_of_its_own_is_respected() -> None:
    done = run_child(
        'import logging; logging.getLogger("uring_rs.trace").setLevel(logging.ERROR)\n' + EVENT
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_records_carry_the_facts() -> None:
    done = run_child(
        """
        import logging
        from uring_rs.trace import log_event

        class Handler(logging.Handler):
            def emit(self, record):
                print(record.uring_event, record.uring_info, record.levelname)

        logging.getLogger("uring_rs").addHandler(Handler())
        log_event("complete", {"res": -11})
        """
    )
    assert done.stdout == "complete {'res': -11} INFO\n"
    assert done.stderr == ""
