"""A BGP speaker that only sends: one session, UPDATEs encoded beforehand, written as fast as TCP takes them.

It listens, whoever is measured connects. The session is IPv4's in every case; with a table of IPv6 networks
it carries both families (RFC 4760).
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

from tests.bench.namespace import Namespace
from tests.fakes import bgp_wire as wire

HEADER = struct.Struct("!16sHB")
HOLD_TIME = 90


class Feeder:
    """Waits for one session on `address`:179 and sends the table (UPDATEs) when it is Established.

    With `hold` the table waits until `release` is set; a session that ends before that is followed by
    another. established_at: monotonic time at which the peer's KEEPALIVE confirmed our OPEN, None before.
    sent_at: when the last byte had been handed to TCP. failure: why the session ended, if it did.
    """

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        asn: int,
        table: bytes,
        hold: bool = False,
        again: bool = False,
    ) -> None:
        self.established_at: float | None = None
        self.sent_at: float | None = None
        self.failure: str | None = None
        self._again = again
        self.release = threading.Event()
        if not hold:
            self.release.set()
        self._table = table
        self._open = wire.open_message(asn, HOLD_TIME, address, ("ipv4", "ipv6"))
        self._stop = threading.Event()
        self._farewell = b""
        self._listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, 179))
        self._listener.listen(4)
        self._listener.settimeout(0.2)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end_session(self) -> None:
        """Ends the session with a NOTIFICATION (Cease, Administrative Shutdown: RFC 4486)."""
        self._farewell = wire.notification(6, 2)
        self._stop.set()

    def close(self) -> None:
        """Ends the session and waits for the thread."""
        self._stop.set()
        self.release.set()
        self._thread.join(timeout=30)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set() and self.failure is None:
            try:
                connection, _peer = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                try:
                    self._session(connection)
                except OSError as error:
                    self._ended(error)

    def _ended(self, error: Exception) -> None:
        sending = self.established_at is not None and self.release.is_set() and not self._stop.is_set()
        if sending and not self._again:
            self.failure = f"the session ended: {error}"
        else:
            # Before that the peer may give up a connection and try again: nothing of the table was lost.
            self.established_at = self.sent_at = None

    def _session(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        connection.sendall(self._open)
        received = _messages(connection)
        for kind, _body in received:
            if kind == wire.OPEN:
                connection.sendall(wire.message(wire.KEEPALIVE))
            elif kind == wire.KEEPALIVE:
                break
        self.established_at = time.monotonic()
        reader = threading.Thread(target=self._drain, args=(received,), daemon=True)
        reader.start()
        connection.settimeout(600)
        self._idle(connection, reader, self.release)
        if self.release.is_set() and not self._stop.is_set():
            connection.sendall(self._table)
            self.sent_at = time.monotonic()
            self._idle(connection, reader, self._stop)
        if self._stop.is_set():
            connection.sendall(self._farewell)
            connection.shutdown(socket.SHUT_RDWR)
        reader.join(timeout=10)

    def _idle(self, connection: socket.socket, reader: threading.Thread, until: threading.Event) -> None:
        """Keeps the session up until the event, or until the peer has ended it."""
        due = time.monotonic() + HOLD_TIME / 9
        while reader.is_alive() and not until.wait(0.5):
            if time.monotonic() >= due:
                connection.sendall(wire.message(wire.KEEPALIVE))
                due += HOLD_TIME / 9

    def _drain(self, received: Iterator[tuple[int, bytes]]) -> None:
        try:
            for _message in received:
                continue
        except OSError as error:
            self._ended(error)


def _messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Messages as they arrive; ConnectionError at the end of the stream or at a NOTIFICATION."""
    buffer = b""
    while True:
        while len(buffer) >= HEADER.size:
            _marker, length, kind = HEADER.unpack_from(buffer)
            if len(buffer) < length:
                break
            body, buffer = buffer[HEADER.size : length], buffer[length:]
            if kind == wire.NOTIFICATION:
                raise ConnectionError(f"NOTIFICATION {body[0]}/{body[1]} received")
            yield kind, body
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("closed by the peer")
        buffer += data
