"""A VPN connection as a cloud describes it, seen from this side. Frozen values; pure.

*Gateway* is the cloud's end, which in our resources is the customer gateway; *device* is this end, our VPN
gateway. What the cloud does not say is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from bgpsvc.importing.notes import Note
from bgpsvc.resources.draft import IPNetwork


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator says beside the file, because no cloud knows it or to choose among what is there.

    `local_addresses`: none, one for both tunnels, or one for each. `tunnels`: names or cloud addresses of the
    tunnels to take, the active one first. `key_files`: paths of files with the pre-shared keys that the input
    lacks, one for each tunnel or one for both; `password_files` the same for TCP MD5.
    """

    name: str | None = None
    vpc: str = "on-premises"
    gateway: str = "on-premises"
    vpc_cidrs: tuple[str, ...] = ()
    remote_cidrs: tuple[str, ...] = ()
    local_addresses: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()
    key_files: tuple[str, ...] = ()
    password_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """Algorithms of a phase, in our words; `group` may be `disabled` in phase 2. Lifetime in seconds."""

    encryption: str
    authentication: str
    group: str
    lifetime: int | None


@dataclass(frozen=True, slots=True)
class Inside:
    """The addresses inside a tunnel."""

    cidr: IPv4Network
    device: IPv4Address
    gateway: IPv4Address

    @property
    def is_pair(self) -> bool:
        """True if these are the two hosts of a /30."""
        return self.cidr.prefixlen == 30 and {self.device, self.gateway} == {self.cidr[1], self.cidr[2]}


@dataclass(frozen=True, slots=True)
class Bfd:
    """BFD as the cloud has it, in ms. With a key every packet is signed."""

    interval_ms: int
    multiplier: int
    multihop: bool = False
    key_id: int | None = None
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ipv6:
    """IPv6 inside a tunnel."""

    cidr: IPv6Network
    device: IPv6Address


@dataclass(frozen=True, slots=True)
class Bgp:
    """The session of a tunnel. Times in seconds. `keyed`: there is a TCP MD5 key, known or not.

    `ttl_security` is in hops (GTSM), `graceful_restart` the Restart Time.
    """

    device_asn: int
    gateway_asn: int
    hold_time: int | None = None
    keyed: bool = False
    password: str | None = field(default=None, repr=False)
    ttl_security: int | None = None
    graceful_restart: int | None = None


@dataclass(frozen=True, slots=True)
class FoundTunnel:
    """One tunnel. `where` is its place in the input. `device` is our address as the cloud knows it.

    `gateway_id` and `device_id` are IKE identities, None where they are the addresses. `dpd` in seconds, 0:
    switched off there. `problems`: why it cannot be taken; it is no matter while others are chosen.
    """

    name: str
    where: str
    gateway: IPv4Address
    device: IPv4Address | None
    version: str
    mode: str
    ike: Phase
    ipsec: Phase
    key: str | None = field(repr=False)
    gateway_id: str | None = None
    device_id: str | None = None
    dpd: int | None = None
    nat_traversal: bool | None = None
    mtu: int | None = None
    inside: Inside | None = None
    ipv6: Ipv6 | None = None
    bgp: Bgp | None = None
    bfd: Bfd | None = None
    problems: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundConnection:
    """One connection, its tunnels in the cloud's order: the one that it prefers first.

    `device_networks` lie on this side, `gateway_networks` behind the cloud's gateway, as far as the cloud
    says so. `selectors`: packets between exactly these two pass, not whatever is routed into the tunnel.
    """

    name: str
    where: str
    tunnels: tuple[FoundTunnel, ...]
    bgp: bool
    device_networks: tuple[IPNetwork, ...] = ()
    gateway_networks: tuple[IPNetwork, ...] = ()
    selectors: bool = False
