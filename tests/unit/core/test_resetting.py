"""Sessions that only a reset can hear again: never both of a connection, never the last that is left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bgpsvc.effects import Log, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import Announced, EndOfRib, LinkChanged, MessagesLost, SessionResync, SpeakerUp
from bgpsvc.model import Family, Role, SessionId
from bgpsvc.resetting import REASSESS
from bgpsvc.takeover import SYNC_TIME
from bgpsvc.tunnels import SELECTION_DEFERRAL_TIME, TunnelState
from tests.unit.core.harness import Node
from tests.unit.support import IFINDEX, T1, T2, down, engine, intent, negotiated, path, prefixes, run, up

A, B = "10.1.0.0/16", "10.2.0.0/16"


def resets(e: Engine) -> list[SessionId]:
    """Asked for since the last time."""
    found = [effect.session for effect in e.outbox if isinstance(effect, Reset)]
    e.outbox.clear()
    return found


def both(*, refresh: bool = True) -> Engine:
    e = engine()
    up(e, T1, 1, A, B, route_refresh=refresh)
    up(e, T2, 1, A, B, route_refresh=refresh)
    assert resets(e) == []
    return e


def until_live(e: Engine, ident: SessionId, now: float) -> float:
    """Let the time pass that the engine asks for, until a tunnel is live."""
    while e.tunnels[ident].state is not TunnelState.LIVE:
        deadline = e.deadline()
        assert deadline is not None
        assert deadline < now + 60
        now = max(now, deadline)
        e.tick(now)
    return now


@dataclass(frozen=True)
class Case:
    """What the standby's tunnel is like when the active's session has to be reset, and whether it is."""

    what: str
    other: str
    reset: bool


CASES = [
    Case("live and in sync", "live", reset=True),
    Case("its session is down", "down", reset=False),
    Case("its link is down", "link", reset=False),
    Case("its table is not complete", "syncing", reset=False),
    Case("back, and held down", "warming", reset=False),
    Case("it is being refreshed", "refreshing", reset=False),
    Case("it is being reset itself", "resetting", reset=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_session_is_reset_only_beside_one_that_stays(case: Case) -> None:
    e = engine()
    up(e, T1, 1, A, B, route_refresh=False)
    up(e, T2, 1, A, B, route_refresh=case.other == "refreshing")
    if case.other in ("down", "syncing", "warming"):
        down(e, T2, 2)
    if case.other in ("syncing", "warming"):
        up(e, T2, 3, A, B, end=case.other == "warming")
    if case.other == "link":
        e.handle(LinkChanged("t2", IFINDEX["t2"], False), 3)
    if case.other in ("refreshing", "resetting"):
        e.handle(MessagesLost(T2, 1), 3)
        assert resets(e) == ([T2] if case.other == "resetting" else [])
    e.handle(MessagesLost(T1, 1), 4)
    run(e)
    assert resets(e) == ([T1] if case.reset else [])
    assert set(e.sessions[T1].adj.fresh) | set(e.sessions[T1].adj.stale) == {*prefixes(A, B)}


def test_a_waiting_session_is_reset_once_its_neighbour_is_live_again() -> None:
    e = both(refresh=False)
    down(e, T2, 2)
    e.handle(MessagesLost(T1, 1), 3)
    e.handle(MessagesLost(T1, 1), 3)
    waits = [effect for effect in e.outbox if isinstance(effect, Log) and "waits" in effect.message]
    assert len(waits) == 1, "told once"
    e.tick(5000)
    e.handle(EndOfRib(T1, Family.IPV4), 5000)
    run(e)
    assert resets(e) == [], "however long it takes"
    assert set(e.sessions[T1].adj.stale) == {*prefixes(A, B)}, "the end of a table with gaps sweeps nothing"
    up(e, T2, 5001, A, B, route_refresh=False)
    now = until_live(e, T2, 5001)
    e.tick(now + REASSESS)
    assert resets(e) == [T1]
    e.tick(now + 10)
    assert resets(e) == [], "asked for once"


def test_the_only_tunnel_has_nothing_to_wait_for() -> None:
    made = intent()
    connection = made.vpn_connections[0]
    single = connection.model_copy(update={"tunnels": connection.tunnels[:1]})
    e = Engine(made.model_copy(update={"vpn_connections": (single,)}), 0)
    e.handle(LinkChanged("t1", IFINDEX["t1"], True), 0)
    up(e, T1, 1, A, route_refresh=False)
    e.handle(MessagesLost(T1, 1), 2)
    assert resets(e) == [T1]


def test_an_answer_that_comes_late_spares_the_reset() -> None:
    e = both()
    down(e, T2, 2)
    e.handle(MessagesLost(T1, 1), 3)
    late = 3 + SELECTION_DEFERRAL_TIME
    e.tick(late)
    assert e.sessions[T1].reset_reason is not None
    e.handle(Announced(T1, path(T1), prefixes(A)), late + 1)
    assert e.sessions[T1].reset_reason is None
    e.tick(late + 1 + SELECTION_DEFERRAL_TIME)
    run(e)
    up(e, T2, late + 60, A)
    e.tick(until_live(e, T2, late + 60) + REASSESS)
    assert resets(e) == []
    assert set(e.sessions[T1].adj.fresh) == {*prefixes(A)}, "what the refresh did not tell is swept"


def test_a_reset_that_was_lost_with_the_connection_is_asked_for_again() -> None:
    e = both(refresh=False)
    e.handle(MessagesLost(T1, 1), 3)
    assert resets(e) == [T1]
    e.handle(SpeakerUp(Role.ACTIVE), 4)
    e.tick(4)
    assert resets(e) == [T1]


@pytest.mark.parametrize("first", [T1, T2])
@pytest.mark.parametrize("refresh", [False, True], ids=["cannot refresh", "does not answer"])
def test_a_daemon_that_restarts_resets_one_session_after_the_other(first: SessionId, refresh: bool) -> None:
    old = Node(engine())
    up(old.engine, T1, 1, A, B)
    up(old.engine, T2, 1, A, B)
    old.settle()
    e = Engine(intent(), 100)
    node = old.restarted(e, now=100)
    second = T2 if first == T1 else T1
    for session in (first, second):
        e.handle(SessionResync(session, negotiated(route_refresh=refresh)), 100)
    now = 100.0
    order: list[SessionId] = []
    while len(order) < 2:
        deadline = e.deadline()
        assert deadline is not None
        assert now < 100 + 4 * SYNC_TIME
        now = max(now, deadline)
        e.tick(now)
        asked = resets(e)
        assert len(asked) < 2
        for session in asked:
            order.append(session)
            down(e, session, now)
            node.settle()
            assert set(node.routes()) == {A, B}
            up(e, session, now + 1, A, B, route_refresh=refresh)
        node.settle()
        assert set(node.routes()) == {A, B}
    assert order == [T2, T1], "the one that carries traffic last"
    until_live(e, T1, now)
    node.settle()
    assert node.routes() == {A: "t1", B: "t1"}


def test_the_kernels_routes_are_held_while_only_a_reset_can_tell_them() -> None:
    old = Node(engine())
    up(old.engine, T1, 1, A, B)
    old.settle()
    e = Engine(intent(), 100)
    node = old.restarted(e, now=100)
    e.handle(SessionResync(T1, negotiated(route_refresh=False)), 100)
    for seconds in (0.0, 10.0, 20.0):
        e.tick(100 + SYNC_TIME + seconds)
        node.settle()
        assert node.routes() == {A: "t1", B: "t1"}
    up(e, T2, 200, A, route_refresh=False)
    now = until_live(e, T2, 200)
    e.tick(now + REASSESS)
    assert resets(e) == [T1]
    down(e, T1, now + 2)
    up(e, T1, now + 3, A, route_refresh=False)
    e.tick(now + 10)
    node.settle()
    assert set(node.routes()) == {A}, "what nobody tells any more is swept"
