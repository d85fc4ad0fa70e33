"""VPCs, gateways, connections and tunnels as an operator describes them. Pure: reads no file, no clock."""

from bgpsvc.resources.models import (
    BgpSettings,
    CustomerGateway,
    DpdSettings,
    IkeSettings,
    Intent,
    IpsecSettings,
    Ipv6Settings,
    Tunnel,
    Vpc,
    VpnConnection,
    VpnGateway,
)

__all__ = [
    "BgpSettings",
    "CustomerGateway",
    "DpdSettings",
    "IkeSettings",
    "Intent",
    "IpsecSettings",
    "Ipv6Settings",
    "Tunnel",
    "Vpc",
    "VpnConnection",
    "VpnGateway",
]
