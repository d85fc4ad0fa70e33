"""Several VPCs in one namespace, each with its interfaces: nobody reaches another's networks (by packets).

lan1 (VPC 1) ══ t1        lan2 (VPC 2) ══ t2        the same addresses behind both tunnels
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bgpsvc.resources import Intent
from tests.netns.gateway_node import GatewayNode, tunnel


class World:
    """The addresses of a family."""

    def __init__(self, six: bool) -> None:
        self.cidrs = [f"2001:db8:{n}::/48" if six else f"10.{n}.0.0/16" for n in (1, 2)]
        self.gateways = [f"2001:db8:{n}::1/64" if six else f"10.{n}.0.1/24" for n in (1, 2)]
        self.hosts = [f"2001:db8:{n}::10" if six else f"10.{n}.0.10" for n in (1, 2)]
        self.length = 64 if six else 24
        self.wide = "2001:db8:b::/48" if six else "192.168.0.0/16"
        self.far = "2001:db8:b::9" if six else "192.168.0.9"
        self.only = "2001:db8:c::/48" if six else "172.16.0.0/16"
        self.only_far = "2001:db8:c::9" if six else "172.16.0.9"
        self.peers = [f"fd00:{n}::2" if six else f"169.254.1{n}.2" for n in (1, 2)]
        self.internet = "2001:db8:f::9" if six else "203.0.113.9"


@pytest.fixture(params=[4, 6])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param == 6)


@pytest.fixture
def node(world: World) -> Iterator[GatewayNode]:
    with GatewayNode() as made:
        for n in (1, 2):
            made.add_host(f"lan{n}", world.gateways[n - 1], f"{world.hosts[n - 1]}/{world.length}")
        made.add_tunnels(1, 2, 3)
        yield made


def intent(world: World, *interfaces: tuple[str, ...], bgp: bool = False, policies: bool = False) -> Intent:
    """Two VPCs with a static or a learned way to the same addresses, each over its own tunnel."""
    both = (1, 2)
    static: list[dict[str, Any]] = [
        {"name": f"s{n}", "vpn_gateway": f"gw{n}", "vpn_connection": f"conn{n}", "destination": world.wide}
        for n in both
    ]
    if policies:
        static = [route | {"source": world.cidrs[i]} for i, route in enumerate(static)]
    return Intent.model_validate(
        {
            "vpcs": [
                {"name": f"vpc{n}", "cidrs": [world.cidrs[n - 1]], "route_table": 200 + n}
                | {"interfaces": list(interfaces[n - 1])}
                for n in both
            ],
            "vpn_gateways": [
                {"name": f"gw{n}", "vpc": f"vpc{n}", "auto_propagate": True}
                | {"addresses": [f"198.51.100.{n}0", f"198.51.100.{n}1"]}
                for n in both
            ],
            "customer_gateways": [{"name": "peer", "address": "198.51.100.2", "asn": 65500}],
            "vpn_connections": [
                {"name": f"conn{n}", "vpn_gateway": f"gw{n}", "enable_bgp": bgp, "local_asn": 65530}
                | {"tunnels": [tunnel(n)]}
                for n in both
            ],
            ("policy_routes" if policies else "destination_routes"): [] if bgp else static,
        }
    )


APART = (("lan1",), ("lan2",))


def reach(node: GatewayNode, world: World, number: int) -> dict[str, str]:
    """Where packets of a VPC's host go: by what it is that they are sent to."""
    other = 2 - number
    targets = {
        "far": world.far,
        "the other's host": world.hosts[other],
        "the other's tunnel": world.peers[other],
        "the peer": world.peers[number - 1],
    }
    return {what: node.way(address, host=f"lan{number}") for what, address in targets.items()}


def alone(number: int) -> dict[str, str]:
    """What a VPC that sees itself alone reaches."""
    return {
        "far": f"t{number}",
        "the other's host": "unreachable",
        "the other's tunnel": "unreachable",
        "the peer": f"t{number}",
    }


@pytest.mark.parametrize("kind", ["destination", "policy", "learned"])
def test_each_reaches_its_own_peer_and_not_the_other(node: GatewayNode, world: World, kind: str) -> None:
    node.start(intent(world, *APART, bgp=kind == "learned", policies=kind == "policy"))
    if kind == "learned":
        for n in (1, 2):
            node.learn(f"conn{n}-tunnel1", n, world.wide)
    assert [reach(node, world, n) for n in (1, 2)] == [alone(1), alone(2)]


def test_without_interfaces_they_see_one_another(node: GatewayNode, world: World) -> None:
    """So the test above can fail."""
    node.start(intent(world, (), ()))
    found = reach(node, world, 1)
    assert found["the other's tunnel"] == "t2"
    assert reach(node, world, 2)["far"] == found["far"]


def test_what_one_learns_the_other_does_not_see(node: GatewayNode, world: World) -> None:
    node.start(intent(world, *APART, bgp=True))
    node.learn("conn2-tunnel1", 2, world.only)
    assert [node.way(world.only_far, host=f"lan{n}") for n in (1, 2)] == ["unreachable", "t2"]


def test_what_enters_elsewhere_sees_neither(node: GatewayNode, world: World) -> None:
    """An interface that no VPC names."""
    six = ":" in world.far
    node.add_host("other", "fd99::1/64" if six else "10.99.0.1/24", "fd99::10/64" if six else "10.99.0.10/24")
    node.start(intent(world, *APART))
    assert node.way(world.far, host="other") == "unreachable"


def test_what_the_host_sends_itself_may_use_all(node: GatewayNode, world: World) -> None:
    node.start(intent(world, *APART, bgp=True))
    node.learn("conn2-tunnel1", 2, world.only)
    node.hosts["itself"] = node.here
    assert node.way(world.only_far, host="itself") == "t2"
    assert [node.way(peer, host="itself") for peer in world.peers] == ["t1", "t2"]


def test_beside_a_vpc_without_interfaces(node: GatewayNode, world: World) -> None:
    """It serves what enters anywhere but at another VPC's interfaces; those end with the default route."""
    node.start(intent(world, ("lan1",), (), bgp=True))
    node.learn("conn2-tunnel1", 2, world.wide, world.only)
    ways = {n: node.way(world.only_far, host=f"lan{n}") for n in (1, 2)}
    assert ways == {1: "unreachable", 2: "t2"}
    node.learn("conn1-tunnel1", 1, world.wide)
    assert [node.way(world.far, host=f"lan{n}") for n in (1, 2)] == ["t1", "t2"]
    node.here.ip(f"route add default via {'fd00:3::2' if ':' in world.far else '169.254.13.2'}")
    assert node.way(world.internet, host="lan1") == "t3"
    node.configure(intent(world, *APART, bgp=True))
    assert [node.way(world.far, host=f"lan{n}") for n in (1, 2)] == ["t1", "t2"]
