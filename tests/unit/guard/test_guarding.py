"""The daemon's side of the guard, with one that a test speaks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bgpsvc import guarding
from bgpsvc.effects import Log
from bgpsvc.guard import launch
from bgpsvc.guard.model import (
    Candidate,
    Detection,
    GroupPlan,
    Hello,
    Method,
    Plan,
    Quit,
    Refused,
    ToDaemon,
    Watch,
    Watched,
)
from bgpsvc.guarding import Guarding
from bgpsvc.model import SessionId
from tests.fakes.guard import FakeGuard, greeting

T1 = SessionId("c-tunnel1")
WATCH = Watch((Watched(T1, "t1"),))
DOWN = Detection(T1, Method.BFD, False, "gone", 5.0, None, ((100, 2),))


def group(ident: int, nexthop: int = 1) -> GroupPlan:
    return GroupPlan(ident, (Candidate(nexthop, T1, True),))


class Daemon:
    def __init__(self, state_dir: Path) -> None:
        self.said: list[ToDaemon] = []
        self.notes: list[Log] = []
        self.guarding = Guarding(state_dir, self.said.append, self.notes.append)

    def kinds(self) -> list[str]:
        return [note.kind for note in self.notes]


@asynccontextmanager
async def met(tmp_path: Path, groups: int = 1) -> AsyncIterator[tuple[Daemon, FakeGuard]]:
    """A daemon that has found a guard, with some groups to plan for."""
    fake, daemon = FakeGuard(tmp_path), Daemon(tmp_path)
    try:
        plan = Plan(tuple(group(100 + i) for i in range(groups)), whole=True)
        await daemon.guarding.start(WATCH, plan)
        await fake.until(lambda: len(fake.groups) == groups, "the whole plan")
        yield daemon, fake
    finally:
        await daemon.guarding.stop(keep_running=True)
        await fake.close()


def run(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(scenario)


def test_tells_everything_and_hears_everything_on_each_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path, groups=450) as (daemon, fake):
            assert fake.watch == WATCH
            assert daemon.guarding.ports == {4711}
            fake.say(DOWN)
            daemon.guarding.plan(Plan((group(100, 7),), gone=(101,)))
            daemon.guarding.plan(Plan((group(100, 8),)))
            await fake.until(lambda: 101 not in fake.groups, "the change")
            assert fake.groups[100] == ((8, True),)
            assert [one.group for one in fake.heard[-1].groups] == [100], "the newest alone"  # type: ignore[union-attr]
            fake.groups.clear()
            fake.drop()
            await fake.until(lambda: len(fake.groups) == 449, "the whole plan again")
            assert (fake.connections, fake.groups[100]) == (2, ((8, True),))
            assert [type(one) for one in daemon.said] == [Hello, Detection, Hello]
            assert daemon.kinds() == ["guard.up", "guard.down", "guard.up"]
            assert daemon.guarding.status().restarts == 0

    run(scenario())


def test_what_it_has_said_already_is_heard_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (daemon, fake):
            fake.say(DOWN)
            daemon.guarding.read_now()
            assert daemon.said[-1] == DOWN

    run(scenario())


def test_a_new_plan_for_everything_and_another_keeper(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with met(tmp_path, groups=3) as (daemon, fake):
            daemon.guarding.plan(Plan((group(7),), whole=True))
            daemon.guarding.watch(Watch(()))
            await fake.until(lambda: fake.groups.keys() == {7}, "no other group")
            await fake.until(lambda: fake.watch == Watch(()), "no tunnel")
            fake.say(greeting(keeper=99))
            await fake.until(lambda: True, "")
            daemon.guarding.read_now()
            assert daemon.guarding.status().keeper == 99
            assert daemon.kinds() == ["guard.up"], "it is the same guard"

    run(scenario())


@pytest.mark.parametrize("quits", [True, False])
def test_stopping_leaves_it_running_or_has_it_quit(tmp_path: Path, quits: bool) -> None:
    async def scenario() -> None:
        async with met(tmp_path) as (daemon, fake):
            await daemon.guarding.stop(keep_running=not quits)
            await asyncio.sleep(0)
            assert fake.heard[-1:] == [Quit()] if quits else Quit() not in fake.heard
            assert daemon.kinds() == ["guard.up"], "that we stop is no failure of the guard"
            assert not daemon.guarding.status().running

    run(scenario())


HUNG, FOREIGN = "says nothing any more", "speaks another protocol"


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda fake: setattr(fake, "quiet", True), HUNG),
        (lambda fake: setattr(fake, "hello", greeting(protocol=99)), FOREIGN),
        (lambda fake: setattr(fake, "hello", Refused("no", "greeting")), FOREIGN),
        (lambda fake: setattr(fake, "nonsense", b"SSH-2.0-x\n"), FOREIGN),
    ],
)
def test_one_that_cannot_be_talked_to_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[FakeGuard], object], why: str
) -> None:
    """By a guard that is started, here another fake; the first one is ended by signals to its group."""
    monkeypatch.setattr(guarding, "SILENT_SECONDS", 1)
    signals: list[int] = []

    async def scenario() -> None:
        first = FakeGuard(tmp_path)
        break_it(first)
        others: list[FakeGuard] = []

        def end(_: object, number: int) -> None:
            signals.append(number)
            first._listener.close()
            first.drop()

        def start(state_dir: Path) -> object:
            others.append(FakeGuard(state_dir))
            return Running()

        monkeypatch.setattr(launch, "signal_all", end)
        monkeypatch.setattr(launch, "launch", start)
        daemon = Daemon(tmp_path)
        await daemon.guarding.start(WATCH, Plan((), whole=True))
        await others[0].until(lambda: others[0].watch, "the new one is told")
        assert [note.message for note in daemon.notes if why in note.message]
        assert daemon.guarding.status().running
        assert signals
        await daemon.guarding.stop(keep_running=True)
        for fake in (first, *others):
            await fake.close()

    run(scenario())


class Running:
    """A process that was started."""

    running = True

    def release(self) -> None:
        pass


def test_without_a_guard_everything_else_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be started is tried again later and later; the daemon starts all the same."""
    monkeypatch.setattr(guarding, "START_PATIENCE", 0.1)
    tried: list[Path] = []

    def refuse(state_dir: Path) -> object:
        tried.append(state_dir)
        raise PermissionError(13, "not allowed")

    monkeypatch.setattr(launch, "launch", refuse)

    async def scenario() -> None:
        daemon = Daemon(tmp_path)
        await daemon.guarding.start(WATCH, Plan((), whole=True))
        assert tried
        status = daemon.guarding.status()
        assert (status.running, status.pid, status.last_exit) == (False, None, "[Errno 13] not allowed")
        assert daemon.kinds()[0] == "guard.error"
        daemon.guarding.plan(Plan((group(1),)))
        daemon.guarding.read_now()
        failing = asyncio.create_task(daemon.guarding.failed())
        await asyncio.sleep(0)
        assert not failing.done()
        failing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await failing
        await daemon.guarding.stop(keep_running=False)

    run(scenario())


def test_a_guard_that_does_not_read_is_waited_for(tmp_path: Path) -> None:
    """Nothing blocks, nothing is lost, and only the newest plan of a group is sent."""

    async def scenario() -> None:
        async with met(tmp_path) as (daemon, fake):
            assert fake._writer is not None
            transport = fake._writer.transport
            assert isinstance(transport, asyncio.ReadTransport)
            transport.pause_reading()
            for number in range(30):
                daemon.guarding.plan(Plan(tuple(group(i, number) for i in range(400))))
                await asyncio.sleep(0)
            heard = len(fake.heard)
            transport.resume_reading()
            await fake.until(lambda: len(fake.groups) == 400, "all groups")
            await fake.until(lambda: all(fake.groups[i] == ((29, True),) for i in range(400)), "the newest")
            assert len(fake.heard) - heard < 30

    run(scenario())
