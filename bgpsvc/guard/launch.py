"""The daemon's way to the guard's processes: start them, reach them over their socket, end them.

There is no record on disk of which processes they are. Whoever answers on the socket is the guard: the kernel
refuses a connection once the last process that holds it has ended. It also tells which process made the
socket (SO_PEERCRED), and that one leads the process group that all of them are in; the number of a
process group that still has members is not given to anybody else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from bgpsvc.guard.keeper import GOES_ON
from bgpsvc.guard.server import ENV_STATE_DIR, SOCKET
from bgpsvc.processes import Process, last_line

ERRORS = "guard.err"
MODULE = "bgpsvc.guard"

_ROOT = Path(__file__).resolve().parents[2]
_TAIL = 20_000
_PEERCRED = struct.Struct("=iII")
_NOBODY = {errno.ECONNREFUSED, errno.ENOENT}


class Busy(OSError):
    """Somebody has the guard's socket, but takes no more connections: it hangs."""


def launch(state_dir: Path) -> Process:
    """Start a guard in the caller's network namespace. OSError if that is impossible."""
    path = state_dir / ERRORS
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd="/",
            env=_environment(state_dir),
            # A ^C or a closed terminal of the daemon is none of its business.
            start_new_session=True,
        )
    try:
        return Process(child.pid, os.pidfd_open(child.pid), child)
    except BaseException:
        child.kill()
        child.wait()
        raise


def reach(state_dir: Path) -> socket.socket | None:
    """A non-blocking connection to the guard; None if there is none. Busy if it takes no connection."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Unix socket paths end after 107 bytes, state directories need not: name the directory by number.
        directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        finally:
            os.close(directory)
    except BlockingIOError as error:
        sock.close()
        raise Busy(errno.EAGAIN, "the guard takes no more connections") from error
    except OSError as error:
        sock.close()
        if error.errno in _NOBODY:
            return None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def signal_all(sock: socket.socket, number: signal.Signals) -> None:
    """Send a signal to all processes of the guard that a connection leads to."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    leader: int = _PEERCRED.unpack(data)[0]
    # A socket that something else put there must not have us end ourselves, or everything.
    if leader > 1 and leader != os.getpgrp():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, number)


def complaint(state_dir: Path) -> str:
    """The last line that a guard left behind; "" if there is none."""
    return last_line(state_dir / ERRORS)


def takeover(state_dir: Path) -> str:
    """Why the last worker went that another one has gone on for, in the keeper's words; "" if none has."""
    try:
        with (state_dir / ERRORS).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    # Behind time and process id.
    found = (
        line.split(" ", 2)[2] for line in reversed(lines) if line.endswith(GOES_ON) and line.count(" ") > 1
    )
    return next(found, "")


def _environment(state_dir: Path) -> dict[str, str]:
    search = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Addresses of databases, keys and the like of the daemon are none of its business.
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(search), ENV_STATE_DIR: str(state_dir.resolve())}
