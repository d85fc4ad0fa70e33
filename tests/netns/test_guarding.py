"""The daemon's side with real processes: started, adopted, replaced, ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from bgpsvc import guarding
from bgpsvc.effects import Log
from bgpsvc.guard.model import Detection, Hello, Method, Plan, ToDaemon, Watch
from bgpsvc.guarding import Guarding
from tests.netns.guard_bench import PLAN, T1, Bench, watched
from tests.netns.namespaces import wait_until

WATCH = Watch((watched(1), watched(2)))


class Daemon:
    """A daemon with its guard; what it hears."""

    def __init__(self, bench: Bench) -> None:
        self.hellos: list[Hello] = []
        self.links: list[Detection] = []
        self.notes: list[Log] = []
        self.bench = bench
        self.guarding = Guarding(bench.state_dir, self._heard, self.notes.append)

    def _heard(self, message: ToDaemon) -> None:
        if isinstance(message, Hello):
            self.hellos.append(message)
        elif isinstance(message, Detection) and message.method is Method.LINK and message.tunnel == T1:
            self.links.append(message)

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        for _ in range(int(seconds * 100)):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not in {seconds} s: {what}; {self.notes} {self.bench.complaints()}")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


def run(bench: Bench, scenario: Callable[[Daemon], Awaitable[None]]) -> None:
    async def whole() -> None:
        daemon = Daemon(bench)
        await daemon.guarding.start(WATCH, PLAN)
        try:
            await scenario(daemon)
        finally:
            await daemon.guarding.stop(keep_running=False)

    with bench.here.entered():
        asyncio.run(whole())
    # Nobody answers any more; an interpreter that ends closes its sockets a moment before it is gone.
    wait_until(lambda: not bench.processes(), "it ends with the last daemon that wanted it to")


def test_outlives_the_daemon_and_is_adopted_by_the_next(bench: Bench) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = daemon.guarding.status()
        await daemon.until(lambda: daemon.links, "it is told of the link")
        await daemon.guarding.stop(keep_running=True)
        bench.far[0].ip("link set p1 down")
        other = Daemon(bench)
        await other.guarding.start(WATCH, Plan((), whole=True))
        try:
            # The kernel may tell of it up to a second late.
            await other.until(lambda: [one for one in other.links if not one.up], "it is told of the link")
            status = other.guarding.status()
            assert (status.pid, status.keeper) == (before.pid, before.keeper)
            assert status.since == pytest.approx(before.since, abs=0.1)
            assert (status.restarts, status.takeovers) == (0, 0)
            inside = os.stat(f"/proc/{status.pid}/ns/net").st_ino
            assert inside == os.fstat(bench.here.fd).st_ino
            assert other.guarding.ports == set(other.hellos[0].netlink_ports)
        finally:
            await other.guarding.stop(keep_running=True)

    run(bench, scenario)


def test_both_killed_or_both_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon starts another guard: at once when nobody answers, after a while when nobody speaks."""
    monkeypatch.setattr(guarding, "SILENT_SECONDS", 2)

    async def scenario(daemon: Daemon) -> None:
        for restarts, number in enumerate((signal.SIGKILL, signal.SIGSTOP), 1):
            before = daemon.guarding.status()
            both = [pid for pid in (before.keeper, before.pid) if pid is not None]
            for sent in (signal.SIGSTOP, number):  # stopped first, or one would replace the other in time
                for pid in both:
                    os.kill(pid, sent)
            await daemon.until(lambda n=restarts: len(daemon.hellos) > n, "another guard")  # type: ignore[misc]
            after = daemon.guarding.status()
            assert after.restarts == restarts
            assert {after.pid, after.keeper}.isdisjoint({before.pid, before.keeper})
            assert not {before.pid, before.keeper} & set(bench.processes())
        told = len(daemon.links)
        bench.far[0].ip("link set p1 down")
        await daemon.until(lambda: len(daemon.links) > told, "it knows what to watch")

    run(bench, scenario)


def test_a_takeover_is_no_restart(bench: Bench) -> None:
    async def scenario(daemon: Daemon) -> None:
        before = daemon.guarding.status()
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        await daemon.until(lambda: len(daemon.hellos) == 2, "another worker")
        after = daemon.guarding.status()
        assert (after.keeper, after.restarts, after.takeovers) == (before.keeper, 0, 1)
        assert after.last_exit == f"worker {before.pid} was killed by SIGKILL; another one goes on"
        assert [note.kind for note in daemon.notes] == ["guard.up", "guard.down", "guard.up"]

    run(bench, scenario)


def test_what_keeps_it_from_starting_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "START_PATIENCE", 60)
    (bench.state_dir / "guard.sock").mkdir()

    async def scenario(daemon: Daemon) -> None:
        assert not daemon.guarding.status().running
        assert "guard cannot start" in (daemon.guarding.status().last_exit or "")
        os.rmdir(bench.state_dir / "guard.sock")
        await daemon.until(lambda: daemon.guarding.status().running, "it is tried again")

    run(bench, scenario)
