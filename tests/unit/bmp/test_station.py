"""A station over TCP: connected again and again, told everything, never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bgpsvc.bmp import backlog
from bgpsvc.bmp import station as module
from bgpsvc.bmp.options import BmpOptions
from bgpsvc.bmp.plan import Plan
from bgpsvc.bmp.station import Station
from bgpsvc.bmp.wire import Rib
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.events import Announced, Event, SessionDown
from bgpsvc.model import SessionId, pack_prefix
from bgpsvc.tap import Tap
from tests.fakes.bmp_collector import LOC, PRE, Collector
from tests.unit.support import T1, engine, path, prefixes, up

PATIENCE = 30.0


class Rig:
    """An engine with a tap, and a collector that listens; `reading` may be cleared."""

    def __init__(self) -> None:
        self.engine: Engine = engine(max_prefixes=2_000_000)
        self.tap = Tap(self.engine)
        self.notes: list[Log] = []
        self.collectors: list[Collector] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.port = 0

    def handle(self, *events: Event) -> None:
        for event in events:
            self.engine.handle(event, 1.0)
        self.tap.heard(events, 1.0)

    async def serve(self) -> asyncio.Server:
        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            collector = Collector()
            self.collectors.append(collector)
            with contextlib.suppress(OSError):
                while True:
                    await self.reading.wait()
                    data = await reader.read(4096)
                    if not data:
                        break
                    collector.feed(data)
            writer.close()

        server = await asyncio.start_server(met, "127.0.0.1", self.port, limit=4096)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def station(self) -> Station:
        options = BmpOptions((("127.0.0.1", self.port),), frozenset({Rib.PRE_POLICY, Rib.LOC_RIB}), 0.05)
        return Station(options.stations[0], options, self.engine, self.tap, 0.0, self.notes.append)

    def kinds(self) -> list[str]:
        return [note.kind for note in self.notes]


async def until(condition: Callable[[], object], what: str) -> None:
    """The loop runs until it holds; it looks again after each turn of a few milliseconds."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE} s: {what}") from None


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Station]:
    made = rig.station()
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_everything_is_told_and_told_again_to_one_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(module, "BACKOFF_MOST", 0.01)

    async def go() -> None:
        rig = Rig()
        up(rig.engine, T1, 1.0, "192.168.0.0/16")
        server = await rig.serve()
        async with running(rig) as station:
            await until(lambda: rig.collectors and rig.collectors[0].of(LOC), "the first dump")
            rig.handle(Announced(T1, path(T1), prefixes("172.16.0.0/12")))
            (first,) = rig.collectors
            wanted = {*prefixes("192.168.0.0/16", "172.16.0.0/12")}
            await until(lambda: any(set(t) == wanted for t in first.of(PRE).values()), "the change")
            await until(lambda: len(first.statistics) == 2, "statistics of the session and the Loc-RIB")
            assert station.view().peers == 2
            server.close()
            rig.handle(SessionDown(T1, "test"))
            await until(lambda: first.downs, "Peer Down")
        assert first.terminated == (0, "the daemon stops")
        server = await rig.serve()
        rig.engine.handle(SessionDown(T1, "test"), 1.0)
        async with running(rig):
            await until(lambda: len(rig.collectors) == 2 and rig.collectors[1].peers, "another connection")
            assert [key[0] for key in rig.collectors[1].peers] == [3], "the session is down"
        assert rig.kinds() == ["bmp.connected", "bmp.connected"]
        server.close()

    asyncio.run(go())


def test_one_that_cannot_be_reached_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(module, "BACKOFF_MOST", 0.01)

    async def go() -> None:
        rig = Rig()
        server = await rig.serve()
        server.close()
        await server.wait_closed()
        async with running(rig) as station:
            await until(lambda: station.view().last_error, "an error")
            first = station.view().last_error_at
            await until(lambda: station.view().last_error_at != first, "another attempt")
            assert "no connection" in (station.view().last_error or "")
            server = await rig.serve()
            await until(lambda: station.view().state == "connected", "it is connected")
            assert rig.kinds() == ["bmp.disconnected", "bmp.connected"]
            server.close()

    asyncio.run(go())


def test_one_that_does_not_read_is_given_up_and_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(module, "STALL", 0.5)
    monkeypatch.setattr(module, "WRITE_BUFFER", 4096)
    monkeypatch.setattr(backlog, "MOST", 20_000)

    async def go() -> None:
        rig = Rig()
        up(rig.engine, T1, 1.0)
        server = await rig.serve()
        rig.reading.clear()
        async with running(rig) as station:
            await until(lambda: station.view().peers == 2, "Peer Up")
            number = 0
            while station.view().state == "connected" and number < 3_000_000:
                some = tuple(
                    pack_prefix(((20 << 24) + (n << 8)).to_bytes(4, "big"), 24)
                    for n in range(number % 40_000, number % 40_000 + 1000)
                )
                number += 1000
                rig.handle(Announced(SessionId(T1), path(T1, 65500, number), some))
                assert station.view().pending <= 2 * (20_000 + 1000)
                await asyncio.sleep(0)
            error = station.view().last_error or ""
            assert "did not read" in error or "read too slowly" in error
            rig.reading.set()
            routes = rig.engine.sessions[T1].adj.fresh
            await until(
                lambda: any(t == routes for c in rig.collectors[1:] for t in c.of(PRE).values()),
                "another connection has everything",
            )
        server.close()

    asyncio.run(go())


def test_a_mistake_of_ours_ends_the_connection_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    step = Plan.step
    mistakes = [KeyError("a mistake")]

    def mistaken(plan: Plan) -> list[bytes] | None:
        if mistakes:
            raise mistakes.pop()
        return step(plan)

    monkeypatch.setattr(Plan, "step", mistaken)

    async def go() -> None:
        rig = Rig()
        up(rig.engine, T1, 1.0, "192.168.0.0/16")
        server = await rig.serve()
        async with running(rig) as station:
            await until(lambda: any(c.of(LOC) for c in rig.collectors), "another connection has everything")
            assert "see its log: KeyError" in (station.view().last_error or "")
        server.close()

    asyncio.run(go())


def test_a_plan_that_the_tap_dropped_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(module, "SURVEY", 3600)  # only being dropped wakes it
    noted = Plan.routes_changed
    mistakes = [KeyError("a mistake")]

    def mistaken(*arguments: Any) -> None:
        if mistakes:
            raise mistakes.pop()
        noted(*arguments)

    monkeypatch.setattr(Plan, "routes_changed", mistaken)

    async def go() -> None:
        rig = Rig()
        up(rig.engine, T1, 1.0)
        server = await rig.serve()
        async with running(rig) as station:
            await until(lambda: station.view().peers == 2, "Peer Up")
            rig.handle(Announced(T1, path(T1), prefixes("172.16.0.0/12")))
            await until(lambda: any(c.of(PRE) for c in rig.collectors), "another connection has everything")
        server.close()

    asyncio.run(go())


def test_a_name_server_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the attempt, which is told to have failed, nor the end of the process."""
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.05)
    answered, gave_up = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        if not answered.wait(PATIENCE):
            gave_up.set()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def go() -> None:
        rig = Rig()
        options = BmpOptions((("monitor.example", 1790),))
        station = Station(options.stations[0], options, rig.engine, rig.tap, 0.0, rig.notes.append)
        task = asyncio.create_task(station.run())
        await until(lambda: station.view().last_error, "the attempt failed")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        asyncio.run(go())
        assert not gave_up.is_set()
    finally:
        answered.set()
