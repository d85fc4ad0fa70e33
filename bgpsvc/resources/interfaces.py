"""Names of tunnel interfaces: of those that a tunnel names, and of those that the service makes."""

from __future__ import annotations

from hashlib import blake2s
from typing import TYPE_CHECKING

from bgpsvc.model import session_id

if TYPE_CHECKING:
    from bgpsvc.resources.models import Tunnel

LONGEST_NAME = 15
"""IFNAMSIZ - 1 of Linux."""
_DIGEST_SIZE = 5


def made_name(connection: str, number: int) -> str:
    """Name of the interface that the service makes: the tunnel's id, or a digest of it that fits."""
    ident = session_id(connection, number)
    if len(ident) <= LONGEST_NAME:
        return ident
    return f"vpn-{blake2s(ident.encode(), digest_size=_DIGEST_SIZE).hexdigest()}"


def interface_of(connection: str, number: int, tunnel: Tunnel) -> str:
    """Name of a tunnel's interface; `number` is 1 or 2."""
    return tunnel.interface or made_name(connection, number)
