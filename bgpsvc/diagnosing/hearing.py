"""Hears the connection attempts of BGP peers: whether they are signed (RFC 2385), and when the last one came.

A kernel drops segments whose MD5 signature does not fit without a word, and counts those of all sessions
together. A raw socket gets them before that. A filter in the kernel lets nothing but SYNs to port 179 from
tunnel networks (169.254.0.0/16) through to it, so that nobody else can make the daemon busy.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import struct
import time

_SO_ATTACH_FILTER = 26
_MOST = 4096
"""Peers that are remembered; those that were heard first are forgotten."""
_PER_TURN = 100
# Classic BPF: code, jump if true, jump if false, operand. Offsets count from the IPv4 header.
_PROGRAM = (
    (0x20, 0, 0, 12),  # the source address
    (0x54, 0, 0, 0xFFFF0000),
    (0x15, 0, 6, 0xA9FE0000),  # 169.254.0.0/16, else nothing
    (0xB1, 0, 0, 0),  # X: length of the IPv4 header
    (0x48, 0, 0, 2),  # the destination port
    (0x15, 0, 3, 179),
    (0x50, 0, 0, 13),  # the flags
    (0x54, 0, 0, 0x12),
    (0x15, 1, 0, 0x02),  # SYN without ACK
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFF),
)

log = logging.getLogger(__name__)


class Hearing:
    """Hears from `start` to `stop`. Construct it in the daemon's namespace."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, bytes]] = {}
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin, in the running loop. Without CAP_NET_RAW nothing is heard, which the log says."""
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        except PermissionError:
            log.warning("CAP_NET_RAW is missing: diagnoses cannot tell wrong TCP MD5 passwords from a filter")
            return
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _PROGRAM)
        buffer = ctypes.create_string_buffer(code, len(code))
        sock.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(_PROGRAM), ctypes.addressof(buffer)),
        )
        sock.setblocking(False)
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._read)

    def stop(self) -> None:
        """End."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def last(self, peer: str) -> tuple[float, bytes] | None:
        """The last SYN from an address: Unix seconds, the IPv4 packet."""
        return self._last.get(peer)

    def _read(self) -> None:
        assert self._socket is not None
        for _ in range(_PER_TURN):
            try:
                packet = self._socket.recv(256)
            except BlockingIOError:
                return
            source = socket.inet_ntoa(packet[12:16])
            self._last.pop(source, None)
            self._last[source] = time.time(), packet
            if len(self._last) > _MOST:
                del self._last[next(iter(self._last))]
