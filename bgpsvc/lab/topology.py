"""The reference scenario as values: hosts, links, tunnels, and the `ip` commands that make them.

    ecs1 ─── gw1 ═══ inet ═══ gw2 ─── ecs3        VPC1 10.0.0.0/16 │ VPC2 192.168.0.0/16

Each gateway has one uplink and public address per zone. Tunnel 1 joins the addresses of zone 1, tunnel 2
those of zone 2. The service makes them of IPsec; or they are VXLAN links, which stand in for it: like it, a
tunnel whose packets vanish keeps its carrier.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bgpsvc.model import session_id

UNDERLAY_MTU = 1500
VXLAN_MTU = UNDERLAY_MTU - 50
"""VXLAN over IPv4 costs 50 bytes: inner Ethernet 14, VXLAN 8, UDP 8, IPv4 20 (RFC 7348 5)."""

HOSTS = ("ecs1", "gw1", "inet", "gw2", "ecs3")
TUNNELS = (1, 2)
FAIL_RULE_PRIORITY = 100


class TunnelKind(StrEnum):
    """What the tunnels between the gateways are."""

    IPSEC = "ipsec"
    """IKE and ESP, made by the gateways themselves: the topology is only what lies below."""
    VXLAN = "vxlan"
    """Links that the lab makes, and the gateways find."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One side: the gateway, the host behind it, its VPC, and its addresses by tunnel (index 0: tunnel 1).

    Names that end in 6 are the same for IPv6.
    """

    name: str
    connection: str
    asn: int
    vpc: str
    vpc_cidr: str
    vpc_address: str
    host: str
    host_address: str
    public: tuple[str, str]
    inside: tuple[str, str]
    vpc_cidr6: str
    vpc_address6: str
    host_address6: str
    inside6: tuple[str, str]
    extra_base: int
    """First octet of the block that extra prefixes are taken from; no martians, no VPC addresses."""


GW1 = Gateway(
    name="gw1",
    connection="conn1",
    asn=65530,
    vpc="vpc1",
    vpc_cidr="10.0.0.0/16",
    vpc_address="10.0.0.1",
    host="ecs1",
    host_address="10.0.0.10",
    public=("198.51.100.1", "198.51.100.3"),
    inside=("169.254.10.1", "169.254.20.1"),
    vpc_cidr6="fd00:1::/48",
    vpc_address6="fd00:1::1",
    host_address6="fd00:1::10",
    inside6=("fd00:a::1", "fd00:b::1"),
    extra_base=20,
)
GW2 = Gateway(
    name="gw2",
    connection="conn2",
    asn=65500,
    vpc="vpc2",
    vpc_cidr="192.168.0.0/16",
    vpc_address="192.168.0.1",
    host="ecs3",
    host_address="192.168.0.10",
    public=("198.51.100.2", "198.51.100.4"),
    inside=("169.254.10.2", "169.254.20.2"),
    vpc_cidr6="fd00:2::/48",
    vpc_address6="fd00:2::1",
    host_address6="fd00:2::10",
    inside6=("fd00:a::2", "fd00:b::2"),
    extra_base=60,
)
GATEWAYS = (GW1, GW2)
TUNNEL_CIDRS = ("169.254.10.0/30", "169.254.20.0/30")
TUNNEL_CIDRS6 = ("fd00:a::/126", "fd00:b::/126")
MAX_EXTRA_PREFIXES = 1_000_000


def other(gateway: Gateway) -> Gateway:
    """The gateway at the far end."""
    return GW2 if gateway is GW1 else GW1


def tunnel_interface(kind: TunnelKind, gateway: Gateway, tunnel: int) -> str:
    """Name of a tunnel's interface on a gateway. One that the service makes is named like the tunnel."""
    return session_id(gateway.connection, tunnel) if kind is TunnelKind.IPSEC else f"t{tunnel}"


def provider_address(public: str) -> str:
    """The provider's side of the uplink that has this public address."""
    return "203.0.113." + public.rsplit(".", 1)[1]


def extra_prefixes(gateway: Gateway, count: int) -> list[str]:
    """`count` /24 prefixes that a gateway announces beside its VPC; up to `MAX_EXTRA_PREFIXES`."""
    if not 0 <= count <= MAX_EXTRA_PREFIXES:
        raise ValueError(f"{count} extra prefixes: 0 to {MAX_EXTRA_PREFIXES} are possible")
    base = gateway.extra_base
    return [f"{base + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(count)]


def batches(kind: TunnelKind) -> list[tuple[str, list[str]]]:
    """Pairs of host and `ip -batch` lines, in the order in which they must run.

    Every veth pair is made on the side that comes first, its other end is born in its own namespace.
    """
    result: list[tuple[str, list[str]]] = [(host, ["link set lo up"]) for host in HOSTS]
    result.append(("inet", [line for gateway in GATEWAYS for line in _uplinks(gateway)]))
    for gateway in GATEWAYS:
        result.append((gateway.name, _gateway(gateway)))
        if kind is TunnelKind.VXLAN:
            result.append((gateway.name, _vxlan(gateway)))
        result.append((gateway.host, _host(gateway)))
    return result


def fail_rules(tunnel: int) -> list[str]:
    """Selectors of the policy rules in `inet` that drop a tunnel's packets without telling anybody.

    A rule with action `blackhole` answers with no ICMP error, needs no firewall package, and the rule
    list itself is the record of which tunnels are broken.
    """
    first, second = GW1.public[tunnel - 1], GW2.public[tunnel - 1]
    return [
        f"pref {FAIL_RULE_PRIORITY} from {source} to {destination} blackhole"
        for source, destination in ((first, second), (second, first))
    ]


def _uplinks(gateway: Gateway) -> list[str]:
    """The provider's ends. A point-to-point address pair makes the host route with it."""
    lines = []
    for zone, public in enumerate(gateway.public, start=1):
        name = f"{gateway.name}-wan{zone}"
        lines += [
            f"link add {name} mtu {UNDERLAY_MTU} type veth peer name {_uplink(zone)} netns {gateway.name}",
            f"address add {provider_address(public)} peer {public} dev {name}",
            f"link set {name} up",
        ]
    return lines


def _gateway(gateway: Gateway) -> list[str]:
    lines = [
        f"link add vpc type veth peer name eth0 netns {gateway.host}",
        f"address add {gateway.vpc_address}/{_length(gateway.vpc_cidr)} dev vpc",
        # Nobody else is on these links, so nothing needs to wait for duplicate address detection.
        f"address add {gateway.vpc_address6}/{_length(gateway.vpc_cidr6)} dev vpc nodad",
        "link set vpc up",
    ]
    peer = other(gateway)
    for tunnel in TUNNELS:
        local, remote = gateway.public[tunnel - 1], peer.public[tunnel - 1]
        uplink = _uplink(tunnel)
        lines += [
            f"address add {local} peer {provider_address(local)} dev {uplink}",
            f"link set {uplink} up",
            f"route add {remote} via {provider_address(local)} dev {uplink} src {local}",
        ]
    return lines


def _vxlan(gateway: Gateway) -> list[str]:
    lines = []
    for tunnel in TUNNELS:
        local, remote = gateway.public[tunnel - 1], other(gateway).public[tunnel - 1]
        name = tunnel_interface(TunnelKind.VXLAN, gateway, tunnel)
        lines += [
            f"link add {name} mtu {VXLAN_MTU} type vxlan id {tunnel} dev {_uplink(tunnel)} "
            f"local {local} remote {remote} dstport 4789 ttl 64 nolearning",
            f"address add {gateway.inside[tunnel - 1]}/30 dev {name}",
            f"address add {gateway.inside6[tunnel - 1]}/126 dev {name} nodad",
            f"link set {name} up",
        ]
    return lines


def _uplink(tunnel: int) -> str:
    return f"wan{tunnel}"


def _host(gateway: Gateway) -> list[str]:
    return [
        f"address add {gateway.host_address}/{_length(gateway.vpc_cidr)} dev eth0",
        f"address add {gateway.host_address6}/{_length(gateway.vpc_cidr6)} dev eth0 nodad",
        "link set eth0 up",
        f"route add default via {gateway.vpc_address}",
        f"route add default via {gateway.vpc_address6}",
    ]


def _length(cidr: str) -> str:
    return cidr.partition("/")[2]
