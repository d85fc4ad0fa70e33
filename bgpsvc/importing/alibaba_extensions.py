"""What `bgpsvc peer-config --platform json` says besides, in the shape of Alibaba Cloud: under `Extensions`.

With it such a file says all that both sides must agree on, and the import loses nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bgpsvc.importing.model import Bfd, Bgp, FoundConnection, FoundTunnel, Inside, Ipv6
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes
from bgpsvc.resources.draft import IPNetwork

_PLACEHOLDER = re.compile(r"<[^<>]* [^<>]*>")


def key(node: Node | None) -> str | None:
    """A key; None for what stands in for one that was not asked for, as `<pre-shared key of tunnel 1>`."""
    return None if node is None or _PLACEHOLDER.fullmatch(node.text()) else node.text()


def connection(found: FoundConnection, more: Node, notes: Notes) -> FoundConnection:
    """The connection with what its extensions say."""
    for warning in more.items("Warnings"):
        notes.warn(more.where, warning.text())
    name, mode = more.get("VpnConnection"), more.get("RoutingMode")
    selectors = mode is not None and mode.text() == "interesting_traffic"
    return replace(
        found,
        name=found.name if name is None else name.text(),
        selectors=selectors,
        device_networks=_networks(more, "LocalNetworks"),
        gateway_networks=_networks(more, "RemoteNetworks"),
    )


def _networks(more: Node, name: str) -> tuple[IPNetwork, ...]:
    return tuple(item.network() for item in more.items(name))


def tunnel(found: FoundTunnel, more: Node, notes: Notes) -> FoundTunnel:
    """The tunnel with what its extensions say."""
    external, timeout, mtu = more.get("External"), more.get("DpdTimeout"), more.get("Mtu")
    if external is not None and external.flag():
        notes.warn(found.where, "the other side does not make this tunnel itself: compare with what does")
    inside = more.get("Inside")
    dpd = found.dpd
    if dpd is None and timeout is not None:
        dpd = timeout.whole()
    made = replace(found, dpd=dpd, mtu=None if mtu is None else mtu.whole())
    if inside is not None:
        made = replace(made, inside=_inside(inside), ipv6=_ipv6(inside), bfd=_bfd(inside))
    bgp = more.get("Bgp")
    return made if bgp is None or made.bgp is None else replace(made, bgp=_bgp(made.bgp, bgp))


def _inside(node: Node) -> Inside:
    return Inside(
        node.need("TunnelCidr").network4(), node.need("LocalIp").address(), node.need("PeerIp").address()
    )


def _ipv6(inside: Node) -> Ipv6 | None:
    node = inside.get("Ipv6")
    if node is None:
        return None
    return Ipv6(node.need("TunnelCidr").network6(), node.need("LocalIp").address6())


def _bfd(inside: Node) -> Bfd | None:
    node = inside.get("Bfd")
    if node is None:
        return None
    multihop, key_id = node.get("Multihop"), node.get("KeyId")
    return Bfd(
        node.need("IntervalMs").whole(),
        node.need("Multiplier").whole(),
        multihop=multihop is not None and multihop.flag(),
        key_id=None if key_id is None else key_id.whole(),
        key=key(node.get("Key")),
    )


def _bgp(found: Bgp, more: Node) -> Bgp:
    password = more.get("Password")
    return replace(
        found,
        hold_time=_whole(more, "HoldTime"),
        keyed=password is not None,
        password=key(password),
        ttl_security=_whole(more, "TtlSecurityHops"),
        graceful_restart=_whole(more, "GracefulRestartTime"),
    )


def _whole(node: Node, name: str) -> int | None:
    found = node.get(name)
    return None if found is None else found.whole()
