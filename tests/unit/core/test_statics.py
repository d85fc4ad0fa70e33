"""Static routes and tunnels without BGP: which routes stand in which kernel table, over which tunnel."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from bgpsvc import repair
from bgpsvc.detection_report import GuardSeen
from bgpsvc.engine import Engine
from bgpsvc.events import HealthChanged, LinkChanged, OperatorSwitch
from bgpsvc.fib.ops import (
    METRIC_BACKUP,
    METRIC_PRIMARY,
    DeleteRoutes,
    Link,
    LinkSeen,
    SetGroup,
    SetNexthop,
    SetRoutes,
)
from bgpsvc.model import Reason, SessionId, SwitchMode, format_prefix, parse_prefix
from bgpsvc.report import Beside, connection_view
from bgpsvc.resources import Intent
from bgpsvc.resources.models import DestinationRoute, HealthCheck, PolicyRoute, Tunnel, VpcRoute
from bgpsvc.routes_report import route_view, table_route_view
from bgpsvc.tunnels import TunnelState
from tests.unit.core.harness import TABLE, Node
from tests.unit.support import IFINDEX, T1, T2, down, intent, run, up

STATIC4, STATIC6 = "192.168.0.0/16", "2001:db8:1::/48"


def route(name: str, destination: str, **more: Any) -> DestinationRoute:
    return DestinationRoute.model_validate(
        {"name": name, "vpn_gateway": "gw1", "vpn_connection": "conn1", "destination": destination, **more}
    )


def policy(name: str, source: str, destination: str, **more: Any) -> PolicyRoute:
    return PolicyRoute.model_validate(
        {"name": name, "vpn_gateway": "gw1", "vpn_connection": "conn1", "source": source}
        | {"destination": destination, **more}
    )


ROUTES = (route("four", STATIC4), route("six", STATIC6))


def static_intent(*routes: DestinationRoute, policies: tuple[PolicyRoute, ...] = (), **more: Any) -> Intent:
    made = intent(**more)
    return made.model_copy(update={"destination_routes": routes, "policy_routes": policies})


def single(check: dict[str, Any] | None = None, *, bgp: bool = False) -> Intent:
    """One tunnel without addresses, so that routes lead to the device alone."""
    made = static_intent(*ROUTES)
    (connection,) = made.vpn_connections
    health = None if check is None else HealthCheck.model_validate(check)
    tunnels = connection.tunnels[:1] if bgp else (Tunnel(customer_gateway="c1", interface="t1"),)
    changed = {"tunnels": tunnels, "enable_bgp": bgp, "health_check": health}
    return made.model_copy(update={"vpn_connections": (connection.model_copy(update=changed),)})


def begin(wanted: Intent) -> Node:
    made = Engine(wanted, 0)
    for name, ifindex in IFINDEX.items():
        made.handle(LinkChanged(name, ifindex, True), 0)
    made.fib.load((), {})
    made.takeover.loaded()
    node = Node(made)
    node.settle()
    return node


def destinations(node: Node) -> int:
    return node.engine.numbers.destination("vpc1")


def in_table(node: Node, table: int, metric: int = METRIC_PRIMARY) -> dict[str, str]:
    """The kernel's routes of a table: prefix to the interface that they lead to."""
    nexthops = {n.id: n for n in node.kernel.nexthops()}
    names = {link.ifindex: link.name for link in node.kernel.links()}
    found = {}
    for (prefix, number), ident in node.kernel.routes(table).items():
        if number == metric:
            nexthop = nexthops[ident]
            (leaf,) = [nexthops[m] for m in nexthop.members] or [nexthop]
            assert leaf.ifindex is not None
            found[format_prefix(prefix)] = names[leaf.ifindex]
    return found


@pytest.fixture
def plain() -> Node:
    """Two tunnels without BGP, with addresses, and a route of each family."""
    return begin(static_intent(*ROUTES, connection={"enable_bgp": False}))


def test_without_bgp_the_link_makes_a_tunnel_live(plain: Node) -> None:
    engine = plain.engine
    assert engine.sessions == {}
    assert [t.state for t in engine.tunnels.values()] == [TunnelState.LIVE, TunnelState.LIVE]
    assert engine.switchboard.switches["conn1"].carrying == T1
    assert in_table(plain, destinations(plain)) == {STATIC4: "t1", STATIC6: "t1"}
    assert in_table(plain, destinations(plain), METRIC_BACKUP) == {STATIC4: "t2", STATIC6: "t2"}
    assert plain.kernel.routes(TABLE) == {}


def test_next_hops_are_the_peers_addresses(plain: Node) -> None:
    found = {n.gateway for n in plain.kernel.nexthops() if not n.members}
    assert found == {
        bytes((169, 254, 10, 2)),
        bytes((169, 254, 20, 2)),
        bytes.fromhex("fd0000100000000000000000000000" + "02"),
        bytes.fromhex("fd0000200000000000000000000000" + "02"),
    }


def test_a_switchover_is_one_group_for_each_family(plain: Node) -> None:
    plain.engine.handle(OperatorSwitch("conn1", SwitchMode.STANDBY), 1)
    done = plain.settle()
    assert [type(op) for op in done] == [SetGroup, SetGroup]
    assert in_table(plain, destinations(plain)) == {STATIC4: "t2", STATIC6: "t2"}


def test_a_tunnel_that_failed_waits_for_the_hold_down(plain: Node) -> None:
    plain.link("t1", up=False, now=10)
    plain.settle()
    assert in_table(plain, destinations(plain)) == {STATIC4: "t2", STATIC6: "t2"}
    plain.link("t1", up=True, now=20)
    plain.kernel.give_addresses(IFINDEX["t1"], "fd00:10::1/126")
    plain.notice(20)
    plain.settle()
    tunnel = plain.engine.tunnels[T1]
    assert (tunnel.state, tunnel.reason) == (TunnelState.WARMING, "waits for the failback hold-down of 5 s")
    assert in_table(plain, destinations(plain)) == {STATIC4: "t2", STATIC6: "t2"}
    assert plain.engine.deadline() == 25
    plain.engine.tick(25)
    plain.settle()
    assert in_table(plain, destinations(plain)) == {STATIC4: "t1", STATIC6: "t1"}
    assert plain.engine.switchboard.switches["conn1"].switchovers == 2


def test_without_a_live_tunnel_static_routes_go(plain: Node) -> None:
    for name in ("t1", "t2"):
        plain.link(name, up=False)
    plain.settle()
    assert plain.kernel.routes(destinations(plain)) == {}
    plain.link("t2", up=True)
    plain.kernel.give_addresses(IFINDEX["t2"], "fd00:20::1/126")
    plain.notice(6)
    plain.settle()
    assert in_table(plain, destinations(plain)) == {STATIC4: "t2", STATIC6: "t2"}


def test_a_tunnel_without_addresses_is_routed_to_by_its_device() -> None:
    node = begin(single())
    assert list(node.engine.tunnels) == [SessionId("conn1-tunnel1")]
    assert {n.gateway for n in node.kernel.nexthops()} == {None}
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    assert node.kernel.routes(destinations(node)).keys() == {
        (p, METRIC_PRIMARY) for p, _ in node.kernel.routes(destinations(node))
    }, "a single tunnel has no backup"


CHECK = {"source": "10.0.0.1", "destination": "192.168.0.10"}


def test_a_failing_health_check_revokes_the_routes() -> None:
    node = begin(single(CHECK))
    assert node.engine.tunnels[T1].state is TunnelState.LIVE, "before the first verdict it counts as passed"
    node.engine.handle(HealthChanged(T1, False, "no reply to 3 requests"), 9)
    node.settle()
    assert node.kernel.routes(destinations(node)) == {}
    assert node.engine.tunnels[T1].reason == "the health check fails: no reply to 3 requests"
    node.engine.handle(HealthChanged(T1, True, "replies again"), 30)
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    kinds = [e.kind for e in node.engine.outbox if hasattr(e, "kind")]
    assert [k for k in kinds if "health" in k] == ["tunnel.unhealthy", "tunnel.healthy"]


def test_a_health_check_may_reserve_the_routes() -> None:
    node = begin(single(CHECK | {"on_failure": "reserve_route"}))
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    assert node.settle() == []
    tunnel = node.engine.tunnels[T1]
    assert tunnel.state is TunnelState.LIVE
    assert "its routes stay (reserve_route): no reply" in tunnel.reason


def test_with_bgp_a_health_check_concerns_static_routes_alone() -> None:
    node = begin(single(CHECK, bgp=True))
    up(node.engine, T1, 1, "172.16.0.0/12")
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    node.settle()
    assert in_table(node, destinations(node)) == {}
    assert in_table(node, TABLE) == {"172.16.0.0/12": "t1"}


def moved(gateway: str) -> Intent:
    """A connection of one of two gateways, with a policy-based route of its own."""
    both = (1, 2)
    return Intent.model_validate(
        {
            "vpcs": [{"name": f"vpc{n}", "cidrs": [f"10.{n}.0.0/16"], "route_table": 200 + n} for n in both],
            "vpn_gateways": [
                {"name": f"gw{n}", "vpc": f"vpc{n}", "addresses": [f"198.51.100.{n}0", f"198.51.100.{n}1"]}
                for n in both
            ],
            "customer_gateways": [{"name": "peer", "address": "198.51.100.2"}],
            "vpn_connections": [
                {"name": "conn1", "vpn_gateway": gateway}
                | {"tunnels": [{"customer_gateway": "peer", "interface": "t1"}]}
            ],
            "policy_routes": [
                {"name": "p", "vpn_gateway": gateway, "vpn_connection": "conn1"}
                | {"source": "10.0.0.0/8", "destination": "192.168.0.0/16"}
            ],
        }
    )


@pytest.mark.parametrize(("before", "after"), [("gw1", "gw2"), ("gw2", "gw1")])
def test_a_connection_that_moves_to_another_gateway_takes_its_table_along(before: str, after: str) -> None:
    node = begin(moved(before))
    table = node.engine.numbers.policy("conn1")
    assert in_table(node, table) == {"0.0.0.0/0": "t1"}
    node.engine.reconfigure(moved(after), 2)
    node.settle()
    assert in_table(node, table) == {"0.0.0.0/0": "t1"}
    node.engine.reconfigure(moved(after).model_copy(update={"policy_routes": ()}), 3)
    node.settle()
    assert in_table(node, table) == {}


def test_a_device_that_is_renamed_is_the_tunnels_no_more() -> None:
    node = begin(single())
    repair.take(node.engine, [LinkSeen(Link("other", IFINDEX["t1"], True))], 3)
    node.settle()
    assert node.engine.tunnels[T1].state is TunnelState.DOWN
    assert in_table(node, destinations(node)) == {}
    repair.take(node.engine, [LinkSeen(Link("other", IFINDEX["t1"], False))], 4)
    repair.take(node.engine, [LinkSeen(Link("t1", IFINDEX["t1"], False))], 5)
    assert node.engine.tunnels[T1].state is TunnelState.DOWN
    repair.take(node.engine, [LinkSeen(Link("t1", IFINDEX["t1"], True))], 6)
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    assert "other" not in node.engine.links


@pytest.mark.parametrize(("before", "after"), [("reserve_route", "revoke_route"), ("revoke_route", None)])
def test_what_a_failing_check_leads_to_may_change_under_a_session(before: str, after: str | None) -> None:
    node = begin(single(CHECK | {"on_failure": before}, bgp=True))
    up(node.engine, T1, 1, "172.16.0.0/12")
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    node.settle()
    both = {STATIC4: "t1", STATIC6: "t1"}
    assert in_table(node, destinations(node)) == (both if before == "reserve_route" else {})
    check = None if after is None else CHECK | {"on_failure": after}
    node.engine.reconfigure(single(check, bgp=True), 10)
    node.settle()
    assert in_table(node, destinations(node)) == ({} if after == "revoke_route" else both)
    assert in_table(node, TABLE) == {"172.16.0.0/12": "t1"}


def test_verdicts_of_a_check_that_is_gone_do_not_count() -> None:
    node = begin(single(CHECK))
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    node.engine.reconfigure(single(), 10)
    node.engine.handle(HealthChanged(T1, False, "a straggler"), 11)
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}


@pytest.mark.parametrize("change", [{"retries": 5}, {"on_failure": "reserve_route"}])
def test_a_verdict_lasts_while_the_check_asks_the_same(change: dict[str, Any]) -> None:
    node = begin(single(CHECK))
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    node.engine.reconfigure(single(CHECK | change), 10)
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    assert node.engine.tunnels[T1].healthy is (False if "on_failure" in change else None)


def test_with_bgp_static_routes_follow_the_session() -> None:
    node = begin(static_intent(*ROUTES))
    assert node.kernel.routes(destinations(node)) == {}
    up(node.engine, T1, 1)
    up(node.engine, T2, 1)
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1", STATIC6: "t1"}
    down(node.engine, T1, 2)
    assert [type(op) for op in node.settle()] == [SetGroup, SetGroup]
    assert in_table(node, destinations(node)) == {STATIC4: "t2", STATIC6: "t2"}
    down(node.engine, T2, 3)
    node.settle()
    assert node.kernel.routes(destinations(node)) == {}


def test_static_routes_do_not_ask_for_propagation() -> None:
    node = begin(static_intent(route("four", STATIC4, publish=True), propagate=False))
    up(node.engine, T1, 1, "172.16.0.0/12")
    node.settle()
    assert in_table(node, destinations(node)) == {STATIC4: "t1"}
    assert in_table(node, TABLE) == {STATIC4: "t1"}


def test_a_published_route_comes_before_a_learned_one_of_the_same_prefix() -> None:
    node = begin(
        static_intent(route("four", STATIC4, publish=True), connection={"prefer_active_tunnel": True})
    )
    up(node.engine, T2, 1, STATIC4, "172.16.0.0/12")
    up(node.engine, T1, 1, "172.16.0.0/12")
    node.settle()
    assert in_table(node, TABLE) == {STATIC4: "t1", "172.16.0.0/12": "t1"}
    node.engine.reconfigure(static_intent(route("four", STATIC4)), 3)
    node.settle()
    assert in_table(node, TABLE) == {STATIC4: "t2", "172.16.0.0/12": "t1"}
    assert in_table(node, destinations(node)) == {STATIC4: "t1"}


def test_policy_routes_have_a_default_route_in_the_table_of_their_connection() -> None:
    policies = (
        policy("a", "10.0.1.0/24", "172.16.0.0/12", publish=True),
        policy("b", "10.0.2.0/24", "172.17.0.0/16"),
        policy("c", "2001:db8:a::/48", STATIC6),
    )
    node = begin(static_intent(policies=policies, connection={"enable_bgp": False}))
    table = node.engine.numbers.policy("conn1")
    assert in_table(node, table) == {"0.0.0.0/0": "t1", "::/0": "t1"}
    assert in_table(node, table, METRIC_BACKUP) == {"0.0.0.0/0": "t2", "::/0": "t2"}
    assert in_table(node, TABLE) == {"172.16.0.0/12": "t1"}
    for name in ("t1", "t2"):
        node.link(name, up=False)
    node.settle()
    assert node.kernel.routes(table) == node.kernel.routes(TABLE) == {}


def test_removing_routes_and_tables(plain: Node) -> None:
    number = destinations(plain)
    plain.engine.reconfigure(static_intent(ROUTES[0], connection={"enable_bgp": False}), 1)
    plain.settle()
    assert in_table(plain, number) == {STATIC4: "t1"}
    plain.engine.reconfigure(static_intent(connection={"enable_bgp": False}), 2)
    plain.settle()
    assert plain.kernel.routes(number) == {}
    assert plain.kernel.nexthops() == []
    assert number not in plain.engine.fib.tables


@pytest.mark.parametrize("interface", ["t2", "t1"])
def test_a_tunnel_that_moves_to_another_interface(plain: Node, interface: str) -> None:
    """Also where both tunnels change places, and with them their hops."""
    other = {"t1": "t2", "t2": "t1"}
    wanted = static_intent(*ROUTES, connection={"enable_bgp": False})
    (connection,) = wanted.vpn_connections
    tunnels = tuple(
        t.model_copy(update={"interface": other[t.interface], "bgp": None}) for t in connection.tunnels
    )
    if interface == "t1":
        tunnels = tuple(t.model_copy(update={"interface": other[t.interface]}) for t in tunnels)
    changed = connection.model_copy(update={"tunnels": tunnels})
    plain.engine.reconfigure(wanted.model_copy(update={"vpn_connections": (changed,)}), 1)
    plain.settle()
    assert in_table(plain, destinations(plain)) == {STATIC4: interface, STATIC6: interface}


def test_enabling_bgp_waits_for_the_session(plain: Node) -> None:
    plain.engine.reconfigure(static_intent(*ROUTES), 1)
    run(plain.engine)
    plain.settle()
    assert plain.kernel.routes(destinations(plain)) == {}
    up(plain.engine, T2, 2)
    plain.settle()
    assert in_table(plain, destinations(plain)) == {STATIC4: "t2", STATIC6: "t2"}


def restarted(node: Node, wanted: Intent) -> Node:
    """Another daemon with this intent takes over what the kernel holds."""
    made = Engine(wanted, 100)
    for link in node.kernel.links():
        made.handle(LinkChanged(link.name, link.ifindex, link.up), 100)
    made.fib.load(node.kernel.nexthops(), node.kernel.all_routes())
    node.kernel.read()
    made.takeover.loaded()
    return Node(made, node.kernel)


def test_a_restart_changes_nothing(plain: Node) -> None:
    again = restarted(plain, plain.engine.intent)
    assert again.settle() == []
    assert not any(table.held for table in again.engine.fib.tables.values())


def test_a_restart_with_bgp_keeps_static_routes_until_the_sessions_are_known() -> None:
    node = begin(static_intent(*ROUTES))
    up(node.engine, T1, 1)
    node.settle()
    again = restarted(node, node.engine.intent)
    assert again.settle() == []
    again.engine.tick(120)
    again.settle()
    assert in_table(again, destinations(again)) == {}, "nobody came back to say that they are right"


def test_tables_of_what_was_removed_while_the_daemon_was_down_are_emptied(plain: Node) -> None:
    number = destinations(plain)
    plain.engine.reconfigure(
        static_intent(route("four", STATIC4, publish=True), connection={"enable_bgp": False}), 1
    )
    plain.settle()
    assert in_table(plain, TABLE) == {STATIC4: "t1"}
    again = restarted(plain, Intent())
    done = again.settle()
    assert not any(isinstance(op, SetRoutes | SetGroup | SetNexthop) for op in done)
    assert {op.table for op in done if isinstance(op, DeleteRoutes)} == {TABLE, number}
    assert again.kernel.all_routes() == {}
    assert again.kernel.nexthops() == []
    assert again.engine.fib.tables == {}


def unasked(tunnel: str, interface: str) -> NoReturn:
    """An external tunnel has no IPsec that could be known."""
    raise AssertionError(f"{tunnel} over {interface} is none that the service makes")


def test_views_of_tunnels_without_bgp() -> None:
    node = begin(single(CHECK))
    (view,) = connection_view(node.engine, "conn1", Beside(9, 1000, unasked, GuardSeen())).tunnels
    assert (view.session_state, view.local_address, view.peer_address) == (None, None, None)
    assert (view.state, view.carrying, view.health, view.health_reason) == ("live", True, None, None)
    node.engine.handle(HealthChanged(T1, False, "no reply"), 9)
    (view,) = connection_view(node.engine, "conn1", Beside(9, 1000, unasked, GuardSeen())).tunnels
    assert (view.state, view.carrying, view.health, view.health_reason) == (
        "down",
        False,
        "unhealthy",
        "no reply",
    )
    assert view.state_reason == "the health check fails: no reply"


def test_views_tell_where_a_route_comes_from() -> None:
    policies = (policy("a", "10.0.1.0/24", "172.17.0.0/16", publish=True),)
    node = begin(static_intent(route("four", STATIC4, publish=True), policies=policies))
    up(node.engine, T1, 1, STATIC4, "172.16.0.0/12")
    node.settle()
    gateway = node.engine.gateways["gw1"]
    views = [table_route_view(node.engine, gateway, p) for p in sorted(gateway.table.primary)]
    assert [(v.prefix, v.source, v.connection, v.next_hop) for v in views] == [
        ("172.16.0.0/12", "bgp", "conn1", "169.254.10.2"),
        ("172.17.0.0/16", "policy_based", "conn1", "169.254.10.2"),
        (STATIC4, "destination_based", "conn1", "169.254.10.2"),
    ]
    learned = route_view(node.engine, gateway, parse_prefix(STATIC4))
    assert (learned.state, learned.reason) == ("not_installed", Reason.PUBLISHED_STATIC)


def test_custom_routes_are_advertised_where_they_say_so() -> None:
    made = intent()
    routes = tuple(
        VpcRoute.model_validate({"name": f"r{n}", "vpc": "vpc1", "destination": f"10.{n}.0.0/16"} | more)
        for n, more in ((5, {"blackhole": True, "advertise": True}), (6, {"blackhole": True}))
    )
    node = begin(made.model_copy(update={"vpc_routes": routes}))
    prefixes = [format_prefix(p) for p in node.engine.gateways["gw1"].local_prefixes]
    assert prefixes == ["10.0.0.0/16", "10.5.0.0/16"]
