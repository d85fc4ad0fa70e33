"""BFD's UDP sockets (RFC 5881 for one hop, RFC 5883 for several), non-blocking, for a loop that polls them.

They are made in the network namespace of the calling thread. One `Receiver` per address family and hop
kind serves all sessions, and a `Demultiplexer` finds theirs; each session has a `Sender` with a source port
of its own.

Another process that goes on opens receivers of its own, as the one before it has ended; what came between
is lost. They share their port with nobody, or another BFD daemon could take our packets away unnoticed. A
sender's port is kept by giving it to the next sender; both may be open at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple, Self, TypeVar

from bgpsvc.guard.bfd_filter import INSTRUCTION_BYTES, program
from bgpsvc.guard.bfd_wire import your_discriminator
from bgpsvc.guard.descriptors import leave_reserve
from bgpsvc.guard.model import BfdSettings

SINGLE_HOP_PORT = 3784
MULTIHOP_PORT = 4784
FIRST_SOURCE_PORT = 49152
LAST_SOURCE_PORT = 65535

_TTL = 255
_CS6 = 0xC0
_PRIORITY = 6
_IP_RECVTTL, _IP_PKTINFO = 12, 8
_IPV6_RECVPKTINFO, _IPV6_RECVHOPLIMIT = 49, 51
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_SO_RCVBUFFORCE = 33
_LONGEST = 512
_ANCILLARY = 256
_BUFFER = 1 << 20
_MOST = 4096
"""Packets read at once: more than the buffer holds. So all that waited when reading began are read."""

_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_INT = struct.Struct("=i")
_TEMPORARY = {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}

T = TypeVar("T")


class Datagram(NamedTuple):
    """A packet as it came. `interface` is an index, `local` a packed address, `ttl_ok` for `BfdSession`."""

    data: bytes
    ttl_ok: bool
    local: bytes
    peer: str
    interface: int


class NotOpened(Exception):
    """A socket could not be opened: why, in words. To be tried again when something has changed."""


class Receiver:
    """The socket on which all packets of one family and hop kind arrive."""

    def __init__(self, sock: socket.socket, multihop: bool) -> None:
        self._sock = sock
        self.multihop = multihop
        self.family = sock.family

    @classmethod
    def open(cls, family: socket.AddressFamily, multihop: bool) -> Self:
        """Open it. NotOpened if it can't be."""
        port = MULTIHOP_PORT if multihop else SINGLE_HOP_PORT
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise NotOpened(f"no {_name(family)} socket: {error.strerror}") from error
        try:
            _want_ancillary(sock)
            _enlarge(sock)
            sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        except OSError as error:
            sock.close()
            raise NotOpened(f"{_name(family)} UDP port {port}: {_reason(error)}") from error
        return cls(sock, multihop)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def only_from(self, peers: Collection[str]) -> None:
        """Have the kernel drop what comes from other addresses; nothing if they are too many to be told."""
        code = program(self.family == socket.AF_INET6, peers)
        if code is None:
            with contextlib.suppress(FileNotFoundError):  # there was none
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        buffer = ctypes.create_string_buffer(code, len(code))
        count = len(code) // INSTRUCTION_BYTES
        self._sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(buffer))
        )

    def read(self) -> list[Datagram]:
        """All packets that wait."""
        decode = _decoded6 if self.family == socket.AF_INET6 else _decoded4
        single_hop = not self.multihop
        receive = self._sock.recvmsg
        found: list[Datagram] = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST):
                data, ancillary, _flags, source = receive(_LONGEST, _ANCILLARY)
                ttl, local, interface = decode(ancillary)
                # RFC 5881 5: whoever is not on the link cannot send a TTL of 255.
                ok = ttl == _TTL or not single_hop
                found.append(Datagram(data, ok, local, source[0], interface))
        return found


def _want_ancillary(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def _decoded4(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, bytes, int]:
    """TTL, destination address and interface index of a packet."""
    ttl, local, interface = 0, b"", 0
    for _level, kind, value in ancillary:
        if kind == socket.IP_TTL:
            ttl = value[0] if len(value) == 1 else _INT.unpack_from(value)[0]
        elif kind == _IP_PKTINFO:
            interface, _source, local = _PKTINFO4.unpack_from(value)
    return ttl, local, interface


def _decoded6(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, bytes, int]:
    ttl, local, interface = 0, b"", 0
    for _level, kind, value in ancillary:
        if kind == socket.IPV6_HOPLIMIT:
            ttl = _INT.unpack_from(value)[0]
        elif kind == socket.IPV6_PKTINFO:
            local, interface = _PKTINFO6.unpack_from(value)
    return ttl, local, interface


def _name(family: socket.AddressFamily) -> str:
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it (another BFD daemon?)"
    return error.strerror or str(error)


class Demultiplexer(Generic[T]):
    """Finds what a packet is for: by Your Discriminator, else by addresses and, on the link, interface.

    RFC 5880 6.3 and 6.8.6, RFC 5881 3, RFC 5883 4. Sessions over one hop and over several are apart: a packet
    over several hops must not come around the check of its TTL.
    """

    def __init__(self, name_of: Callable[[int], str] = socket.if_indextoname) -> None:
        self._name_of = name_of
        self._by_discriminator: dict[tuple[bool, int], T] = {}
        self._by_path: dict[tuple[bool, bytes, bytes, str | None], T] = {}
        self._paths: dict[int, tuple[bool, bytes, bytes, str | None]] = {}

    def unused(self) -> int:
        """A discriminator that no session here has (RFC 5880 6.8.1).

        Not guessable: who can't see our packets shall not be able to make one that we take.
        """
        while True:
            number = int.from_bytes(os.urandom(4), "big")
            if number and number not in self._paths:
                return number

    def add(self, discriminator: int, settings: BfdSettings, interface: str, item: T) -> None:
        """Take in a session. Discriminators are unique; the later of two on one path gets its packets."""
        path = (
            settings.multihop,
            ipaddress.ip_address(settings.local).packed,
            ipaddress.ip_address(settings.peer).packed,
            None if settings.multihop else interface,
        )
        self._by_discriminator[settings.multihop, discriminator] = item
        self._by_path[path] = item
        self._paths[discriminator] = path

    def remove(self, discriminator: int) -> None:
        """Forget a session; no error if there is none."""
        path = self._paths.pop(discriminator, None)
        if path is not None:
            item = self._by_discriminator.pop((path[0], discriminator))
            if self._by_path.get(path) is item:
                del self._by_path[path]

    def find(self, datagram: Datagram, multihop: bool) -> T | None:
        """What a packet of a receiver of this hop kind is for; None if for nothing: it is to be dropped."""
        discriminator = your_discriminator(datagram.data)
        if discriminator:
            return self._by_discriminator.get((multihop, discriminator))
        name: str | None = None
        if not multihop:
            try:
                name = self._name_of(datagram.interface)
            except OSError:  # the interface went after the packet came
                return None
        peer = ipaddress.ip_address(datagram.peer).packed
        return self._by_path.get((multihop, datagram.local, peer, name))


class Sender:
    """The socket of one session to its peer. It opens by itself with the first packet that can be sent.

    `port` is the source port: give it to the sender of the process that goes on with the session.
    """

    def __init__(self, settings: BfdSettings, interface: str, port: int | None = None) -> None:
        self.port = port
        self._settings = settings
        self._interface = interface
        self._sock: socket.socket | None = None
        self._to = (settings.peer, MULTIHOP_PORT if settings.multihop else SINGLE_HOP_PORT)

    def send(self, packet: bytes) -> str | None:
        """Send a packet. If that is impossible, why; the next packet is tried with a new socket then."""
        try:
            if self._sock is None:
                self._sock = self._opened()
            self._sock.sendto(packet, self._to)
        except OSError as error:
            if error.errno not in _TEMPORARY:
                # Its interface or address went, and may come back as another one of the same name.
                self.close()
            return f"BFD to {self._settings.peer} over {self._interface}: {_reason(error)}"
        return None

    def close(self) -> None:
        """Close the socket; again is no error."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _opened(self) -> socket.socket:
        """A bound socket, on the port of before if nobody else has taken it. OSError."""
        if self.port is not None:
            try:
                return self._bound(self.port, shared=True)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        span = LAST_SOURCE_PORT + 1 - FIRST_SOURCE_PORT
        start = int.from_bytes(os.urandom(2), "big")
        for offset in range(span):
            port = FIRST_SOURCE_PORT + (start + offset) % span
            try:
                sock = self._bound(port, shared=False)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                self.port = port
                return sock
        raise OSError(errno.EADDRINUSE, "no source port is free")

    def _bound(self, port: int, shared: bool) -> socket.socket:
        six = ":" in self._settings.local
        family = socket.AF_INET6 if six else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            leave_reserve(sock)
            if six:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CS6)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CS6)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _PRIORITY)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # nobody reads it
            if not self._settings.multihop:
                name = self._interface.encode() + b"\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._settings.local, port))
            # Only now: a port that anybody else has is refused, and a successor may have ours.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            sock.close()
            raise
        return sock
