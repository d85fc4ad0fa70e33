"""The order of lookups, told by packets: which route of which kind takes them, for IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bgpsvc.events import HealthChanged, OperatorSwitch
from bgpsvc.model import SessionId, SwitchMode
from bgpsvc.resources import Intent
from tests.netns.gateway_node import GatewayNode, tunnel

Routes = Sequence[dict[str, Any]]


class World:
    """The addresses of a family. The host has two; the VPC's own network is `vpc`."""

    def __init__(self, six: bool) -> None:
        self.gateway = "2001:db8:a::1/64" if six else "10.0.0.1/24"
        self.host = "2001:db8:a::10" if six else "10.0.0.10"
        self.other = "2001:db8:a::77" if six else "10.0.0.77"
        self.length = 64 if six else 24
        self.vpc = "2001:db8:a::/48" if six else "10.0.0.0/16"
        self.wide = "2001:db8:b::/48" if six else "192.168.0.0/16"
        self.narrow = "2001:db8:b:5::/64" if six else "192.168.5.0/24"
        self.far = "2001:db8:b:5::9" if six else "192.168.5.9"
        self.beside = "2001:db8:b:6::9" if six else "192.168.6.9"
        self.connected = "2001:db8:b:5::1/64" if six else "192.168.5.1/24"
        self.host_prefix = f"{self.host}/{128 if six else 32}"
        self.everything = "::/0" if six else "0.0.0.0/0"
        self.six = six


@pytest.fixture(params=[4, 6])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param == 6)


@pytest.fixture
def node(world: World) -> Iterator[GatewayNode]:
    """A host on `lan` and tunnels t1 to t5; nothing is configured yet."""
    with GatewayNode() as made:
        made.add_host("lan", world.gateway, f"{world.host}/{world.length}", f"{world.other}/{world.length}")
        made.add_tunnels(1, 2, 3, 4, 5)
        yield made


def connection(name: str, *tunnels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "vpn_gateway": "gw1", "tunnels": list(tunnels), **more}


LEARNED = connection("learned", tunnel(1), tunnel(2), enable_bgp=True, local_asn=65530)
STATIC = connection("static", tunnel(3))
FIRST, SECOND = connection("first", tunnel(4)), connection("second", tunnel(5))


def intent(
    world: World,
    *,
    destinations: Routes = (),
    policies: Routes = (),
    connections: Routes = (LEARNED, STATIC, FIRST, SECOND),
    **more: Any,
) -> Intent:
    return Intent.model_validate(
        {
            "vpcs": [{"name": "vpc1", "cidrs": [world.vpc]}],
            "vpn_gateways": [
                {"name": "gw1", "vpc": "vpc1", "addresses": ["198.51.100.1", "198.51.100.3"]}
                | {"auto_propagate": True}
            ],
            "customer_gateways": [{"name": "peer", "address": "198.51.100.2", "asn": 65500}],
            "vpn_connections": connections,
            "destination_routes": [{"vpn_gateway": "gw1"} | r for r in destinations],
            "policy_routes": [{"vpn_gateway": "gw1"} | r for r in policies],
            **more,
        }
    )


def to(destination: str, connection: str, name: str = "d1", **more: Any) -> dict[str, Any]:
    return {"name": name, "destination": destination, "vpn_connection": connection, **more}


def test_each_stage_comes_before_the_next(node: GatewayNode, world: World) -> None:
    """From the last one up; each stage takes over packets that the one below had."""
    node.start(intent(world))
    assert node.way(world.far) == "unreachable"
    node.learn("learned-tunnel1", 1, world.wide, world.narrow)
    assert node.way(world.far) == "t1"
    destinations = [to(world.wide, "static")]
    node.configure(intent(world, destinations=destinations))
    assert node.way(world.far) == "t3", "before a learned route, however specific that is"
    low = to(world.narrow, "first", "p1", source=world.vpc, priority=20)
    node.configure(intent(world, destinations=destinations, policies=[low]))
    assert node.ways([world.far, world.beside]) == {world.far: "t4", world.beside: "t3"}
    high = to(world.wide, "second", "p2", source=world.host_prefix, priority=19)
    node.configure(intent(world, destinations=destinations, policies=[low, high]))
    assert node.way(world.far, world.host) == "t5", "by priority, and not by the longest match"
    assert node.way(world.far, world.other) == "t4", "the source is another one"
    before = node.here.run("ip", "-6" if world.six else "-4", "rule")
    node.here.ip(f"addr add {world.connected} dev lan {'nodad' if world.six else ''}")
    assert node.way(world.far, world.host) in ("unreachable", "nowhere"), "the network is connected: on lan"
    node.here.ip(f"addr del {world.connected} dev lan")
    assert node.here.run("ip", "-6" if world.six else "-4", "rule") == before
    node.configure(intent(world))
    assert node.way(world.far) == "t1"


def test_the_systems_own_routes_come_first_but_for_its_default(node: GatewayNode, world: World) -> None:
    destinations = [to(world.wide, "static")]
    policies = [to(world.wide, "first", "p1", source=world.everything, priority=1)]
    node.start(intent(world, destinations=destinations, policies=policies))
    via = "fd00:5::2" if world.six else "169.254.15.2"
    node.here.ip(f"route add {world.narrow} via {via}")
    node.here.ip(f"route add default via {via}")
    assert node.ways([world.far, world.beside]) == {world.far: "t5", world.beside: "t4"}


def test_an_empty_policy_table_is_passed_over(node: GatewayNode, world: World) -> None:
    policies = [to(world.wide, "first", "p1", source=world.vpc, priority=1)]
    policies.append(to(world.wide, "second", "p2", source=world.vpc, priority=2))
    node.start(intent(world, destinations=[to(world.wide, "static")], policies=policies))
    node.learn("learned-tunnel1", 1, world.narrow)
    found = [node.way(world.far)]
    for name in ("t4", "t5", "t3"):
        node.link(name, up=False)
        found.append(node.way(world.far))
    assert found == ["t4", "t5", "t3", "t1"]
    for name in ("t3", "t5", "t4"):
        node.link(name, up=True)
        found.append(node.way(world.far))
    assert found[4:] == ["t3", "t5", "t4"]


def test_policy_routes_that_differ_in_their_source_alone(node: GatewayNode, world: World) -> None:
    """To the kernel a rule from anywhere fits one from somewhere: the wide one must come and go alone."""
    narrow = to(world.wide, "first", "narrow", source=world.host_prefix)
    wide = to(world.wide, "first", "wide", source=world.everything)
    narrow_alone = {world.host: "t4", world.other: "unreachable"}

    def ways() -> dict[str, str]:
        return {source: node.way(world.far, source) for source in (world.host, world.other)}

    node.start(intent(world, policies=[narrow]))
    assert ways() == narrow_alone
    node.configure(intent(world, policies=[narrow, wide]))
    assert ways() == {world.host: "t4", world.other: "t4"}
    node.configure(intent(world, policies=[narrow]))
    assert ways() == narrow_alone
    node.configure(intent(world, policies=[wide]))
    assert ways() == {world.host: "t4", world.other: "t4"}, "made wider"
    node.configure(intent(world, policies=[narrow]))
    assert ways() == narrow_alone, "made narrower"
    node.configure(intent(world))
    assert "201" not in node.here.run("ip", "-6" if world.six else "-4", "rule", "show", "pref", "32010")


def test_a_switchover_moves_static_routes(node: GatewayNode, world: World) -> None:
    """By the operator, by a link, and by the kernel alone."""
    pair = connection("pair", tunnel(3), tunnel(4), failback_hold_down=0)
    routes = {"destinations": [to(world.wide, "pair")], "connections": [pair]}
    node.start(intent(world, **routes))
    assert node.way(world.far) == "t3"
    node.handle(OperatorSwitch("pair", SwitchMode.STANDBY))
    assert node.way(world.far) == "t4"
    node.handle(OperatorSwitch("pair", SwitchMode.AUTO))
    assert node.way(world.far) == "t3"
    node.here.ip("link set t3 down")
    assert node.way(world.far) == "t4", "the floating backup, while no process of ours acts"
    node.link("t3", up=True)
    assert node.way(world.far) == "t3"


def test_tunnels_without_addresses(node: GatewayNode, world: World) -> None:
    """Their routes lead to the device alone; on a point-to-point device no neighbour is asked for."""
    for space, name in ((node.here, "t3"), (node.peer, "p3")):
        # Without ARP the device's own hardware address is that of everybody at the other end.
        space.ip(f"link set {name} arp off address 02:00:00:00:00:03")
    bare = connection("bare", tunnel(3, addresses=False))
    node.start(intent(world, destinations=[to(world.wide, "bare")], connections=[bare]))
    assert node.way(world.far) == "t3"


def test_interesting_traffic_makes_its_policy_route(node: GatewayNode, world: World) -> None:
    traffic = {"routing_mode": "interesting_traffic", "local_cidrs": [world.host_prefix]}
    chosen = connection("chosen", tunnel(4), remote_cidrs=[world.wide], **traffic)
    connections = [LEARNED, STATIC, chosen]
    node.start(intent(world, destinations=[to(world.wide, "static")], connections=connections))
    assert node.way(world.far, world.host) == "t4"
    assert node.way(world.far, world.other) == "t3", "not interesting"


def test_published_routes_stand_in_the_vpcs_table(node: GatewayNode, world: World) -> None:
    destinations = [to(world.wide, "static", publish=True)]
    policies = [to(world.narrow, "first", "p1", source=world.host_prefix, publish=True)]
    node.start(intent(world, destinations=destinations, policies=policies))
    node.learn("learned-tunnel1", 1, world.wide)
    groups = table(node, world, 201)
    assert groups.keys() == {world.wide, world.narrow}
    nexthops = {n.id: n for n in node.kernel.nexthops()}
    links = {link.ifindex: link.name for link in node.kernel.links()}
    leads = {p: links[nexthops[nexthops[g].members[0]].ifindex or 0] for p, g in groups.items()}
    assert leads == {world.wide: "t3", world.narrow: "t4"}, "before the learned one"
    node.link("t3", up=False)
    assert table(node, world, 201)[world.wide] != groups[world.wide], "the learned one takes its place"
    assert node.way(world.beside) == "t1"


def table(node: GatewayNode, world: World, number: int) -> dict[str, int]:
    """Primary routes that `ip` shows in a table: prefix to nexthop id."""
    shown = node.here.run("ip", "-6" if world.six else "-4", "route", "show", "table", str(number))
    words = [line.split() for line in shown.splitlines() if " metric 100 " in f"{line} "]
    return {w[0]: int(w[w.index("nhid") + 1]) for w in words}


@pytest.mark.parametrize("on_failure", ["revoke_route", "reserve_route"])
def test_a_failing_health_check(node: GatewayNode, world: World, on_failure: str) -> None:
    check = {"source": "169.254.13.1", "destination": "169.254.13.2", "on_failure": on_failure}
    checked = connection("checked", tunnel(3), health_check=check)
    routes = [to(world.wide, "checked"), to(world.wide, "checked", "p1", source=world.vpc)]
    node.start(intent(world, destinations=routes[:1], policies=routes[1:], connections=[LEARNED, checked]))
    node.learn("learned-tunnel1", 1, world.wide)
    ident = SessionId("checked-tunnel1")
    node.handle(HealthChanged(ident, False, "no reply"))
    assert node.way(world.far) == ("t1" if on_failure == "revoke_route" else "t3")
    node.handle(HealthChanged(ident, True, "replies"))
    assert node.way(world.far) == "t3"


def test_custom_routes_come_before_learned_ones(node: GatewayNode, world: World) -> None:
    via = "fd00:5::2" if world.six else "169.254.15.2"
    routes = [
        {"name": "hop", "vpc": "vpc1", "destination": world.wide, "next_hop": via},
        {"name": "hole", "vpc": "vpc1", "destination": world.narrow, "blackhole": True},
    ]
    node.start(intent(world, connections=[LEARNED], vpc_routes=routes))
    node.learn("learned-tunnel1", 1, world.wide, world.narrow)
    assert node.way(world.beside) == "t5"
    assert node.way(world.far) in ("unreachable", "nowhere")
    node.here.ip("link set t5 down")
    node.custom.forget_unicast()
    assert node.settle() == ["hop"]
    assert "not on a connected network" in node.custom.problems["hop"]
    assert node.way(world.beside) == "t1", "the learned one"
    node.here.ip("link set t5 up")
    node.custom.forget_unicast()
    assert node.settle() == []
    assert node.custom.problems == {}
    assert node.way(world.beside) == "t5"
    node.configure(intent(world, connections=[LEARNED]))
    assert node.ways([world.far, world.beside]) == {world.far: "t1", world.beside: "t1"}
    assert " metric 40 " not in node.here.run(
        "ip", "-6" if world.six else "-4", "route", "show", "table", "201"
    )


def test_a_vpcs_own_addresses_are_not_captured(node: GatewayNode, world: World) -> None:
    """Those that are not connected leave our tables, and go where the system sends them."""
    wider = "2001:db8::/32" if world.six else "10.0.0.0/8"
    inside, outside = ("2001:db8:a:9::9", "2001:db8:c::9") if world.six else ("10.0.9.9", "10.9.9.9")
    node.start(intent(world, destinations=[to(wider, "static")]))
    assert node.ways([inside, outside]) == {inside: "unreachable", outside: "t3"}
    node.learn("learned-tunnel1", 1, wider)
    node.configure(intent(world))
    assert node.ways([inside, outside]) == {inside: "unreachable", outside: "t1"}


def test_a_restart_keeps_and_sweeps(node: GatewayNode, world: World) -> None:
    """What was removed while the daemon was down: rules, routes and tables are found whatever their names."""
    policies = [to(world.wide, "first", "p1", source=world.vpc)]
    full = intent(world, destinations=[to(world.wide, "static", publish=True)], policies=policies)
    node.start(full)
    nexthops = node.kernel.nexthops()
    assert node.way(world.far) == "t4"
    node.start(full)
    assert (node.way(world.far), node.kernel.nexthops()) == ("t4", nexthops)
    node.start(Intent())
    family = "-6" if world.six else "-4"
    assert node.kernel.nexthops() == []
    assert "201" not in node.here.run("ip", family, "rule")
    assert node.way(world.far) == "unreachable"
