"""Warnings: overlapping routes in words, VPCs that share a namespace, single tunnels, unreachable rules."""

from __future__ import annotations

import time

import pytest

from bgpsvc.resources import load
from bgpsvc.resources.overlaps import overlaps
from tests.unit.resources.base import ROUTES, replaced

ADVICE = ("checked and not applied", "different ASNs", "is one tunnel")


def advice(text: str) -> list[tuple[str, str]]:
    """Path and message of the warnings that the base does not have."""
    return [
        (warning.path, warning.message)
        for warning in load(text, "gw.yaml").warnings
        if not any(part in warning.message for part in ADVICE)
    ]


def test_the_base_has_none_but_that_of_its_single_tunnel() -> None:
    assert advice(ROUTES) == []
    single = [w for w in load(ROUTES, "gw.yaml").warnings if "is one tunnel" in w.message]
    assert [w.path for w in single] == ["vpn_connections[2].tunnels"]


def static(name: str, destination: str, connection: str = "conn1") -> str:
    keys = f"name: {name}, vpn_gateway: gw1, destination: {destination}, vpn_connection: {connection}"
    return f"  - {{{keys}}}\n"


def policy(name: str, source: str, destination: str, connection: str, priority: int) -> str:
    keys = f"name: {name}, vpn_gateway: gw1, source: {source}, destination: {destination}"
    return f"  - {{{keys}, vpn_connection: {connection}, priority: {priority}}}\n"


def custom(name: str, destination: str, vpc: str = "vpc1") -> str:
    return f"  - {{name: {name}, vpc: {vpc}, destination: {destination}, blackhole: true}}\n"


def added(destination_routes: str = "", policy_routes: str = "", vpc_routes: str = "") -> str:
    text = replaced("policy_routes:\n", f"{destination_routes}policy_routes:\n", ROUTES)
    return replaced("vpc_routes:\n", f"{policy_routes}vpc_routes:\n", text) + vpc_routes


# (the file, path of the warning, its message)
OVERLAPS = [
    (
        added(destination_routes=static("inner", "172.24.7.0/24", "legacy1")),
        "destination_routes[2].destination",
        "lies inside destination-based route route1 (172.24.0.0/16); "
        "for its own addresses the longer one is used",
    ),
    (
        added(destination_routes=static("outer", "172.24.0.0/15", "legacy1")),
        "destination_routes[0].destination",
        "lies inside destination-based route outer (172.24.0.0/15); "
        "for its own addresses the longer one is used",
    ),
    (
        added(destination_routes=static("inner", "172.25.7.0/24")),
        "destination_routes[2].destination",
        "overlaps policy-based route prefer1 (from 10.0.1.0/24 to 172.25.0.0/16), which is looked up first",
    ),
    (
        added(policy_routes=policy("host", "10.0.9.0/24", "172.24.1.1/32", "legacy1", 1)),
        "destination_routes[0].destination",
        "overlaps policy-based route host (from 10.0.9.0/24 to 172.24.1.1/32), which is looked up first",
    ),
    (
        added(policy_routes=policy("later", "10.0.1.7/32", "172.25.0.0/17", "conn1", 6)),
        "policy_routes[2].destination",
        "overlaps policy-based route prefer1 (from 10.0.1.0/24 to 172.25.0.0/16), which is looked up first",
    ),
    (
        added(policy_routes=policy("earlier", "10.0.0.0/16", "172.25.0.0/17", "conn1", 4)),
        "policy_routes[0].destination",
        "overlaps policy-based route earlier (from 10.0.0.0/16 to 172.25.0.0/17), which is looked up first",
    ),
    (
        added(policy_routes=policy("same", "10.0.0.0/16", "172.25.0.0/17", "conn1", 5)),
        "policy_routes[2].destination",
        "overlaps policy-based route prefer1 (from 10.0.1.0/24 to 172.25.0.0/16), of the same priority; "
        "different priorities would say which is looked up first",
    ),
    (
        added(policy_routes=policy("same", "10.0.0.0/16", "172.25.0.0/16", "conn1", 6)),
        "policy_routes[2].destination",
        "overlaps policy-based route prefer1 (from 10.0.1.0/24 to 172.25.0.0/16), which is looked up first",
    ),
    (
        added(vpc_routes=custom("again", "172.24.0.0/16")),
        "vpc_routes[2].destination",
        "overlaps destination-based route route1 (172.24.0.0/16), which is looked up first",
    ),
    (
        added(vpc_routes=custom("inner", "172.26.7.0/24")),
        "vpc_routes[2].destination",
        "lies inside custom route custom1 (172.26.0.0/16); for its own addresses the longer one is used",
    ),
    (
        added(vpc_routes=custom("traffic", "172.21.0.0/16", "vpc2")),
        "vpc_routes[2].destination",
        "overlaps interesting traffic of connection conn2 (from 192.168.0.0/24 to 172.21.0.0/16), "
        "which is looked up first",
    ),
]


@pytest.mark.parametrize(("text", "path", "message"), OVERLAPS)
def test_overlaps_name_both_routes(text: str, path: str, message: str) -> None:
    assert advice(text) == [(path, message)]


@pytest.mark.parametrize(
    "text",
    [
        added(destination_routes=static("inner", "172.24.7.0/24")),  # over the same connection
        added(destination_routes=static("beside", "172.27.0.0/16", "legacy1")),
        added(policy_routes=policy("source", "10.0.2.0/24", "172.25.0.0/16", "conn1", 7)),
        added(policy_routes=policy("destination", "10.0.1.0/24", "172.27.0.0/16", "conn1", 7)),
        added(vpc_routes=custom("other", "172.25.0.0/17", "vpc2")).replace(
            "vpn_gateway: gw2\n    source: 192.168.4.0/24\n    destination: 172.25",
            "vpn_gateway: gw2\n    source: 192.168.4.0/24\n    destination: 172.28",
        ),  # prefer1 is another VPC's
    ],
)
def test_what_does_not_overlap(text: str) -> None:
    assert advice(text) == []


def test_many_overlaps_are_one_warning() -> None:
    inner = "".join(policy(f"p{n}", f"10.0.{n}.0/24", f"172.24.{n}.0/24", "legacy1", 1) for n in range(5))
    ((path, message),) = advice(added(policy_routes=inner))
    assert path == "destination_routes[0].destination"
    assert message.endswith(
        "policy-based route p2 (from 10.0.2.0/24 to 172.24.2.0/24) and 2 more, which are looked up first"
    )


def test_many_routes_to_one_destination_are_compared_quickly() -> None:
    sources = "".join(
        policy(f"p{n}", f"10.0.{n >> 8}.{n & 255}/32", "172.27.0.0/16", f"{('conn1', 'legacy1')[n % 2]}", 7)
        for n in range(3000)
    )
    intent = load(added(policy_routes=sources), "gw.yaml").intent
    begin = time.process_time()
    assert list(overlaps(intent)) == []
    # Comparing each with each takes ten times as long; measuring coverage doubles everything.
    assert time.process_time() - begin < 2


# The rest


def test_vpcs_that_share_a_namespace() -> None:
    one = replaced("    interfaces: [br2]\n", "", ROUTES)
    assert advice(one) == [
        (
            "vpcs[1]",
            "names no interfaces, so whatever does not enter over those of other VPCs sees its routes",
        )
    ]
    both = replaced("    interfaces:\n      - br1\n      - veth9\n", "", one)
    assert advice(both) == [
        (
            f"vpcs[{n}]",
            "names no interfaces, so packets of this namespace see the routes of 1 other VPC and of this one",
        )
        for n in (0, 1)
    ]


@pytest.mark.parametrize("catch_all", ["{}", "{med: 5}", "{match: {}}", "{match: {prefixes: []}}"])
def test_rules_behind_one_that_matches_everything(catch_all: str) -> None:
    text = replaced("      - action: reject\n", f"      - {catch_all}\n      - action: reject\n", ROUTES)
    assert advice(text) == [
        (
            "routing_policies[0].rules[1]",
            "matches everything, so the rule after it is never reached",
        )
    ]


def test_effect_immediately_is_not_applied_yet() -> None:
    text = replaced("failback_hold_down: 2.5", "effect_immediately: false", ROUTES)
    found = [w.path for w in load(text, "gw.yaml").warnings if "effect_immediately is checked" in w.message]
    assert found == ["vpn_connections[0].effect_immediately"]
