"""Interesting traffic makes policy-based routes of its own."""

from __future__ import annotations

from ipaddress import ip_network

from bgpsvc.resources import load
from bgpsvc.resources.automatic import policy_routes_of
from bgpsvc.resources.models import PolicyRoute
from bgpsvc.resources.traffic import automatic_name, is_automatic_name
from tests.unit.resources.base import ROUTES, replaced


def test_routes_that_were_made_come_first_and_then_one_for_each_pair() -> None:
    intent = load(ROUTES, "gw.yaml").intent
    found = policy_routes_of(intent)
    assert found[:2] == intent.policy_routes
    assert found[2:] == tuple(
        PolicyRoute.model_construct(
            name=f"conn2-auto-{number}",
            vpn_gateway="gw2",
            source=ip_network("192.168.0.0/24"),
            destination=ip_network(destination),
            vpn_connection="conn2",
            priority=10,
            publish=False,
        )
        for number, destination in ((1, "172.20.0.0/16"), (2, "172.21.0.0/16"))
    )


def test_pairs_are_of_one_family() -> None:
    text = replaced(
        "      - 192.168.0.0/24\n    remote_cidrs:\n      - 172.20.0.0/16\n      - 172.21.0.0/16\n",
        "      - 192.168.0.0/24\n      - fd00:2::/48\n    remote_cidrs: [172.20.0.0/16, 'fd00:3::/48']\n",
        ROUTES,
    )
    found = policy_routes_of(load(text, "gw.yaml").intent)[2:]
    assert [(str(route.source), str(route.destination)) for route in found] == [
        ("192.168.0.0/24", "172.20.0.0/16"),
        ("fd00:2::/48", "fd00:3::/48"),
    ]


def test_long_names_are_cut_and_stay_different() -> None:
    assert automatic_name("c" * 56, 1) == "c" * 56 + "-auto-1"
    first, second = (automatic_name("c" * 62 + last, 12) for last in "ab")
    assert first != second
    for name in (first, second):
        assert len(name) == 63
        assert name.startswith("c" * 40)
        assert name.endswith("-auto-12")
        assert is_automatic_name(name)


def test_no_other_route_may_have_such_a_name() -> None:
    assert [
        is_automatic_name(name) for name in ("a-auto-1", "a-auto-1-auto-22", "a-auto-x", "auto-1", "a")
    ] == [
        True,
        True,
        False,
        False,
        False,
    ]
