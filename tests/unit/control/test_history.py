"""Events on disk: all of them once, in order, also over a database that was away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bgpsvc import history
from bgpsvc.control import StoreUnavailable
from bgpsvc.history import History
from bgpsvc.journal import Journal
from bgpsvc.port import EVERY_EVENT, EventFilter
from bgpsvc.views import EventView


class Rows:
    """An event store that can be away."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.away = self.silent = False
        self.pruned: list[float] = []
        self.asked = asyncio.Event()
        self.speaks = asyncio.Event()
        self.written = asyncio.Event()

    async def add_events(self, events: Sequence[EventView]) -> None:
        self.asked.set()
        if self.away:
            raise StoreUnavailable("the database is away")
        self.ids += [event.id for event in events]
        self.written.set()

    async def events(
        self,
        after: int,
        limit: int,
        wanted: EventFilter = EVERY_EVENT,
        before: int | None = None,
        latest: bool = False,
    ) -> tuple[EventView, ...]:
        self.asked.set()
        between = [i for i in self.ids if after < i < (before or 10**9)]
        found = [event for event in map(happened, between) if wanted.takes(event)]
        return tuple(found[-limit:] if latest else found[:limit])

    async def healthy(self) -> str | None:
        self.asked.set()
        while self.silent:
            await self.speaks.wait()
        return "the database is away" if self.away else None

    async def prune(self, now: float) -> None:
        self.pruned.append(now)


def happened(ident: int) -> EventView:
    """As `happen` has it: the time is the id, every third one is a warning."""
    return EventView(ident, float(ident), "session.up", "info" if ident % 3 else "warning", "s", "up")


def happen(journal: Journal, count: int) -> list[int]:
    begin = 1 if (first := journal.latest(None, 1)) == () else first[0].id + 1
    return [
        journal.add(float(i), "session.up", "info" if i % 3 else "warning", "s", "up").id
        for i in range(begin, begin + count)
    ]


async def until(rows: Rows, ids: list[int]) -> None:
    async with asyncio.timeout(5):
        while rows.ids != ids:
            rows.written.clear()
            await rows.written.wait()


def test_events_are_written_behind_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PORTION", 3)

    async def run() -> None:
        journal, rows = Journal(first_id=100), Rows()
        ids = happen(journal, 7)
        task = asyncio.create_task(History(journal, rows, written=0).run())
        await until(rows, ids)
        ids += happen(journal, 2)
        await until(rows, ids)
        assert rows.pruned, "what is too old goes"
        task.cancel()

    asyncio.run(run())


def test_what_was_written_in_a_former_life_is_not_written_again() -> None:
    async def run() -> None:
        former = Journal(first_id=1)
        happen(former, 4)
        journal, rows = Journal(first_id=50, former=former.entries(0, 10)), Rows()
        task = asyncio.create_task(History(journal, rows, written=4).run())
        ids = happen(journal, 1)
        await until(rows, ids)
        assert [event.id for event in journal.entries(2, 10)] == [3, 4, 50]
        task.cancel()

    asyncio.run(run())


def test_a_database_that_is_away_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "RETRY", 0.01)

    async def run() -> None:
        journal, rows = Journal(), Rows()
        rows.away = True
        task = asyncio.create_task(History(journal, rows, written=0).run())
        ids = happen(journal, 3)
        await asyncio.wait_for(rows.asked.wait(), 5)
        assert rows.ids == []
        rows.away = False
        await until(rows, ids)
        task.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "limit", "wanted"),
    [
        (0, 100, range(1, 13)),
        (0, 3, range(1, 4)),
        (4, 3, range(5, 8)),
        (6, 100, range(7, 13)),
        (7, 2, range(8, 10)),
        (8, 100, range(9, 13)),
        (9, 100, range(10, 13)),
        (12, 100, range(0)),
    ],
)
def test_pages_go_on_from_the_database_into_the_journal(after: int, limit: int, wanted: range) -> None:
    async def run() -> None:
        journal, rows = Journal(first_id=1, kept=4), Rows()
        rows.ids = happen(journal, 10)  # all are written, and the journal holds the last four
        happen(journal, 2)  # these are not yet
        history = History(journal, rows, written=10)
        assert [event.id for event in await history.page(after, limit)] == list(wanted)

    asyncio.run(run())


WARNINGS = EventFilter(severities=frozenset({"warning"}))


@pytest.mark.parametrize(
    ("before", "limit", "wanted", "after", "expected"),
    [
        (None, 100, EVERY_EVENT, 0, range(1, 13)),
        (None, 3, EVERY_EVENT, 0, range(10, 13)),
        (None, 6, EVERY_EVENT, 0, range(7, 13)),
        (11, 3, EVERY_EVENT, 0, range(8, 11)),
        (5, 2, EVERY_EVENT, 0, range(3, 5)),
        (None, 100, EVERY_EVENT, 6, range(7, 13)),
        (None, 3, WARNINGS, 0, (6, 9, 12)),
        (9, 100, WARNINGS, 0, (3, 6)),
        (None, 100, EventFilter(since=7.0, until=11.0), 0, range(7, 11)),
        (None, 100, EventFilter(since=10.0), 0, range(10, 13)),
        (None, 100, EventFilter(subjects=frozenset({"t"})), 0, ()),
        (None, 100, EventFilter(kinds=frozenset({"session.down"})), 0, ()),
    ],
)
def test_pages_go_back_from_the_journal_into_the_database(
    before: int | None, limit: int, wanted: EventFilter, after: int, expected: Sequence[int]
) -> None:
    async def run() -> None:
        journal, rows = Journal(first_id=1, kept=4), Rows()
        rows.ids = happen(journal, 10)
        happen(journal, 2)
        found = await History(journal, rows, written=10).latest(before, limit, wanted, after)
        assert [event.id for event in found] == list(expected)

    asyncio.run(run())


@pytest.mark.parametrize(("since", "asked"), [(9.0, False), (8.0, True)])
def test_what_the_journal_has_all_of_is_not_asked_for(since: float, asked: bool) -> None:
    async def run() -> None:
        journal, rows = Journal(first_id=1, kept=4), Rows()
        rows.ids = happen(journal, 12)
        await History(journal, rows, written=12).latest(None, 100, EventFilter(since=since))
        assert rows.asked.is_set() is asked

    asyncio.run(run())


def test_a_journal_without_entries_has_its_past_in_the_database() -> None:
    async def run() -> None:
        rows = Rows()
        rows.ids = [1, 2, 3]
        assert [event.id for event in await History(Journal(), rows, 3).page(1, 10)] == [2, 3]

    asyncio.run(run())


@pytest.mark.parametrize("silent", [False, True])
def test_a_database_without_work_is_asked_how_it_is(monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    for name in ("RETRY", "ASK_INTERVAL", "PATIENCE"):
        monkeypatch.setattr(history, name, 0.01)

    async def run() -> None:
        rows = Rows()
        watched = History(Journal(), rows, written=0)
        task = asyncio.create_task(watched.run())

        async def until_problem(wanted: str | None) -> None:
            async with asyncio.timeout(5):
                while watched.problem != wanted:  # noqa: ASYNC110  # it is looked at, as readiness does
                    await asyncio.sleep(0.001)

        await until_problem(None)
        rows.silent, rows.away = silent, not silent
        await until_problem("no answer for 0.01 s" if silent else "the database is away")
        rows.silent = rows.away = False
        rows.speaks.set()
        await until_problem(None)
        task.cancel()

    asyncio.run(run())
