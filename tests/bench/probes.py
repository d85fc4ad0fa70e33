"""Probes to many prefixes and what arrives of them at the far ends, with the kernel's own time stamps.

A sender writes one small UDP packet to every sampled address each interval, by one system call. Two
captures hold what came in over each tunnel, and the BGP packets that went out, until somebody reads them:
nothing of the measurement runs while it matters but the sender.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PROBE_PORT = 9
_PROBE_PORT = PROBE_PORT.to_bytes(2, "big")
BGP_PORT = 179
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
PACKET_OUTGOING = 4
RECEIVE_BUFFER = 512 << 20
SNAP = 128
TIMESPEC = struct.Struct("@qq")
TCP_FIN, TCP_RST = 1, 4
BGP_NOTIFICATION = 3

OpenSocket = Callable[[int, int, int], socket.socket]
"""Opens a socket (family, type, protocol) in some namespace."""

_libc = ctypes.CDLL(None, use_errno=True)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_IoVec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint32))


class Sender:
    """Sends to all addresses every `interval` seconds while used as a context manager."""

    def __init__(self, opener: OpenSocket, addresses: Sequence[str], interval: float = 0.001) -> None:
        self._socket = opener(socket.AF_INET, socket.SOCK_DGRAM, 0)
        self._socket.setblocking(False)
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        payload = ctypes.create_string_buffer(b"probe")
        self._vector = _IoVec(ctypes.addressof(payload), 5)
        self._names = ctypes.create_string_buffer(
            b"".join(
                struct.pack("=H", socket.AF_INET)
                + struct.pack("!H4s8x", PROBE_PORT, socket.inet_aton(address))
                for address in addresses
            )
        )
        self._payload = payload
        self._messages = (_MMsgHdr * len(addresses))()
        for index in range(len(addresses)):
            header = self._messages[index].header
            header.name = ctypes.addressof(self._names) + 16 * index
            header.namelen = 16
            header.iov = ctypes.pointer(self._vector)
            header.iovlen = 1

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            # A full queue or a missing route loses a probe; the next one is a millisecond away.
            _libc.sendmmsg(self._socket.fileno(), ctypes.byref(self._messages), len(self._messages), 0)
            due = max(due + self._interval, time.monotonic() - self._interval)
            time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one capture saw, times in seconds of the kernel's clock.

    `probes`: (time, address) of each probe that came in; `ended`: when a BGP session was ended by a
    packet that went out (NOTIFICATION, FIN or RST), None if none was.
    """

    probes: list[tuple[float, bytes]]
    ended: float | None


class Capture:
    """Packets of one interface, from the moment it is made."""

    def __init__(self, opener: OpenSocket, interface: str) -> None:
        self._socket = opener(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setblocking(False)

    def read(self) -> Seen:
        """Everything captured since the last call. OSError if packets did not fit into the buffer."""
        probes: list[tuple[float, bytes]] = []
        ended = None
        while True:
            try:
                data, control, _, address = self._socket.recvmsg(SNAP, 64)
            except BlockingIOError:
                break
            seconds, nanoseconds = TIMESPEC.unpack_from(control[0][2])
            at = seconds + nanoseconds / 1e9
            if address[2] == PACKET_OUTGOING:
                if ended is None and _ends_session(data):
                    ended = at
            elif data[0] >> 4 == 4 and data[9] == socket.IPPROTO_UDP and data[22:24] == _PROBE_PORT:
                probes.append((at, data[16:20]))
        dropped = struct.unpack("=II", self._socket.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS
        if dropped:
            raise OSError(f"{dropped} packets were not captured; the measurement is void")
        return Seen(probes, ended)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _ends_session(packet: bytes) -> bool:
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return False
    at = (packet[0] & 15) * 4
    ports = struct.unpack_from("!HH", packet, at)
    if BGP_PORT not in ports:
        return False
    body = packet[at + (packet[at + 12] >> 4) * 4 :]
    notification = len(body) >= 19 and body[18] == BGP_NOTIFICATION
    return notification or bool(packet[at + 13] & (TCP_FIN | TCP_RST))


def sample(prefixes: Sequence[str], count: int) -> list[str]:
    """One address in each of `count` prefixes, evenly spread; of all if there are fewer."""
    step = max(1, len(prefixes) // count)
    return [prefix.partition("/")[0].rsplit(".", 1)[0] + ".1" for prefix in prefixes[::step][:count]]


def moved(addresses: Sequence[str], first: Seen, second: Seen) -> list[float]:
    """Seconds from the session's end on the first tunnel to each address's first probe on the second.

    AssertionError if no end was seen, a probe came over the second tunnel before, or one never came.
    """
    assert first.ended is not None, "the end of the session was seen on the wire"
    arrival: dict[bytes, float] = {}
    for at, address in second.probes:
        arrival.setdefault(address, at)
    times = [arrival.get(socket.inet_aton(address)) for address in addresses]
    missing = sum(at is None for at in times)
    assert not missing, f"{missing} of {len(times)} sampled prefixes never moved"
    result = [at - first.ended for at in times if at is not None]
    assert min(result) > 0, "all traffic was on the first tunnel until the session ended"
    return result
