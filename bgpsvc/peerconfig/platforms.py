"""The platforms that a configuration can be written for. Pure.

A platform is an entry here and a template `templates/<name>.j2`. `helpers` are functions that its template
may call, or use as filters: the platform's words for algorithms, its way to quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bgpsvc.peerconfig import (
    cloud_shape,
    names_bgpsvc,
    names_cisco,
    names_firewalls,
    names_opnsense,
    names_routers,
    names_strongswan,
)
from bgpsvc.peerconfig.words import Helpers

TEXT = "text/plain"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of device. `title` as its maker calls it, `extension` of a file name, without a dot.

    `notes` is one sentence: which releases, and what has to be known before. `comment` begins a comment line
    (`header` uses it), empty for a format without comments. `built_in`: not from an operator's directory.
    """

    name: str
    title: str
    extension: str
    notes: str
    comment: str = "#"
    media_type: str = TEXT
    helpers: Helpers = field(default_factory=dict, repr=False)
    built_in: bool = True


def _by_name(*platforms: Platform) -> Mapping[str, Platform]:
    return MappingProxyType({platform.name: platform for platform in platforms})


PLATFORMS: Mapping[str, Platform] = _by_name(
    Platform(
        "bgpsvc",
        "bgpsvc",
        "yaml",
        "Resources for a bgpsvc at the other side: `bgpsvc apply -f`, or `serve --config`.",
        helpers=names_bgpsvc.HELPERS,
    ),
    Platform(
        "strongswan-frr",
        "Linux with strongSwan and FRR",
        "txt",
        "Several files; strongSwan 5.9 and FRR 8 or later, a kernel with XFRM interfaces (4.19).",
        helpers=names_strongswan.HELPERS,
    ),
    Platform(
        "strongswan-bird",
        "Linux with strongSwan and BIRD",
        "txt",
        "Several files; strongSwan 5.9 and BIRD 2.0.8 or later, a kernel with XFRM interfaces (4.19).",
        helpers=names_strongswan.HELPERS,
    ),
    Platform(
        "vyos",
        "VyOS",
        "txt",
        "VyOS 1.4 or later, `set` commands for configuration mode.",
        helpers=names_routers.VYOS_HELPERS,
    ),
    Platform(
        "cisco-ios-xe",
        "Cisco IOS-XE",
        "txt",
        "IOS-XE 16.12 or later with a security licence, route-based by tunnel interfaces.",
        comment="!",
        helpers=names_cisco.IOS_HELPERS,
    ),
    Platform(
        "cisco-asa",
        "Cisco ASA",
        "txt",
        "ASA 9.8 or later in routed mode; no BFD and no IPv6 inside the tunnels.",
        comment="!",
        helpers=names_cisco.ASA_HELPERS,
    ),
    Platform(
        "juniper-srx",
        "Juniper SRX",
        "txt",
        "Junos 19.4 or later, `set` commands for `load set terminal`.",
        helpers=names_firewalls.SRX_HELPERS,
    ),
    Platform(
        "fortigate",
        "Fortinet FortiGate",
        "txt",
        "FortiOS 7.0.4 or later, a script to upload.",
        helpers=names_firewalls.FORTI_HELPERS,
    ),
    Platform(
        "palo-alto",
        "Palo Alto Networks PAN-OS",
        "txt",
        "PAN-OS 10.1 or later with virtual routers, `set` commands for configuration mode.",
        helpers=names_firewalls.PAN_HELPERS,
    ),
    Platform(
        "mikrotik",
        "MikroTik RouterOS",
        "rsc",
        "RouterOS 7.14 or later; without tunnel interfaces for IPsec, policies choose the tunnel.",
        helpers=names_routers.MIKROTIK_HELPERS,
    ),
    Platform(
        "huawei",
        "Huawei VRP",
        "txt",
        "AR routers with V200R010 or later, USG firewalls; IPv4 alone inside the tunnels.",
        helpers=names_routers.HUAWEI_HELPERS,
    ),
    Platform(
        "h3c",
        "H3C Comware",
        "txt",
        "Comware 7 on MSR routers and SecPath firewalls; IPv4 alone inside the tunnels.",
        helpers=names_routers.H3C_HELPERS,
    ),
    Platform(
        "opnsense",
        "OPNsense",
        "txt",
        "OPNsense 23.7 or later: steps with exact values for its pages, no file to load.",
        helpers=names_opnsense.HELPERS,
    ),
    Platform(
        "json",
        "JSON in the cloud's shape",
        "json",
        "For programs: as Alibaba Cloud's DownloadVpnConnectionConfig, with extensions.",
        media_type=JSON,
        helpers=cloud_shape.HELPERS,
    ),
)
"""All platforms by name, in the order in which they are listed."""
