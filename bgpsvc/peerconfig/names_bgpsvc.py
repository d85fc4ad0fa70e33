"""Words of a bgpsvc at the other side. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network

from bgpsvc.peerconfig.facts import IPNetwork, PeerFacts
from bgpsvc.peerconfig.words import Helpers, Unsupported
from bgpsvc.resources.fields import DEFAULT_LOCAL_ASN

_LONGEST = 63
_SUFFIX = 8
"""Characters that are kept free behind a name."""


def text(value: object) -> str:
    """A value in quotes, as YAML and JSON read it."""
    return json.dumps(str(value), ensure_ascii=False)


def network_of(address: IPv4Address | IPv6Address, length: int) -> str:
    """The network that an address of a tunnel is in, as 169.254.10.0/30."""
    return str(ip_network((address, length), strict=False))


def named(name: str, suffix: str) -> str:
    """A name of a resource that belongs to another one, within the length of names."""
    return f"{name[: _LONGEST - _SUFFIX].rstrip('-')}-{suffix}"


def outermost(networks: Iterable[IPNetwork]) -> list[IPNetwork]:
    """Networks that are in no other one: a VPC's do not overlap."""
    given = list(networks)
    return [network for network in given if not _covered(network, given)]


def inner(networks: Iterable[IPNetwork]) -> list[IPNetwork]:
    """The others, which may be announced beside them."""
    given = list(networks)
    return [network for network in given if _covered(network, given)]


def _covered(network: IPNetwork, others: Iterable[IPNetwork]) -> bool:
    return any(
        other.version == network.version and other != network and other.supernet_of(network)  # type: ignore[arg-type]
        for other in others
    )


def possible(peer: PeerFacts) -> str:
    """Nothing; Unsupported if a bgpsvc cannot be the other side of the connection."""
    for tunnel in peer.tunnels:
        if tunnel.bgp is not None and tunnel.bgp.gateway_asn == DEFAULT_LOCAL_ASN:
            raise Unsupported(
                f"local_asn {DEFAULT_LOCAL_ASN}, which is the other gateway's own default,",
                f"VPN connection {peer.connection}",
                "any other local_asn",
            )
    return ""


HELPERS: Helpers = {
    helper.__name__: helper for helper in (text, network_of, named, outermost, inner, possible)
}
