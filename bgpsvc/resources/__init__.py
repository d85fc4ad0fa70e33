"""VPCs, gateways, connections and tunnels as an operator describes them. Pure: reads no file, no clock."""

from bgpsvc.resources.loader import Loaded, load
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
from bgpsvc.resources.printer import dump
from bgpsvc.resources.problems import ConfigError, Problem
from bgpsvc.resources.reader import SecretReader

__all__ = [
    "BgpSettings",
    "ConfigError",
    "CustomerGateway",
    "DpdSettings",
    "IkeSettings",
    "Intent",
    "IpsecSettings",
    "Ipv6Settings",
    "Loaded",
    "Problem",
    "SecretReader",
    "Tunnel",
    "Vpc",
    "VpnConnection",
    "VpnGateway",
    "dump",
    "load",
]
