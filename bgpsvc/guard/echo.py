"""The socket of one probe or health check: ICMP echo requests over a tunnel's interface, and the replies.

It is bound to the source address and to the interface, so requests take the tunnel whatever the routes say,
and the path is seen to come back while no route leads there. After an error it is opened anew, as the
interface may have been made anew.
"""

from __future__ import annotations

import os
import socket
import struct

from bgpsvc.guard.descriptors import leave_reserve
from bgpsvc.health.icmp import ECHO_REPLY, Echo, reply, request

_SO_BINDTODEVICE = 25
_SOL_RAW, _ICMP_FILTER = 255, 1
_PAYLOAD_BYTES = 24
_PACKET_BYTES = 2048
_PACKETS_AT_ONCE = 50
"""What floods the socket does not hold the timers up for longer."""
_BUFFER = 1 << 16


class EchoSocket:
    """Opened by `open`; -1 is its descriptor until then, and after an error."""

    def __init__(self, interface: str, source: str, destination: str) -> None:
        self._interface, self._source, self._destination = interface, source, destination
        self._packed = socket.inet_pton(socket.AF_INET, destination)
        self._socket: socket.socket | None = None
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._payload = os.urandom(_PAYLOAD_BYTES)

    def fileno(self) -> int:
        """Its descriptor, -1 while it is closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def open(self) -> None:
        """Open it. OSError if that is impossible: the address or the interface is not there."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        try:
            leave_reserve(sock)
            # Of all ICMP it shall hear echo replies alone: a bit that is set keeps a type out.
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, self._interface.encode() + b"\0")
            sock.bind((self._source, 0))
        except BaseException:
            sock.close()
            raise
        self._socket = sock

    def send(self, sequence: int) -> None:
        """Send a request. OSError if that is impossible; it should be closed then."""
        assert self._socket is not None, "opened"
        packet = request(Echo(self._identifier, sequence, self._payload))
        self._socket.sendto(packet, (self._destination, 0))

    def read(self) -> list[int]:
        """Sequence numbers of replies to us that have come, a bounded number of them. OSError."""
        found: list[int] = []
        if self._socket is None:
            return found
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = self._socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                break
            sequence = self._ours(packet)
            if sequence is not None:
                found.append(sequence)
        return found

    def _ours(self, packet: bytes) -> int | None:
        answer = reply(packet)
        if answer is None or answer[0] != self._packed:
            return None
        echo = answer[1]
        ours = (echo.identifier, echo.payload) == (self._identifier, self._payload)
        return echo.sequence if ours else None

    def failure(self, error: OSError) -> str:
        """An error in words."""
        way = f"{self._source} over {self._interface} to {self._destination}"
        return f"cannot send from {way}: {error.strerror or error}"

    def close(self) -> None:
        """Close it; again is no error."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
