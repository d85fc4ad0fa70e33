"""What is kept is bounded by number and by age, and strangers cannot push entries out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgpsvc.store import database
from bgpsvc.store.records import DAY, Batch, Pruned, Remembered, Retention
from tests.store.support import entry, in_loop, opened
from tests.store.test_records import event

NOW = 1000 * DAY


@in_loop
async def test_the_oldest_go_when_there_are_too_many(
    store_url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PRUNE_ROWS", 3)
    kept = Retention(events=5, audit=4)
    async with opened(store_url, tmp_path, retention=kept) as store:
        await store.add_events([event(n, time=NOW) for n in range(1, 16)])
        await store.add_audit([entry(name=str(n), time=NOW) for n in range(12)])
        assert await store.prune(NOW) == Pruned(events=10, audit=8)
        assert [e.id for e in await store.events(0, 100)] == [11, 12, 13, 14, 15]
        assert [view.name for view in await store.audit(None, 100)] == ["11", "10", "9", "8"]
        assert await store.prune(NOW) == Pruned()


@in_loop
async def test_the_old_go_by_age_but_not_the_last_event(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        ages = (40, 31, 30, 29)
        await store.add_events([event(n, time=NOW - age * DAY) for n, age in enumerate(ages)])
        await store.add_audit([entry(name=str(age), time=NOW - age * DAY) for age in (500, 401, 400, 0)])
        assert await store.prune(NOW) == Pruned(events=2, audit=2)
        assert [e.id for e in await store.events(-1, 100)] == [2, 3]
        assert [view.name for view in await store.audit(None, 100)] == ["0", "400"]
        # The last one stays for its id, from which the numbering goes on.
        assert await store.prune(NOW + 1000 * DAY) == Pruned(events=1, audit=2)
        assert await store.last_event_id() == 3


@in_loop
async def test_refused_logins_do_not_push_out_the_rest(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path, retention=Retention(audit=10, refusals=3)) as store:
        await store.add_audit([entry(name="kept", time=NOW)])
        await store.add_audit([entry("authentication.failed", str(n), time=NOW) for n in range(50)])
        assert await store.prune(NOW) == Pruned(audit=47)
        assert [view.name for view in await store.audit(None, 100)] == ["49", "48", "47", "kept"]


@in_loop
async def test_numbers_are_not_given_out_again(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        await store.add_audit([entry(time=0.0), entry(time=0.0)])
        last = (await store.audit(None, 1))[0].id
        assert await store.prune(NOW) == Pruned(audit=2)
        await store.add_audit([entry(time=NOW)])
        assert (await store.audit(None, 1))[0].id > last


@in_loop
async def test_remembered_requests_are_bounded(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path, retention=Retention(remembered=3), clock=lambda: NOW) as store:
        times = (NOW - DAY - 1, NOW - DAY, NOW - 5, NOW - 4, NOW - 3, NOW - 2)
        for n, time in enumerate(times):
            await store.write(Batch(remember=Remembered("me", str(n), "", {}, time)))
        assert await store.prune(NOW) == Pruned(remembered=3)
        found = [await store.remembered("me", str(n)) is not None for n in range(len(times))]
        assert found == [False, False, False, True, True, True]
