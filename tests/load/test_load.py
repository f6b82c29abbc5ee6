"""Many connections, many rings, storms, exhaustion, peers that do not answer: the small forms.

The same programs with large numbers are `nox -s load`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import uring_rs
from helpers.child import run_child

pytestmark = [pytest.mark.once, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def _ring_possible() -> None:
    found = uring_rs.probe()
    if not found.ok:
        pytest.skip(f"io_uring is refused here: {found.reason}")


def test_five_hundred_connections() -> None:
    run_child(
        """
        from load import echo
        found = echo.run(500, 3, buffers=64)
        assert found["accepted"] == found["ended"] == found["most_at_once"] == 500, found
        assert found["parts"] >= 1500 and found["resets"] > 0, found
        # Fewer buffers than messages: what did not fit was received later.
        assert found["out_of_buffers"] > 0, found
        """,
        timeout=90,
    )


def test_asyncio_with_many_connections() -> None:
    run_child(
        """
        from load import loops
        assert loops.run(150, 2)["asyncio_echoes"] == 300
        """,
        timeout=90,
    )


def test_a_hundred_rings() -> None:
    run_child("from load import many_rings\nassert many_rings.many(100)['rings'] == 100")


def test_more_rings_than_descriptors() -> None:
    run_child(
        """
        import uring_rs
        from load import many_rings
        many_rings.limit_descriptors(60)
        found = many_rings.until_refused(uring_rs.Cause.PROCESS_QUOTA, "rlimit_nofile")
        assert 40 < found["rings"] < 60, found
        """
    )


def test_more_rings_than_lockable_memory() -> None:
    run_child(
        """
        import uring_rs
        from helpers.host import become_nobody, limit_lockable_memory
        from load import many_rings
        limit_lockable_memory(512 << 10)
        become_nobody()
        found = many_rings.until_refused(uring_rs.Cause.MEMORY, "rlimit_memlock")
        assert 5 < found["rings"] < 200, found
        """
    )


def test_more_rings_than_mappings() -> None:
    run_child(
        """
        import uring_rs
        from load import many_rings
        with many_rings.maps_used_up(100):
            found = many_rings.until_refused(uring_rs.Cause.MEMORY, "vm.max_map_count")
        assert 5 < found["rings"] < 100, found
        """,
        timeout=90,
    )


@pytest.mark.unsanitized("a sanitizer ends where it gets no address space itself")
@pytest.mark.parametrize("entries", [8, 4096, 32768])
def test_no_address_space_for_a_ring(entries: int) -> None:
    """A limit on address space is told, and does not end the process, wherever it strikes."""
    run_child(
        f"""
        import resource, uring_rs
        from pathlib import Path
        uring_rs.Ring(8).close()
        refused = 0
        for extra in range(0, 24 << 20, 1 << 19):
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + extra, resource.RLIM_INFINITY))
            try:
                uring_rs.Ring({entries}).close()
            except MemoryError:
                refused += 1
            except uring_rs.UringUnavailable as error:
                assert error.cause is uring_rs.Cause.MEMORY, error
                assert "RLIMIT_AS" in error.reason, error.reason
                refused += 1
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert refused > 0
        with uring_rs.Ring({entries}) as ring:
            ring.prep_nop()
            assert ring.submit(wait=1) == 1
        """
    )


def test_registered_memory_past_the_limit_names_it() -> None:
    """64 KiB, as many containers have: rings work, and what does not fit says why."""
    run_child(
        """
        import uring_rs
        from helpers.host import become_nobody, limit_lockable_memory
        limit_lockable_memory(64 << 10)
        become_nobody()
        with uring_rs.Ring(8) as ring:
            for register in (
                lambda: ring.register_buffers([bytearray(1 << 20)]),
                lambda: ring.buffer_pool(64, 1 << 16),
            ):
                try:
                    register()
                except uring_rs.UringError as error:
                    assert error.cause is uring_rs.Cause.MEMORY, error
                    assert "memlock" in str(error).lower(), error
                else:
                    raise AssertionError("a MiB locked under a limit of 64 KiB")
            held = ring.register_buffers([bytearray(4096)])
            ring.prep_nop("alive")
            ring.submit(wait=1)
            assert ring.pop().user_data == "alive"
        # High layers go without.
        pool = uring_rs.AlignedPool(16, 1 << 16)
        with uring_rs.IoQueue(8, registered_buffers=4, buffer_size=1 << 16) as queue:
            assert queue.registered < 4
        """
    )


def test_messages_from_many_rings_overflow() -> None:
    run_child(
        """
        from load import storms
        found = storms.messages(4000)
        assert found["messages"] == 4000 and found["message_overflows"] > 0, found
        """,
        timeout=90,
    )


def test_multishot_requests_overflow() -> None:
    run_child(
        """
        from load import storms
        # Whether the reader falls behind is the scheduler's affair: so often that it does.
        for _ in range(30):
            found = storms.multishots(200)
            if found["multishot_overflows"] > 0 and found["multishots_armed_again"] > 0:
                break
        else:
            raise AssertionError(found)
        """,
        timeout=90,
    )


def test_no_descriptor_left(tmp_path: Path) -> None:
    run_child(
        """
        import pathlib, sys
        from load import descriptors
        descriptors.accepts()
        said = descriptors.exhaust(pathlib.Path(sys.argv[1]), 4)
        for name, results in said.items():
            assert results[-1] == "done", (name, results)
            if name in ("stat_many", "ring_on_own_memory"):
                assert set(results) == {"done"}, (name, results)
            else:
                assert "Too many open files" in results[0] or "EMFILE" in results[0], results
                assert "setup" not in results[0] or "RLIMIT_NOFILE" in results[0], (name, results)
        """,
        str(tmp_path),
        timeout=90,
    )


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    done = run_child(
        """
        import pathlib, sys
        from load import full_disk
        try:
            found = full_disk.fill_up(pathlib.Path(sys.argv[1]))
        except PermissionError as error:
            print("no mount:", error)
            raise SystemExit
        assert len(found) == len(full_disk.WORKS) + 1 and min(found.values()) >= 2, found
        """,
        str(tmp_path),
        timeout=90,
    )
    if "no mount" in done.stdout:
        pytest.skip(f"mounting a tmpfs is refused here: {done.stdout.strip()}")


def test_slow_and_dead_peers() -> None:
    done = run_child(
        """
        from load import peers
        print(len(peers.run_all()))
        """,
        timeout=90,
    )
    assert int(done.stdout) >= 8


def test_an_unplugged_peer() -> None:
    done = run_child(
        """
        from load import peers
        try:
            peers.unplugged()
        except (OSError, FileNotFoundError) as error:
            if isinstance(error, AssertionError):
                raise
            print("no network:", error)
        """,
        timeout=90,
    )
    if "no network" in done.stdout:
        pytest.skip(f"no network of our own here: {done.stdout.strip()}")
