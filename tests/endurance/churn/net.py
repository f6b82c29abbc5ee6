"""Churn of sockets: accepted, read into pools, sent without copying, hung up on."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import uring_rs

from .world import CONTENT, World, action, check, dropping, finish, take

RESET = struct.pack("ii", 1, 0)


def hang_up(world: World, peer: socket.socket) -> None:
    """In an orderly way, or with a reset."""
    if world.chance():
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.close()


class Echo:
    """A server on one ring: multishot accept, multishot receives from a pool, sends."""

    def __init__(self, world: World, ring: uring_rs.Ring, listener: socket.socket) -> None:
        self.world, self.ring = world, ring
        self.pool = ring.buffer_ring(8, 512)
        self.connections: set[int] = set()
        self.done = 0
        ring.prep_multishot_accept(listener, user_data="accept")
        ring.submit()

    def turn(self) -> None:
        self.ring.submit(wait=1, timeout=0.02)
        for cqe in self.ring.reap():
            self.done += 1
            if cqe.user_data == "accept":
                if cqe.res >= 0:
                    self.receive(cqe.result())
            elif cqe.user_data[0] == "recv":
                self.received(cqe)

    def receive(self, fd: int) -> None:
        self.connections.add(fd)
        self.ring.prep_recv_multishot(fd, self.pool, user_data=("recv", fd))

    def received(self, cqe: uring_rs.Completion) -> None:
        fd = cqe.user_data[1]
        if cqe.res > 0 and cqe.buffer is not None:
            with cqe.buffer as view, memoryview(view) as data:
                self.ring.prep_send(fd, bytes(data), user_data=("send", fd))
        if not cqe.more:
            if cqe.res in (0, -104):
                self.connections.discard(fd)
                os.close(fd)
            else:  # the pool was empty
                self.ring.prep_recv_multishot(fd, self.pool, user_data=("recv", fd))


@action
def echo(world: World) -> int:
    with dropping(), socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        ring = uring_rs.Ring(32, cq_entries=128)
        server = Echo(world, ring, listener)
        with contextlib.ExitStack() as stack:
            peers = []
            for _ in range(world.few(1, 6)):
                peer = stack.enter_context(socket.create_connection(listener.getsockname()))
                peer.setblocking(False)
                peers.append(peer)
            for peer in peers:
                size = world.few(1, 1500)
                peer.send(CONTENT[:size])
                got = b""
                for _ in range(1500):
                    server.turn()
                    with contextlib.suppress(BlockingIOError):
                        got += peer.recv(65536)
                    if len(got) >= size:
                        break
                check(got == CONTENT[:size], "echoed", len(got), "of", size)
                if world.chance():
                    hang_up(world, peer)
            for _ in range(world.few(0, 4)):
                server.turn()
        # Closed under it, or after it: both times with receives in flight.
        if world.chance():
            ring.close()
        for fd in server.connections:
            os.close(fd)
        return server.done


@action
def zero_copy(world: World) -> int:
    """Sends whose memory the kernel keeps until it is told to let go."""
    with world.sockets(socket.AF_INET) as (left, right), uring_rs.Ring(16) as ring:
        data = bytes(world.few(100, 60_000))
        ring.prep_send_zc(left, data, user_data=world.token())
        pieces = [CONTENT[:100], world.buffers[2]]
        ring.prep_sendmsg_zc(left, pieces, user_data=world.token())
        (fixed,) = ring.register_buffers([world.buffers[3]])
        ring.prep_send_zc_fixed(left, fixed, nbytes=100, user_data=world.token())
        ring.submit()
        right.setblocking(False)
        terminal = 0
        for _ in range(1000):
            if terminal == 3:
                break
            ring.wait(1, timeout=0.05)
            for cqe in ring.reap():
                terminal += not cqe.more
            with contextlib.suppress(BlockingIOError):
                right.recv(1 << 20)
        check(terminal == 3, "zero-copy sends that did not end:", ring)
        if world.chance(0.3):
            ring.prep_send_zc(left, data, user_data=world.token())
            ring.submit()
            hang_up(world, right)
        return 4


@action
def datagrams(world: World) -> int:
    with contextlib.ExitStack() as stack:
        ring = stack.enter_context(uring_rs.Ring(16))
        left = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        right = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        left.bind(("127.0.0.1", 0))
        pool = ring.buffer_ring(8, 2048)
        ring.prep_recvmsg_multishot(left, pool, 64, user_data=world.token())
        count = world.few(1, 6)
        # An empty one would end the multishot receive.
        for number in range(count):
            ring.prep_sendto(right, CONTENT[: number + 1], left.getsockname())
        got = []
        for _ in range(30):
            ring.submit(wait=1, timeout=1)
            got += [cqe for cqe in ring if cqe.op != "SEND"]
            if len(got) >= count:
                break
        check(len(got) == count, "datagrams", got)
        for cqe in got:
            if world.chance():
                check(cqe.address is not None and cqe.ancdata == [], cqe)
            if cqe.buffer is not None and world.chance():
                cqe.buffer.release()
        got.clear()
        del cqe
        return 2 * count + finish(ring)


@action
def descriptors_in_messages(world: World) -> int:
    """SCM_RIGHTS: what nobody takes is closed."""
    with world.sockets() as (left, right), uring_rs.Ring(8) as ring, world.file() as fd:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        ring.prep_sendmsg(left, [b"x"], rights, user_data=world.token())
        check([cqe.res for cqe in take(ring, 1)] == [1])
        ring.prep_recvmsg(right, [bytearray(8)], 64, user_data=world.token())
        if world.chance():
            # Whoever takes the completion has its descriptors.
            (cqe,) = take(ring, 1)
            for _, _, data in cqe.ancdata:
                for (number,) in struct.iter_unpack("i", data):
                    os.close(number)
        else:
            ring.submit(wait=1)
        return 2


@action
def pools(world: World) -> int:
    """Buffers the kernel chooses: bundles, incremental use, parts kept beyond the ring."""
    with dropping(), world.sockets() as (left, right):
        ring = uring_rs.Ring(16)
        incremental = world.chance()
        pool = ring.buffer_ring(8, 256, incremental=incremental, kernel_memory=world.chance())
        provided = ring.provided_buffers(4, 128)
        ring.prep_provide_buffers(provided)
        take(ring, 1)
        kept = []
        for _ in range(world.few()):
            right.send(CONTENT[:200])
            ring.prep_recv(left, pool=pool, user_data=world.token())
            (cqe,) = take(ring, 1)
            check(cqe.res > 0, cqe)
            if world.chance(0.3):
                kept.append(cqe.buffer)
            elif world.chance():
                with cqe.buffer as view, memoryview(view) as data:
                    check(bytes(data[:1]) in CONTENT)
            del cqe
        right.send(CONTENT[:100])
        ring.prep_recv(left, pool=provided, user_data=world.token())
        take(ring, 1)
        if not incremental and world.chance():
            ring.prep_recv_multishot(left, pool, bundle=True, user_data=world.token())
            ring.submit()
            right.send(CONTENT[:1000])
            ring.submit(wait=1, timeout=1)
            kept += [part for cqe in ring.reap() for part in cqe.buffers]
            finish(ring)
        if world.chance():
            ring.close()
        del ring
        return 12


@action
def connections_refused(world: World) -> int:
    with contextlib.ExitStack() as stack:
        ring = stack.enter_context(uring_rs.Ring(8))
        with socket.create_server(("127.0.0.1", 0)) as server:
            nobody = server.getsockname()
        sock = stack.enter_context(socket.socket())
        ring.prep_connect(sock, nobody, user_data=world.token())
        check([cqe.res for cqe in take(ring, 1)] == [-111])
        # Unless somebody takes it, a descriptor is closed with its ring.
        ring.prep_socket(user_data=world.token())
        ring.prep_pipe(user_data=world.token())
        ring.submit(wait=2)
        if world.chance():
            for cqe in ring:
                if cqe.op == "SOCKET":
                    os.close(cqe.result())
                elif world.chance():
                    for number in cqe.value:
                        os.close(number)
        return 3


@action
def direct_files(world: World) -> int:
    """Descriptors without a number, opened, accepted, moved to another ring, dropped."""
    with dropping(), contextlib.ExitStack() as stack:
        ring = uring_rs.Ring(16)
        fd = stack.enter_context(world.file())
        table = ring.register_files(8)
        table.update(0, [fd])
        # While a completion is not read, its request uses the file.
        unread = False
        ring.prep_openat(world.rng.choice(world.files), os.O_RDONLY, direct=True)
        ring.prep_socket(direct=True)
        kept = [cqe.value for cqe in take(ring, 2)]
        check(all(isinstance(each, uring_rs.DirectFile) for each in kept), kept)
        buf = bytearray(1)
        ring.prep_read(kept[0], buf, 0, user_data=world.token())
        check([cqe.res for cqe in take(ring, 1)] in ([1], [-22]))
        if world.chance():
            ring.prep_fixed_fd_install(kept[0])
            if world.chance():
                os.close(take(ring, 1)[0].result())
            else:
                unread = ring.submit(wait=1) > 0
        if world.chance(0.3) and not unread:
            with uring_rs.Ring(4) as other:
                other.register_files(4)
                ring.prep_msg_ring_fd(other, kept[0], direct=True)
                take(ring, 1)
                other.wait(1, timeout=0.001)
                other.reap()
        for each in kept:
            if world.chance():
                each.close()
            elif world.chance() and not unread:
                ring.prep_close(each)
                take(ring, 1)
        del each
        if world.chance():
            ring.prep_read(table[0], world.buffers[4], 0)
            ring.submit()
        if world.chance():
            ring.unregister_files() if not ring.in_flight else ring.close()
        if world.chance():
            ring.close()
        kept.clear()
        del ring, table
        return 8


@action
def registered_buffers(world: World) -> int:
    with dropping(), world.file() as fd:
        ring = uring_rs.Ring(16)
        held = ring.register_buffers([world.buffers[5], None, bytearray(1 << 16)])
        ring.prep_read_fixed(fd, held[0], 0, 1, user_data=world.token())
        check([cqe.res for cqe in take(ring, 1)] == [1])
        ring.register_buffers_update(1, [world.buffers[6]])
        if world.chance():
            ring.register_buffers_update(0, [None])
        if world.chance():
            ring.unregister_buffers()
            pool = ring.buffer_pool(4, 4096)
            taken = [pool.take() for _ in range(world.few(1, 4))]
            ring.prep_read_fixed(fd, taken[0], 0)
            ring.submit()
            with memoryview(taken[0]):
                ring.wait(1)
            del taken, pool
        if world.chance():
            ring.close()
        del ring, held
        return 3


@action
def aligned_pools(world: World) -> int:
    with uring_rs.Ring(8) as ring:
        pool = uring_rs.AlignedPool(4, 4096, register=ring if world.chance() else None)
        got = [pool.acquire() for _ in range(world.few(1, 4))]
        for each in got:
            if world.chance():
                pool.release(each)
        if world.chance():
            got.clear()
            del each
            pool.close()
        return len(got) + 1
