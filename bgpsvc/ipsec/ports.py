"""UDP ports of the charons that share a network namespace: a pair for each."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from dataclasses import dataclass

from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError

PAIRS = range(10500, 30000, 2)
"""First ports of the pairs: below what systems give to programs that ask for any port."""


@dataclass(frozen=True, slots=True)
class Ports:
    """UDP ports of a charon's own: for IKE, and for IKE and ESP behind a NAT (RFC 3948)."""

    ike: int
    nat: int


def free_ports(taken: Collection[Ports]) -> Ports:
    """A pair that is none of these, and that nobody uses now. DriverError if there is none."""
    for first in PAIRS:
        ports = Ports(first, first + 1)
        if ports not in taken and unused(ports):
            return ports
    text = f"all UDP ports from {PAIRS.start} to {PAIRS.stop - 1} are in use"
    raise DriverError(Cause.CHARON_DOWN, text)


def unused(ports: Ports) -> bool:
    """Whether a pair is free on all addresses of the calling thread's network namespace."""
    try:
        for port in (ports.ike, ports.nat):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
                probe.bind(("", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
