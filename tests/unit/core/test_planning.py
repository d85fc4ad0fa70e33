"""What a write is said to do to sessions, kernel and peers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from pydantic import SecretStr

from bgpsvc.control import Plan, PlannedEffect
from bgpsvc.engine import Engine
from bgpsvc.events import PropagationSet
from bgpsvc.planning import plan
from bgpsvc.resources import CustomerGateway, Intent, Tunnel, Vpc, VpnConnection, VpnGateway
from bgpsvc.resources.models import VpcRoute
from bgpsvc.route_plan import _tables
from tests.unit.core.answers import snapshot
from tests.unit.core.harness import Node
from tests.unit.core.policies import policed, policy, rule
from tests.unit.core.test_statics import begin, route, static_intent
from tests.unit.core.test_statics import policy as policy_route
from tests.unit.support import T1, T2, bgp, intent, up

A, B = "192.168.0.0/16", "172.16.0.0/12"


def both_up(wanted: Intent | None = None) -> Node:
    """A over both tunnels, B over the active one alone."""
    node = begin(wanted or intent())
    up(node.engine, T1, 1, A, B)
    up(node.engine, T2, 1, A)
    node.settle()
    return node


def planned(node: Node, after: Intent) -> Plan:
    """The plan; it must change nothing."""
    before = snapshot(node.engine)
    made = plan(node.engine.intent, after, node.engine)
    assert snapshot(node.engine) == before
    return made


def effects(found: tuple[PlannedEffect, ...], action: str) -> dict[str, tuple[int, str]]:
    return {e.subject: (e.count, e.detail) for e in found if e.action == action}


def with_gateway(**changes: Any) -> Intent:
    plain = intent()
    (gateway,) = plain.vpn_gateways
    return plain.model_copy(update={"vpn_gateways": (gateway.model_copy(update=changes),)})


def two_vpcs() -> Intent:
    """Another VPC with a gateway and a connection beside those of the scenario."""
    plain = intent()
    cidr, ends = IPv4Network("10.9.0.0/16"), (IPv4Address("198.51.100.11"), IPv4Address("198.51.100.13"))
    connection = VpnConnection(
        name="conn2",
        vpn_gateway="gw2",
        enable_bgp=True,
        local_asn=65531,
        tunnels=(
            Tunnel(customer_gateway="c3", interface="t3", bgp=bgp(30)),
            Tunnel(customer_gateway="c3", interface="t4", bgp=bgp(40)),
        ),
    )
    return Intent(
        vpcs=(*plain.vpcs, Vpc(name="vpc2", cidrs=(cidr,), route_table=202)),
        vpn_gateways=(*plain.vpn_gateways, VpnGateway(name="gw2", vpc="vpc2", addresses=ends)),
        customer_gateways=(
            *plain.customer_gateways,
            CustomerGateway(name="c3", address=IPv4Address("203.0.113.7"), asn=65501),
        ),
        vpn_connections=(*plain.vpn_connections, connection),
    )


def test_the_same_is_nothing() -> None:
    assert planned(both_up(), intent()) == Plan()


def test_everything_from_nothing() -> None:
    made = plan(Intent(), intent(), Engine(Intent(), 0))
    assert [r.action for r in made.resources] == ["create"] * 5
    assert effects(made.sessions, "add") == {
        T1: (1, "169.254.10.1 to 169.254.10.2 over t1, AS 65530 to AS 65500"),
        T2: (1, "169.254.20.1 to 169.254.20.2 over t2, AS 65530 to AS 65500"),
    }
    rules = {s: n for s, (n, _) in effects(made.kernel, "add").items()}
    assert rules == {
        "policy rule 31990": 2,
        "policy rule 32000": 2,
        "policy rule 32300": 2,
        "table 201": 1,
        "guard 10.0.0.0/16": 1,
    }
    assert effects(made.peers, "announce") == {T1: (1, "10.0.0.0/16"), T2: (1, "10.0.0.0/16")}


def test_nothing_from_everything() -> None:
    made = planned(both_up(), Intent())
    assert effects(made.sessions, "remove") == {
        T1: (1, "the session is closed, its 2 paths are forgotten"),
        T2: (1, "the session is closed, its only path is forgotten"),
    }
    gone = effects(made.kernel, "remove")
    assert gone["learned routes of gw1"] == (2, "the VPN gateway is removed")
    assert gone["table 201"] == (1, "all our routes in it, of VPC vpc1")
    assert gone["policy rule 32000"][0] == 2
    assert effects(made.peers, "withdraw").keys() == {T1, T2}
    assert made.warnings == ()


def test_a_second_vpc_leaves_the_first_alone() -> None:
    made = planned(both_up(), two_vpcs())
    assert effects(made.sessions, "add").keys() == {"conn2-tunnel1", "conn2-tunnel2"}
    assert len(made.sessions) == 2
    added = effects(made.kernel, "add")
    assert added.keys() == {"policy rule 31990", "policy rule 32300", "table 202", "guard 10.9.0.0/16"}
    assert added["policy rule 31990"] == (
        1,
        "packets to tunnel endpoints look into the main table: 203.0.113.7",
    )
    assert made.peers == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hold_time": 90}, "hold_time 30 s → 90 s"),
        ({"graceful_restart": 0}, "graceful_restart 120 s → off"),
        ({"ttl_security": 1}, "ttl_security off → 1"),
        ({"passive": True}, "passive off → on"),
        ({"password": SecretStr("hunter2")}, "the password is set"),
        ({"ipv6": None}, "families ipv4 and ipv6 → ipv4"),
    ],
)
def test_what_makes_the_speaker_open_a_session_anew(changes: dict[str, Any], why: str) -> None:
    made = planned(both_up(), intent(**changes))
    assert effects(made.sessions, "reset") == {
        T1: (1, f"{why}; its 2 paths are learned again"),
        T2: (1, f"{why}; its only path is learned again"),
    }
    assert "hunter2" not in repr(made)
    (warning,) = made.warnings
    assert warning.startswith("all established sessions of conn1 are reset at once")


def test_another_peering_forgets_the_paths() -> None:
    made = planned(both_up(), intent(connection={"local_asn": 65499}))
    assert effects(made.sessions, "reset")[T1] == (
        1,
        "local_asn 65530 → 65499; its 2 paths are forgotten and learned anew",
    )
    assert effects(made.kernel, "remove") == {
        "learned routes of gw1": (2, "no session that announces them stays")
    }


def test_another_route_table_forgets_the_paths_too() -> None:
    plain = intent()
    (vpc,) = plain.vpcs
    moved = plain.model_copy(update={"vpcs": (vpc.model_copy(update={"route_table": 300}),)})
    made = planned(both_up(), moved)
    assert effects(made.sessions, "reset")[T2] == (
        1,
        "its VPC has another route table; its only path is forgotten and learned anew",
    )
    assert "table 300" in effects(made.kernel, "add")
    assert "table 201" in effects(made.kernel, "remove")


def test_a_table_that_passes_to_another_vpc_goes_from_its_former_owner() -> None:
    plain = two_vpcs()
    first, second = plain.vpcs
    only = plain.model_copy(
        update={"vpcs": (first,), "vpn_gateways": plain.vpn_gateways[:1], "vpn_connections": ()}
    )
    heir = second.model_copy(update={"route_table": first.route_table})
    other = plain.model_copy(
        update={"vpcs": (heir,), "vpn_gateways": plain.vpn_gateways[1:], "vpn_connections": ()}
    )
    found = list(_tables(only, other, {first.route_table}, set()))
    assert [(e.action, e.detail) for e in found if e.subject == f"table {first.route_table}"] == [
        ("remove", "all our routes in it, of VPC vpc1")
    ]


def test_one_tunnel_that_is_set_up_anew_moves_and_loses_routes() -> None:
    plain = intent()
    (connection,) = plain.vpn_connections
    first = connection.tunnels[0].model_copy(update={"interface": "t9"})
    tunnels = {"tunnels": (first, connection.tunnels[1])}
    made = planned(
        both_up(), plain.model_copy(update={"vpn_connections": (connection.model_copy(update=tunnels),)})
    )
    assert effects(made.sessions, "reset").keys() == {T1}
    assert made.warnings == (), "the other tunnel carries on"
    assert effects(made.kernel, "move") == {
        "learned routes of gw1": (1, "to the next tunnel that announces them")
    }
    assert effects(made.kernel, "remove")["learned routes of gw1"][0] == 1


def test_what_a_session_takes_over_while_it_stays_up() -> None:
    node = both_up()
    changes: dict[str, object] = {
        "failback_hold_down": 1.0,
        "accept_default_route": True,
        "prefer_active_tunnel": False,
    }
    made = planned(node, intent(connection=changes, max_prefixes=7, max_prefixes_action="teardown"))
    assert effects(made.sessions, "update")[T1][1] == (
        "max_prefixes 1000000 → 7; hold_down 5.0 s → 1.0 s; teardown at max_prefixes is on; "
        "accept_default_route is on; prefer_active_tunnel is off"
    )


def test_policies() -> None:
    node = both_up()
    made = planned(node, policed(policy(rule(local_preference=5)), policy(rule("reject"), name="to-dc")))
    assert effects(made.sessions, "update")[T1][1] == (
        "import policy none → from-dc; export policy none → to-dc"
    )
    assert effects(made.kernel, "move")["learned routes of gw1"][0] == 3
    assert effects(made.peers, "withdraw") == {T1: (1, "10.0.0.0/16"), T2: (1, "10.0.0.0/16")}
    node = both_up(policed(policy(rule(local_preference=5))))
    made = planned(node, policed(policy(rule(local_preference=6))))
    assert effects(made.sessions, "update")[T2][1] == "import policy from-dc has other rules"


def test_other_attributes_are_a_change_for_the_peer() -> None:
    made = planned(both_up(), policed(exports=policy(rule(med=7), name="to-dc")))
    assert effects(made.peers, "change")[T1] == (1, "10.0.0.0/16 with other attributes")


def test_propagation() -> None:
    made = planned(both_up(), intent(propagate=False))
    assert effects(made.kernel, "remove") == {"learned routes of gw1": (2, "automatic propagation is off")}
    assert effects(made.peers, "withdraw").keys() == {T1, T2}
    made = planned(both_up(intent(propagate=False)), intent())
    assert effects(made.kernel, "add") == {"learned routes of gw1": (2, "automatic propagation is on")}


def test_a_toggle_at_run_time_outlives_a_write_of_something_else() -> None:
    node = both_up()
    node.engine.handle(PropagationSet("gw1", False), 3)
    node.settle()
    made = planned(node, with_gateway(advertise=(IPv4Network("10.5.0.0/16"),)))
    assert (made.kernel, made.peers) == ((), ())


def test_many_prefixes_are_counted_and_some_are_named() -> None:
    many = tuple(IPv4Network((0x0B000000 + 256 * n, 24)) for n in range(8))
    made = planned(both_up(), with_gateway(advertise=many))
    assert effects(made.peers, "announce")[T1] == (
        8,
        "11.0.0.0/24, 11.0.1.0/24, 11.0.2.0/24, 11.0.3.0/24, 11.0.4.0/24 and 3 more",
    )


def test_static_routes_come_change_and_go() -> None:
    node = both_up(static_intent(route("one", "198.18.0.0/15"), route("two", "198.51.0.0/24")))
    after = static_intent(
        route("one", "198.18.0.0/16", publish=True),
        policies=(policy_route("by", "10.0.0.0/16", A, priority=7),),
    )
    custom = VpcRoute(name="lan", vpc="vpc1", destination=IPv4Network("203.0.113.0/24"), blackhole=True)
    made = planned(node, after.model_copy(update={"vpc_routes": (custom,)}))
    assert effects(made.kernel, "move") == {
        "destination-based route one": (1, "198.18.0.0/15 over conn1 → 198.18.0.0/16 over conn1, published")
    }
    added = effects(made.kernel, "add")
    assert added["policy-based route by"][1] == f"from 10.0.0.0/16 to {A}, priority 7, over conn1"
    assert added["custom VPC route lan"][1] == "203.0.113.0/24 blackhole, VPC vpc1"
    assert added["policy rule 32007"] == (1, "policy-based routes")
    assert effects(made.kernel, "remove")["destination-based route two"][1] == "198.51.0.0/24 over conn1"


def test_rules_that_keep_vpcs_apart_are_told_by_what_they_do() -> None:
    wanted = static_intent(route("one", "198.18.0.0/15"))
    hole = VpcRoute(name="lan", vpc="vpc2", destination=IPv4Network("203.0.113.0/24"), blackhole=True)
    other = Vpc(name="vpc2", cidrs=(IPv4Network("10.7.0.0/16"),), route_table=202, interfaces=("lan2",))
    after = wanted.model_copy(update={"vpcs": (*wanted.vpcs, other), "vpc_routes": (hole,)})
    added = effects(planned(both_up(wanted), after).kernel, "add")
    words = {name.removeprefix("policy rule "): text for name, (_, text) in added.items() if "rule" in name}
    assert words == {
        "31995": "networks of other VPCs are unreachable",
        "32300": "learned, published and custom routes",
        "32350": "what enters at a VPC's interfaces may take the system's default route",
        "32360": "and ends there, before the VPCs without interfaces",
        "32600": "destination-based routes",
        "32700": "learned, published and custom routes",
    }


def test_only_new_warnings_are_told() -> None:
    plain = intent()
    (connection,) = plain.vpn_connections
    customers = tuple(
        CustomerGateway(name=f"c{n}", address=IPv4Address(f"198.51.100.{2 * n}"), asn=65500 + n)
        for n in (1, 2)
    )
    odd = plain.model_copy(update={"customer_gateways": customers})
    slower = connection.model_copy(update={"failback_hold_down": 1.0})
    again = odd.model_copy(update={"vpn_connections": (slower,)})
    (warning,) = planned(begin(plain), odd).warnings
    assert warning.startswith("VPN connection conn1, tunnels: the peers of the two tunnels have different")
    made = planned(begin(odd), again)
    assert effects(made.sessions, "update").keys() == {T1, T2}
    assert made.warnings == ()
