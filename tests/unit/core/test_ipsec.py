"""What a tunnel's IPsec means to traffic: it moves at once and returns after the hold-down."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.events import IpsecChanged, LinkChanged, SessionResync
from bgpsvc.fib.ops import SetGroup
from bgpsvc.hypothetical import suppose
from bgpsvc.insight import Question
from bgpsvc.resources import Intent
from bgpsvc.resources.models import DestinationRoute
from bgpsvc.supposition import World
from bgpsvc.tunnels import TunnelState
from tests.unit.core.harness import Node
from tests.unit.core.made import NAMES, made_intent, made_node
from tests.unit.support import T1, T2, down, engine, intent, negotiated, up

A = "192.168.0.0/16"
STATIC = "172.16.0.0/12"
ONE, TWO = NAMES


def both_up() -> Node:
    node = made_node(Engine(made_intent(), 0.0))
    for session in (T1, T2):
        node.engine.handle(IpsecChanged(session, True, "established"), 0.5)
        up(node.engine, session, 1, A)
    node.settle()
    return node


def ipsec(node: Node, session: str, *, up: bool, now: float, why: str = "the peer went away") -> None:
    node.engine.handle(IpsecChanged(session, up, why), now)  # type: ignore[arg-type]


def logged(node: Node, *kinds: str) -> list[tuple[str, str]]:
    taken = [e for e in node.engine.outbox if isinstance(e, Log) and e.kind in kinds]
    node.engine.outbox.clear()
    return [(entry.subject, entry.message) for entry in taken]


def without_bgp() -> Intent:
    """A static route over both tunnels, which have no session."""
    made = made_intent(with_bgp=False)
    route = DestinationRoute(
        name="r", vpn_gateway="gw1", destination=IPv4Network(STATIC), vpn_connection="conn1", publish=True
    )
    return made.model_copy(update={"destination_routes": (route,)})


def test_an_sa_that_goes_moves_traffic_with_one_group_while_the_session_is_up() -> None:
    node = both_up()
    assert node.routes() == {A: ONE}
    node.engine.outbox.clear()
    ipsec(node, T1, up=False, now=5)
    assert [type(op) for op in node.settle()] == [SetGroup]
    assert node.routes() == {A: TWO}
    assert node.engine.sessions[T1].established
    assert logged(node, "tunnel.down") == [(T1, "IPsec is down: the peer went away")]


def test_traffic_returns_after_the_hold_down_that_begins_with_the_sa() -> None:
    node = both_up()
    ipsec(node, T1, up=False, now=5)
    node.settle()
    ipsec(node, T1, up=True, now=50, why="established")
    node.settle()
    assert (node.engine.tunnels[T1].state, node.routes()) == (TunnelState.WARMING, {A: TWO})
    node.engine.tick(54.9)
    assert node.engine.tunnels[T1].state is TunnelState.WARMING
    node.engine.tick(55)
    node.settle()
    assert (node.engine.tunnels[T1].state, node.routes()) == (TunnelState.LIVE, {A: ONE})


def test_a_session_that_comes_back_after_its_sa_counts_from_its_own_table() -> None:
    node = both_up()
    ipsec(node, T1, up=False, now=5)
    down(node.engine, T1, 30)
    ipsec(node, T1, up=True, now=50, why="established")
    assert node.engine.tunnels[T1].state is TunnelState.DOWN
    up(node.engine, T1, 60, A)
    assert node.engine.tunnels[T1].state is TunnelState.WARMING
    node.engine.tick(65)
    assert node.engine.tunnels[T1].state is TunnelState.LIVE


def test_with_both_sas_gone_the_routes_go_and_with_one_they_return_at_once() -> None:
    node = both_up()
    for session in (T1, T2):
        ipsec(node, session, up=False, now=5)
    node.settle()
    assert node.routes() == {}
    ipsec(node, T2, up=True, now=9, why="established")
    node.settle()
    assert node.routes() == {A: TWO}


def test_after_a_restart_tunnels_count_as_up_until_the_driver_has_told() -> None:
    node = both_up()
    again = node.restarted(Engine(made_intent(), 10.0), 10.0)
    assert again.engine.tunnels[T1].ipsec_up is None
    again.engine.handle(SessionResync(T1, negotiated()), 10.0)
    assert again.engine.tunnels[T1].state is TunnelState.LIVE
    ipsec(again, T1, up=False, now=11)
    assert again.engine.tunnels[T1].state is TunnelState.DOWN


def test_the_ipsec_of_an_external_tunnel_is_none_of_ours() -> None:
    node = Node(engine())
    up(node.engine, T1, 1, A)
    ipsec(node, T1, up=False, now=2)
    assert node.engine.tunnels[T1].state is TunnelState.LIVE


def test_a_tunnel_that_is_new_is_down_until_it_is_negotiated_and_says_nothing_else() -> None:
    nothing = without_bgp().model_copy(update={"vpn_connections": (), "destination_routes": ()})
    node = made_node(Engine(nothing, 0.0))
    node.engine.reconfigure(without_bgp(), 1.0)
    node.settle()
    assert node.routes() == {}
    assert node.engine.tunnels[T1].reason == "IPsec is down: not negotiated yet"
    ipsec(node, T1, up=False, now=2)
    ipsec(node, T1, up=True, now=3, why="established")
    ipsec(node, T2, up=True, now=3, why="established")
    node.settle()
    # It did not fail before, so it need not prove itself.
    assert [node.engine.tunnels[ident].state for ident in (T1, T2)] == [TunnelState.LIVE] * 2
    assert logged(node, "tunnel.down") == []


def test_without_bgp_an_sa_that_failed_holds_its_tunnel_back() -> None:
    node = made_node(Engine(without_bgp(), 0.0))
    for session in (T1, T2):
        ipsec(node, session, up=True, now=1, why="established")
    ipsec(node, T1, up=False, now=5)
    node.settle()
    assert node.routes() == {STATIC: TWO}
    ipsec(node, T1, up=True, now=9, why="established")
    assert node.engine.tunnels[T1].state is TunnelState.WARMING
    node.engine.tick(14)
    node.settle()
    assert node.routes() == {STATIC: ONE}


def test_static_routes_lead_into_a_tunnel_that_only_waits_for_their_packets() -> None:
    node = made_node(Engine(without_bgp(), 0.0))
    for session in (T1, T2):
        node.engine.handle(IpsecChanged(session, False, "waits for traffic", waiting=True), 1)
    node.settle()
    assert node.routes() == {STATIC: ONE}
    ipsec(node, T1, up=False, now=2, why="no answer")
    node.settle()
    assert node.routes() == {STATIC: TWO}


def test_a_session_waits_for_an_sa_that_its_own_packets_bring_up() -> None:
    node = both_up()
    node.engine.handle(IpsecChanged(T1, False, "waits for traffic", waiting=True), 5)
    assert node.engine.tunnels[T1].state is TunnelState.DOWN


@pytest.mark.parametrize("is_up", [True, False])
def test_what_is_known_of_the_sas_outlives_a_change_of_bgp(is_up: bool) -> None:
    node = both_up()
    ipsec(node, T1, up=is_up, now=5)
    node.engine.reconfigure(without_bgp(), 6)
    assert node.engine.tunnels[T1].ipsec_up is is_up
    node.engine.reconfigure(made_intent(), 7)
    assert node.engine.tunnels[T1].ipsec_up is is_up


def test_a_tunnel_that_somebody_else_made_begins_down_when_it_becomes_ours_and_the_other_way_round() -> None:
    node = both_up()
    node.engine.reconfigure(intent(), 5)
    assert node.engine.tunnels[T1].ipsec_up is None
    node.engine.reconfigure(made_intent(), 6)
    assert node.engine.tunnels[T1].ipsec_up is False
    # The link may be there already, of a former life.
    node.engine.handle(LinkChanged(ONE, 2, True), 7)
    assert node.engine.tunnels[T1].state is TunnelState.DOWN


def test_a_question_supposes_that_a_tunnel_without_sas_recovers() -> None:
    node = both_up()
    ipsec(node, T1, up=False, now=5)
    place = node.engine.gateways["gw1"]
    as_it_is = World(node.engine, place, Question(fail_tunnels=(T2,)), None)
    assert as_it_is.tunnels[T1].state is TunnelState.DOWN
    recovered = World(node.engine, place, Question(recover_tunnels=(T1,)), None)
    assert recovered.tunnels[T1].state is TunnelState.LIVE


def test_a_gateway_as_it_would_be_keeps_what_is_known_of_its_sas() -> None:
    node = both_up()
    ipsec(node, T1, up=False, now=5)
    for other in (made_intent(), without_bgp()):
        supposed = suppose(node.engine, other, "gw1")
        assert supposed is not None
        assert (supposed.tunnels[T1].ipsec_up, supposed.tunnels[T2].ipsec_up) == (False, True)
