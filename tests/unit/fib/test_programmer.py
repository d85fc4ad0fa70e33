"""The programmer over a kernel whose routes a test lets through: what waits, and what is in doubt."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest

from bgpsvc import programmer
from bgpsvc.bulk import grouped
from bgpsvc.effects import Log
from bgpsvc.fib.ops import (
    METRIC_PRIMARY,
    DeleteNexthop,
    DeleteRoutes,
    NexthopGone,
    Op,
    OpError,
    RouteGone,
    SetNexthop,
    SetRoutes,
    TableRoutes,
)
from bgpsvc.fib.plan import Fib
from bgpsvc.fib.table import RouteTable, Target
from bgpsvc.model import Family, Prefix, parse_prefix
from bgpsvc.programmer import Programmer
from tests.fakes.kernel import FakeKernel

TABLE, HOP1, HOP2, GROUP = 1000, 0x20000001, 0x20000002, 0x28000001
TEN, ELEVEN = parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8")


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class SlowKernel(FakeKernel):
    """Routes wait before and after they are set, until a test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = threading.Semaphore(0), threading.Semaphore(0)
        self.sent, self.worked = threading.Event(), threading.Event()
        self.error: OSError | None = None
        self.reads = 0

    def apply_routes(self, ops: Sequence[SetRoutes | DeleteRoutes]) -> list[OpError]:
        self.sent.set()
        assert self.before.acquire(timeout=60)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        errors = self.apply(ops)
        self.worked.set()
        assert self.after.acquire(timeout=60)
        return errors

    def all_routes(self) -> dict[int, TableRoutes]:
        self.reads += 1
        return super().all_routes()

    def let_go(self, batches: int = 1000) -> None:
        """So many batches go through without waiting."""
        self.before.release(batches)
        self.after.release(batches)


class World:
    """A gateway's table over two tunnels; `wanted` is what its prefixes should lead to."""

    def __init__(self) -> None:
        self.kernel, self.fib, self.log = SlowKernel(), Fib(), list[Log]()
        for name, third in (("t1", 10), ("t2", 20)):
            self.kernel.add_link(name, f"169.254.{third}.1/30")
        self.kernel.read()
        self.wanted: dict[Prefix, int] = {}
        self.programmer = Programmer(self.kernel, self.fib, self.log.append, lambda tables: None)
        self.table: RouteTable = self.fib.add_table(TABLE, self.desired)
        self.fib.release(self.table)
        for number, ident in enumerate((HOP1, HOP2), start=1):
            gateway = bytes((169, 254, 10 * number, 2))
            self.fib.want_nexthop(SetNexthop(ident, Family.IPV4, number + 1, gateway), ident)
        self.fib.want_group(GROUP, HOP1)

    def desired(self, prefixes: Sequence[Prefix]) -> Mapping[Target, Collection[Prefix]]:
        return grouped(prefixes, ((self.wanted.get(p), None) for p in prefixes))

    def want(self, *prefixes: Prefix) -> None:
        self.wanted.update(dict.fromkeys(prefixes, GROUP))
        self.table.mark(prefixes)
        self.programmer.wake()

    def unwant(self, *prefixes: Prefix) -> None:
        for prefix in prefixes:
            del self.wanted[prefix]
        self.table.mark(prefixes)
        self.programmer.wake()

    def hear(self) -> None:
        """What the kernel tells reaches the FIB."""
        for notice in self.kernel.read():
            if isinstance(notice, NexthopGone):
                self.fib.nexthops_gone([notice.id])
            elif isinstance(notice, RouteGone):
                self.fib.route_gone(notice.table, notice.prefix, notice.metric)
        self.programmer.switch()

    def leads_to(self) -> tuple[int, ...]:
        return next(n.members for n in self.kernel.nexthops() if n.id == GROUP)

    async def until_settled(self) -> None:
        """Until the kernel has what is wanted, and the mirror knows."""
        await until(lambda: not self.fib.queued and self.table.primary == self.wanted)
        found = {p: i for (p, metric), i in self.kernel.routes(TABLE).items() if metric == METRIC_PRIMARY}
        assert found == self.wanted

    async def happened(self, event: threading.Event) -> None:
        assert await asyncio.to_thread(event.wait, 60)


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def in_a_loop(*args: Any, **more: Any) -> None:
        asyncio.run(test(*args, **more))

    return in_a_loop


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.programmer.run())
    try:
        yield world
    finally:
        task.cancel()
        world.kernel.let_go()
        await asyncio.gather(task, return_exceptions=True)
        world.programmer.close()


@scenario
async def test_a_switch_waits_for_no_batch() -> None:
    async with running() as world:
        world.want(TEN, ELEVEN)
        await world.happened(world.kernel.sent)
        world.fib.want_group(GROUP, HOP2)
        world.programmer.switch()
        assert world.leads_to() == (HOP2,), "while the routes are still on their way"
        assert not world.table.primary
        world.kernel.let_go()
        await world.until_settled()


@scenario
async def test_a_switch_before_a_reading_does_not_wait_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to move while notifications were lost and a batch is still under way."""
    async with running() as world:
        world.want(TEN)
        await world.happened(world.kernel.sent)
        reading, go_on = threading.Event(), threading.Event()

        def dumped() -> dict[int, TableRoutes]:
            reading.set()
            assert go_on.wait(60)
            return FakeKernel.all_routes(world.kernel)

        monkeypatch.setattr(world.kernel, "all_routes", dumped)
        world.programmer.reload("notifications were lost")
        world.fib.want_group(GROUP, HOP2)
        world.programmer.switch()
        world.kernel.let_go()
        await world.happened(reading)
        assert world.leads_to() == (HOP2,)
        go_on.set()
        await world.until_settled()


@scenario
async def test_one_batch_at_a_time_and_nothing_is_collected_meanwhile() -> None:
    async with running() as world:
        world.want(TEN)
        await world.happened(world.kernel.sent)
        world.kernel.sent.clear()
        world.want(ELEVEN)
        world.fib.want_nexthop(None, HOP2)
        for _ in range(20):
            world.programmer.switch()
            await asyncio.sleep(0)
        assert not world.kernel.sent.is_set()
        assert HOP2 in {nexthop.id for nexthop in world.kernel.nexthops()}
        world.kernel.let_go()
        await world.until_settled()
        await until(lambda: HOP2 not in {nexthop.id for nexthop in world.kernel.nexthops()})


@pytest.mark.parametrize("told_early", [True, False])
@pytest.mark.parametrize("set_first", [True, False])
@scenario
async def test_a_nexthop_that_goes_while_its_routes_are_under_way(set_first: bool, told_early: bool) -> None:
    """Before or after the kernel had them, told before or after they are back: they are set again."""
    async with running() as world:
        world.want(TEN, ELEVEN)
        await world.happened(world.kernel.sent)
        if set_first:
            world.kernel.before.release()
            await world.happened(world.kernel.worked)
        world.kernel.delete_nexthop(GROUP)
        if told_early:
            world.hear()
        world.kernel.let_go()
        if not told_early:
            await until(lambda: "set_route" in world.programmer.counters.operations)
            world.hear()
        # At once, and not when everything that the kernel refused is tried again.
        await world.until_settled()


@pytest.mark.parametrize("wanted", [True, False])
@scenario
async def test_a_route_that_somebody_deletes_while_it_is_under_way(wanted: bool) -> None:
    async with running() as world:
        world.want(TEN, ELEVEN)
        await world.happened(world.kernel.sent)
        world.kernel.before.release()
        await world.happened(world.kernel.worked)
        world.kernel.delete_route(TABLE, TEN, METRIC_PRIMARY)
        world.hear()
        if not wanted:
            world.unwant(TEN)
        world.kernel.let_go()
        await world.until_settled()


@scenario
async def test_a_table_that_nobody_wants_any_more_while_a_route_is_under_way_to_it() -> None:
    async with running() as world:
        world.want(TEN)
        await world.happened(world.kernel.sent)
        world.fib.retire(TABLE)
        world.kernel.let_go()
        await until(lambda: TABLE not in world.fib.tables)
        assert not world.kernel.routes(TABLE)


@scenario
async def test_a_table_that_becomes_somebody_elses_while_a_route_is_under_way_to_it() -> None:
    async with running() as world:
        world.want(TEN)
        await world.happened(world.kernel.sent)
        world.wanted = {ELEVEN: GROUP}
        table = world.fib.add_table(TABLE, lambda prefixes: world.desired(prefixes))
        table.mark([ELEVEN])
        world.kernel.let_go()
        await world.until_settled()


@scenario
async def test_a_group_that_goes_and_comes_again_while_an_unwanted_route_is_under_way() -> None:
    """The route may have come after that: it is deleted, although it may be gone."""
    async with running() as world:
        world.want(TEN, ELEVEN)
        await world.happened(world.kernel.sent)
        world.kernel.delete_nexthop(GROUP)
        world.hear()
        assert world.leads_to() == (HOP1,)
        world.unwant(TEN)
        world.kernel.let_go()
        await world.until_settled()


@scenario
async def test_a_kernel_that_does_not_take_routes_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programmer, "RETRY_INTERVAL", 0.01)
    async with running() as world:
        world.kernel.error = OSError(errno.ETIMEDOUT, "the kernel did not answer")
        world.want(TEN)
        world.kernel.let_go()
        await world.until_settled()
        assert (world.kernel.reads, [entry.kind for entry in world.log]) == (1, ["fib.error"])
        assert "did not answer" in world.log[0].message


@scenario
async def test_what_the_kernel_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programmer, "RETRY_INTERVAL", 0.01)
    async with running() as world:
        world.kernel.refused[TEN] = (errno.ENOMEM, "Cannot allocate memory")
        world.kernel.let_go()
        world.want(TEN, ELEVEN)
        await until(lambda: (TEN, METRIC_PRIMARY) in world.table.failed)
        assert world.programmer.counters.errors["set_route"] == 1
        world.kernel.refused.clear()
        await world.until_settled()


@scenario
async def test_what_the_kernel_does_not_delete_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, refusing = 0, True

    def apply(ops: Sequence[Op]) -> list[OpError]:
        nonlocal attempts
        if refusing and any(isinstance(op, DeleteNexthop) for op in ops):
            attempts += 1
            assert attempts < 1000, "nobody else has a turn"
            return [OpError(op, errno.ENOMEM, "Cannot allocate memory") for op in ops]
        return FakeKernel.apply(world.kernel, ops)

    async with running() as world:
        world.kernel.let_go()
        world.want(TEN)
        await world.until_settled()
        monkeypatch.setattr(programmer, "RETRY_INTERVAL", 0.05)
        monkeypatch.setattr(world.kernel, "apply", apply)
        world.fib.want_nexthop(None, HOP2)
        world.programmer.wake()
        await until(lambda: attempts)
        refusing = False
        await until(lambda: HOP2 not in world.fib.nexthops)
        assert not world.fib.failed_ids


@scenario
async def test_a_defect_of_the_thread_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.kernel, "apply_routes", lambda ops: ops.missing)
    world.want(TEN)
    with pytest.raises(AttributeError):
        await asyncio.wait_for(world.programmer.run(), 60)
    world.programmer.close()


@scenario
async def test_stopping_waits_for_the_batch_that_is_under_way() -> None:
    world = World()
    task = asyncio.create_task(world.programmer.run())
    world.want(TEN)
    await world.happened(world.kernel.sent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    closing = asyncio.create_task(asyncio.to_thread(world.programmer.close))
    await asyncio.wait([closing], timeout=0.05)
    assert not closing.done()
    world.kernel.let_go()
    await asyncio.wait_for(closing, 60)
    assert (TEN, METRIC_PRIMARY) in world.kernel.routes(TABLE)


@pytest.mark.parametrize("wanted", [True, False])
@scenario
async def test_what_goes_while_the_state_is_read_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """The dump may have been taken before: its routes over a group that went are set again, or deleted."""
    async with running() as world:
        world.kernel.let_go()
        world.want(TEN, ELEVEN)
        await world.until_settled()
        reading, told = threading.Event(), threading.Event()

        def dumped() -> dict[int, TableRoutes]:
            found = FakeKernel.all_routes(world.kernel)
            reading.set()
            assert told.wait(60)
            return found

        monkeypatch.setattr(world.kernel, "all_routes", dumped)
        world.programmer.reload("notifications were lost")
        await world.happened(reading)
        world.kernel.delete_nexthop(GROUP)
        world.hear()
        if not wanted:
            world.unwant(TEN)
        told.set()
        await until(lambda: world.log)
        await world.until_settled()
        assert world.leads_to() == (HOP1,)
        assert [entry.message for entry in world.log] == ["notifications were lost"]


@scenario
async def test_what_went_before_the_nexthops_were_read_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that goes between the two dumps takes routes of the first with it, and nothing tells of it."""
    async with running() as world:
        world.kernel.let_go()
        world.want(TEN, ELEVEN)
        await world.until_settled()

        def dumped() -> dict[int, TableRoutes]:
            found = FakeKernel.all_routes(world.kernel)
            world.kernel.carrier_lost(2)
            world.kernel.carrier_found(2)
            return found

        monkeypatch.setattr(world.kernel, "all_routes", dumped)
        world.programmer.reload("notifications were lost")
        await until(lambda: world.log)
        monkeypatch.undo()
        world.fib.verify(world.kernel.nexthops())
        world.programmer.wake()
        await world.until_settled()
        assert world.leads_to() == (HOP1,)
