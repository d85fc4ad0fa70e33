"""Changes of an intent: judged by what they touch, told apart, and quick."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bgpsvc.control import FieldChange, InUse, InvalidDocument, Mistake, PlannedResource
from bgpsvc.resources import load
from bgpsvc.resources.changes import diff, intent_of, users, with_changes
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KIND_OF, KINDS, Kind
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.plain import configuration, merge_patch, parse, parse_all, plain, reveal
from tests.unit.resources.base import ROUTES

Put = tuple[Kind, Resource]


def base() -> Intent:
    return intent_of(parse_all(configuration(load(ROUTES, "gw.yaml").intent, reveal)))


def new(kind: str, **document: Any) -> Put:
    return KIND_OF[kind], parse(KIND_OF[kind], document)


def changed(intent: Intent, kind: str, name: str, **patch: Any) -> Put:
    now = intent.find(kind, name)
    assert now is not None
    return KIND_OF[kind], parse(KIND_OF[kind], merge_patch(plain(now), patch), keep=now)


def mistakes_of(intent: Intent, *puts: Put) -> list[tuple[str, str | None, str]]:
    with pytest.raises(InvalidDocument) as caught:
        with_changes(intent, puts, ())
    return [(m.pointer, m.value, m.message) for m in caught.value.mistakes]


def test_an_intent_of_resources_is_ordered_by_name() -> None:
    intent = base()
    assert [item.name for item in intent.vpn_connections] == ["conn1", "conn2", "legacy1"]
    items = [(kind, item) for kind in KINDS for item in reversed(getattr(intent, kind.key))]
    assert intent_of(reversed(items)) == intent
    assert Intent.model_validate(intent.model_dump()) == intent


def test_an_intent_of_resources_that_do_not_fit_is_refused() -> None:
    with pytest.raises(InvalidDocument) as caught:
        intent_of([new("vpn_gateways", name="gw9", vpc="vpc9", addresses=["198.51.100.1", "198.51.100.2"])])
    assert caught.value.mistakes == (
        Mistake("/vpn_gateways/gw9/vpc", "vpc9", "is not among vpcs", "nothing, vpcs is empty"),
    )


def test_put_and_removed() -> None:
    intent = base()
    after = with_changes(
        intent,
        [new("vpcs", name="aaa", cidrs=["10.9.0.0/16"], route_table=9), changed(intent, "vpcs", "vpc2")],
        [(KIND_OF["vpc_routes"], "custom1"), (KIND_OF["vpc_routes"], "nobody")],
    )
    assert [vpc.name for vpc in after.vpcs] == ["aaa", "vpc1", "vpc2"]
    assert [route.name for route in after.vpc_routes] == ["custom2"]
    assert len(intent.vpc_routes) == 2
    back = with_changes(after, [(KIND_OF["vpc_routes"], intent.vpc_routes[0])], [(KIND_OF["vpcs"], "aaa")])
    assert back == intent
    assert back.index == intent.index
    assert back.index == Intent.model_validate(back.model_dump()).index


# (kind, name, patch, pointer, value, part of the message)
COLLISIONS = [
    ("vpcs", "vpc2", {"route_table": 201}, "/route_table", "201", "table 201 is that of VPC vpc1"),
    ("vpcs", "vpc2", {"interfaces": ["br1"]}, "/interfaces/0", "br1", "is used by VPC vpc1"),
    ("vpcs", "vpc1", {"interfaces": ["br2"]}, "/interfaces/0", "br2", "is used by VPC vpc2"),
    ("vpcs", "vpc1", {"interfaces": ["t3"]}, "/interfaces/0", "t3", "is used by tunnel 1 of conn2"),
    (
        "vpn_gateways",
        "gw1",
        {"addresses": ["198.51.100.1", "203.0.113.2"]},
        "/addresses/1",
        "203.0.113.2",
        "is an address of VPN gateway gw2",
    ),
    ("vpn_gateways", "gw1", {"import_policy": "none"}, "/import_policy", "none", "is not among routing_pol"),
    (
        "vpn_connections",
        "conn2",
        {"tunnels": [{"customer_gateway": "customer3", "interface": "t1"}]},
        "/tunnels/0/interface",
        "t1",
        "is used by tunnel 1 of conn1",
    ),
    ("destination_routes", "route1", {"vpn_connection": "conn2"}, "/vpn_connection", "conn2", "to gw1"),
    (
        "destination_routes",
        "route1",
        {"destination": "10.0.7.0/24"},
        "/destination",
        "10.0.7.0/24",
        "is inside the network 10.0.0.0/16",
    ),
    (
        "policy_routes",
        "prefer2",
        {"source": "192.168.0.0/24", "destination": "172.20.0.0/16", "priority": 10},
        "/destination",
        "172.20.0.0/16",
        "is interesting traffic of connection conn2 already",
    ),
    (
        "routing_policies",
        "policy1",
        {"rules": [{"match": {"sessions": ["x-tunnel1"]}}]},
        "/rules/0/match/sessions/0",
        "x-tunnel1",
        "there is no x",
    ),
]


@pytest.mark.parametrize(("kind", "name", "patch", "pointer", "value", "message"), COLLISIONS)
def test_a_change_that_collides(
    kind: str, name: str, patch: dict[str, Any], pointer: str, value: str, message: str
) -> None:
    intent = base()
    found = mistakes_of(intent, changed(intent, kind, name, **patch))
    assert [(p, v) for p, v, _ in found] == [(pointer, value)]
    assert message in found[0][2]


# The put is fine in itself; another resource no longer is: (kind, name, patch, message)
ELSEWHERE = [
    (
        "customer_gateways",
        "customer1",
        {"asn": None},
        "VPN connection conn1, /enable_bgp: customer gateway customer1 has no asn, and BGP needs the ASN",
    ),
    (
        "vpn_gateways",
        "gw1",
        {"addresses": ["198.51.100.1", "198.51.100.4"]},
        "VPN connection conn1, /tunnels/1/customer_gateway: has an address of the connection's own VPN",
    ),
    (
        "customer_gateways",
        "customer2",
        {"address": "198.51.100.1"},
        "VPN connection conn1, /tunnels/1/customer_gateway: has an address of the connection's own VPN",
    ),
    (
        "vpcs",
        "vpc1",
        {"cidrs": ["fd00:20::/64"]},
        "VPN connection conn1, /tunnels/1/bgp/ipv6/tunnel_cidr: overlaps fd00:20::/64 of the VPC",
    ),
    (
        "vpcs",
        "vpc1",
        {"cidrs": ["172.24.0.0/14"]},
        "destination-based route route1, /destination: is inside the network 172.24.0.0/14",
    ),
    (
        "vpcs",
        "vpc2",
        {"cidrs": ["172.20.0.0/16"]},
        "VPN connection conn2, /remote_cidrs/0: is the network 172.20.0.0/16",
    ),
    (
        "vpn_connections",
        "conn1",
        {"tunnels": [{"customer_gateway": "customer3", "interface": "t1"}], "enable_bgp": False},
        "routing policy policy1, /rules/0/match/sessions/0: connection conn1 has no tunnel 2",
    ),
]


@pytest.mark.parametrize(("kind", "name", "patch", "message"), ELSEWHERE)
def test_a_change_that_breaks_another_resource(
    kind: str, name: str, patch: dict[str, Any], message: str
) -> None:
    intent = base()
    found = mistakes_of(intent, changed(intent, kind, name, **patch))
    assert found[0][:2] == ("", None)
    assert found[0][2].startswith(message)


def test_connections_without_routes_are_judged_with_their_vpc_too() -> None:
    routes = [(kind, item.name) for kind in KINDS[5:] for item in getattr(base(), kind.key)]
    intent = with_changes(base(), (), routes)
    found = mistakes_of(intent, changed(intent, "vpcs", "vpc1", cidrs=["fd00:20::/64"]))
    assert found[0][2].startswith("VPN connection conn1, /tunnels/1/bgp/ipv6/tunnel_cidr: overlaps")


def test_with_several_puts_pointers_name_the_resource() -> None:
    intent = base()
    found = mistakes_of(
        intent,
        new("vpcs", name="vpc3", cidrs=["10.0.0.0/16"], route_table=201),
        changed(intent, "vpn_gateways", "gw2", addresses=["198.51.100.1", "203.0.113.9"]),
    )
    assert [(p, v) for p, v, _ in found] == [
        ("/vpcs/vpc3/route_table", "201"),
        ("/vpn_gateways/gw2/addresses/0", "198.51.100.1"),
    ]


def test_what_collides_may_be_swapped_in_one_change() -> None:
    intent = base()
    swap = (
        changed(intent, "vpcs", "vpc1", route_table=202),
        changed(intent, "vpcs", "vpc2", route_table=201),
    )
    after = with_changes(intent, swap, ())
    assert [vpc.route_table for vpc in after.vpcs] == [202, 201]
    with pytest.raises(InvalidDocument):
        with_changes(intent, swap[:1], ())


@pytest.mark.parametrize(
    ("kind", "name", "patch", "pointer"),
    [
        ("vpn_gateways", "gw1", {"vpc": "vpc2"}, "/vpc"),
        ("vpn_connections", "conn1", {"vpn_gateway": "gw2"}, "/vpn_gateway"),
        ("destination_routes", "route1", {"vpn_gateway": "gw2"}, "/vpn_gateway"),
        ("policy_routes", "prefer1", {"vpn_gateway": "gw2"}, "/vpn_gateway"),
        ("vpc_routes", "custom1", {"vpc": "vpc2"}, "/vpc"),
    ],
)
def test_what_cannot_change(kind: str, name: str, patch: dict[str, str], pointer: str) -> None:
    intent = base()
    ((found, value, message),) = mistakes_of(intent, changed(intent, kind, name, **patch))
    assert (found, value) == (pointer, *patch.values())
    assert f"the {pointer[1:]} of a {KIND_OF[kind].label} cannot be changed" in message


# Users


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("vpcs", "vpc1", ("VPN gateway gw1", "custom VPC route custom1")),
        ("routing_policies", "policy1", ("VPN connection legacy1",)),
        (
            "vpn_gateways",
            "gw1",
            (
                "VPN connection conn1",
                "VPN connection legacy1",
                "destination-based route route1",
                "policy-based route prefer1",
            ),
        ),
        ("customer_gateways", "customer3", ("VPN connection conn2", "VPN connection legacy1")),
        ("vpn_connections", "conn1", ("routing policy policy1", "destination-based route route1")),
        ("destination_routes", "route1", ()),
        ("vpcs", "nobody", ()),
    ],
)
def test_users(kind: str, name: str, expected: tuple[str, ...]) -> None:
    intent = base()
    assert users(intent, KIND_OF[kind], name) == expected
    if expected:
        with pytest.raises(InUse) as caught:
            with_changes(intent, (), [(KIND_OF[kind], name)])
        assert caught.value.users == expected
        assert str(caught.value).startswith(f"{KIND_OF[kind].label} {name} is in use by {expected[0]}")


def test_what_is_in_use_goes_with_its_users() -> None:
    intent = base()
    everything = [(kind, item.name) for kind in KINDS for item in getattr(intent, kind.key)]
    assert with_changes(intent, (), everything) == Intent()
    freed = changed(intent, "vpn_connections", "legacy1", import_policy=None)
    assert not with_changes(intent, [freed], [(KIND_OF["routing_policies"], "policy1")]).routing_policies


# Differences


def test_nothing_changed() -> None:
    assert diff(base(), base()) == ()


def test_differences_name_fields_and_mask_secrets() -> None:
    intent = base()
    tunnels = plain(intent.connection("conn1"), reveal)["tunnels"]
    tunnels[0]["bgp"] |= {"password": "other", "hold_time": 9}
    tunnels[0]["ike"]["pre_shared_key"] = MASK
    del tunnels[1]["bgp"]["ipv6"]
    puts = [
        changed(intent, "vpn_connections", "conn1", tunnels=tunnels),
        changed(intent, "vpcs", "vpc1", interfaces=["br1"], cidrs=["10.0.0.0/16"]),
        new("customer_gateways", name="new", address="192.0.2.1"),
    ]
    gone = [(KIND_OF["vpc_routes"], "custom2"), (KIND_OF["destination_routes"], "route2")]
    found = diff(intent, with_changes(intent, puts, gone))
    new_ipv6 = {"tunnel_cidr": "fd00:20::/126", "local_ip": "fd00:20::1"}
    assert found == (
        PlannedResource(
            "update",
            "vpcs",
            "vpc1",
            (
                FieldChange("/cidrs", ["10.0.0.0/16", "2001:db8:1::/48"], ["10.0.0.0/16"]),
                FieldChange("/interfaces", ["br1", "veth9"], ["br1"]),
            ),
        ),
        PlannedResource(
            "create",
            "customer_gateways",
            "new",
            (FieldChange("/name", None, "new"), FieldChange("/address", None, "192.0.2.1")),
        ),
        PlannedResource(
            "update",
            "vpn_connections",
            "conn1",
            (
                FieldChange("/tunnels/0/bgp/hold_time", 30, 9),
                FieldChange("/tunnels/0/bgp/password", MASK, MASK),
                FieldChange("/tunnels/1/bgp/ipv6", new_ipv6, None),
            ),
        ),
        PlannedResource("delete", "vpc_routes", "custom2"),
        PlannedResource("delete", "destination_routes", "route2"),
    )


def test_a_tunnel_that_comes_or_goes_is_one_difference_without_its_secrets() -> None:
    intent = base()
    one = plain(intent.connection("conn1"))["tunnels"][:1]
    without_policy = [(KIND_OF["routing_policies"], "policy1")]
    puts = [
        changed(intent, "vpn_connections", "conn1", tunnels=one),
        changed(intent, "vpn_connections", "legacy1", import_policy=None),
    ]
    after = with_changes(intent, puts, without_policy)
    (gone, *_) = diff(intent, after)
    ((pointer, old, new_),) = [(f.pointer, f.old, f.new) for f in gone.fields]
    assert (pointer, old["interface"], new_) == ("/tunnels/1", "t2", None)
    back = diff(after, intent)
    assert "Pr3shared" not in repr(back)
    assert {item.action for item in back} == {"create", "update"}


# Size


def many() -> Intent:
    """10,000 resources: two gateways, 2,500 connections of one tunnel, 7,000 routes."""
    documents: dict[str, list[dict[str, Any]]] = {kind.key: [] for kind in KINDS}
    for n in (1, 2):
        documents["vpcs"].append({"name": f"vpc{n}", "cidrs": [f"10.{n}.0.0/16"], "route_table": n})
        addresses = [f"198.51.100.{2 * n}", f"198.51.100.{2 * n + 1}"]
        documents["vpn_gateways"].append({"name": f"gw{n}", "vpc": f"vpc{n}", "addresses": addresses})
    for n in range(500):
        documents["customer_gateways"].append({"name": f"c{n}", "address": f"198.18.{n >> 8}.{n & 255}"})
    for n in range(2500):
        tunnel = {"customer_gateway": f"c{n % 500}", "interface": f"t{n}"}
        documents["vpn_connections"].append({"name": f"v{n}", "vpn_gateway": "gw1", "tunnels": [tunnel]})
    for n in range(6996):
        route = {"name": f"r{n}", "vpn_gateway": "gw1", "vpn_connection": f"v{n % 2500}"}
        documents["destination_routes"].append(route | {"destination": f"172.{16 + (n >> 8)}.{n & 255}.0/24"})
    return intent_of(parse_all(documents))


def test_one_change_among_10000_resources_is_quick() -> None:
    intent = many()
    assert sum(len(getattr(intent, kind.key)) for kind in KINDS) == 10_000
    spent = []
    for number in range(5):
        put = changed(intent, "destination_routes", "r7", vpn_connection=f"v{100 + number}")
        begin = time.process_time()
        after = with_changes(intent, [put], ())
        spent.append(time.process_time() - begin)
        assert [item.name for item in diff(intent, after)] == ["r7"]
        intent = after
    assert min(spent) < 0.05, spent
