"""Churn of rings: made in every way, used, resized, ended in every way."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any

import uring_rs
from uring_rs import SetupFlags, SqeFlags

from .world import CONTENT, Abandon, World, action, check, dropping, finish, take

DEFERRED = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN
WAYS: list[dict[str, Any]] = [
    {},
    {"shared": True},
    {"flags": 0},
    {"flags": SetupFlags.SUBMIT_ALL},
    {"flags": SetupFlags.CLAMP},
    {"flags": DEFERRED},
    {"flags": DEFERRED | SetupFlags.TASKRUN_FLAG},
    {"flags": SetupFlags.COOP_TASKRUN},
    {"flags": SetupFlags.COOP_TASKRUN | SetupFlags.TASKRUN_FLAG},
    {"flags": SetupFlags.SINGLE_ISSUER},
    {"flags": SetupFlags.R_DISABLED},
    {"flags": DEFERRED | SetupFlags.SQE128},
    {"flags": DEFERRED | SetupFlags.CQE32},
    {"flags": SetupFlags.CQE_MIXED},
    {"flags": SetupFlags.SQE128 | SetupFlags.CQE32},
    {"flags": DEFERRED | SetupFlags.NO_MMAP},
    {"flags": DEFERRED | SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY},
    {"flags": SetupFlags.NO_SQARRAY},
    {"sqpoll_idle_ms": 1},
    {"sqpoll_idle_ms": 20, "shared": True},
    {"sqpoll_idle_ms": 5, "sqpoll_cpu": 0},
    {"cq_entries": 64},
    {"wait_region": True},
    {"sq_full": "raise"},
]
ENDS = ("close", "with", "drop", "exception", "deadline", "unread")


def make(world: World, **more: Any) -> uring_rs.Ring:
    """A ring made in one of all ways."""
    way = {**world.rng.choice(WAYS), **more}
    ring = uring_rs.Ring(world.rng.choice((1, 4, 16, 64)), **way)
    if way.get("flags", 0) & SetupFlags.R_DISABLED:
        ring.enable()
    return ring


def use(world: World, ring: uring_rs.Ring) -> int:
    """Tokens come back, data is right."""
    count, token = min(world.few(), ring.sq_entries), world.token()
    for number in range(count):
        ring.prep_nop(token, result=number)
    found = take(ring, count)
    check(sorted(cqe.res for cqe in found) == list(range(count)), found)
    check(all(cqe.user_data is token for cqe in found), found)
    with world.file() as fd:
        size = min(os.fstat(fd).st_size, 1000)
        buf = bytearray(size)
        ring.prep_read(fd, buf, 0, user_data=token)
        check([cqe.res for cqe in take(ring, 1)] == [size])
        check(buf == CONTENT[:size], "data")
    return count + 1


def _resizable(ring: uring_rs.Ring) -> bool:
    wanted = SetupFlags.DEFER_TASKRUN | SetupFlags.NO_SQARRAY
    return ring.flags & wanted == wanted and not ring.flags & SetupFlags.NO_MMAP


def stage(world: World, ring: uring_rs.Ring) -> None:
    """Something that is not submitted. A ring may be one that refuses when it is full."""
    if ring.sq_space:
        ring.prep_nop(world.token())


def end(world: World, ring: uring_rs.Ring, how: str) -> None:
    """What is in flight is cancelled and waited for, however it ends."""
    if how == "drop":
        return
    if how == "exception":
        try:
            with ring:
                stage(world, ring)
                raise Abandon
        except Abandon:
            return
    if how == "with":
        with ring:
            stage(world, ring)
        return
    ring.close(timeout=30 if how == "deadline" else None)
    if how == "unread":
        check(all(cqe.res is not None for cqe in ring.reap()), "a completion without a result")


@action
def rings(world: World) -> int:
    with dropping(), world.pipe() as (reader, _):
        ring = make(world)
        done = use(world, ring)
        if world.chance(0.3) and _resizable(ring):
            ring.resize(world.rng.choice((8, 32, 128)))
            done += use(world, ring)
        waiting = min(world.few(0, 3), ring.sq_entries)
        for buf in world.buffers[:waiting]:
            ring.prep_read(reader, buf, user_data=world.token())
        if world.chance():
            ring.submit()
            done += waiting
        end(world, ring, world.rng.choice(ENDS))
        del ring
    return done


@action
def many_rings(world: World) -> int:
    """Some at a time, ended in another order than they were made."""
    with dropping():
        rings = [make(world) for _ in range(world.few(2, 12))]
        done = 0
        world.rng.shuffle(rings)
        for ring in rings:
            done += use(world, ring)
        while rings:
            end(world, rings.pop(), world.rng.choice(ENDS))
    return done


@action
def attached(world: World) -> int:
    """Rings that share workers, and registered buffers."""
    with uring_rs.Ring(8) as first, uring_rs.Ring(8, attach_to=first) as second:
        first.register_buffers([world.buffers[0]])
        second.clone_buffers(first)
        done = use(world, first) + use(world, second)
        if world.chance():
            second.unregister_buffers()
        return done


@action
def chains(world: World) -> int:
    """Links that hold, break, time out; drains; everything is accounted for."""
    done = 0
    with uring_rs.Ring(32) as ring, world.pipe() as (reader, writer):
        for _ in range(world.few(1, 4)):
            token = world.token()
            ring.prep_nop(token, flags=SqeFlags.IO_LINK)
            ring.prep_nop(token, result=-5, flags=SqeFlags.IO_LINK)
            ring.prep_nop(token)
            ring.prep_nop(token, result=-5, flags=SqeFlags.IO_HARDLINK)
            ring.prep_nop(token, flags=SqeFlags.IO_DRAIN if world.chance() else 0)
            found = sorted(cqe.res for cqe in take(ring, 5))
            check(found == [-125, -5, -5, 0, 0], found)
            done += 5
        buf = world.buffers[0]
        ring.prep_read(reader, buf, user_data=world.token(), flags=SqeFlags.IO_LINK)
        ring.prep_link_timeout(0.001, user_data=world.token())
        check(sorted(cqe.res for cqe in take(ring, 2)) == [-125, -62])
        ring.prep_read(reader, buf, user_data=world.token(), flags=SqeFlags.IO_LINK)
        ring.prep_link_timeout(30, user_data=world.token())
        os.write(writer, b"abc")
        check(sorted(cqe.res for cqe in take(ring, 2)) == [-125, 3])
        return done + 4


@action
def cancels(world: World) -> int:
    """Each way of cancelling, in each order with what completes by itself."""
    done = 0
    with make(world, cq_entries=256) as ring, world.pipe() as (reader, writer):
        for _ in range(world.few(1, 6)):
            if ring.sq_entries < 4:
                break
            token, buf = world.token(), world.rng.choice(world.buffers)
            request = ring.prep_read(reader, buf, user_data=token)
            timer = ring.prep_timeout(30, user_data=token)
            if world.chance():
                ring.submit()
            how = world.few(0, 5)
            if how == 0:
                ring.prep_cancel(request)
            elif how == 1:
                ring.prep_cancel_fd(reader, all=True)
            elif how == 2:
                ring.prep_cancel_op("READ", all=True)
            elif how == 3:
                ring.submit()
                ring.cancel_sync(request)
            elif how == 4:
                os.write(writer, b"x")
            ring.prep_timeout_remove(timer)
            ring.submit(wait=1, timeout=1)
            done += 4
            if world.chance():
                done += finish(ring)
        return done + finish(ring)


@action
def timeouts(world: World) -> int:
    with uring_rs.Ring(16) as ring:
        ring.prep_timeout(ns=1000, multishot=True, count=world.few(2, 6), user_data=world.token())
        ring.prep_timeout(0.001, user_data=world.token())
        update = ring.prep_timeout(60, user_data=world.token())
        ring.submit()
        ring.prep_timeout_update(update, 0.002)
        for _ in range(500):
            ring.wait(1, timeout=1)
            if not [cqe for cqe in ring if cqe.more] and not ring.in_flight:
                break
        return 4 + finish(ring)


@action
def overflow(world: World) -> int:
    """More completions than the queue holds: none is lost."""
    with uring_rs.Ring(2, cq_entries=2) as ring, world.pipe() as (reader, writer):
        ring.prep_poll_add(reader, select.POLLIN, multishot=True, user_data=world.token())
        ring.submit()
        sent, count = 0, world.few(10, 60)
        with uring_rs.Ring(64, cq_entries=256) as other:
            for number in range(count):
                other.prep_msg_ring(ring, res=number, data=number)
            sent = sum(cqe.res == 0 for cqe in take(other, count))
        os.write(writer, b"x")
        got = []
        for _ in range(1000):
            if len(got) >= sent:
                break
            ring.submit(wait=1, timeout=1)
            got += [cqe.res for cqe in ring if cqe.op == "MSG_RING"]
        check(sorted(got) == list(range(sent)), "messages", sent, got)
        return 2 * count + finish(ring)


@action
def entries_again(world: World) -> int:
    """Entries made once and pushed often, and those that are armed again."""
    with uring_rs.Ring(16) as ring, world.file() as fd:
        token, buf = world.token(), world.buffers[1]
        sqes = [uring_rs.Sqe.nop(token), uring_rs.Sqe.read(fd, buf, 0, user_data=token)]
        done = 0
        for _ in range(world.few()):
            ring.push_many(sqes)
            ring.push(sqes[1])
            done += len(take(ring, 3))
        ring.push_many(sqes)
        ring.discard()
        return done


@action
def batches(world: World) -> int:
    """Whole columns of requests in one call."""
    with uring_rs.Ring(64) as ring, world.file() as fd:
        size = os.fstat(fd).st_size
        count = world.few(1, 200)
        offsets = [world.rng.randrange(size) for _ in range(count)]
        bufs = [bytearray(1) for _ in range(count)]
        check(list(ring.run_reads(fd, bufs, offsets)) == [1] * count)
        check([buf[0] for buf in bufs] == [offset % 256 for offset in offsets])
        ring.run_writes(fd, bufs, offsets)
        ring.run_nops(count)
        array = uring_rs.CqeArray(256)
        staged = ring.prep_nop_batch(min(count, 60), tag=7)
        ring.submit(wait=staged)
        check(ring.reap_into(array) == staged)
        if world.chance(0.2):
            with contextlib.suppress(OverflowError, ValueError):
                ring.run_reads(fd, bufs, [*offsets[:-1], 2**70])
        return 3 * count + staged


@action
def oddments(world: World) -> int:
    """Event descriptors, personalities, restrictions, regions, a watched ring."""
    with make(world) as ring:
        done = 0
        eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        try:
            ring.register_eventfd(eventfd)
            done += use(world, ring)
            ring.unregister_eventfd()
        finally:
            os.close(eventfd)
        with ring.register_personality() as personality:
            ring.prep_nop(world.token(), personality=personality)
            done += len(take(ring, 1))
        ring.register_iowq_max_workers(2, 2)
        if ring.flags & SetupFlags.REGISTERED_FD_ONLY:
            return done
        with uring_rs.Ring(4) as watcher:
            watcher.prep_poll_add(ring, select.POLLIN, user_data=world.token())
            watcher.submit()
            ring.prep_nop()
            ring.submit(wait=1)
            ring.reap()
            done += 1
    return done
