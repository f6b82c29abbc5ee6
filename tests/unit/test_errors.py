"""The exceptions: what they are instances of, and which cause they name."""

from __future__ import annotations

import errno
import pickle

import pytest

from uring_rs import errors
from uring_rs.errors import Cause, UringError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, UringError)
]
by_name = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


@by_name
def test_every_one_is_an_os_error(kind: type[UringError]) -> None:
    error = kind(errno.EINVAL, "a message")
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror) == (errno.EINVAL, "a message")
    assert "a message" in str(error)
    assert isinstance(error.cause, Cause)
    assert kind.__name__ in errors.__all__


@by_name
def test_without_an_errno(kind: type[UringError]) -> None:
    error = kind("a message")
    assert error.errno is None
    assert str(error) == "a message"
    assert isinstance(error.cause, Cause)


@by_name
def test_survives_pickling(kind: type[UringError]) -> None:
    error = kind(errno.EPERM, "a message")
    error.cause = Cause.MEMORY
    error.op = "READ"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.errno, again.cause, again.op) == (errno.EPERM, Cause.MEMORY, "READ")


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.ZeroEntries, ValueError),
        (errors.TooManyEntries, errors.InvalidEntries),
        (errors.WrongThread, RuntimeError),
        (errors.ForkedRing, RuntimeError),
        (errors.RingClosed, ValueError),
        (errors.UnsupportedOperation, NotImplementedError),
    ],
)
def test_also_the_standard_kind(kind: type[UringError], also: type[Exception]) -> None:
    assert issubclass(kind, also)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EMFILE, Cause.PROCESS_QUOTA),
        (errno.ENFILE, Cause.SYSTEM_QUOTA),
        (errno.ENOMEM, Cause.MEMORY),
        (errno.EPERM, Cause.PERMISSION),
        (errno.EACCES, Cause.PERMISSION),
        (errno.ENOSYS, Cause.KERNEL_TOO_OLD),
        (errno.EBADF, Cause.BAD_FD),
        (errno.EBADFD, Cause.BAD_STATE),
        (errno.EBUSY, Cause.OVERCOMMITTED),
        (errno.EAGAIN, Cause.RESOURCES),
        (errno.EINVAL, Cause.INVALID),
        (errno.EFAULT, Cause.BAD_ADDRESS),
        (errno.ENXIO, Cause.SHUTTING_DOWN),
        (errno.EOPNOTSUPP, Cause.UNSUPPORTED),
        (errno.EEXIST, Cause.WRONG_THREAD),
        (errno.EBADR, Cause.DROPPED),
        (errno.EINTR, Cause.INTERRUPTED),
        (errno.EXDEV, Cause.OTHER),
        (None, Cause.OTHER),
    ],
)
def test_cause_of_an_errno(number: int | None, cause: Cause) -> None:
    assert Cause.from_errno(number) is cause
    assert UringError(number, "x").cause is cause


def test_a_class_with_one_cause_keeps_it() -> None:
    assert errors.ZeroEntries(errno.EINVAL, "x").cause is Cause.ZERO_ENTRIES
    assert errors.SubmissionQueueFull(errno.EBUSY, "x").cause is Cause.QUEUE_FULL


def test_the_raiser_knows_better() -> None:
    """A cause may be given as the member, its value or its name; what is unknown is OTHER."""
    error = errors.UringUnavailable(errno.ENOMEM, "x")
    for given in (Cause.PERMISSION, "permission", "PERMISSION"):
        error.cause = given
        assert error.cause is Cause.PERMISSION
    error.cause = "from the future"
    assert error.cause is Cause.OTHER


def test_every_cause_can_be_told_apart() -> None:
    assert len({str(cause) for cause in Cause}) == len(Cause) > 18
