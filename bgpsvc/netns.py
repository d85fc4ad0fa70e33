"""Entering a network namespace (Python 3.11 has no os.setns), and being the only daemon in it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from pathlib import Path

_CLONE_NEWNET = 0x40000000
NAMED = Path("/run/netns")


def enter(name: str) -> None:
    """Move the calling thread, and all it starts from now on, into a namespace of `ip netns`.

    FileNotFoundError if there is none of that name, PermissionError without CAP_SYS_ADMIN.
    """
    path = NAMED / name
    if not path.exists():
        known = ", ".join(sorted(p.name for p in NAMED.iterdir())) if NAMED.is_dir() else ""
        raise FileNotFoundError(f"there is no network namespace {name!r}; there is {known or 'none'}")
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter the network namespace {name!r}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def claim_namespace() -> socket.socket:
    """Be the only daemon of this network namespace until the socket is closed; OSError if there is one.

    Two would delete each other's routes and rules. Abstract socket names belong to the namespace and
    vanish with their process.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind("\0bgpsvc-daemon")
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            raise
        text = "another bgpsvc daemon runs in this network namespace"
        raise OSError(errno.EADDRINUSE, text) from None
    return claim
