"""This gateway behind a NAT: its public addresses are on no interface of the machine. Pure.

charon then takes the address that the route to the peer has, and calls itself by the public one all the same
(RFC 7296 2.23: addresses prove nothing, ids do). What comes in is told apart by the peer's address alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from bgpsvc.ipsec.model import Cause, IpsecTunnel
from bgpsvc.ipsec.port import DriverError


def refuse_ambiguous(tunnel: IpsecTunnel, others: Iterable[IpsecTunnel]) -> None:
    """DriverError if one of the others, whose public addresses are not here either, has the same peer."""
    for other in others:
        if other.id != tunnel.id and other.remote == tunnel.remote:
            text = (
                f"neither {tunnel.local} nor {other.local} is on this machine, so the tunnels {tunnel.id} "
                f"and {other.id} to {tunnel.remote} cannot be told apart"
            )
            raise DriverError(Cause.INTERFACE_FAILED, text)
