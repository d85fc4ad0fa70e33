"""Events on disk: all of them once, in order, also over a database that was away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from bgpsvc import history
from bgpsvc.control import StoreUnavailable
from bgpsvc.history import History
from bgpsvc.journal import Journal
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
        self, after: int | None, limit: int, kinds: Collection[str] | None = None, before: int | None = None
    ) -> tuple[EventView, ...]:
        found = [i for i in self.ids if (after or 0) < i < (before or 10**9)]
        return tuple(EventView(i, 0.0, "session.up", "info", "s", "up") for i in found[:limit])

    async def healthy(self) -> str | None:
        self.asked.set()
        while self.silent:
            await self.speaks.wait()
        return "the database is away" if self.away else None

    async def prune(self, now: float) -> None:
        self.pruned.append(now)


def happen(journal: Journal, count: int) -> list[int]:
    return [journal.add(0.0, "session.up", "info", "s", "up").id for _ in range(count)]


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
        journal, rows = Journal(first_id=50, former=former.entries(0, 10, None)), Rows()
        task = asyncio.create_task(History(journal, rows, written=4).run())
        ids = happen(journal, 1)
        await until(rows, ids)
        assert [event.id for event in journal.entries(2, 10, None)] == [3, 4, 50]
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
        assert [event.id for event in await history.page(after, limit, None)] == list(wanted)

    asyncio.run(run())


def test_a_journal_without_entries_has_its_past_in_the_database() -> None:
    async def run() -> None:
        rows = Rows()
        rows.ids = [1, 2, 3]
        assert [event.id for event in await History(Journal(), rows, 3).page(1, 10, None)] == [2, 3]

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
