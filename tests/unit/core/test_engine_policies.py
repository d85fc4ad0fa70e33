"""Routing policies at work: what they make of the Loc-RIB, and what a change of policy costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bgpsvc.effects import Advertise, Log, Refresh, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import Advertisement, Announced, LinkChanged, SessionUp, Withdrawn
from bgpsvc.model import Attributes, Prefix, Reason, SessionId, parse_prefix
from bgpsvc.report import gateway_view
from bgpsvc.resources.models import RoutingPolicy
from bgpsvc.routes_report import route_view
from tests.unit.core.policies import policed, policy, prefixes, rule
from tests.unit.support import IFINDEX, T1, T2, negotiated, path, run, up
from tests.unit.support import prefixes as packed

A, B, C, D = "192.168.0.0/16", "172.16.0.0/12", "203.0.113.0/24", "198.18.0.0/15"
ONLY_A = policy(rule(match={"prefixes": prefixes(A)}), default="reject")
TO_STANDBY = policy(rule(match={"communities": ("65500:2",)}, local_preference=300))


def made(imports: RoutingPolicy | None = None, exports: RoutingPolicy | None = None, **more: Any) -> Engine:
    engine = Engine(policed(imports, exports, **more), 0.0)
    for name, ifindex in IFINDEX.items():
        engine.handle(LinkChanged(name, ifindex, True), 0.0)
    engine.takeover.loaded()
    return engine


def change(
    engine: Engine, imports: RoutingPolicy | None, exports: RoutingPolicy | None = None, **more: Any
) -> None:
    engine.outbox.clear()
    anew = engine.reconfigure(policed(imports, exports, **more), 1.0)
    assert not anew, "a policy costs no session"
    run(engine)
    assert not any(isinstance(effect, Reset) for effect in engine.outbox)


def held(engine: Engine, session: SessionId = T1) -> dict[str, Attributes]:
    """The Loc-RIB's paths of a session."""
    routes = engine.gateways["gw1"].rib.routes
    return {
        text: routes[parse_prefix(text)].paths[session]
        for text in (A, B, C, D)
        if parse_prefix(text) in routes and session in routes[parse_prefix(text)].paths
    }


def best(engine: Engine, text: str = A) -> SessionId:
    return engine.gateways["gw1"].rib.routes[parse_prefix(text)].ranked[0].candidate.session


def announce(engine: Engine, session: SessionId, *texts: str, **attributes: Any) -> None:
    engine.handle(Announced(session, path(session, **attributes), packed(*texts)), 0.5)


def test_a_policy_prefers_a_peer_by_community() -> None:
    engine = made(TO_STANDBY)
    up(engine, T1, 0.0)
    up(engine, T2, 0.0)
    announce(engine, T1, A, B)
    announce(engine, T2, A, communities=(65500 << 16 | 2,))
    announce(engine, T2, B)
    assert best(engine, A) == T2
    assert best(engine, B) == T1


def test_what_was_received_is_kept_beside_what_the_policy_made_of_it() -> None:
    engine = made(policy(rule(match={"prefixes": prefixes(A)}, med=7, local_preference=50)))
    up(engine, T1, 0.0, A, B)
    assert engine.sessions[T1].adj.fresh[parse_prefix(A)] == path(T1)
    assert held(engine) == {A: path(T1, med=7, preference=50), B: path(T1)}
    (candidate,) = route_view(engine, engine.gateways["gw1"], parse_prefix(A)).candidates
    assert (candidate.med, candidate.local_pref) == (7, 50)


def test_a_rejected_path_says_which_rule_rejected_it() -> None:
    engine = made(policy(rule(), rule("reject"), name="other"))
    up(engine, T1, 0.0, A)
    change(engine, policy(rule(match={"prefixes": prefixes(B)}), rule("reject", match={"as_path": "^65500"})))
    view = route_view(engine, engine.gateways["gw1"], parse_prefix(A))
    assert view.state == "not_installed"
    assert (view.reason, view.reason_text) == (
        Reason.REJECTED_BY_POLICY,
        "rejected by rule 2 of import policy from-dc",
    )
    assert view.candidates[0].reason_text == view.reason_text


def test_until_a_changed_policy_reached_a_path_its_reason_is_the_old_one() -> None:
    engine = made(ONLY_A)
    up(engine, T1, 0.0, B)
    engine.reconfigure(policed(None), 1.0)
    (candidate,) = route_view(engine, engine.gateways["gw1"], parse_prefix(B)).candidates
    assert candidate.reason_text == Reason.REJECTED_BY_POLICY.text


def test_a_change_of_policy_judges_again_what_was_received() -> None:
    engine = made()
    up(engine, T1, 0.0, A, B)
    up(engine, T2, 0.0, A, B)
    change(engine, ONLY_A)
    assert list(held(engine)) == list(held(engine, T2)) == [A]
    assert set(engine.sessions[T1].adj.refused) == set(packed(B))
    change(engine, policy(rule(med=9)))
    assert held(engine) == {A: path(T1, med=9), B: path(T1, med=9)}
    change(engine, None)
    assert held(engine) == {A: path(T1), B: path(T1)}
    assert not engine.sessions[T1].adj.refused


def test_a_change_of_preference_moves_the_traffic() -> None:
    engine = made()
    for session in (T1, T2):
        up(engine, session, 0.0, A)
    assert best(engine) == T1
    change(engine, policy(rule(match={"sessions": (T2,)}, local_preference=201)))
    assert best(engine) == T2
    change(engine, None)
    assert best(engine) == T1


def test_stale_paths_follow_the_policy_too() -> None:
    engine = made()
    up(engine, T1, 0.0, A, B)
    up(engine, T2, 0.0, A, B)
    engine.sessions[T1].adj.mark_stale()
    change(engine, policy(rule("reject", match={"prefixes": prefixes(B)}), rule(med=9)))
    assert held(engine) == {A: path(T1, med=9)}
    assert set(engine.sessions[T1].adj.stale) == set(packed(A))


def test_what_arrives_before_everything_is_judged_is_judged_by_the_new_policy() -> None:
    engine = made(ONLY_A)
    up(engine, T1, 0.0, A, B)
    engine.reconfigure(policed(policy(rule(med=9))), 1.0)
    announce(engine, T1, C)
    engine.handle(Withdrawn(T1, packed(B)), 1.0)
    run(engine)
    assert held(engine) == {A: path(T1, med=9), C: path(T1, med=9)}
    assert not engine.sessions[T1].adj.refused


def test_a_default_route_that_a_rule_names_is_taken() -> None:
    engine = made(policy(rule(match={"prefixes": prefixes("0.0.0.0/0")}), default="reject"))
    up(engine, T1, 0.0, "0.0.0.0/0", A)
    default = parse_prefix("0.0.0.0/0")
    assert list(engine.gateways["gw1"].rib.routes) == [default]
    change(engine, policy())
    assert engine.sessions[T1].adj.refused[default] == (path(T1), Reason.DEFAULT_ROUTE)
    assert list(held(engine)) == [A]


# Room


def test_what_a_policy_refuses_makes_room_for_what_was_shed() -> None:
    engine = made(max_prefixes=1)
    up(engine, T1, 0.0, A, B)
    assert list(held(engine)) == [A]
    change(engine, policy(rule("reject", match={"prefixes": prefixes(A)}), rule(med=9)), max_prefixes=1)
    assert held(engine) == {B: path(T1, med=9)}
    assert not engine.sessions[T1].over_limit


def test_what_was_shed_is_judged_before_it_is_taken_in() -> None:
    engine = made(max_prefixes=2)
    up(engine, T1, 0.0, A, B, C, D)
    change(engine, policy(rule("reject", match={"prefixes": prefixes(C)})), max_prefixes=3)
    assert list(held(engine)) == [A, B, D]
    assert engine.sessions[T1].adj.refused == {parse_prefix(C): (path(T1), Reason.REJECTED_BY_POLICY)}


def test_what_a_policy_accepts_beyond_the_maximum_is_shed() -> None:
    engine = made(ONLY_A, max_prefixes=1)
    up(engine, T1, 0.0, A, B)
    assert set(engine.sessions[T1].adj.refused) == set(packed(B))
    change(engine, None, max_prefixes=1)
    adj = engine.sessions[T1].adj
    assert (list(adj.fresh), adj.refused, list(adj.shed)) == (list(packed(A)), {}, list(packed(B)))
    assert engine.sessions[T1].over_limit
    engine.handle(Withdrawn(T1, packed(A)), 2.0)
    assert list(held(engine)) == [B]


def test_refused_paths_that_were_not_remembered_are_asked_for_again() -> None:
    engine = made(policy(default="reject"), max_prefixes=2)
    up(engine, T1, 0.0, A, B, C)
    assert engine.sessions[T1].adj.forgotten == 1
    change(engine, policy(default="reject"), max_prefixes=2)
    assert Refresh(T1) not in engine.outbox, "nothing changed"
    change(engine, policy(rule(match={"prefixes": prefixes(C)}), default="reject"), max_prefixes=2)
    assert Refresh(T1) in engine.outbox
    announce(engine, T1, C)
    assert list(held(engine)) == [C]


def test_a_peer_that_cannot_refresh_keeps_its_session() -> None:
    engine = made(policy(default="reject"), max_prefixes=2)
    up(engine, T1, 0.0, A, B, C, route_refresh=False)
    change(engine, None, max_prefixes=2)
    assert Refresh(T1) not in engine.outbox, "it would end the session"
    told = [effect.message for effect in engine.outbox if isinstance(effect, Log)]
    assert told == ["1 refused paths were not kept and are not judged again: the peer cannot refresh"]
    assert list(held(engine)) == [A, B]


def test_a_configuration_that_changes_no_policy_judges_nothing_again() -> None:
    engine = made(ONLY_A)
    up(engine, T1, 0.0, A, B)
    run(engine)
    assert engine.reconfigure(policed(ONLY_A), 1.0) == set()
    assert not engine.work()
    engine.reconfigure(policed(None), 1.0)
    assert engine.work()
    assert list(held(engine)) == [A]
    run(engine)
    assert list(held(engine)) == [A, B]


# Export


def advertised(engine: Engine) -> dict[SessionId, dict[Prefix, Advertisement]]:
    return {e.session: dict(e.routes) for e in engine.outbox if isinstance(e, Advertise)}


def test_quick_changes_judge_everything_once_more() -> None:
    engine = made(ONLY_A)
    up(engine, T1, 0, A, B)
    engine.reconfigure(policed(None), 1)
    steps = 0
    while engine.work():
        steps += 1
    assert set(held(engine)) == {A, B}
    for number in range(2, 12):
        engine.reconfigure(policed(ONLY_A if number % 2 else TO_STANDBY), number)
    for _ in range(steps):
        engine.work()
    assert not engine.work()
    assert set(held(engine)) == {A}


def test_export_policy_shapes_what_each_session_advertises() -> None:
    own = parse_prefix("10.0.0.0/16")
    engine = made()
    for session in (T1, T2):
        engine.handle(SessionUp(session, negotiated()), 0.0)
    assert advertised(engine) == {T1: {own: Advertisement(med=100)}, T2: {own: Advertisement(med=200)}}
    change(engine, None, policy(rule(match={"sessions": (T2,)}, prepend=2), name="to-dc"))
    assert advertised(engine) == {
        T1: {own: Advertisement(med=100)},
        T2: {own: Advertisement(med=200, prepend=2)},
    }
    change(engine, None, policy(rule("reject", match={"prefixes": prefixes("10.0.0.0/16")}), name="to-dc"))
    assert advertised(engine) == {T1: {}, T2: {}}
    assert gateway_view(engine, engine.gateways["gw1"]).advertised == ()
    assert engine.sessions[T1].advertised == 0


def test_sessions_of_one_role_are_told_apart_where_the_policy_names_them() -> None:
    engine = made(None, policy(rule("reject", match={"sessions": (T1,)}), name="to-dc"))
    gateway, settings = engine.gateways["gw1"], engine.sessions[T1].settings
    assert not gateway.advertisements(settings)
    assert gateway.advertisements(replace(settings, id=SessionId("conn2-tunnel1")))
