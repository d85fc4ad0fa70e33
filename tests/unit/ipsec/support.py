"""Tunnels for the tests of this folder."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.model import session_id
from bgpsvc.resources.models import DpdSettings, IkeSettings, IpsecSettings

KEY = "Correct-Horse-42"
ALL = IPv4Network("0.0.0.0/0")


def tunnel(number: int = 1, *, ike: dict[str, Any] | None = None, **more: Any) -> IpsecTunnel:
    """A tunnel of conn1; ours is the lower address."""
    fields: dict[str, Any] = {
        "id": session_id("conn1", number),
        "connection": "conn1",
        "number": number,
        "interface": f"ipsec-{number}",
        "local": IPv4Address(f"198.51.100.{number}"),
        "remote": IPv4Address(f"203.0.113.{number}"),
        "ike": IkeSettings.model_validate({"pre_shared_key": KEY, **(ike or {})}),
        "ipsec": IpsecSettings(),
        "dpd": DpdSettings(),
        "nat_traversal": True,
        "immediately": True,
        "pairs": ((ALL, ALL),),
        "addresses": (IPv4Interface(f"169.254.{10 * number}.1/30"),),
    }
    return IpsecTunnel(**{**fields, **more})
