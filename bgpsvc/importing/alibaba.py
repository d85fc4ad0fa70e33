"""Alibaba Cloud's VPN Gateway: the peer's configuration, as the console and `DownloadVpnConnectionConfig`
give it, and `DescribeVpnConnection`. Single and dual tunnel.

The first is written for this side (`Local` is our address), the second from the cloud's (`LocalId` is the
cloud's); only the second has roles and DPD, and always BGP, which the first may have under `BgpConfigs`. Both
in one file complete each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address

from bgpsvc.importing import alibaba_extensions, documents
from bgpsvc.importing.algorithms import Chooser
from bgpsvc.importing.model import Bgp, FoundConnection, FoundTunnel, Inside, Phase
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes
from bgpsvc.resources.draft import IPNetwork

_NO_BGP = (
    "does not say whether the connection uses BGP: none is taken; the answer of DescribeVpnConnection in the "
    "same file has it"
)
_WHOSE = (
    "LocalAsn and LocalBgpIp are taken for this side's, as Local is; the answer of DescribeVpnConnection in "
    "the same file would say it for sure"
)
FORMS = "the JSON of the peer's configuration (DownloadVpnConnectionConfig), or of DescribeVpnConnection(s)"


def looks_like(text: str) -> bool:
    """True for the forms that `read` knows."""
    begins = text.lstrip("\ufeff \t\r\n")[:1] == "{"
    return begins and any(word in text for word in ('"IkeConfig"', '"TunnelIkeConfig"', '"TunnelsConfig"'))


def read(text: str, notes: Notes) -> list[FoundConnection]:
    """The connections of a file. Raises Refused."""
    peers: list[FoundConnection] = []
    described: list[FoundConnection] = []
    for inner in (node for document in documents.parse(text) for node in _inner(document)):
        if _is_description(inner):
            described.append(_described(inner, notes))
        else:
            peers.append(_peer(inner, notes))
    if not peers:
        return described
    return [_completed(connection, described, notes) for connection in peers]


def _inner(document: Node) -> list[Node]:
    """The connections of a document: one, or those of DescribeVpnConnections."""
    several = document.get("VpnConnections")
    if several is not None:
        return several.items("VpnConnection")
    return [document.get("VpnConnectionConfig") or document]


def _is_description(node: Node) -> bool:
    return node.has("TunnelOptionsSpecification") or node.has("CustomerGatewayId")


# The peer's configuration


def _peer(node: Node, notes: Notes) -> FoundConnection:
    several = node.items("TunnelsConfig", "TunnelConfig")
    sources = sorted(several, key=_is_standby) or [node]
    sessions = _sessions(node)
    tunnels = tuple(_peer_tunnel(source, node, sessions, notes) for source in sources)
    ours, theirs = _networks(node, "LocalSubnet"), _networks(node, "RemoteSubnet")
    found = FoundConnection(
        name=_text(node, "VpnConnectionId") or _text(node, "Name") or "alibaba",
        where=node.where,
        tunnels=tunnels,
        bgp=any(tunnel.bgp is not None for tunnel in tunnels),
        device_networks=_specific(ours),
        gateway_networks=_specific(theirs),
        selectors=bool(_specific(ours) and _specific(theirs)),
    )
    more = node.get("Extensions")
    return found if more is None else alibaba_extensions.connection(found, more, notes)


def _sessions(connection: Node) -> Mapping[str | None, Node]:
    """The BGP sessions of a connection by their tunnel's id; that of the only tunnel may have none."""
    found = connection.items("BgpConfigs", "BgpConfig")
    # Without BGP its section may be there all the same, empty.
    return {_text(session, "TunnelId"): session for session in found if session.get("TunnelCidr") is not None}


def _session_of(
    tunnel: Node, connection: Node, sessions: Mapping[str | None, Node], notes: Notes
) -> Node | None:
    inside = tunnel.get("BgpConfig") or tunnel.get("TunnelBgpConfig")
    if inside is not None:
        return inside
    only = tunnel is connection and len(sessions) == 1
    found = next(iter(sessions.values())) if only else sessions.get(_text(tunnel, "TunnelId"))
    if found is not None:
        notes.warn(f"{connection.where}.BgpConfigs" if connection.where else "BgpConfigs", _WHOSE)
    return found


def _is_standby(tunnel: Node) -> bool:
    return _text(tunnel, "Role") == "slave"


def _networks(node: Node, key: str) -> list[IPNetwork]:
    found = node.get(key)
    if found is None:
        return []
    parts = [part for part in found.text().split(",") if part.strip()]
    return [Node(part.strip(), found.where).network() for part in parts]


def _specific(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Without the default routes, which stand for: whatever is routed there."""
    return tuple(network for network in networks if network.prefixlen)


def _peer_tunnel(
    node: Node, connection: Node, sessions: Mapping[str | None, Node], notes: Notes
) -> FoundTunnel:
    ike = node.get("IkeConfig") or connection.need("IkeConfig")
    ipsec = node.get("IpsecConfig") or connection.need("IpsecConfig")
    bgp = _session_of(node, connection, sessions, notes)
    gateway = node.need("Remote").address()
    found = _settings(ike, ipsec, notes)
    made = FoundTunnel(
        name=_text(node, "TunnelId") or str(gateway),
        where=node.where,
        gateway=gateway,
        device=node.need("Local").address(),
        version=found.version,
        mode=found.mode,
        ike=found.ike,
        ipsec=found.ipsec,
        key=found.key,
        gateway_id=_text(ike, "RemoteId"),
        device_id=_text(ike, "LocalId"),
        dpd=_dpd(node),
        nat_traversal=_flag(node, "EnableNatTraversal"),
        inside=None if bgp is None else _inside(bgp, "LocalBgpIp", "PeerBgpIp"),
        bgp=None if bgp is None else _bgp(bgp, "LocalAsn", "PeerAsn"),
    )
    more = node.get("Extensions")
    return made if more is None else alibaba_extensions.tunnel(made, more, notes)


# DescribeVpnConnection


def _described(node: Node, notes: Notes) -> FoundConnection:
    """The connection as the cloud sees it: all is turned round."""
    several = node.items("TunnelOptionsSpecification", "TunnelOptions")
    in_order = sorted(several, key=_is_standby)
    tunnels = tuple(_described_tunnel(item, notes) for item in in_order) or (_single(node, notes),)
    ours, theirs = _networks(node, "RemoteSubnet"), _networks(node, "LocalSubnet")
    enabled = _flag(node, "EnableTunnelsBgp")
    return FoundConnection(
        name=_text(node, "VpnConnectionId") or "alibaba",
        where=node.where,
        tunnels=tunnels,
        bgp=any(tunnel.bgp is not None for tunnel in tunnels) if enabled is None else enabled,
        device_networks=_specific(ours),
        gateway_networks=_specific(theirs),
        selectors=bool(_specific(ours) and _specific(theirs)),
    )


def _described_tunnel(node: Node, notes: Notes) -> FoundTunnel:
    return _turned(
        node, node.need("TunnelIkeConfig"), node.need("TunnelIpsecConfig"), node.get("TunnelBgpConfig"), notes
    )


def _single(node: Node, notes: Notes) -> FoundTunnel:
    return _turned(node, node.need("IkeConfig"), node.need("IpsecConfig"), node.get("VpnBgpConfig"), notes)


def _turned(node: Node, ike: Node, ipsec: Node, bgp: Node | None, notes: Notes) -> FoundTunnel:
    # Without BGP its section is there all the same, empty.
    session = None if bgp is None or bgp.get("TunnelCidr") is None else bgp
    found = _settings(ike, ipsec, notes)
    gateway = (node.get("InternetIp") or ike.need("LocalId")).address()
    return FoundTunnel(
        name=_text(node, "TunnelId") or str(gateway),
        where=node.where,
        gateway=gateway,
        device=_address_of(node, ike),
        version=found.version,
        mode=found.mode,
        ike=found.ike,
        ipsec=found.ipsec,
        key=found.key,
        gateway_id=_text(ike, "LocalId"),
        device_id=_text(ike, "RemoteId"),
        dpd=_dpd(node),
        nat_traversal=_flag(node, "EnableNatTraversal"),
        inside=None if session is None else _inside(session, "PeerBgpIp", "LocalBgpIp"),
        bgp=None if session is None else _bgp(session, "PeerAsn", "LocalAsn"),
    )


def _address_of(node: Node, ike: Node) -> IPv4Address | None:
    """Our address: the customer gateway's where the answer has it, else our identity if that is one."""
    given = node.get("CustomerGatewayIp") or node.get("PeerIp")
    if given is not None:
        return given.address()
    try:
        return IPv4Address(_text(ike, "RemoteId") or "")
    except AddressValueError:
        return None


def _completed(
    connection: FoundConnection, described: Iterable[FoundConnection], notes: Notes
) -> FoundConnection:
    """The peer's configuration with what only the description of the same tunnels has."""
    for other in described:
        by_gateway = {tunnel.gateway: tunnel for tunnel in other.tunnels}
        if not all(tunnel.gateway in by_gateway for tunnel in connection.tunnels):
            continue
        tunnels = [_merged(tunnel, by_gateway[tunnel.gateway]) for tunnel in connection.tunnels]
        in_order = sorted(tunnels, key=lambda tunnel: list(by_gateway).index(tunnel.gateway))
        return replace(connection, name=other.name, tunnels=tuple(in_order), bgp=other.bgp)
    if not connection.bgp and not connection.selectors:
        notes.warn(connection.where, _NO_BGP)
    return connection


def _merged(tunnel: FoundTunnel, other: FoundTunnel) -> FoundTunnel:
    return replace(
        tunnel,
        key=tunnel.key or other.key,
        dpd=other.dpd if tunnel.dpd is None else tunnel.dpd,
        nat_traversal=other.nat_traversal if tunnel.nat_traversal is None else tunnel.nat_traversal,
        # The description says whose is what, and the other has what is in no description of a cloud's.
        inside=other.inside or tunnel.inside,
        bgp=other.bgp or tunnel.bgp,
    )


# What both have


@dataclass(frozen=True, slots=True)
class _Settings:
    version: str
    mode: str
    ike: Phase
    ipsec: Phase
    key: str | None = field(repr=False)


def _settings(ike: Node, ipsec: Node, notes: Notes) -> _Settings:
    first, second = Chooser(notes, ike.where), Chooser(notes, ipsec.where)
    return _Settings(
        version=ike.need("IkeVersion").text().lower(),
        mode=(_text(ike, "IkeMode") or "main").lower(),
        ike=Phase(
            first.encryption([ike.need("IkeEncAlg").text()]),
            first.authentication([ike.need("IkeAuthAlg").text()]),
            first.group([ike.need("IkePfs").text()]),
            ike.need("IkeLifetime").whole(),
        ),
        ipsec=Phase(
            second.encryption([ipsec.need("IpsecEncAlg").text()]),
            second.authentication([ipsec.need("IpsecAuthAlg").text()]),
            second.pfs([ipsec.need("IpsecPfs").text()]),
            ipsec.need("IpsecLifetime").whole(),
        ),
        key=alibaba_extensions.key(ike.get("Psk")),
    )


def _inside(bgp: Node, device: str, gateway: str) -> Inside:
    cidr, ours = bgp.need("TunnelCidr").network4(), bgp.need(device).address()
    theirs = bgp.get(gateway)
    if theirs is not None:
        return Inside(cidr, ours, theirs.address())
    # Of the two hosts of a /30, 1 and 2 behind its address, the other one.
    return Inside(cidr, ours, IPv4Address(int(ours) ^ 3))


def _bgp(bgp: Node, device: str, gateway: str) -> Bgp:
    hold = bgp.get("HoldTime")
    return Bgp(_asn(bgp.need(device)), _asn(bgp.need(gateway)), None if hold is None else hold.whole())


def _asn(node: Node) -> int:
    # Asdot is accepted by the cloud, and so it may come back.
    match = re.fullmatch(r"([0-9]{1,5})\.([0-9]{1,5})", node.text())
    if match is None or max(map(int, match.groups())) > 65535:
        return node.whole()
    return int(match[1]) << 16 | int(match[2])


def _dpd(node: Node) -> int | None:
    enabled = _flag(node, "EnableDpd")
    return 0 if enabled is False else None


def _flag(node: Node, key: str) -> bool | None:
    found = node.get(key)
    return None if found is None else found.flag()


def _text(node: Node, key: str) -> str | None:
    found = node.get(key)
    return None if found is None else found.text()
