"""Polling of network devices while waiting: what is set, and what was set before."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import one
from uring_rs import NapiSettings, RegisterOp

pytestmark = pytest.mark.requires_op("RECV")

OFF = NapiSettings(busy_poll=0.0, prefer_busy_poll=False, tracking="inactive")


@pytest.fixture(autouse=True)
def _napi() -> None:
    with uring_rs.Ring(4) as ring:
        try:
            ring.register_napi(0.0001)
        except uring_rs.UnsupportedOperation as error:
            pytest.skip(str(error))
        except uring_rs.UringError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            pytest.skip("this kernel was built without CONFIG_NET_RX_BUSY_POLL")


def test_settings_come_back(ring: uring_rs.Ring) -> None:
    assert ring.register_napi(0.00005, prefer_busy_poll=True) == OFF
    previous = ring.register_napi(0.0002, tracking="static")
    assert previous == NapiSettings(5e-05, True, "dynamic")
    assert ring.register_napi(**previous._asdict()) == NapiSettings(0.0002, False, "static")
    assert ring.unregister_napi() == previous
    assert ring.unregister_napi() == OFF


def test_inactive_is_off(ring: uring_rs.Ring) -> None:
    before = ring.register_napi(0.001)
    assert ring.register_napi(**before._asdict()) == NapiSettings(0.001, False, "dynamic")
    assert ring.unregister_napi() == OFF


def test_times(ring: uring_rs.Ring) -> None:
    """Whole microseconds, rounded up, and no more than the kernel takes."""
    ring.register_napi(1.5e-6)
    assert ring.register_napi(3600).busy_poll == 2e-6
    assert ring.unregister_napi().busy_poll == 0.01
    for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(error):
            ring.register_napi(wrong)  # type: ignore[arg-type]


def test_waiting_works_with_it(ring: uring_rs.Ring) -> None:
    """Loopback has no queue to poll: it must make no difference."""
    ring.register_napi(0.001, prefer_busy_poll=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        with client, peer:
            buf = bytearray(4)
            ring.prep_recv(client, buf)
            ring.submit()
            peer.sendall(b"data")
            assert one(ring).res == 4
            assert buf == b"data"
    assert ring.wait(timeout=0.002) == 0


def test_ids(ring: uring_rs.Ring) -> None:
    """Only while tracking is static, and only ids of queues."""
    if not uring_rs.query().has(RegisterOp.NAPI):
        pytest.skip("static tracking came with Linux 6.13")
    ring.register_napi(0.001)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.add_napi_id(1000)
    assert caught.value.errno == errno.EINVAL
    ring.register_napi(0.001, tracking="static")
    ring.add_napi_id(1 << 20)
    with pytest.raises(uring_rs.UringError):
        ring.add_napi_id(0)
    ring.remove_napi_id(1 << 20)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.remove_napi_id(1 << 20)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OverflowError):
        ring.add_napi_id(-1)


def test_bad_tracking(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="tracking"):
        ring.register_napi(0.001, tracking="always")
    with pytest.raises(TypeError):
        ring.register_napi(0.001, True)  # type: ignore[misc]


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    for call in (ring.unregister_napi, lambda: ring.register_napi(1), lambda: ring.add_napi_id(1)):
        with pytest.raises(uring_rs.RingClosed):
            call()
