"""Words of strongSwan, of Linux around it, and of FRR and BIRD beside it. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from hashlib import blake2s
from ipaddress import ip_address

from bgpsvc.ipsec import proposals
from bgpsvc.peerconfig.facts import IPNetwork, PeerFacts, TunnelFacts
from bgpsvc.peerconfig.words import Helpers, Unsupported
from bgpsvc.resources.interfaces import made_name

_PLAIN = re.compile(r"(?!0[xXsS])[!#-\[\]-~ ]*")
"""What stands between quotes as it is: without quotes and backslashes, and not taken for hex or base64."""


def identity(name: str) -> str:
    """An IKE identity as charon takes it for what it is: an address, else a domain name."""
    try:
        return str(ip_address(name))
    except ValueError:
        return f"fqdn:{name}"


def secret(text: str) -> str:
    """A pre-shared key in swanctl.conf; in base64 where charon would read it as something else."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return f'"0s{base64.b64encode(text.encode()).decode()}"'


def ike_settings(tunnel: TunnelFacts) -> list[str]:
    """Algorithms and lifetimes of the IKE SA, lines of swanctl.conf."""
    settings = {"proposals": proposals.ike_proposal(tunnel.ike)}
    return _lines(settings | proposals.ike_lifetime(tunnel.ike.lifetime))


def child_settings(tunnel: TunnelFacts) -> list[str]:
    """Algorithms and lifetimes of the CHILD SA, lines of swanctl.conf."""
    settings = {"esp_proposals": proposals.esp_proposal(tunnel.ipsec)}
    return _lines(settings | proposals.child_lifetime(tunnel.ipsec.lifetime))


def _lines(settings: dict[str, str]) -> list[str]:
    return [f"{key} = {value}" for key, value in settings.items()]


def dpd_delay(tunnel: TunnelFacts) -> int:
    """Seconds of silence after which the peer is asked; 0: never. As the gateway asks."""
    return max(tunnel.dpd.timeout // 3, 1) if tunnel.dpd.enabled else 0


def device_selectors(tunnel: TunnelFacts) -> str:
    """The device's traffic selectors, as `local_ts` lists them."""
    return ", ".join(dict.fromkeys(str(device) for device, _ in tunnel.selectors))


def gateway_selectors(tunnel: TunnelFacts) -> str:
    """The gateway's traffic selectors, as `remote_ts` lists them."""
    return ", ".join(dict.fromkeys(str(gateway) for _, gateway in tunnel.selectors))


def interface(tunnel: TunnelFacts) -> str:
    """Name of the tunnel's interface on the device."""
    return made_name(tunnel.id.rpartition("-tunnel")[0], tunnel.number)


def if_id(tunnel: TunnelFacts) -> int:
    """The number that ties the interface to its SAs: another one for each tunnel of each connection."""
    return int.from_bytes(blake2s(tunnel.id.encode(), digest_size=4).digest(), "big") >> 1 or 1


def symbol(name: str) -> str:
    """A name for nftables and BIRD, which have no dashes."""
    return name.replace("-", "_")


def of_version(networks: Iterable[IPNetwork], version: int) -> list[IPNetwork]:
    """Those of one address family: 4 or 6."""
    return [network for network in networks if network.version == version]


def passing(peer: PeerFacts, tunnel: TunnelFacts) -> list[IPNetwork]:
    """What of the gateway's networks may be routed into the tunnel: selectors of their family are there."""
    versions = {gateway.version for _, gateway in tunnel.selectors}
    return [network for network in peer.gateway_networks if network.version in versions]


def with_bfd(peer: PeerFacts) -> bool:
    """Whether any tunnel has BFD."""
    return any(tunnel.inside is not None and tunnel.inside.bfd is not None for tunnel in peer.tunnels)


def rank(peer: PeerFacts, tunnel: TunnelFacts) -> str:
    """What the preferences of a tunnel's session come to, in words."""
    meds = [other.bgp.med for other in peer.tunnels if other.bgp is not None]
    if tunnel.bgp is None or len(set(meds)) == 1:
        return "no better than the other"
    return "preferred, both ways" if tunnel.bgp.med == min(meds) else "second choice, both ways"


def with_ipv6(peer: PeerFacts) -> bool:
    """Whether IPv6 passes the tunnels, so the device must forward it."""
    return any(gateway.version == 6 for tunnel in peer.tunnels for _, gateway in tunnel.selectors)


def frr_possible(peer: PeerFacts) -> str:
    """Nothing; Unsupported if FRR cannot do what the connection asks for.

    FRR takes a neighbor with TTL security for one that may be far away, and has multihop BFD with it.
    """
    for tunnel in peer.tunnels:
        where = f"tunnel {tunnel.number}"
        bfd = None if tunnel.inside is None else tunnel.inside.bfd
        if bfd is None:
            continue
        guarded = tunnel.bgp is not None and tunnel.bgp.ttl_security is not None
        if bfd.key is not None:
            raise Unsupported("BFD with a key", where, "BFD without one, as FRR's bfdd signs nothing")
        if guarded and not bfd.multihop:
            raise Unsupported(
                "BFD over a single hop beside TTL security", where, "multihop BFD, or one of both"
            )
        if bfd.multihop and not guarded:
            raise Unsupported("multihop BFD", where, "BFD over a single hop, or TTL security beside it")
    return ""


def bird_possible(peer: PeerFacts) -> str:
    """Nothing; Unsupported if BIRD cannot do what the connection asks for."""
    for tunnel in peer.tunnels:
        where = f"tunnel {tunnel.number}"
        bgp, inside = tunnel.bgp, tunnel.inside
        if bgp is not None and '"' in (bgp.password or ""):
            raise Unsupported("a BGP password with a quotation mark", where, "one without")
        if inside is not None and inside.bfd is not None:
            if '"' in (inside.bfd.key or ""):
                raise Unsupported("a BFD key with a quotation mark", where, "one without")
            if inside.bfd.multihop:
                raise Unsupported("multihop BFD", where, "BFD over a single hop")
    return ""


HELPERS: Helpers = {
    helper.__name__: helper
    for helper in (
        *(identity, secret, ike_settings, child_settings, dpd_delay, device_selectors, gateway_selectors),
        *(
            interface,
            if_id,
            symbol,
            of_version,
            passing,
            rank,
            with_bfd,
            with_ipv6,
            frr_possible,
            bird_possible,
        ),
    )
}
