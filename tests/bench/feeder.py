"""A BGP speaker that only sends: one session, UPDATEs encoded beforehand, written as fast as TCP takes them.

It listens, whoever is measured connects. Each UPDATE carries about 270 prefixes and an AS path of its own,
as a table of many networks behind one peer does, so that no receiver can take the whole table for one
attribute set.
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
PREFIXES_PER_UPDATE = 270
HOLD_TIME = 90
FIRST_NETWORK = 20 << 24  # 20.0.0.0: a million /24 fit before 36.0.0.0, none of them special.


def networks(count: int) -> list[bytes]:
    """The first `count` /24 networks that are announced, packed."""
    return [struct.pack("!I", FIRST_NETWORK + (index << 8)) for index in range(count)]


def updates(count: int, asn: int, next_hop: str) -> bytes:
    """All UPDATEs for `count` networks and the End-of-RIB (RFC 4724 2), ready to be written."""
    wanted = networks(count)
    parts: list[bytes] = []
    for number, start in enumerate(range(0, count, PREFIXES_PER_UPDATE)):
        attributes = wire.attributes(as_path=(asn, 4_200_000_000 + number), next_hop=next_hop)
        reachable = b"".join(b"\x18" + network[:3] for network in wanted[start : start + PREFIXES_PER_UPDATE])
        body = struct.pack("!HH", 0, len(attributes)) + attributes + reachable
        parts.append(wire.message(wire.UPDATE, body))
    return b"".join([*parts, wire.end_of_rib()])


class Feeder:
    """Waits for one session on `address`:179 and sends the table when it is Established.

    established_at: monotonic time at which the peer's KEEPALIVE confirmed our OPEN, None before.
    sent_at: when the last byte had been handed to TCP. failure: why the session ended, if it did.
    """

    def __init__(self, namespace: Namespace, address: str, asn: int, count: int) -> None:
        self.established_at: float | None = None
        self.sent_at: float | None = None
        self.failure: str | None = None
        self._table = updates(count, asn, address)
        self._open = wire.open_message(asn, HOLD_TIME, address)
        self._stop = threading.Event()
        self._listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, 179))
        self._listener.listen(4)
        self._listener.settimeout(0.2)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the session and waits for the thread."""
        self._stop.set()
        self._thread.join(timeout=30)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set() and self.established_at is None:
            try:
                connection, _peer = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                try:
                    self._session(connection)
                except (ConnectionError, TimeoutError) as error:
                    # Before Established the peer may give up a connection and try again.
                    self._ended(error)

    def _ended(self, error: Exception) -> None:
        if self.established_at is not None and not self._stop.is_set():
            self.failure = f"the session ended: {error}"

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
        connection.sendall(self._table)
        self.sent_at = time.monotonic()
        while not self._stop.wait(HOLD_TIME / 9):
            connection.sendall(wire.message(wire.KEEPALIVE))
        connection.shutdown(socket.SHUT_RDWR)
        reader.join(timeout=10)

    def _drain(self, received: Iterator[tuple[int, bytes]]) -> None:
        try:
            for _message in received:
                continue
        except (ConnectionError, TimeoutError) as error:
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
