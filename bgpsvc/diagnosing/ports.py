"""Which processes have a UDP port, or listen on a TCP port, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PROC = Path("/proc")
_UDP, _TCP = ("udp", "udp6"), ("tcp", "tcp6")
_LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp writes it."""


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


def _holders(tables: tuple[str, ...], port: int, state: str | None) -> dict[int, str]:
    sockets = _sockets(tables, port, state)
    if not sockets:
        return {}
    return {pid: _name(pid) for pid in _pids() if _has(pid, sockets)}


def _sockets(tables: tuple[str, ...], port: int, state: str | None) -> set[str]:
    sockets = set[str]()
    for table in tables:
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            sockets |= bound((PROC / "thread-self" / "net" / table).read_text(), port, state)
    return sockets


def bound(table: str, port: int, state: str | None = None) -> set[str]:
    """Inodes of the sockets bound to a local port, in the text of /proc/net/udp or tcp; in a state, if
    given."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        row[9]
        for row in rows
        if len(row) > 9 and int(row[1].rpartition(":")[2], 16) == port and state in (None, row[3])
    }


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
