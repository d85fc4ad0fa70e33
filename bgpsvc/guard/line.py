"""The daemon's end of the connection to the guard: messages in as they come, out as it takes them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from bgpsvc.guard.messages import pack
from bgpsvc.guard.model import ToGuard

_READ_SIZE = 1 << 18
_READS_AT_ONCE = 16
_LONGEST_LINE = 16 << 20


class Line:
    """A connection. `on_lines` gets whole lines; `on_drained` is called when all that was sent is taken."""

    def __init__(
        self,
        sock: socket.socket,
        on_lines: Callable[[list[bytes]], None],
        on_drained: Callable[[], None],
    ) -> None:
        self.sock = sock
        self.closed = asyncio.Event()
        self._on_lines = on_lines
        self._on_drained = on_drained
        self._partial = b""
        self._waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self.read)

    @property
    def clear(self) -> bool:
        """The guard has taken everything that was sent."""
        return not self._waiting and not self.closed.is_set()

    def send(self, message: ToGuard) -> None:
        """Send a message as far as the guard takes it, the rest when it does. Nothing once it is closed."""
        if self.closed.is_set():
            return
        was_clear = self.clear
        self._waiting += pack(message)
        self._write()
        if was_clear and self._waiting:
            self._loop.add_writer(self.sock, self._on_writable)

    def read(self) -> None:
        """Take in what has come; does not block."""
        for _ in range(_READS_AT_ONCE):
            if self.closed.is_set():
                return
            try:
                data = self.sock.recv(_READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                return
            *lines, self._partial = (self._partial + data).split(b"\n")
            if len(self._partial) > _LONGEST_LINE:
                self.close()
            if lines:
                self._on_lines(lines)

    def close(self) -> None:
        """Close it; again is no error."""
        if not self.closed.is_set():
            self.closed.set()
            self._loop.remove_reader(self.sock)
            self._loop.remove_writer(self.sock)
            self.sock.close()

    def _on_writable(self) -> None:
        self._write()
        if not self._waiting and not self.closed.is_set():
            self._loop.remove_writer(self.sock)
            self._on_drained()

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self.sock.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            self.close()
