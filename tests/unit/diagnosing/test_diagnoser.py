"""Diagnoses at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bgpsvc.diagnosing import diagnoser as module
from bgpsvc.diagnosing.collect import TunnelGone
from bgpsvc.diagnosing.diagnoser import Diagnoser
from bgpsvc.diagnosing.evidence import Evidence
from tests.unit.diagnosing.cases import WORKS


class Slow:
    """Stands for the gathering of evidence: counts, and waits until it is let go."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, _sources: Any, ident: str) -> Evidence:
        self.began.append(ident)
        await self.go.wait()
        return replace(WORKS, tunnel=ident, number=int(ident[-1]))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr(module, "collect", made)
    return made


def subject() -> tuple[Diagnoser, dict[str, None]]:
    """And the tunnels that there are."""
    tunnels = dict.fromkeys(("c-tunnel1", "c-tunnel2"))
    engine: Any = SimpleNamespace(tunnels=tunnels)
    guardian: Any = None
    return Diagnoser(engine, 0.0, lambda _: None, lambda _: None, guardian), tunnels


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_who_asks_meanwhile_shares_the_run(slow: Slow) -> None:
    async def scenario() -> None:
        diagnoser, _ = subject()
        first, second = (asyncio.create_task(diagnoser.diagnose("c", None)) for _ in range(2))
        await turns()
        assert slow.began == ["c-tunnel1", "c-tunnel2"]
        first.cancel()
        await turns()
        slow.go.set()
        found = await second
        assert [tunnel.tunnel for tunnel in found.tunnels] == ["c-tunnel1", "c-tunnel2"]
        await diagnoser.diagnose("c", None)
        assert len(slow.began) == 4

    asyncio.run(scenario())


def test_another_question_about_the_connection_waits(slow: Slow) -> None:
    async def scenario() -> None:
        diagnoser, _ = subject()
        whole = asyncio.create_task(diagnoser.diagnose("c", None))
        await turns()
        one = asyncio.create_task(diagnoser.diagnose("c", 2))
        await turns()
        assert slow.began == ["c-tunnel1", "c-tunnel2"]
        slow.go.set()
        await whole
        assert [tunnel.tunnel for tunnel in (await one).tunnels] == ["c-tunnel2"]

    asyncio.run(scenario())


def test_what_is_deleted_while_it_waits_is_gone(slow: Slow) -> None:
    async def scenario() -> None:
        diagnoser, tunnels = subject()
        whole = asyncio.create_task(diagnoser.diagnose("c", None))
        await turns()
        one = asyncio.create_task(diagnoser.diagnose("c", 2))
        await turns()
        del tunnels["c-tunnel2"]
        slow.go.set()
        await whole
        with pytest.raises(TunnelGone):
            await one

    asyncio.run(scenario())
