"""What the other side of a connection must be told, seen from there. Frozen values; pure.

*Device* is the customer's router or firewall that is to be configured, *gateway* our VPN gateway. A template
gets a `PeerFacts` and writes nothing that does not stand in it: so all platforms say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgpsvc.resources.models import DpdSettings, IkeSettings, IpsecSettings

IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class BfdFacts:
    """BFD with the gateway (RFC 5880). Intervals in ms; `key` is a placeholder unless secrets were asked
    for."""

    interval_ms: int
    multiplier: int
    multihop: bool
    key_id: int | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Ipv6Facts:
    """IPv6 inside addresses of a tunnel, for next hops of IPv6 routes."""

    gateway: IPv6Address
    device: IPv6Address
    prefix_length: int


@dataclass(frozen=True, slots=True)
class BgpFacts:
    """The BGP session inside a tunnel. Times in seconds; `keepalive` is a third of `hold_time` (RFC 4271 10).

    `password` is the TCP MD5 key (RFC 2385), or its placeholder; None: without. `ttl_security`: hops that
    GTSM allows (RFC 5082). `gateway_passive`: the gateway waits, so the device must connect.
    `local_preference` (higher wins) is what the device gives our routes over this tunnel, `med` (lower wins)
    what it announces its own with: 200 and 100 for the active tunnel, 100 and 200 for the standby.
    A route with GRACEFUL_SHUTDOWN (65535:0, RFC 8326) should get local preference 0: the gateway announces it
    over a tunnel that is out of use.
    """

    gateway: IPv4Address
    device: IPv4Address
    prefix_length: int
    gateway_asn: int
    device_asn: int
    hold_time: int
    keepalive: int
    local_preference: int
    med: int
    password: str | None
    ttl_security: int | None
    graceful_restart: int
    gateway_passive: bool
    bfd: BfdFacts | None
    ipv6: Ipv6Facts | None


@dataclass(frozen=True, slots=True)
class InsideFacts:
    """Addresses inside a tunnel, which it may have without BGP too: for static routes and BFD over it."""

    gateway: IPv4Address
    device: IPv4Address
    prefix_length: int
    bfd: BfdFacts | None
    ipv6: Ipv6Facts | None


@dataclass(frozen=True, slots=True)
class TunnelFacts:
    """One tunnel. `number` 1 is the active one, 2 the standby. `id` as `conn1-tunnel1`.

    `gateway` and `device` are the public addresses, `*_id` the IKE identities. That of a gateway behind a 1:1
    NAT is its identity, if that is a public address (`PeerFacts.warnings` says so). `selectors` are pairs of
    networks, the device's and the gateway's (RFC 7296 2.9). `mtu` in bytes is that of packets inside the
    tunnel, `mss` what TCP may then use over IPv4 (RFC 879). `pre_shared_key` is a placeholder unless secrets
    were asked for; `ike` has none. `ike.local_id` is the gateway's: templates use the fields here.

    `inside` has the addresses on the tunnel's interface, None for one without; with BGP they are those of
    `bgp`. `external`: the gateway's end is an interface that somebody else makes and protects, so what stands
    here of IKE and IPsec is what the settings say and nobody checks (`PeerFacts.warnings` says so).
    """

    number: int
    id: str
    role: str
    gateway: IPv4Address
    device: IPv4Address
    gateway_id: str
    device_id: str
    pre_shared_key: str
    ike: IkeSettings
    ipsec: IpsecSettings
    dpd: DpdSettings
    nat_traversal: bool
    mtu: int
    mss: int
    selectors: tuple[tuple[IPNetwork, IPNetwork], ...]
    bgp: BgpFacts | None
    inside: InsideFacts | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """A connection as its other side sees it.

    `gateway_networks` is what lies behind the gateway (the VPC's CIDRs and what it advertises beside them),
    `device_networks` what is known to lie behind the device: with BGP, which learns it, only what was named
    when the configuration was asked for, often nothing. `route_based`: any packet may pass, routing decides
    (`selectors` are 0.0.0.0/0). `secrets`: keys and passwords stand in clear. `gateway_initiates`: the
    gateway negotiates by itself; else it waits for traffic. `warnings`: what the reader must know; `header`
    in a template writes them down.
    """

    connection: str
    gateway: str
    vpc: str
    route_based: bool
    gateway_networks: tuple[IPNetwork, ...]
    device_networks: tuple[IPNetwork, ...]
    secrets: bool
    tunnels: tuple[TunnelFacts, ...]
    gateway_initiates: bool = True
    warnings: tuple[str, ...] = ()
