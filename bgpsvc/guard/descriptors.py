"""How many descriptors the guard may have: each BFD session and each probe needs one."""

from __future__ import annotations

import errno
import os
import resource
import socket

RESERVE = 64
"""What watches tunnels leaves so many to what all else depends on: the daemon's connection, receivers, forks.
A listener on which nobody can accept is readable for ever, and a loop of real-time priority turns in it."""


def allow_all() -> None:
    """Raise the soft limit to the hard one, for this process and those that it forks."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leave_reserve(sock: socket.socket) -> None:
    """OSError (EMFILE) if a socket that was just made came out of the reserve: the lowest number is taken."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if sock.fileno() >= limit - RESERVE:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
