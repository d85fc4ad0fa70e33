"""AWS Site-to-Site VPN: the customer gateway's configuration as XML, alone or inside the answer of
`aws ec2 describe-vpn-connections`, and the text that the console gives for the vendor *Generic*.

XML and text have one value for each algorithm, the weakest that AWS takes unless the connection's options
forbid it. The answer has these options; where they name nothing, all of AWS's defaults are accepted. So from
the answer the best is taken, from XML and text alone what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bgpsvc.importing import aws_text, documents, xmltree
from bgpsvc.importing.algorithms import Chooser
from bgpsvc.importing.model import Bgp, FoundConnection, FoundTunnel, Inside, Phase
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes, refused
from bgpsvc.resources.draft import IPNetwork

FORMS = (
    "the XML with <vpn_connection>; the answer of `aws ec2 describe-vpn-connections` as JSON or YAML; "
    "the text that the console gives for the vendor Generic"
)
# What AWS accepts where the options name nothing ("Tunnel options" in its user guide), as far as we have it.
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "EncryptionAlgorithms": ("AES256", "AES128"),
    "IntegrityAlgorithms": ("SHA2-256", "SHA2-384", "SHA2-512", "SHA1"),
    "Phase1DHGroupNumbers": ("14", "2"),
    "Phase2DHGroupNumbers": ("14", "5", "2"),
    "IkeVersions": ("ikev2", "ikev1"),
}
_KEY = re.compile(r"[A-Za-z0-9._]{1,64}")
_NO_VERSION = "does not say the IKE version: ikev2 is taken, which AWS accepts unless its options forbid it"
_WEAKEST = (
    "names the weakest algorithms that AWS accepts, and they are taken; from the answer of "
    "`aws ec2 describe-vpn-connections` the best ones are"
)


def looks_like(text: str) -> bool:
    """True for the forms that `read` knows."""
    answer = "VpnConnectionId" in text and ("CustomerGatewayConfiguration" in text or "VgwTelemetry" in text)
    return "<vpn_connection" in text or answer or aws_text.is_one(text)


def read(text: str, notes: Notes) -> list[FoundConnection]:
    """The connections of a file. Raises Refused."""
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return [_connection(_configuration(text, ""), None, notes)]
    if aws_text.is_one(text):
        found = aws_text.read(text, notes)
        _warn_of_weak(found, notes)
        return [found]
    return [_answered(node, notes) for document in documents.parse(text) for node in _answered_ones(document)]


def _configuration(text: str, where: str) -> Node:
    return xmltree.parse(text, where, ("ipsec_tunnel",)).need("vpn_connection")


def _answered_ones(document: Node) -> Iterator[Node]:
    if isinstance(document.value, list):
        nodes = document.elements()
    elif document.has("VpnConnections"):
        nodes = document.items("VpnConnections")
    else:
        nodes = [document.get("VpnConnection") or document]
    for node in nodes:
        state = node.get("State")
        if state is None or state.text() not in ("deleted", "deleting"):
            yield node


def _answered(node: Node, notes: Notes) -> FoundConnection:
    configuration = node.get("CustomerGatewayConfiguration")
    if configuration is None:
        text = "is missing: AWS leaves it out without the permission for it, and while a connection is made"
        raise refused(f"{node.where}.CustomerGatewayConfiguration".lstrip("."), text, "the whole answer")
    return _connection(_configuration(configuration.text(), configuration.where), node, notes)


def _connection(xml: Node, answer: Node | None, notes: Notes) -> FoundConnection:
    """A connection of its XML, and of the answer that the XML was in, if it was."""
    options = {} if answer is None else _options_by_address(answer)
    tunnels = tuple(_tunnel(node, options, notes) for node in xml.items("ipsec_tunnel"))
    attributes = xml.get("vpn_connection_attributes")
    fixed = attributes is not None and "nobgp" in attributes.text().lower()
    if answer is not None:
        chosen = answer.get("Options", "StaticRoutesOnly")
        fixed = fixed or (chosen is not None and chosen.flag())
    ours, theirs = _selected(answer)
    found = FoundConnection(
        name=xml.need("@id").text(),
        where=xml.where,
        tunnels=tunnels,
        bgp=not fixed and any(tunnel.bgp is not None for tunnel in tunnels),
        device_networks=ours or _static_routes(answer),
        gateway_networks=theirs,
        selectors=bool(ours and theirs),
    )
    if not all(tunnel.name in options for tunnel in tunnels):
        notes.warn(xml.where, _NO_VERSION)
        _warn_of_weak(found, notes)
    return found


def _warn_of_weak(found: FoundConnection, notes: Notes) -> None:
    phases = [phase for tunnel in found.tunnels for phase in (tunnel.ike, tunnel.ipsec)]
    if any(phase.authentication == "sha1" or phase.group == "group2" for phase in phases):
        notes.warn(found.where, _WEAKEST)


def _static_routes(answer: Node | None) -> tuple[IPNetwork, ...]:
    routes = [] if answer is None else answer.items("Routes")
    return tuple(
        route.need("DestinationCidrBlock").network() for route in routes if route.has("DestinationCidrBlock")
    )


def _selected(answer: Node | None) -> tuple[tuple[IPNetwork, ...], tuple[IPNetwork, ...]]:
    """The networks that the tunnels are restricted to, ours and AWS's; none if they are not."""
    if answer is None:
        return (), ()
    ends = [answer.get("Options", key) for key in ("LocalIpv4NetworkCidr", "RemoteIpv4NetworkCidr")]
    found = [None if node is None else node.network() for node in ends]
    if all(network is None or network.prefixlen == 0 for network in found):
        return (), ()
    ours, theirs = (() if network is None else (network,) for network in found)
    return ours, theirs


# Tunnels


def _options_by_address(answer: Node) -> dict[str, Node]:
    return {
        node.need("OutsideIpAddress").text(): node
        for node in answer.items("Options", "TunnelOptions")
        if node.has("OutsideIpAddress")
    }


def _tunnel(xml: Node, options: Mapping[str, Node], notes: Notes) -> FoundTunnel:
    ours, theirs = xml.need("customer_gateway"), xml.need("vpn_gateway")
    gateway = theirs.need("tunnel_outside_address", "ip_address").address()
    own = options.get(str(gateway))
    ike, ipsec, version = _phases(xml, own, notes)
    device = ours.get("tunnel_outside_address", "ip_address")
    return FoundTunnel(
        name=str(gateway),
        where=xml.where,
        gateway=gateway,
        device=None if device is None else device.address(),
        version=version,
        mode=_mode(xml),
        ike=ike,
        ipsec=ipsec,
        key=_key(xml),
        dpd=_dpd(xml, own),
        inside=_inside(ours, theirs),
        bgp=_bgp(ours, theirs),
    )


def _mode(xml: Node) -> str:
    mode = xml.get("ike", "mode")
    return "main" if mode is None else mode.text()


def _key(xml: Node) -> str | None:
    # AWS's own keys have no other characters; anything else says that the key is kept elsewhere.
    node = xml.get("ike", "pre_shared_key")
    return None if node is None or not _KEY.fullmatch(node.text()) else node.text()


def _dpd(xml: Node, options: Node | None) -> int | None:
    seconds = None if options is None else options.get("DpdTimeoutSeconds")
    if seconds is not None:
        return seconds.whole()
    detection = xml.get("ipsec", "dead_peer_detection")
    if detection is None:
        return None
    return detection.need("interval").whole() * detection.need("retries").whole()


def _inside(ours: Node, theirs: Node) -> Inside | None:
    device, gateway = (node.get("tunnel_inside_address", "ip_address") for node in (ours, theirs))
    if device is None or gateway is None:
        return None
    if ":" in device.text():
        text = "the addresses inside the tunnel are IPv6, and sessions run over IPv4 here"
        raise refused(device.where, text, "an inside CIDR of IPv4 in the options of the tunnel")
    length = ours.need("tunnel_inside_address", "network_cidr")
    network = Node(f"{device.text()}/{length.text()}", device.where).network4()
    return Inside(network, device.address(), gateway.address())


def _bgp(ours: Node, theirs: Node) -> Bgp | None:
    device, gateway = ours.get("bgp"), theirs.get("bgp")
    if device is None or gateway is None:
        return None
    hold = gateway.get("hold_time")
    return Bgp(
        device.need("asn").whole(), gateway.need("asn").whole(), None if hold is None else hold.whole()
    )


# Algorithms


def _phases(xml: Node, options: Node | None, notes: Notes) -> tuple[Phase, Phase, str]:
    if options is None:
        return _written(xml.need("ike"), notes, 1), _written(xml.need("ipsec"), notes, 2), "ikev2"
    versions = _accepted(options, "IkeVersions")
    version = "ikev2" if "ikev2" in versions else versions[0]
    return _best(options, xml.need("ike"), notes, 1), _best(options, xml.need("ipsec"), notes, 2), version


def _written(node: Node, notes: Notes, phase: int) -> Phase:
    choose = Chooser(notes, node.where)
    group = [node.need("perfect_forward_secrecy").text()]
    return Phase(
        choose.encryption([node.need("encryption_protocol").text()]),
        choose.authentication([node.need("authentication_protocol").text()]),
        choose.group(group) if phase == 1 else choose.pfs(group),
        _lifetime(node),
    )


def _lifetime(node: Node) -> int | None:
    found = node.get("lifetime")
    return None if found is None else found.whole()


def _best(options: Node, xml: Node, notes: Notes, phase: int) -> Phase:
    choose = Chooser(notes, options.where)
    groups = _accepted(options, f"Phase{phase}DHGroupNumbers")
    seconds = options.get(f"Phase{phase}LifetimeSeconds")
    return Phase(
        choose.encryption(_accepted(options, f"Phase{phase}EncryptionAlgorithms")),
        choose.authentication(_accepted(options, f"Phase{phase}IntegrityAlgorithms")),
        choose.group(groups) if phase == 1 else choose.pfs(groups),
        _lifetime(xml) if seconds is None else seconds.whole(),
    )


def _accepted(options: Node, key: str) -> list[str]:
    """What an option allows; where it names nothing, AWS's defaults."""
    named = [
        (item.need("Value") if isinstance(item.value, Mapping) else item).text()
        for item in options.items(key)
    ]
    if named:
        return named
    return list(_DEFAULTS.get(key) or _DEFAULTS[re.sub(r"^Phase[12]", "", key)])
