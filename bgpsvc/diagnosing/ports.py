"""Which processes have a UDP port, or listen on a TCP port, from /proc."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from ipaddress import IPv4Address
from pathlib import Path

PROC = Path("/proc")
_UDP, _TCP = ("udp", "udp6"), ("tcp", "tcp6")
_LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it."""
IP_FREEBIND = 15
UNSEEN = "a process that cannot be seen from here"


def owners(port: int) -> dict[int, str]:
    """Processes that have a UDP port bound in this thread's network namespace: pid to name.

    Empty if nobody has it, or this process may not see who has.
    """
    return _holders(_UDP, port, None)


def listeners(port: int) -> dict[int, str]:
    """The same for processes that listen on a TCP port."""
    return _holders(_TCP, port, _LISTEN)


def is_bound(port: int) -> bool:
    """Whether a process of this network namespace has a UDP port, also one that cannot be seen."""
    return bool(_sockets(_UDP, port, None))


def is_listened(port: int) -> bool:
    """The same for a process that listens on a TCP port."""
    return bool(_sockets(_TCP, port, _LISTEN))


def holder(address: str, port: int, but: int | None = None) -> str | None:
    """Who keeps a speaker from listening on a TCP port at an IPv4 address: `bgpd (pid 812)`, or `UNSEEN`.

    None if it could listen, or if `but` is the pid of the only process that listens there already.
    """
    if not _refused(address, port):
        return None
    sockets = _sockets(_TCP, port, _LISTEN, _covering(IPv4Address(address)))
    found = {pid: _name(pid) for pid in _pids() if _has(pid, sockets)}
    if found.keys() == {but}:
        return None
    return ", ".join(f"{name} (pid {pid})" for pid, name in found.items() if pid != but) or UNSEEN


def _refused(address: str, port: int) -> bool:
    # /proc does not tell whether a listener at :: has the IPv4 addresses too; binding does. Without listening
    # it is in nobody's way.
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _covering(address: IPv4Address) -> frozenset[str]:
    """The local addresses of listeners that take connections to this one, as /proc/net/tcp and tcp6 write
    them: words in the machine's byte order."""
    word = f"{int.from_bytes(address.packed, sys.byteorder):08X}"
    mapped = f"{int.from_bytes(bytes([0, 0, 255, 255]), sys.byteorder):08X}"
    return frozenset((word, "0" * 8, "0" * 32, "0" * 16 + mapped + word))


def _holders(tables: tuple[str, ...], port: int, state: str | None) -> dict[int, str]:
    sockets = _sockets(tables, port, state)
    if not sockets:
        return {}
    return {pid: _name(pid) for pid in _pids() if _has(pid, sockets)}


def _sockets(
    tables: tuple[str, ...], port: int, state: str | None, addresses: frozenset[str] | None = None
) -> set[str]:
    sockets = set[str]()
    for table in tables:
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            sockets |= bound((PROC / "thread-self" / "net" / table).read_text(), port, state, addresses)
    return sockets


def bound(
    table: str, port: int, state: str | None = None, addresses: frozenset[str] | None = None
) -> set[str]:
    """Inodes of the sockets bound to a local port, in the text of /proc/net/udp or tcp; in a state, and at
    one of these addresses as they stand there, if given."""
    found = set[str]()
    for row in map(str.split, table.splitlines()[1:]):
        if len(row) > 9 and state in (None, row[3]):
            address, _, number = row[1].rpartition(":")
            if int(number, 16) == port and (addresses is None or address in addresses):
                found.add(row[9])
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def _has(pid: int, sockets: set[str]) -> bool:
    links = {f"socket:[{inode}]" for inode in sockets}
    folder = f"{PROC}/{pid}/fd"
    # It may end meanwhile, or be somebody else's.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"{folder}/{name}") in links:
                    return True
    return False


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "a process that has ended"
