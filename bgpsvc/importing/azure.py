"""Azure VPN Gateway: connections with their virtual network gateways and local network gateways, as
`az network ... show` prints them, as REST answers, or as an ARM template; all in one file.

A gateway has one public address, or two (active-active). A connection is one tunnel to each of them; so two
tunnels are one connection to an active-active gateway, or two connections with a local network gateway each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from bgpsvc.importing import documents
from bgpsvc.importing.algorithms import Chooser
from bgpsvc.importing.azure_objects import CONNECTIONS, GATEWAYS, LOCAL, Objects
from bgpsvc.importing.model import Bgp, FoundConnection, FoundTunnel, Inside, Phase
from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Notes, refused
from bgpsvc.resources.draft import IPNetwork

FORMS = (
    "JSON of `az network vpn-connection show` together with that of vnet-gateway, local-gateway and "
    "vpn-connection shared-key, or an ARM template"
)
_SIGNS = ("Microsoft.Network/", "virtualNetworkGateway1", "localNetworkGateway2")
_IKE_LIFETIME, _IPSEC_LIFETIME, _DPD = 28800, 27000, 45
_DEFAULT_POLICY = (
    Phase("aes256", "sha256", "group2", _IKE_LIFETIME),
    Phase("aes256", "sha256", "disabled", None),
)
"""Of what Azure proposes without an IPsec policy ("Default IPsec/IKE parameters") the best that we have."""
_HOLD = 180
_LINK_LOCAL = IPv4Network("169.254.0.0/16")


def looks_like(text: str) -> bool:
    """True for the forms that `read` knows."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") and any(sign in text for sign in _SIGNS)


def read(text: str, notes: Notes) -> list[FoundConnection]:
    """The connections of a file. Raises Refused."""
    objects = Objects(documents.parse(text))
    groups: dict[str, list[Node]] = {}
    for node in objects.all(CONNECTIONS):
        kind = node.get("connectionType")
        if kind is not None and kind.text().lower() != "ipsec":
            notes.warn(node.where, f"{_name(node)} is a connection of type {kind.text()}: left out")
            continue
        groups.setdefault(objects.name_of(node.need("virtualNetworkGateway1")), []).append(node)
    if not groups:
        raise refused(
            "", "has no site-to-site connection", "`az network vpn-connection show`, in the same file"
        )
    return [_connection(name, nodes, objects, notes) for name, nodes in groups.items()]


def _name(node: Node) -> str:
    return node.need("name").text()


def _connection(gateway: str, nodes: list[Node], objects: Objects, notes: Notes) -> FoundConnection:
    weights = [weight.whole() if (weight := node.get("routingWeight")) else 0 for node in nodes]
    in_order = [node for _, node in sorted(zip(weights, nodes, strict=True), key=lambda pair: -pair[0])]
    tunnels = [tunnel for node in in_order for tunnel in _tunnels(node, objects, notes)]
    if len(in_order) > 1:
        names = " and ".join(map(_name, in_order))
        notes.warn(gateway, f"{names} lead to the same gateway: they are taken as tunnels of one connection")
    selected = [_selectors(node) for node in in_order]
    ours, theirs = selected[0]
    if any(other != selected[0] for other in selected):
        notes.refuse(gateway, "its connections have different traffic selectors", "the same for both")
    behind = [objects.need(LOCAL, node.need("localNetworkGateway2"), "local-gateway") for node in in_order]
    return FoundConnection(
        name=_name(in_order[0]) if len(in_order) == 1 else gateway,
        where=in_order[0].where,
        tunnels=tuple(tunnels),
        bgp=any(tunnel.bgp is not None for tunnel in tunnels),
        device_networks=ours or tuple(dict.fromkeys(net for local in behind for net in _prefixes(local))),
        gateway_networks=theirs or tuple(objects.networks_of(gateway)),
        selectors=bool(ours and theirs),
    )


def _prefixes(local: Node) -> tuple[IPNetwork, ...]:
    space = local.get("localNetworkAddressSpace")
    networks = [] if space is None else [item.network() for item in space.items("addressPrefixes")]
    # With BGP the address of our session is listed, too; it lies in the tunnel, not behind us.
    return tuple(network for network in networks if not network.overlaps(_LINK_LOCAL))


def _selectors(node: Node) -> tuple[tuple[IPNetwork, ...], tuple[IPNetwork, ...]]:
    """Networks of ours and of Azure's between which packets pass; none if all do."""
    ours: list[IPNetwork] = []
    theirs: list[IPNetwork] = []
    for policy in node.items("trafficSelectorPolicies"):
        theirs += [item.network() for item in policy.items("localAddressRanges")]
        ours += [item.network() for item in policy.items("remoteAddressRanges")]
    return tuple(dict.fromkeys(ours)), tuple(dict.fromkeys(theirs))


# Tunnels


@dataclass(frozen=True, slots=True)
class _Instance:
    """One end of a gateway: its public address, its own BGP addresses."""

    name: str
    ident: str
    address: IPv4Address
    bgp_addresses: tuple[IPv4Address, ...]


def _tunnels(node: Node, objects: Objects, notes: Notes) -> Iterator[FoundTunnel]:
    gateway = objects.need(GATEWAYS, node.need("virtualNetworkGateway1"), "vnet-gateway")
    local = objects.need(LOCAL, node.need("localNetworkGateway2"), "local-gateway")
    instances = list(_instances(gateway, objects))
    if not instances:
        text = (
            "says no public address: `az network vnet-gateway show` has it in bgpSettings.bgpPeeringAddresses"
        )
        raise refused(gateway.where, text, "that, or `az network public-ip show` besides")
    # Of an active-active gateway each connection makes tunnels to both instances, and with BGP one of them
    # never fits: what stands against a tunnel is kept with it, until it is known which ones are taken.
    of_both = Notes(notes.warnings)
    one = _tunnel(node, local, objects, of_both)
    for instance in instances:
        several = len(instances) > 1
        own = Notes(notes.warnings, list(of_both.problems))
        inside, bgp = _routing(node, gateway, local, instance, own)
        yield replace(
            one,
            name=f"{one.name}/{instance.name}" if several else one.name,
            gateway=instance.address,
            inside=inside,
            bgp=bgp,
            problems=tuple(own.problems),
        )


def _instances(gateway: Node, objects: Objects) -> Iterator[_Instance]:
    configured = gateway.items("ipConfigurations")
    listed = gateway.items("bgpSettings", "bgpPeeringAddresses")
    for number in range(max(len(configured), len(listed))):
        of = listed[number] if number < len(listed) else None
        addresses = [] if of is None else [item.address() for item in of.items("tunnelIpAddresses")]
        public = [address for address in addresses if not address.is_private or _is_documentation(address)]
        if not public and number < len(configured):
            found = objects.public_address(configured[number])
            public = [] if found is None else [found]
        if public:
            ident = None if of is None else of.get("ipconfigurationId")
            custom = [] if of is None else [item.address() for item in of.items("customBgpIpAddresses")]
            name = f"instance{number}"
            yield _Instance(name, "" if ident is None else ident.text(), public[0], tuple(custom))


_DOCUMENTATION = tuple(IPv4Network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))


def _is_documentation(address: IPv4Address) -> bool:
    # Counted among the private ones by the library, and in nobody's network.
    return any(address in network for network in _DOCUMENTATION)


def _tunnel(node: Node, local: Node, objects: Objects, notes: Notes) -> FoundTunnel:
    version = node.get("connectionProtocol")
    authentication = node.get("authenticationType")
    if authentication is not None and authentication.text().lower() not in ("psk", "presharedkey"):
        notes.refuse(authentication.where, "the connection uses certificates", "a pre-shared key")
    device = local.get("gatewayIpAddress")
    if device is None:
        notes.warn(local.where, "has no gatewayIpAddress: give this side's addresses with --local-address")
    ike, ipsec = _phases(node, notes)
    key, dpd = objects.key_of(node), node.get("dpdTimeoutSeconds")
    return FoundTunnel(
        name=_name(node),
        where=node.where,
        gateway=IPv4Address(0),  # that of the instance, which the caller has
        device=None if device is None else device.address(),
        version="ikev2" if version is None else version.text().lower(),
        mode="main",
        ike=ike,
        ipsec=ipsec,
        key=key,
        dpd=_DPD if dpd is None or not dpd.whole() else dpd.whole(),
    )


def _phases(node: Node, notes: Notes) -> tuple[Phase, Phase]:
    policies = node.items("ipsecPolicies")
    if not policies:
        text = (
            "has no ipsecPolicies, so Azure's defaults are taken: of IKE only group2 (1024 bits), no PFS; "
            "a policy with DHGroup14 and PFS2048 is better"
        )
        notes.warn(node.where, text)
        ike, ipsec = _DEFAULT_POLICY
        return ike, replace(ipsec, lifetime=_IPSEC_LIFETIME)
    policy = policies[0]
    choose = Chooser(notes, policy.where)
    group, pfs = policy.need("dhGroup").text(), policy.need("pfsGroup").text()
    ike = Phase(
        choose.encryption([policy.need("ikeEncryption").text()]),
        choose.authentication([policy.need("ikeIntegrity").text()]),
        choose.group([group]),
        _IKE_LIFETIME,
    )
    ipsec = Phase(
        choose.encryption([policy.need("ipsecEncryption").text()]),
        choose.authentication([policy.need("ipsecIntegrity").text()]),
        # PFSMM: the group of phase 1 again.
        choose.pfs([group if pfs.upper() == "PFSMM" else pfs]),
        policy.need("saLifeTimeSeconds").whole(),
    )
    return ike, ipsec


# BGP


def _routing(
    node: Node, gateway: Node, local: Node, instance: _Instance, notes: Notes
) -> tuple[Inside | None, Bgp | None]:
    enabled = node.get("enableBgp")
    if enabled is None or not enabled.flag():
        return None, None
    device = local.need("bgpSettings", "bgpPeeringAddress").address()
    bgp = Bgp(local.need("bgpSettings", "asn").whole(), gateway.need("bgpSettings", "asn").whole(), _HOLD)
    cidr = IPv4Network((device, 30), strict=False)
    own = _chosen(node, instance) or instance.bgp_addresses
    for address in own:
        inside = Inside(cidr, device, address)
        if device in _LINK_LOCAL and inside.is_pair:
            return inside, bgp
    have = ", ".join(map(str, own)) or "none of 169.254.x.x"
    text = (
        f"BGP of {_name(node)} runs between {device} here and {have} at {instance.name} of Azure's gateway; "
        "here both are the hosts of a /30 in 169.254.0.0/16"
    )
    allowed = (
        "custom APIPA addresses (169.254.21.x, 169.254.22.x) at the gateway and the local network gateway"
    )
    notes.refuse(node.where, text, allowed)
    return None, None


def _chosen(node: Node, instance: _Instance) -> tuple[IPv4Address, ...]:
    """The gateway's address that this connection chose for an instance."""
    return tuple(
        item.need("customBgpIpAddress").address()
        for item in node.items("gatewayCustomBgpIpAddresses")
        if item.need("ipConfigurationId").text().lower() == instance.ident.lower()
    )
