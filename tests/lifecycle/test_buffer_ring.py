"""Views of pooled buffers against everything that could end a process: the ring closed first,
forks, dead threads, the collector, the interpreter's end."""

from __future__ import annotations

import textwrap

import pytest

from helpers.child import run_child

PRELUDE = """
    import gc, os, socket, sys, threading, warnings
    import uring_rs

    warnings.simplefilter("error")
    shared = sys.argv[1] == "shared"
    left, right = socket.socketpair()

    def opened(kind):
        global ring, pool
        ring = uring_rs.Ring(8, shared=shared)
        if kind == "legacy":
            pool = ring.provided_buffers(4, 4096)
            ring.prep_provide_buffers(pool)
            ring.wait_cqe()
        else:
            pool = ring.buffer_ring(
                4, 4096, kernel_memory=kind == "kernel", incremental=kind == "incremental"
            )

    def receive(data=b"data" * 128):
        ring.prep_recv(left, pool=pool)
        right.send(data)
        view = ring.wait_cqe().buffer
        assert bytes(view) == data
        return view
"""

CASES = {
    "ring closed first": """
        view = receive()
        part = memoryview(view)[:4]
        ring.close()
        assert bytes(part) == b"data" and pool.closed
        part[:] = b"mine"
        assert bytes(view)[:8] == b"minedata"
        part.release()
        view.release()
        assert view.released and pool.taken == 0
    """,
    "ring, pool and view dropped in any order": """
        for order in (("ring", "pool", "view"), ("view", "pool", "ring"), ("pool", "ring", "view"),
                      ("ring", "view", "pool"), ("pool", "view", "ring")):
            ring.close()
            opened(kind)
            view = receive()
            part = memoryview(view)
            ring.close()
            for name in order:
                del globals()[name]
                gc.collect()
                assert bytes(part[:4]) == b"data"
            del part
            opened(kind)
            view = receive()
        ring.close()
    """,
    "released in other threads while the ring works": """
        import queue
        work = queue.SimpleQueue()
        def releaser():
            while (view := work.get()) is not None:
                assert bytes(view)[:4] == b"data"
                view.release()
        threads = [threading.Thread(target=releaser) for _ in range(3)]
        for thread in threads:
            thread.start()
        sent = 0
        while sent < 2000:
            try:
                ring.prep_recv(left, pool=pool)
            except BufferError:
                continue
            right.send(b"data")
            cqe = ring.wait_cqe()
            if cqe.res < 0:
                assert cqe.res == -105, cqe
                left.recv(4)
                if kind == "legacy":
                    for first in range(4):
                        try:
                            ring.prep_provide_buffers(pool, first, 1)
                        except BufferError:
                            pass
                    ring.submit()
                    ring.wait(1, 0.001)
                    ring.reap()
                continue
            work.put(cqe.buffer)
            sent += 1
            del cqe
        for _ in threads:
            work.put(None)
        for thread in threads:
            thread.join()
        if kind != "legacy":
            assert pool.available == 4 and pool.taken == 0
        ring.close()
    """,
    "fork": """
        views = [receive(), receive()]
        ring.prep_recv_multishot(left, pool)
        right.send(b"unread")
        ring.submit(wait=1)
        child = os.fork()
        if child == 0:
            # The child has the bytes, and nothing it does is seen by the kernel or the parent.
            assert bytes(views[0])[:4] == b"data"
            memoryview(views[0])[:4] = b"mine"
            views[0].release()
            for call in (pool.close, ring.submit, lambda: ring.prep_recv(left, pool=pool)):
                try:
                    call()
                except (uring_rs.ForkedRing, ValueError):
                    pass
            views.clear()
            del pool
            gc.collect()
            ring.close()
            del ring
            gc.collect()
            with uring_rs.Ring(8, shared=shared) as ring:
                pool = ring.buffer_ring(4, 4096)
                a, b = socket.socketpair()
                b.send(b"own")
                ring.prep_recv(a, pool=pool)
                assert bytes(ring.wait_cqe().buffer) == b"own"
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert all(bytes(view) == b"data" * 128 for view in views)
        assert bytes(ring.pop().buffer) == b"unread"
        for view in views:
            view.release()
        del view, views
        for _ in range(10 if kind != "legacy" else 1):
            right.send(b"again")
            cqe = ring.wait_cqe()
            assert cqe.more and bytes(cqe.buffer) == b"again"
            del cqe
        ring.close()
    """,
    "collector": """
        class Node: pass
        for _ in range(50):
            node = Node()
            node.ring, node.pool, node.self = ring, pool, node
            node.view = memoryview(receive())
            node.cqe = ring
            del node
            gc.collect()
            if kind == "legacy" and pool.free == 4:
                break
        assert pool.taken == 0
        ring.close()
    """,
    "a ring in a cycle with its own completions": """
        node = []
        right.send(b"x")
        ring.prep_recv(left, pool=pool, user_data=node)
        node.extend([ring.wait_cqe(), ring, pool])
        view = node[0].buffer
        ring.close()
        del node, ring, pool
        gc.collect()
        assert bytes(view) == b"x"
    """,
    "interpreter's end with all in use": """
        keep = [receive(), memoryview(receive())]
        ring.prep_recv_multishot(left, pool)
        right.send(b"unread")
        ring.submit(wait=1)
        sys.keep = keep
    """,
    "dropped without close": """
        view = receive()
        ring.prep_recv_multishot(left, pool)
        right.send(b"unread")
        ring.submit(wait=1)
        warnings.simplefilter("ignore")
        del ring, pool
        gc.collect()
        assert bytes(view)[:4] == b"data"
        view.release()
    """,
    "thread that owns the ring ends": """
        box = []
        def work():
            global left, right
            opened(kind)
            box.append(receive())
            ring.prep_recv_multishot(left, pool)
            ring.submit()
            box.extend([ring, pool])
        ring.close()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        view, ring, pool = box
        box.clear()
        assert bytes(view)[:4] == b"data"
        warnings.simplefilter("ignore")
        ring.close(timeout=1)
        view.release()
        del ring, pool, view
        gc.collect()
    """,
}


@pytest.mark.parametrize("mode", ["owned", "shared"])
@pytest.mark.parametrize("kind", ["own", "kernel", "incremental", "legacy"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_crashes_or_is_lost(name: str, kind: str, mode: str) -> None:
    code = textwrap.dedent(PRELUDE) + f"\nkind = {kind!r}\nopened(kind)\n"
    run_child(code + textwrap.dedent(CASES[name]) + "\nprint('done')", mode)


def test_no_memory_is_left_behind() -> None:
    child = run_child(
        """
        import gc, socket
        import uring_rs

        def maps():
            gc.collect()
            with open("/proc/self/maps") as file:
                return len(file.readlines())

        left, right = socket.socketpair()

        def work(kind):
            with uring_rs.Ring(8) as ring:
                pool = ring.buffer_ring(64, 4096, kernel_memory=kind == 1, incremental=kind == 2)
                ring.prep_recv_multishot(left, pool)
                right.send(b"x" * 100)
                ring.submit(wait=1)
                view = memoryview(ring.pop().buffer)
                right.send(b"unread")
                ring.submit(wait=1)
            return view

        for kind in range(3):
            work(kind)
        before = maps()
        for _ in range(100):
            for kind in range(3):
                work(kind)
        print(maps() - before)
        """
    )
    assert int(child.stdout) <= 2
