"""Traces of moves of traffic: when they began and ended."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import cast

import pytest

from bgpsvc.journal import Journal
from bgpsvc.switchboard import Switchboard
from bgpsvc.tracing import Attributes, NoTracer, trace_moves

DAY = 86400.0


class Moves(NoTracer):
    """What it was told of the past: name, and the two times."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, float]] = []
        self.both = asyncio.Event()

    def past(self, name: str, began: float, ended: float, attributes: Attributes) -> None:
        self.told.append((name, began, ended))
        if len(self.told) == 2:
            self.both.set()


def test_a_move_takes_as_long_as_it_did_also_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time

    async def story() -> list[tuple[str, float, float]]:
        journal, moves = Journal(), Moves()
        board = SimpleNamespace(switches={"conn1": SimpleNamespace(last_at=time.monotonic() - 0.5)})
        tracing = asyncio.create_task(trace_moves(journal, cast(Switchboard, board), moves))
        await asyncio.sleep(0)
        monkeypatch.setattr(time, "time", lambda: real() + DAY)
        data = {"heard_ms": 250.0}
        journal.add(time.time(), "connection.switchover", "warning", "conn1", "traffic moved")
        journal.add(time.time(), "guard.switched", "warning", "conn1-tunnel1", "the guard moved", data)
        journal.add(time.time(), "session.up", "info", "conn1-tunnel1", "is no move")
        await moves.both.wait()
        tracing.cancel()
        return moves.told

    (name, began, ended), guard = asyncio.run(story())
    assert name == "connection.switchover"
    assert 0.4 < ended - began < DAY / 2
    assert guard[0] == "guard.switched"
    assert guard[2] - guard[1] == pytest.approx(0.25, abs=0.001)
