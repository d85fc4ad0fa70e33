"""Tokens, audit log, events and choices on both databases."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy.exc import StatementError

from bgpsvc.control import AuditView
from bgpsvc.port import EventFilter
from bgpsvc.store.errors import WriteConflict
from bgpsvc.views import EventView
from tests.store.support import entry, in_loop, opened, token

ODD = "a\x00b\ud800c"
SPELLED = "a\\x00b\\ud800c"


@in_loop
async def test_tokens_live_until_they_are_revoked(store_url: str | None, tmp_path: Path) -> None:
    first, second = token("0b", expires_at=7.25), token("0a", scope="admin")
    async with opened(store_url, tmp_path) as store:
        await store.add_token(first, entry("token.create", "0b"))
        await store.add_token(second, entry("token.create", "0a"))
        with pytest.raises(WriteConflict):
            await store.add_token(token("0a"), entry("token.create", "again"))
        assert await store.token("0b") == first
        assert await store.token("0c") is None
        revoked = await store.revoke_token("0a", 8.5, entry("token.revoke", "0a"))
        assert revoked is not None
        assert revoked.revoked_at == 8.5
        again = await store.revoke_token("0a", 9.5, entry("token.revoke", "0a"))
        assert again == revoked
        assert await store.revoke_token("0c", 9.5, entry("token.revoke", "0c")) is None
    async with opened(store_url, tmp_path) as store:
        assert await store.token("0a") == revoked
        actions = [(view.action, view.name) for view in await store.audit(None, 10)]
        assert actions == [("token.revoke", "0a"), ("token.create", "0a"), ("token.create", "0b")]


@in_loop
async def test_tokens_come_in_pages(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        for ident in ("0c", "0a", "0b"):
            await store.add_token(token(ident), entry())
        assert [found.id for found in await store.tokens(None, 2)] == ["0a", "0b"]
        assert [found.id for found in await store.tokens("0b", 2)] == ["0c"]
        assert await store.tokens("0c", 2) == ()


@in_loop
async def test_use_of_a_token_is_noted_once_a_minute(store_url: str | None, tmp_path: Path) -> None:
    async def last_used() -> float | None:
        found = await store.token("0a")
        assert found is not None
        return found.last_used_at

    async with opened(store_url, tmp_path) as store:
        await store.add_token(token("0a"), entry())
        for at, noted in ((1000.0, 1000.0), (1059.9, 1000.0), (1060.0, 1060.0), (1061.0, 1060.0)):
            await store.touch_token("0a", at)
            assert await last_used() == noted
    async with opened(store_url, tmp_path) as store:
        # A clock that was set back does not take the later use away.
        await store.touch_token("0a", 500.0)
        assert await last_used() == 1060.0


@in_loop
async def test_audit_is_read_backwards_by_what_it_is_about(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        await store.add_audit([entry(name=str(n), actor="alice", new={"n": n}) for n in range(4)])
        await store.add_audit([entry("reveal", "3", actor="bob", kind="vpcs", old={"o": None}, time=2.5)])
        await store.add_audit([entry("key.rotate", None, actor="bob", kind=None)])
        whole = await store.audit(None, 10)
        assert [view.name for view in whole] == [None, "3", "3", "2", "1", "0"]
        assert whole[1] == AuditView(
            whole[1].id, 2.5, "bob", "192.0.2.1", "reveal", "vpcs", "3", {"o": None}, None
        )
        assert whole[2].new == {"n": 3}
        assert [view.id for view in whole] == sorted({view.id for view in whole}, reverse=True)
        assert await store.audit(whole[2].id, 2) == whole[3:5]
        assert await store.audit(None, 10, kind="vpn_connections", name="3") == (whole[2],)
        assert await store.audit(None, 10, name="3") == whole[1:3]
        assert await store.audit(None, 10, actor="bob") == whole[:2]
        assert await store.audit(whole[0].id, 10, actor="bob") == (whole[1],)
        assert await store.audit(None, 10, kind="no such", actor="bob") == ()


def event(ident: int, kind: str = "session.up", time: float = 1.5, **values: object) -> EventView:
    fields = {"severity": "info", "subject": "conn1-1", "message": f"event {ident}", "data": {"n": ident}}
    return EventView(id=ident, time=time, kind=kind, **{**fields, **values})  # type: ignore[arg-type]


@in_loop
async def test_events_are_read_from_both_ends(store_url: str | None, tmp_path: Path) -> None:
    events = [event(n, "tunnel.down" if n % 3 == 0 else "session.up") for n in range(10, 20)]
    async with opened(store_url, tmp_path) as store:
        assert await store.last_event_id() is None
        assert await store.events(0, 5, latest=True) == ()
        await store.add_events(events[:6])
        # The same again, as after a connection lost in between.
        await store.add_events(events[4:])
        assert await store.last_event_id() == 19
        assert await store.events(0, 100) == tuple(events)
        assert await store.events(12, 3) == tuple(events[3:6])
        assert await store.events(0, 3, latest=True) == tuple(events[-3:])
        assert await store.events(0, 3, before=15, latest=True) == tuple(events[2:5])
        assert await store.events(12, 100, before=15) == tuple(events[3:5])
        down = EventFilter(kinds=frozenset({"tunnel.down"}))
        assert [e.id for e in await store.events(0, 2, down)] == [12, 15]
        assert [e.id for e in await store.events(0, 2, down, latest=True)] == [15, 18]
        assert await store.events(0, 2, EventFilter(kinds=frozenset())) == ()
    async with opened(store_url, tmp_path) as store:
        assert await store.events(18, 10) == (events[-1],)


@in_loop
async def test_events_are_chosen_as_the_journal_chooses_them(store_url: str | None, tmp_path: Path) -> None:
    severities, subjects = ("info", "warning", "error"), ("conn1", "conn1-tunnel1")
    events = [
        event(n, time=float(n), severity=severities[n % 3], subject=subjects[n % 2]) for n in range(1, 19)
    ]
    filters = [
        EventFilter(severities=frozenset({"warning", "error"})),
        EventFilter(subjects=frozenset({"conn1"})),
        EventFilter(since=5.0, until=9.0),
        EventFilter(since=5.0, severities=frozenset({"error"}), subjects=frozenset(subjects)),
        EventFilter(subjects=frozenset({"conn2"})),
    ]
    async with opened(store_url, tmp_path) as store:
        await store.add_events(events)
        for wanted in filters:
            expected = tuple(filter(wanted.takes, events))
            assert await store.events(0, 100, wanted) == expected
            assert await store.events(0, 2, wanted, latest=True) == expected[-2:]


@in_loop
async def test_choices_are_stored_changed_and_forgotten(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        assert await store.choices() == {}
        await store.set_choice("switch", "conn1", {"mode": "standby"}, entry("switch", "conn1"))
        await store.set_choice("switch", "conn1", {"mode": "active"}, entry("switch", "conn1"))
        await store.set_choice("auto_propagate", "gw1", {"chosen": False, "file": True}, entry("propagate"))
        await store.set_choice("switch", "conn2", {"mode": "active"}, entry("switch", "conn2"))
        await store.set_choice("switch", "conn2", None, entry("switch", "conn2"))
        await store.set_choice("switch", "never", None, entry("switch", "never"))
    async with opened(store_url, tmp_path) as store:
        assert await store.choices() == {
            ("switch", "conn1"): {"mode": "active"},
            ("auto_propagate", "gw1"): {"chosen": False, "file": True},
        }
        assert len(await store.audit(None, 10)) == 6


@in_loop
async def test_text_from_outside_breaks_nothing(store_url: str | None, tmp_path: Path) -> None:
    """A peer's NOTIFICATION or a request's header may hold what PostgreSQL does not take as text."""
    async with opened(store_url, tmp_path) as store:
        await store.add_events([event(1, subject=ODD, message=ODD, data={"text": ODD})])
        (stored,) = await store.events(0, 1)
        assert (stored.subject, stored.message, stored.data) == (SPELLED, SPELLED, {"text": ODD})
        await store.add_audit([entry(ODD, ODD, actor=ODD, kind=ODD, source=ODD, new={"text": ODD})])
        (view,) = await store.audit(None, 10, ODD, ODD, ODD)
        assert (view.actor, view.source, view.action, view.new) == (SPELLED, SPELLED, SPELLED, {"text": ODD})
        await store.add_token(token("0a", name=ODD), entry())
        assert await store.tokens(ODD, 10) == ()
        assert (await store.tokens(None, 10))[0].name == SPELLED
        assert await store.token(ODD) is None
        assert await store.remembered(ODD, ODD) is None
        odd = frozenset({ODD})
        assert await store.events(0, 5, EventFilter(kinds=odd)) == ()
        assert await store.events(0, 5, EventFilter(subjects=odd)) == (stored,)


@in_loop
async def test_numbers_beyond_the_databases_are_bounded(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        await store.add_events([event(1), event(2**63 - 1)])
        await store.add_audit([entry()])
        assert await store.events(2**70, 5) == ()
        assert len(await store.events(-(2**70), 5)) == 2
        assert len(await store.audit(2**70, 5)) == 1
        assert await store.audit(-1, 5) == ()


@in_loop
async def test_mappings_of_any_kind_can_be_stored(store_url: str | None, tmp_path: Path) -> None:
    async with opened(store_url, tmp_path) as store:
        await store.add_events([event(1, data=MappingProxyType({"deep": MappingProxyType({"n": (1, 2)})}))])
        assert (await store.events(0, 1))[0].data == {"deep": {"n": [1, 2]}}
        with pytest.raises(StatementError, match="set is no JSON value"):
            await store.add_events([event(2, data={"no": {1}})])
        assert await store.healthy() is None
