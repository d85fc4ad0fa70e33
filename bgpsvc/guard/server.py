"""The guard's end of the socket: one daemon at a time, whole lines in, lines out within bounds.

The socket is only for our own user (0600, in a directory of mode 0700). A daemon that connects takes the
place of the one before. One that does not read, or says what is not understood, is dropped: on its next
connection it hears everything anew, so nothing has to be kept for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket

from bgpsvc.guard.keeper import log
from bgpsvc.guard.messages import NotUnderstood, pack, unpack
from bgpsvc.guard.model import Plan, Quit, ToDaemon, ToGuard, Watch

ENV_STATE_DIR = "BGPSVC_GUARD_STATE_DIR"
"""To the guard: the daemon's state directory."""
SOCKET = "guard.sock"
"""In the state directory, which the environment names."""
OUT_LIMIT = 4 << 20
"""Bytes that wait for a daemon at the most: some 20,000 messages."""
OUT_PORTION = 64 << 10
"""While more than this waits, what can wait is not added to it."""
_IN_LIMIT = 64 << 20
_READ_SIZE = 1 << 16
_BACKLOG = 128


def listen(directory: int, name: str) -> socket.socket:
    """A listening socket in a directory (by its descriptor), in place of one that nobody listens on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        before = os.umask(0o177)
        try:
            # Unix socket paths end after 107 bytes, state directories need not.
            listener.bind(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Server:
    """Accepts on a listener; descriptors are polled by an epoll that it is given."""

    def __init__(self, listener: socket.socket, epoll: select.epoll) -> None:
        self._listener = listener
        self._epoll = epoll
        self._sock: socket.socket | None = None
        self._in = bytearray()
        self._searched = 0
        self._out = bytearray()
        self._polled = 0
        epoll.register(listener, select.EPOLLIN)

    @property
    def connected(self) -> bool:
        """A daemon is connected."""
        return self._sock is not None

    @property
    def crowded(self) -> bool:
        """So much waits for the daemon that what can be told later should be."""
        return len(self._out) > OUT_PORTION

    def fileno(self) -> int:
        """Descriptor of the connection, -1 without one."""
        return -1 if self._sock is None else self._sock.fileno()

    def accept(self) -> bool:
        """A connection waits: the newest of them takes the place of the present one. False if none did."""
        accepted = False
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                break
            self.drop()
            sock.setblocking(False)
            self._sock = sock
            self._poll(select.EPOLLIN)
            accepted = True
        return accepted

    def ready(self, events: int) -> list[ToGuard]:
        """What the connection brings; a bounded part of it. It may be closed afterwards."""
        if events & select.EPOLLOUT:
            self.flush()
        if self._sock is None or not events & ~select.EPOLLOUT:
            return []
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data or len(self._in) + len(data) > _IN_LIMIT:
            self.drop()
            return []
        self._in += data
        end = self._in.rfind(b"\n", self._searched) + 1
        if not end:
            self._searched = len(self._in)  # a long line is not searched anew with each of its pieces
            return []
        lines, self._searched = bytes(self._in[:end]).splitlines(), 0
        del self._in[:end]
        return self._understood(lines)

    def _understood(self, lines: list[bytes]) -> list[ToGuard]:
        found: list[ToGuard] = []
        try:
            for line in lines:
                message = unpack(line)
                if not isinstance(message, Watch | Plan | Quit):
                    raise NotUnderstood(f"{type(message).__name__} is not for the guard")
                found.append(message)
        except NotUnderstood as error:
            log(f"the daemon is dropped: {error}")
            self.drop()
        return found

    def send(self, message: ToDaemon) -> None:
        """Add a message to what goes out with the next `flush`; for nobody if there is no daemon."""
        if self._sock is not None:
            self._out += pack(message)

    def flush(self) -> None:
        """Send what the daemon takes. If too much is left, drop it."""
        if self._sock is None or not self._out:
            return
        try:
            del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        if len(self._out) > OUT_LIMIT:
            log(f"the daemon is dropped: it does not read, {len(self._out)} bytes wait")
            self.drop()
            return
        self._poll(select.EPOLLIN | (select.EPOLLOUT if self._out else 0))

    def _poll(self, events: int) -> None:
        if self._sock is not None and events != self._polled:
            (self._epoll.modify if self._polled else self._epoll.register)(self._sock, events)
            self._polled = events

    def drop(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()  # which takes it out of the epoll
            self._sock = None
        self._in.clear()
        self._out.clear()
        self._searched = self._polled = 0

    def close(self) -> None:
        """Close the connection; the listener is not this process's alone."""
        self.drop()
