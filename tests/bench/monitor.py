"""Sees from outside which IPv4 routes a namespace's kernel has, by its notifications (RTNLGRP_IPV4_ROUTE).

Reading 100,000 notifications must leave the measured daemon the processor, so they are taken out of the
socket many at a time (recvmmsg), only their first 48 bytes, and no more often than every millisecond: that
is also the resolution of the result. The receive buffer holds a million of them; if it overflows all the
same, the kernel says so (ENOBUFS) and the measurement is void.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time

from tests.bench.namespace import Namespace

RTMGRP_IPV4_ROUTE = 0x40
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = (1 << 30) - 1
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLMSG_DONE = 3
NLM_F_REQUEST_DUMP = 0x301
RTA_DST = 1
STRIDE = 48
BATCH = 2048
PAUSE = 0.001
# The kernel writes RTA_TABLE and then RTA_DST first (net/ipv4/fib_semantics.c, fib_dump_info), so the
# destination is always at the same place: type, destination length, attribute length and type, address.
ROUTE = struct.Struct("=4xH11xB18xHH4s4x")


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


_libc = ctypes.CDLL(None, use_errno=True)


class RouteMonitor:
    """Follows the set of /24 networks that have a route, from the moment it is made."""

    def __init__(self, namespace: Namespace) -> None:
        self.present: set[bytes] = set()
        self.notifications = 0
        self._namespace = namespace
        self._socket = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.bind((0, RTMGRP_IPV4_ROUTE))
        self._buffer = ctypes.create_string_buffer(BATCH * STRIDE)
        self._view = memoryview(self._buffer)
        self._vectors = (_IoVec * BATCH)()
        self._messages = (_MMsgHdr * BATCH)()
        base = ctypes.addressof(self._buffer)
        for index in range(BATCH):
            self._vectors[index] = _IoVec(base + index * STRIDE, STRIDE)
            self._messages[index].header.iov = ctypes.pointer(self._vectors[index])
            self._messages[index].header.iovlen = 1

    def wait(self, wanted: set[bytes], seconds: float) -> float:
        """Monotonic time at which the notification of the last wanted network was read.

        TimeoutError, saying how many were seen, if they are not all there within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            got = self._read()
            now = time.monotonic()
            if len(self.present) >= len(wanted) and self.present >= wanted:
                return now
            if now > deadline:
                seen = len(self.present & wanted)
                raise TimeoutError(f"{seen} of {len(wanted)} prefixes in the kernel after {seconds:g} s")
            if got < BATCH:
                time.sleep(PAUSE)

    def _read(self) -> int:
        """Takes one batch out of the socket; returns how many notifications that were."""
        fd = self._socket.fileno()
        got: int = _libc.recvmmsg(fd, ctypes.byref(self._messages), BATCH, socket.MSG_DONTWAIT, None)
        if got < 0:
            error = ctypes.get_errno()
            if error == errno.EAGAIN:
                return 0
            raise OSError(error, f"route notifications: {os.strerror(error)}; the measurement is void")
        for kind, bits, length, attribute, address in ROUTE.iter_unpack(self._view[: got * STRIDE]):
            if bits != 24 or length != 8 or attribute != RTA_DST:
                continue
            if kind == RTM_NEWROUTE:
                self.present.add(address)
            elif kind == RTM_DELROUTE:
                self.present.discard(address)
        self.notifications += got
        return got

    def dump(self) -> set[bytes]:
        """The /24 networks in all tables by a dump: the cross-check of the notifications."""
        found: set[bytes] = set()
        request = struct.pack("=IHHII12x", 28, RTM_GETROUTE, NLM_F_REQUEST_DUMP, 1, 0)
        request = request[:16] + bytes((socket.AF_INET,)) + request[17:]
        with self._namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as dumper:
            dumper.settimeout(30)
            dumper.send(request)
            while True:
                data = dumper.recv(1 << 20)
                offset = 0
                while offset < len(data):
                    length, kind = struct.unpack_from("=IH", data, offset)
                    if kind == NLMSG_DONE:
                        return found
                    _kind, bits, size, attribute, address = ROUTE.unpack_from(
                        data[offset : offset + STRIDE].ljust(48)
                    )
                    if bits == 24 and size == 8 and attribute == RTA_DST:
                        found.add(address)
                    offset += (length + 3) & ~3

    def close(self) -> None:
        """Closes the notification socket."""
        self._socket.close()
