"""Readings of a running engine, with counters that may not be there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from bgpsvc.events import LinkChanged
from bgpsvc.fib.wire import NetlinkDecodeError
from bgpsvc.measuring import sampler
from bgpsvc.measuring.rates import Counters
from bgpsvc.measuring.sampler import Sampler
from bgpsvc.views import HistoryView
from tests.unit.support import T1, T2, engine, up

PREFIX = "192.168.0.0/16"
WALL = 1_760_000_000.0


class FakeCounters:
    """1000 bytes per second and interface; `error` is raised instead, if there is one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[frozenset[int]] = []
        self.error: Exception | None = None

    def read(self, wanted: frozenset[int]) -> dict[int, Counters]:
        self.asked.append(wanted)
        if self.error is not None:
            raise self.error
        total = int(self.now * 1000)
        return {index: Counters(total, total, total, total) for index in wanted}


class Story:
    """A sampler over an engine with two tunnels, at times that the test chooses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counters = FakeCounters()
        self.step = 0.0
        """What somebody set the clock forward by."""
        clocks = SimpleNamespace(
            monotonic=lambda: self.counters.now, time=lambda: self.counters.now + WALL + self.step
        )
        monkeypatch.setattr(sampler, "time", clocks)
        self.engine = engine()
        for session in (T1, T2):
            up(self.engine, session, 1, PREFIX)
        self.sampler = Sampler(self.engine, WALL)

    def take(self, *times: float) -> None:
        for now in times:
            self.counters.now = now
            asyncio.run(self.sampler._take(self.counters))  # type: ignore[arg-type]

    def view(self) -> HistoryView:
        return self.sampler.view(T1, "15m")


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(monkeypatch)


def test_what_the_engine_knows_stands_beside_the_counters(story: Story) -> None:
    story.take(10, 15, 20)
    view = story.view()
    assert view.bytes_in[-3:] == (None, 1000.0, 1000.0)
    assert (view.carrying[-1], view.session_up[-1], view.prefixes_received[-1]) == (1.0, 1.0, 1)
    assert story.sampler.view(T2, "15m").carrying[-1] == 0.0
    assert story.counters.asked[0] == frozenset(story.engine.links[name][0] for name in ("t1", "t2"))


@pytest.mark.parametrize("error", [OSError("busy"), NetlinkDecodeError("garbage")])
def test_without_counters_the_rest_is_known_and_it_is_said_once(
    story: Story, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    story.take(10, 15)
    story.counters.error = error
    story.take(20, 25)
    story.counters.error = None
    story.take(30, 35)
    assert story.view().bytes_in[-5:] == (1000.0, None, None, None, 1000.0)
    assert story.view().carrying[-5:] == (1.0,) * 5
    assert caplog.text.count("cannot be read") == 1


def test_an_interface_made_anew_leaves_a_gap_and_one_that_went_too(story: Story) -> None:
    story.take(10, 15)
    story.engine.handle(LinkChanged("t1", 99, True), 16)
    story.take(20, 25)
    story.engine.handle(LinkChanged("t1", None, False), 26)
    story.take(30)
    assert story.view().bytes_in[-4:] == (1000.0, None, 1000.0, None)


def test_times_are_those_of_the_day_when_somebody_sets_the_clock(story: Story) -> None:
    story.take(10, 15)
    before = story.view().start
    story.step = 3600.0
    assert story.view().start == before + 3600
