"""Sees from outside which networks a namespace's kernel has, by its notifications of routes.

Watching must leave the measured daemon the processor: 1,000,000 notifications that somebody reads, or that
wait to be read, cost more than the kernel needs for the routes (6.7 s instead of 2.8 s). So a BPF filter on
the socket lets through only every 64th network in the order announced, and the last one; all of them up to
10,000. What is dropped costs an evaluation of ten instructions. The socket is emptied many messages at a time
(recvmmsg), and no more often than every millisecond.

Resolution: a millisecond, and, for daemons that install networks in another order than announced, up to 64 of
them may still be missing (0.06 % of 100,000). Therefore a dump at the end must show all of them. If the
buffer overflows, the kernel says so (ENOBUFS) and the measurement is void.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable

from tests.bench.namespace import Namespace
from tests.bench.networks import Family, sample_step

RTNLGRP = {socket.AF_INET: 7, socket.AF_INET6: 11}
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 256 << 20
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLMSG_DONE = 3
NLM_F_REQUEST_DUMP = 0x301
RTA_DST = 1
STRIDE = 56
BATCH = 2048
PAUSE = 0.001
ADDRESS = 40
"""The kernel writes RTA_TABLE and then RTA_DST first (fib_dump_info, rt6_fill_node): always at this place."""
HEAD = struct.Struct("=4xH10xBB18xHH")
"""Message type; address family and destination length; the length and type of the second attribute."""
_LD_W, _LD_H, _LD_B, _AND, _RSH, _JEQ, _RET = 0x20, 0x28, 0x30, 0x54, 0x74, 0x15, 0x06


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


def sample_filter(family: Family, count: int) -> list[tuple[int, int, int, int]]:
    """A classic BPF program: routes of a family's networks, of the sample of `count` that is looked at.

    Instructions as (code, jump if true, jump if false, operand). Loads are big-endian, and netlink is in
    host order, so the message type is swapped where that differs.
    """

    def kind(value: int) -> int:
        return int.from_bytes(value.to_bytes(2, sys.byteorder), "big")

    return [
        (_LD_H, 0, 0, 4),
        (_JEQ, 1, 0, kind(RTM_NEWROUTE)),
        (_JEQ, 0, 9, kind(RTM_DELROUTE)),
        (_LD_B, 0, 0, 16),
        (_JEQ, 0, 7, family.number),
        (_LD_B, 0, 0, 17),
        (_JEQ, 0, 5, family.length),
        (_LD_W, 0, 0, ADDRESS + family.offset),
        (_JEQ, 4, 0, family.word(count - 1)),
        (_RSH, 0, 0, family.shift),
        (_AND, 0, 0, sample_step(count) - 1),
        (_JEQ, 1, 0, 0),
        (_RET, 0, 0, 0),
        (_RET, 0, 0, 0xFFFFFFFF),
    ]


def attach(to: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Has the kernel run a BPF program on what arrives at a socket."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    to.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer))
    )


class RouteMonitor:
    """Follows which of the first `count` networks of a family have a route, from the moment it is made."""

    def __init__(self, namespace: Namespace, family: Family, count: int) -> None:
        self.present: set[int] = set()
        self.wanted = {*range(0, count, sample_step(count)), count - 1}
        self.notifications = 0
        self._family, self._count = family, count
        self._namespace = namespace
        self._socket = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        attach(self._socket, sample_filter(family, count))
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP[family.number])
        self._buffer = ctypes.create_string_buffer(BATCH * STRIDE)
        self._view = memoryview(self._buffer)
        self._vectors = (_IoVec * BATCH)()
        self._messages = (_MMsgHdr * BATCH)()
        base = ctypes.addressof(self._buffer)
        for index in range(BATCH):
            self._vectors[index] = _IoVec(base + index * STRIDE, STRIDE)
            self._messages[index].header.iov = ctypes.pointer(self._vectors[index])
            self._messages[index].header.iovlen = 1

    def wait(self, seconds: float, check: Callable[[], None] | None = None) -> float:
        """Monotonic time at which the notification of the last network of the sample was read.

        TimeoutError, saying how many were seen, if they are not all there within `seconds`. `check` is called
        now and then meanwhile, and raises if there is no point in waiting.
        """
        checked = time.monotonic()
        deadline = time.monotonic() + seconds
        while True:
            got = self.read()
            now = time.monotonic()
            if self.complete:
                return now
            if now > deadline:
                seen = len(self.present & self.wanted)
                raise TimeoutError(
                    f"{seen} of the {len(self.wanted)} networks looked at in the kernel after {seconds:g} s"
                )
            if check is not None and now - checked > 1:
                check()
                checked = now
            if got < BATCH:
                time.sleep(PAUSE)

    @property
    def complete(self) -> bool:
        """Whether all of the sample are there, as far as was read."""
        return len(self.present) >= len(self.wanted) and self.present >= self.wanted

    def read(self) -> int:
        """Takes one batch out of the socket; returns how many notifications that were."""
        fd = self._socket.fileno()
        got: int = _libc.recvmmsg(fd, ctypes.byref(self._messages), BATCH, socket.MSG_DONTWAIT, None)
        if got < 0:
            error = ctypes.get_errno()
            if error == errno.EAGAIN:
                return 0
            raise OSError(error, f"route notifications: {os.strerror(error)}; the measurement is void")
        for start in range(0, got * STRIDE, STRIDE):
            kind, index = self._read_one(self._view, start)
            if index is None:
                continue
            if kind == RTM_NEWROUTE:
                self.present.add(index)
            else:
                self.present.discard(index)
        self.notifications += got
        return got

    def _read_one(self, data: memoryview | bytes, start: int) -> tuple[int, int | None]:
        """The message's type, and the number of the network; None if it is none of them."""
        kind, family, length, size, attribute = HEAD.unpack_from(data, start)
        ours = self._family
        if (family, length, size, attribute) != (ours.number, ours.length, ours.size + 4, RTA_DST):
            return kind, None
        index = ours.index(bytes(data[start + ADDRESS : start + ADDRESS + ours.size]))
        return kind, index if 0 <= index < self._count else None

    def missing(self) -> int:
        """How many of all `count` networks have no route in any table, by a dump: the cross-check."""
        found = bytearray(self._count)
        request = struct.pack("=IHHII12x", 28, RTM_GETROUTE, NLM_F_REQUEST_DUMP, 1, 0)
        request = request[:16] + bytes((self._family.number,)) + request[17:]
        with self._namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as dumper:
            dumper.settimeout(30)
            dumper.send(request)
            while True:
                data = dumper.recv(1 << 20)
                offset = 0
                while offset < len(data):
                    length, kind = struct.unpack_from("=IH", data, offset)
                    if kind == NLMSG_DONE:
                        return self._count - sum(found)
                    if length >= STRIDE - 12 and (index := self._read_one(data, offset)[1]) is not None:
                        found[index] = 1
                    offset += (length + 3) & ~3

    def close(self) -> None:
        """Closes the notification socket."""
        self._socket.close()
