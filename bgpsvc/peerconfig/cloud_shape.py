"""A connection's other side as JSON in the shape of the cloud's download. Pure.

The shape is that of Alibaba Cloud's `DownloadVpnConnectionConfig`, seen from the device: `Local` is the
device, `Remote` the gateway. Its response has `IkeConfig` and `IpsecConfig` of the only tunnel at the top,
and in `TunnelsConfig.TunnelConfig` one of each for every tunnel of a dual-tunnel connection. Here both are
there always, at the top those of tunnel 1, so that a reader of either form finds what it looks for. AS
numbers are text there, and so they are here.

Each tunnel has its session besides, and says what the cloud's answer to `DescribeVpnConnection` says of it:
`Role`, `EnableDpd`, `EnableNatTraversal`; and so does the connection, `VpnConnectionId`. What neither has a
place for stands under `Extensions`, in words of ours, which a reader of the cloud's shape can leave alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any

from bgpsvc.peerconfig.facts import (
    BfdFacts,
    BgpFacts,
    InsideFacts,
    IPNetwork,
    Ipv6Facts,
    PeerFacts,
    TunnelFacts,
)
from bgpsvc.peerconfig.words import Helpers

_EVERYTHING = "0.0.0.0/0"
_ROLES = {"active": "master", "standby": "slave"}


def document(peer: PeerFacts) -> str:
    """The whole document, indented, without a line's end behind it."""
    first = peer.tunnels[0]
    config: dict[str, Any] = {
        "VpnConnectionId": peer.connection,
        "LocalSubnet": _networks(ours for ours, _ in first.selectors),
        "RemoteSubnet": _networks(theirs for _, theirs in first.selectors),
        "Local": str(first.device),
        "Remote": str(first.gateway),
        "IkeConfig": _ike(first),
        "IpsecConfig": _ipsec(first),
        "TunnelsConfig": {"TunnelConfig": [_tunnel(tunnel) for tunnel in peer.tunnels]},
    }
    with_bgp = ((tunnel.id, tunnel.bgp) for tunnel in peer.tunnels if tunnel.bgp is not None)
    sessions = [{"TunnelId": name} | _bgp(bgp) for name, bgp in with_bgp]
    if sessions:
        config["BgpConfigs"] = {"BgpConfig": sessions}
    config["Extensions"] = {
        "VpnGateway": peer.gateway,
        "Vpc": peer.vpc,
        "RoutingMode": "destination" if peer.route_based else "interesting_traffic",
        "RemoteNetworks": [str(network) for network in peer.gateway_networks],
        "LocalNetworks": [str(network) for network in peer.device_networks],
        "GatewayInitiates": peer.gateway_initiates,
        "Warnings": list(peer.warnings),
    }
    return json.dumps({"VpnConnectionConfig": config}, indent=2, ensure_ascii=False)


def _networks(networks: Iterable[IPNetwork]) -> str:
    """As `10.0.0.0/16,10.1.0.0/16`, each once."""
    return ",".join(dict.fromkeys(map(str, networks))) or _EVERYTHING


def _tunnel(tunnel: TunnelFacts) -> dict[str, Any]:
    made: dict[str, Any] = {
        "TunnelId": tunnel.id,
        "Role": _ROLES[tunnel.role],
        "Local": str(tunnel.device),
        "Remote": str(tunnel.gateway),
        "IkeConfig": _ike(tunnel),
        "IpsecConfig": _ipsec(tunnel),
        "EnableDpd": tunnel.dpd.enabled,
        "EnableNatTraversal": tunnel.nat_traversal,
    }
    if tunnel.bgp is not None:
        made["BgpConfig"] = _bgp(tunnel.bgp)
    made["Extensions"] = {
        "DpdTimeout": tunnel.dpd.timeout,
        "Mtu": tunnel.mtu,
        "TcpMss": tunnel.mss,
        "External": tunnel.external,
        "Inside": None if tunnel.inside is None else _inside(tunnel.inside),
        "Bgp": None if tunnel.bgp is None else _bgp_extensions(tunnel.bgp),
    }
    return made


def _ike(tunnel: TunnelFacts) -> dict[str, Any]:
    ike = tunnel.ike
    return {
        "IkeVersion": ike.version,
        "IkeMode": ike.mode,
        "IkeEncAlg": ike.encryption,
        "IkeAuthAlg": ike.authentication,
        "IkePfs": ike.pfs,
        "IkeLifetime": ike.lifetime,
        "LocalId": tunnel.device_id,
        "RemoteId": tunnel.gateway_id,
        "Psk": tunnel.pre_shared_key,
    }


def _ipsec(tunnel: TunnelFacts) -> dict[str, Any]:
    ipsec = tunnel.ipsec
    return {
        "IpsecEncAlg": ipsec.encryption,
        "IpsecAuthAlg": ipsec.authentication,
        "IpsecPfs": ipsec.pfs,
        "IpsecLifetime": ipsec.lifetime,
    }


def _bgp(bgp: BgpFacts) -> dict[str, str]:
    return {
        "LocalAsn": str(bgp.device_asn),
        "PeerAsn": str(bgp.gateway_asn),
        "LocalBgpIp": str(bgp.device),
        "PeerBgpIp": str(bgp.gateway),
        "TunnelCidr": str(ip_network((bgp.device, bgp.prefix_length), strict=False)),
    }


def _bgp_extensions(bgp: BgpFacts) -> dict[str, Any]:
    return {
        "HoldTime": bgp.hold_time,
        "KeepaliveTime": bgp.keepalive,
        "Password": bgp.password,
        "TtlSecurityHops": bgp.ttl_security,
        "GracefulRestartTime": bgp.graceful_restart,
        "GatewayPassive": bgp.gateway_passive,
        "LocalPreference": bgp.local_preference,
        "Med": bgp.med,
    }


def _inside(inside: InsideFacts) -> dict[str, Any]:
    return {
        "LocalIp": str(inside.device),
        "PeerIp": str(inside.gateway),
        "TunnelCidr": str(ip_network((inside.device, inside.prefix_length), strict=False)),
        "Bfd": None if inside.bfd is None else _bfd(inside.bfd),
        "Ipv6": None if inside.ipv6 is None else _ipv6(inside.ipv6),
    }


def _bfd(bfd: BfdFacts) -> dict[str, Any]:
    return {
        "IntervalMs": bfd.interval_ms,
        "Multiplier": bfd.multiplier,
        "Multihop": bfd.multihop,
        "KeyId": bfd.key_id,
        "Key": bfd.key,
    }


def _ipv6(ipv6: Ipv6Facts) -> dict[str, str]:
    return {
        "LocalIp": str(ipv6.device),
        "PeerIp": str(ipv6.gateway),
        "TunnelCidr": str(ip_network((ipv6.device, ipv6.prefix_length), strict=False)),
    }


HELPERS: Helpers = MappingProxyType({"document": document})
