"""Which policy rules and fixed routes there should be, and in which order rules come and go."""

from __future__ import annotations

from typing import Any

import pytest

from bgpsvc.fib import rules
from bgpsvc.fib.rules import (
    CustomRoute,
    PolicyLookup,
    Rule,
    VpcLookup,
    changes,
    custom_routes,
    endpoints,
    fixed_routes,
    lookups,
    mistaken,
    wanted,
)
from bgpsvc.ids import TABLES, TableNumbers
from bgpsvc.model import Family, Prefix, parse_address, parse_prefix
from bgpsvc.resources import Intent
from bgpsvc.resources.models import (
    CustomerGateway,
    DestinationRoute,
    PolicyRoute,
    Vpc,
    VpcRoute,
    VpnConnection,
    VpnGateway,
)

V4, V6 = Family.IPV4, Family.IPV6
FAR = parse_address("198.51.100.2")
FAR_RULE = Rule(V4, 31990, 254, to=parse_prefix("198.51.100.2/32"))


def packed(*texts: str) -> list[Prefix]:
    return [parse_prefix(text) for text in texts]


def test_endpoints_and_the_system_come_before_what_is_learned() -> None:
    assert wanted([VpcLookup(201)], [FAR]) == [
        FAR_RULE,
        Rule(V4, 32000, 254, suppress=0),
        Rule(V4, 32300, 201),
        Rule(V6, 32000, 254, suppress=0),
        Rule(V6, 32300, 201),
    ]


def test_several_tables_share_the_system_rule() -> None:
    found = wanted([VpcLookup(202), VpcLookup(201)], [])
    assert [r.table for r in found if r.family is V4] == [254, 201, 202]


def test_without_a_table_there_are_no_rules() -> None:
    assert wanted([], [FAR]) == []


def test_static_routes_come_before_learned_ones() -> None:
    source, four, six = packed("10.0.0.0/16", "192.168.0.0/16", "2001:db8::/32")
    everything = Prefix(bytes(17))
    policies = (PolicyLookup(20, source, four, 7), PolicyLookup(1, everything, six, 8))
    found = wanted([VpcLookup(201, 6, policies)], [])
    assert sorted(found, key=lambda r: (r.family, r.preference)) == [
        Rule(V4, 32000, 254, suppress=0),
        Rule(V4, 32020, 7, to=four, source=source),
        Rule(V4, 32200, 6),
        Rule(V4, 32300, 201),
        Rule(V6, 32000, 254, suppress=0),
        Rule(V6, 32001, 8, to=six),
        Rule(V6, 32200, 6),
        Rule(V6, 32300, 201),
    ]


def test_a_vpc_with_interfaces_is_seen_from_these_and_from_the_host_alone() -> None:
    policy = PolicyLookup(10, *packed("10.0.0.0/16", "192.168.0.0/16"), 7)
    first = VpcLookup(201, 6, (policy,), isolation=9, interfaces=("lan1", "t1"))
    found = [
        r for r in wanted([first, VpcLookup(202, interfaces=("lan2",), isolation=8)], []) if r.family is V4
    ]
    assert [(r.preference, r.iif) for r in found if r.table == 201] == [
        (32300, "lo"),
        (32300, "lan1"),
        (32300, "t1"),
    ]
    assert (
        {r.iif for r in found if r.table == 7}
        == {r.iif for r in found if r.table == 6}
        == {"lo", "lan1", "t1"}
    )
    isolation = [(r.table, r.iif) for r in found if r.preference == 31995]
    assert isolation == [(9, "lan1"), (9, "t1"), (8, "lan2")], "what the host sends itself may go anywhere"
    assert [r.preference for r in found].index(31995) < [r.preference for r in found].index(32000)
    assert found.index(Rule(V4, 32000, 254, suppress=0)) < found.index(Rule(V4, 32300, 201, iif="lo"))


def test_what_enters_at_a_vpc_ends_before_the_tables_of_those_without_interfaces() -> None:
    policy = PolicyLookup(10, *packed("10.0.0.0/16", "192.168.0.0/16"), 7)
    own = VpcLookup(201, isolation=9, interfaces=("lan1",), dead_end=5)
    found = [r for r in wanted([own, VpcLookup(202, 6, (policy,))], []) if r.family is V4]
    order = sorted((r.preference, r.table, r.iif) for r in found)
    assert order == [
        (31995, 9, "lan1"),
        (32000, 254, None),
        (32300, 201, "lan1"),
        (32300, 201, "lo"),
        (32350, 254, "lan1"),
        (32360, 5, "lan1"),
        (32410, 7, None),
        (32600, 6, None),
        (32700, 202, None),
    ]
    places = [(r.preference, r.iif) for r in found]
    assert places.index((32360, "lan1")) < places.index((32700, None)), "what protects is added first"


def test_only_what_differs_is_changed() -> None:
    wished = wanted([VpcLookup(201)], [FAR])
    assert changes(wished, wished) == ([], [])
    assert changes(wished, wished[2:]) == (wished[:2], [])
    assert changes(wished, [*wished, wished[1]]) == ([], [wished[1]])


def test_the_learned_table_goes_before_what_protects_from_it() -> None:
    present = wanted([VpcLookup(201)], [FAR])
    assert changes([], present) == (
        [],
        [
            Rule(V4, 32300, 201),
            Rule(V6, 32300, 201),
            Rule(V4, 32000, 254, suppress=0),
            Rule(V6, 32000, 254, suppress=0),
            FAR_RULE,
        ],
    )


def test_what_the_kernel_would_delete_instead() -> None:
    to, source = parse_prefix("192.168.0.0/16"), parse_prefix("10.0.0.0/16")
    wide, narrow = Rule(V4, 32010, 77, to=to), Rule(V4, 32010, 77, to=to, source=source)
    entering = Rule(V4, 32010, 77, to=to, iif="lan1")
    others = [Rule(V6, 32010, 77), Rule(V4, 32011, 77, to=to), Rule(V4, 32010, 78, to=to)]
    assert mistaken(wide, [*others, narrow, entering, wide]) == [narrow, entering]
    assert mistaken(wide, [wide, narrow]) == [], "the first one that fits is taken"
    assert mistaken(narrow, [wide, entering, narrow]) == []
    assert changes([], [wide, narrow]) == ([], [narrow, wide])


def test_preferences_leave_room_and_come_before_main() -> None:
    policy = rules.PREFERENCE_POLICY
    assert len(policy) == 100
    order = [
        rules.PREFERENCE_ENDPOINT,
        rules.PREFERENCE_ISOLATION,
        rules.PREFERENCE_SYSTEM,
        *policy,
        rules.PREFERENCE_STATIC,
        rules.PREFERENCE_BGP,
        32766,
    ]
    assert order == sorted(set(order))


# From an intent


def vpc(name: str, cidr: str, table: int, *interfaces: str) -> Vpc:
    return Vpc.model_validate(
        {"name": name, "cidrs": (cidr,), "route_table": table, "interfaces": interfaces}
    )


def site(number: int) -> dict[str, Any]:
    """Gateway, customer gateway and connection without BGP of VPC number 1 or 2."""
    gateway = VpnGateway.model_validate(
        {"name": f"gw{number}", "vpc": f"vpc{number}", "addresses": (f"198.51.100.{number}", "198.51.100.9")}
    )
    customer = CustomerGateway.model_validate({"name": f"c{number}", "address": f"203.0.113.{number}"})
    bgp = {"tunnel_cidr": f"169.254.{number}0.0/30", "local_ip": f"169.254.{number}0.1"} | {
        "ipv6": {"tunnel_cidr": f"fd00:{number}::/126", "local_ip": f"fd00:{number}::1"}
    }
    tunnels = (
        {"customer_gateway": f"c{number}", "interface": f"t{number}1", "bgp": bgp},
        {"customer_gateway": f"c{number}", "interface": f"t{number}2"},
    )
    connection = VpnConnection.model_validate(
        {"name": f"conn{number}", "vpn_gateway": f"gw{number}", "tunnels": tunnels}
    )
    return {"gateway": gateway, "customer": customer, "connection": connection}


def two_vpcs(*interfaces: tuple[str, ...], **more: Any) -> Intent:
    sites = [site(1), site(2)]
    first, second = interfaces or ((), ())
    return Intent().model_copy(
        update={
            "vpcs": (vpc("vpc1", "10.1.0.0/16", 201, *first), vpc("vpc2", "10.2.0.0/16", 202, *second)),
            "vpn_gateways": tuple(s["gateway"] for s in sites),
            "customer_gateways": tuple(s["customer"] for s in sites),
            "vpn_connections": tuple(s["connection"] for s in sites),
            **more,
        }
    )


def destination(number: int, prefix: str) -> DestinationRoute:
    return DestinationRoute.model_validate(
        {"name": f"d{number}", "vpn_gateway": f"gw{number}", "vpn_connection": f"conn{number}"}
        | {"destination": prefix}
    )


def policy(number: int, source: str, prefix: str) -> PolicyRoute:
    return PolicyRoute.model_validate(
        {"name": f"p{number}", "vpn_gateway": f"gw{number}", "vpn_connection": f"conn{number}"}
        | {"source": source, "destination": prefix, "priority": 5}
    )


def test_lookups_name_tables_that_only_the_vpcs_own_routes_need() -> None:
    numbers = TableNumbers()
    intent = two_vpcs(
        ("lan1",),
        (),
        destination_routes=(destination(1, "172.16.0.0/12"),),
        policy_routes=(policy(2, "10.2.0.0/16", "172.17.0.0/16"),),
    )
    first, second = lookups(intent, numbers)
    assert first == VpcLookup(
        201,
        numbers.destination("vpc1"),
        isolation=numbers.isolation("vpc1"),
        interfaces=("lan1", "t11", "t12"),
        dead_end=numbers.dead_end(),
    )
    assert fixed_routes(intent, numbers)[numbers.dead_end()] == dict.fromkeys(
        packed("0.0.0.0/0", "::/0"), "unreachable"
    )
    lookup = PolicyLookup(5, *packed("10.2.0.0/16", "172.17.0.0/16"), numbers.policy("conn2"))
    assert second == VpcLookup(202, policies=(lookup,))
    made = (numbers.destination("vpc1"), numbers.policy("conn2"), numbers.isolation("vpc1"))
    assert all(number in TABLES for number in made)
    assert endpoints(intent) == {parse_address("203.0.113.1"), parse_address("203.0.113.2")}


@pytest.mark.parametrize("custom", [False, True])
def test_a_vpc_without_gateway_has_a_lookup_for_custom_routes_alone(custom: bool) -> None:
    route = VpcRoute.model_validate(
        {"name": "r", "vpc": "vpc3", "destination": "10.9.0.0/16", "blackhole": True}
    )
    intent = two_vpcs().model_copy(
        update={"vpcs": (vpc("vpc3", "10.3.0.0/16", 203),), "vpn_gateways": (), "vpn_connections": ()}
        | ({"vpc_routes": (route,)} if custom else {})
    )
    assert lookups(intent, TableNumbers()) == ([VpcLookup(203)] if custom else [])


def test_guards_keep_a_vpcs_own_networks_out_of_its_tables() -> None:
    numbers = TableNumbers()
    found = fixed_routes(two_vpcs(destination_routes=(destination(2, "10.0.0.0/8"),)), numbers)
    one, two = packed("10.1.0.0/16", "10.2.0.0/16")
    assert found == {201: {one: "throw"}, 202: {two: "throw"}, numbers.destination("vpc2"): {two: "throw"}}


def test_the_isolation_table_makes_the_others_networks_unreachable() -> None:
    numbers = TableNumbers()
    found = fixed_routes(two_vpcs(("lan1",), ("lan2",)), numbers)
    own = packed("10.1.0.0/16", "169.254.10.0/30", "fd00:1::/126")
    others = packed("10.2.0.0/16", "169.254.20.0/30", "fd00:2::/126")
    assert found[numbers.isolation("vpc1")] == dict.fromkeys(others, "unreachable") | dict.fromkeys(
        own, "throw"
    )
    assert found[numbers.isolation("vpc2")] == dict.fromkeys(own, "unreachable") | dict.fromkeys(
        others, "throw"
    )


def test_custom_routes() -> None:
    routes = (
        {"name": "hop", "destination": "172.16.0.0/12", "next_hop": "10.1.0.7", "interface": "lan1"},
        {"name": "hole", "destination": "172.17.0.0/16", "blackhole": True},
        {"name": "device", "destination": "2001:db8::/32", "interface": "lan1"},
    )
    intent = two_vpcs(vpc_routes=tuple(VpcRoute.model_validate(r | {"vpc": "vpc1"}) for r in routes))
    hop, hole, device = packed("172.16.0.0/12", "172.17.0.0/16", "2001:db8::/32")
    assert custom_routes(intent) == [
        CustomRoute("hop", 201, hop, parse_address("10.1.0.7"), "lan1"),
        CustomRoute("hole", 201, hole),
        CustomRoute("device", 201, device, None, "lan1"),
    ]
