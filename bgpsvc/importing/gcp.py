"""Google Cloud's Cloud VPN: what `gcloud compute ... describe` and `list` print of VPN tunnels, VPN gateways,
external VPN gateways, routers and (Classic VPN) forwarding rules, as YAML or JSON, all in one file.

An HA VPN gateway has two interfaces, and a tunnel from each leads to the same external gateway: these two are
a connection. gcloud does not show the shared secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from bgpsvc.importing import documents
from bgpsvc.importing.algorithms import Chooser
from bgpsvc.importing.model import Bfd, Bgp, FoundConnection, FoundTunnel, Inside, Phase
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes, Refused, refused, shown
from bgpsvc.resources.draft import IPNetwork

FORMS = (
    "YAML or JSON of `gcloud compute vpn-tunnels describe` together with that of vpn-gateways, routers and "
    "external-vpn-gateways"
)
_KINDS = {
    "compute#vpnTunnel": "vpnTunnels",
    "compute#vpnGateway": "vpnGateways",
    "compute#externalVpnGateway": "externalVpnGateways",
    "compute#router": "routers",
    "compute#forwardingRule": "forwardingRules",
    "compute#targetVpnGateway": "targetVpnGateways",
}
_SIGNS = ("compute#", "vpnTunnels", "sharedSecret", "vpnGatewayInterface", "linkedVpnTunnel")
# What Cloud VPN proposes and accepts where the tunnel names no ciphers ("Supported IKE ciphers").
_DEFAULTS = {
    "ikev2": (("AES-CBC-256", "AES-CBC-128"), ("HMAC-SHA2-256", "HMAC-SHA1"), ("14", "2")),
    "ikev1": (("AES-CBC-128",), ("HMAC-SHA1",), ("2",)),
}
_IKE_LIFETIME, _IPSEC_LIFETIME = {"ikev1": 36600, "ikev2": 36000}, 10800
_KEEPALIVE = 20
_MASK = re.compile(r"[*\s]*")


def looks_like(text: str) -> bool:
    """True for the forms that `read` knows."""
    return any(sign in text for sign in _SIGNS)


def read(text: str, notes: Notes) -> list[FoundConnection]:
    """The connections of a file. Raises Refused."""
    project = _Project()
    for document in documents.parse(text):
        for node in _objects(document):
            project.add(node)
    tunnels = project.of.get("vpnTunnels", {})
    if not tunnels:
        raise refused(
            "", "has no VPN tunnel", "`gcloud compute vpn-tunnels describe` or `list`, in the same file"
        )
    groups: dict[str, list[Node]] = {}
    for node in tunnels.values():
        groups.setdefault(_group(node), []).append(node)
    return [_connection(name, nodes, project, notes) for name, nodes in groups.items()]


def _objects(document: Node) -> Iterator[Node]:
    if isinstance(document.value, list):
        for node in document.elements():
            yield from _objects(node)
    elif document.has("items") and not document.has("name"):
        yield from document.items("items")
    else:
        yield document


@dataclass(slots=True)
class _Project:
    """The objects by their collection and name."""

    of: dict[str, dict[str, Node]] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Takes an object. Of an unknown kind it is left alone: `gcloud` lists much that is no VPN."""
        kind = _kind(node)
        if kind is not None:
            name = node.need("name").text()
            # From here on it is called by its name: its place among the documents says little.
            self.of.setdefault(kind, {})[name] = Node(node.value, f"{kind}/{shown(name)[1:-1]}")

    def find(self, reference: Node | None) -> Node | None:
        """What a URL refers to, None if it is not in the file."""
        if reference is None:
            return None
        collection, _, name = reference.text().rstrip("/").rpartition("/")
        return self.of.get(collection.rpartition("/")[2], {}).get(name)


def _kind(node: Node) -> str | None:
    kind = node.get("kind")
    if kind is not None:
        return _KINDS.get(kind.text())
    # `--format` may have left the kind out.
    for collection, key in (
        ("vpnTunnels", "peerIp"),
        ("vpnGateways", "vpnInterfaces"),
        ("externalVpnGateways", "redundancyType"),
        ("routers", "bgpPeers"),
        ("forwardingRules", "IPAddress"),
    ):
        if node.has(key):
            return collection
    return None


def _last(reference: Node) -> str:
    return reference.text().rstrip("/").rpartition("/")[2]


def _group(tunnel: Node) -> str:
    """Tunnels of the same gateway to the same peer belong together."""
    gateway = tunnel.get("vpnGateway") or tunnel.get("targetVpnGateway")
    peer = tunnel.get("peerExternalGateway") or tunnel.get("peerGcpGateway")
    ends = [_last(node) for node in (gateway, peer) if node is not None]
    return "-".join(ends) or tunnel.need("name").text()


def _connection(name: str, nodes: list[Node], project: _Project, notes: Notes) -> FoundConnection:
    in_order = sorted(nodes, key=lambda node: (_priority(node, project), _interface(node)))
    tunnels = tuple(_tunnel(node, project, notes) for node in in_order)
    ours, theirs = (_selector(in_order[0], key) for key in ("remoteTrafficSelector", "localTrafficSelector"))
    for node in in_order[1:]:
        if (_selector(node, "remoteTrafficSelector"), _selector(node, "localTrafficSelector")) != (
            ours,
            theirs,
        ):
            notes.refuse(node.where, "has other traffic selectors than the other tunnel", "the same for both")
    return FoundConnection(
        name=name,
        where=name,
        tunnels=tunnels,
        bgp=any(node.get("router") is not None for node in in_order),
        device_networks=ours,
        gateway_networks=theirs,
        selectors=bool(ours and theirs),
    )


def _interface(tunnel: Node) -> int:
    found = tunnel.get("vpnGatewayInterface")
    return 0 if found is None else found.whole()


def _selector(tunnel: Node, key: str) -> tuple[IPNetwork, ...]:
    return tuple(network for node in tunnel.items(key) if (network := node.network()).prefixlen)


# One tunnel


def _tunnel(node: Node, project: _Project, notes: Notes) -> FoundTunnel:
    version = f"ikev{node.need('ikeVersion').text()}"
    ike, ipsec = _phases(node, version, notes)
    device = _device(node, project)
    session = _peer(node, project)
    found = FoundTunnel(
        name=node.need("name").text(),
        where=node.where,
        gateway=_gateway(node, project),
        device=None if device is None else device.address(),
        version=version,
        mode="main",
        ike=ike,
        ipsec=ipsec,
        key=_key(node),
    )
    if session is None:
        return found
    router, interface, peer = session
    return replace(found, inside=_inside(interface, peer), bgp=_bgp(router, peer, notes), bfd=_bfd(peer))


def _key(node: Node) -> str | None:
    secret = node.get("sharedSecret")
    return None if secret is None or _MASK.fullmatch(secret.text()) else secret.text()


def _gateway(node: Node, project: _Project) -> IPv4Address:
    reference = node.get("vpnGateway") or node.get("targetVpnGateway")
    if reference is None:
        raise refused(node.where, "names neither vpnGateway nor targetVpnGateway")
    if node.get("vpnGateway") is None:
        return _classic(reference, project)
    gateway = project.find(reference)
    if gateway is None:
        raise _absent(reference, "vpn-gateways")
    wanted = node.need("vpnGatewayInterface").text()
    for interface in gateway.items("vpnInterfaces"):
        number = interface.get("id")
        if ("0" if number is None else number.text()) == wanted:
            return interface.need("ipAddress").address()
    raise refused(gateway.where, f"has no interface {shown(wanted)}, which VPN tunnel uses")


def _classic(reference: Node, project: _Project) -> IPv4Address:
    # The address of a Classic VPN gateway stands in the rules that forward ESP and IKE to it.
    for rule in project.of.get("forwardingRules", {}).values():
        target = rule.get("target")
        if target is not None and _last(target) == _last(reference):
            return rule.need("IPAddress").address()
    raise _absent(reference, "forwarding-rules")


def _absent(reference: Node, command: str) -> Refused:
    text = f"names {shown(_last(reference))}, which is not in the file"
    return refused(reference.where, text, f"`gcloud compute {command} describe` besides, in the same file")


def _device(node: Node, project: _Project) -> Node | None:
    external = project.find(node.get("peerExternalGateway"))
    if external is not None:
        wanted = node.get("peerExternalGatewayInterface")
        for interface in external.items("interfaces"):
            number = interface.get("id")
            if (number.text() if number else "0") == (wanted.text() if wanted else "0"):
                return interface.need("ipAddress")
    return node.get("peerIp")


# BGP


def _peer(node: Node, project: _Project) -> tuple[Node, Node, Node] | None:
    """The router of a tunnel, with its interface and its peer there."""
    reference = node.get("router")
    if reference is None:
        return None
    router = project.find(reference)
    if router is None:
        raise _absent(reference, "routers")
    name = node.need("name").text()
    for interface in router.items("interfaces"):
        linked = interface.get("linkedVpnTunnel")
        if linked is None or _last(linked) != name:
            continue
        for peer in router.items("bgpPeers"):
            if peer.need("interfaceName").text() == interface.need("name").text():
                address = peer.get("ipAddress")
                if address is not None and ":" not in address.text():
                    return router, interface, peer
    raise refused(
        router.where, f"has no IPv4 BGP session over VPN tunnel {name}", "a BGP session for each tunnel"
    )


def _priority(node: Node, project: _Project) -> int:
    """The MED that the cloud announces over the tunnel: it prefers the lowest."""
    found = _peer(node, project)
    priority = None if found is None else found[2].get("advertisedRoutePriority")
    return 100 if priority is None else priority.whole()


def _inside(interface: Node, peer: Node) -> Inside:
    network = interface.need("ipRange").network4()
    return Inside(network, peer.need("peerIpAddress").address(), peer.need("ipAddress").address())


def _bgp(router: Node, peer: Node, notes: Notes) -> Bgp:
    keepalive = router.get("bgp", "keepaliveInterval")
    enabled = peer.get("enable")
    if enabled is not None and not enabled.flag():
        notes.warn(
            peer.where, "is switched off in the cloud (enable: FALSE): no session until it is switched on"
        )
    return Bgp(
        device_asn=peer.need("peerAsn").whole(),
        gateway_asn=router.need("bgp", "asn").whole(),
        hold_time=3 * (_KEEPALIVE if keepalive is None else keepalive.whole()),
        keyed=peer.get("md5AuthenticationKeyName") is not None,
        password=_password(router, peer),
    )


def _password(router: Node, peer: Node) -> str | None:
    name = peer.get("md5AuthenticationKeyName")
    for key in router.items("md5AuthenticationKeys") if name is not None else ():
        value = key.get("key")
        if name is not None and key.need("name").text() == name.text() and value is not None:
            return None if _MASK.fullmatch(value.text()) else value.text()
    return None


def _bfd(peer: Node) -> Bfd | None:
    bfd = peer.get("bfd")
    mode = None if bfd is None else bfd.get("sessionInitializationMode")
    if bfd is None or mode is None or mode.text() == "DISABLED":
        return None
    intervals = [bfd.need(key).whole() for key in ("minTransmitInterval", "minReceiveInterval")]
    return Bfd(max(intervals), bfd.need("multiplier").whole())


# Algorithms


def _phases(node: Node, version: str, notes: Notes) -> tuple[Phase, Phase]:
    suite = node.get("cipherSuite")
    choose = Chooser(notes, node.where if suite is None else suite.where)
    first, second = (None if suite is None else suite.get(key) for key in ("phase1", "phase2"))
    if version not in _DEFAULTS:
        raise refused(f"{node.where}.ikeVersion", f"{shown(version)} is not known", " | ".join(_DEFAULTS))
    ciphers, integrity, groups = _DEFAULTS[version]
    ike = Phase(
        choose.encryption(_offers(first, "encryption", ciphers)),
        choose.authentication(_offers(first, "integrity", integrity)),
        choose.group(_offers(first, "dh", groups)),
        _IKE_LIFETIME[version],
    )
    ipsec = Phase(
        choose.encryption(_offers(second, "encryption", ciphers)),
        choose.authentication(_offers(second, "integrity", integrity)),
        choose.pfs(_offers(second, "pfs", groups)),
        _IPSEC_LIFETIME,
    )
    return ike, ipsec


def _offers(phase: Node | None, key: str, defaults: tuple[str, ...]) -> list[str]:
    named = [] if phase is None else [item.text() for item in phase.items(key)]
    return named or list(defaults)
