"""A BGP speaker for tests and benchmarks: one session, one thread, no routing.

It brings the session up, keeps it up, records what arrives, and sends whatever bytes a test hands
it, as fast as the socket takes them; also bytes that no honest speaker would send. Its messages
come from `bgp_wire`.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from tests.fakes import bgp_wire as wire

TCP_MD5SIG = 14
IP_FREEBIND = 15
CLONE_NEWNET = 0x40000000
PATIENCE = 90.0
"""Seconds until a test gives up: the machine may be busy with others, and a test that holds never waits so
long."""


@dataclass
class PeerConfig:
    """How the peer presents itself. `netns` is a path such as /run/netns/x, None stays where we are."""

    local: str
    remote: str
    asn: int
    router_id: str
    hold_time: int = 90
    families: Sequence[str] = ("ipv4",)
    graceful_restart: int | None = None
    refresh: bool = True
    enhanced_refresh: bool = True
    asn4: bool = True
    password: str | None = None
    ttl: int | None = None
    listen: bool = True
    port: int = 179
    netns: str | None = None
    keepalives: bool = True
    announce: bytes | None = None
    """Bytes sent whenever the session comes up."""
    answer_refresh: bytes | None = None
    """Bytes sent when a ROUTE-REFRESH arrives (UPDATEs); framed by BoRR/EoRR if `enhanced_refresh`."""


@dataclass
class Log:
    """What the peer has seen so far, in order."""

    messages: list[wire.Received] = field(default_factory=list)
    routes: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """Prefixes announced and not withdrawn since the session came up, with their attributes."""
    established: int = 0
    lost: int = 0
    opens: list[bytes] = field(default_factory=list)

    def of(self, kind: int) -> list[wire.Received]:
        return [message for message in list(self.messages) if message.kind == kind]


class BgpPeer:
    """Use as a context manager: it connects or listens from entry to exit, again after each loss."""

    def __init__(self, config: PeerConfig) -> None:
        self.config = config
        self.log = Log()
        self._outbox: list[bytes] = []
        self._lock = threading.Condition()
        self._stop = threading.Event()
        self._reset = threading.Event()
        self._pause = threading.Event()
        self._wake_r, self._wake_w = os.pipe()
        self._up = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._guard, daemon=True, name=f"bgp-peer-{config.local}")

    def __enter__(self) -> BgpPeer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake()
        self._thread.join(10)
        os.close(self._wake_r)
        os.close(self._wake_w)
        if self._error is not None and kind is None:
            raise self._error

    # What tests call -----------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        """Until the condition holds; AssertionError with `what` when the time is over."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while not condition():
                if self._error is not None:
                    raise AssertionError(f"the peer failed: {self._error!r}") from self._error
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{self.config.local}: not within {timeout} s: {what}")
                self._lock.wait(min(left, 0.05))

    def wait_established(self, times: int = 1, timeout: float = PATIENCE) -> None:
        self.wait(lambda: self._up and self.log.established >= times, f"Established {times} times", timeout)

    def send(self, data: bytes) -> None:
        """Queue bytes; they go out in order once the session is Established."""
        with self._lock:
            self._outbox.append(data)
        self._wake()

    def drop(self) -> None:
        """Lose the TCP connection without a NOTIFICATION; a new session follows."""
        self._reset.set()
        self._wake()

    def pause(self, silent: bool) -> None:
        """While silent nothing is sent or read and no connection is made: a dead peer."""
        (self._pause.set if silent else self._pause.clear)()
        self._wake()

    @property
    def established(self) -> bool:
        return self._up

    # The thread ---------------------------------------------------------------------------

    def _wake(self) -> None:
        os.write(self._wake_w, b"x")

    def _guard(self) -> None:
        try:
            if self.config.netns is not None:
                _enter(self.config.netns)
            self._run()
        except BaseException as error:
            self._error = error
            raise

    def _run(self) -> None:
        listener = self._listen() if self.config.listen else None
        while not self._stop.is_set():
            sock = self._accept(listener) if listener else self._connect()
            if sock is None:
                continue
            try:
                self._session(sock)
            except OSError:
                pass  # the session is lost, which `lost` counts; the loop makes the next one
            finally:
                sock.close()
                with self._lock:
                    if self._up:
                        self.log.lost += 1
                    self._up = False
                    self._lock.notify_all()
                self._reset.clear()
        if listener:
            listener.close()

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if self.config.ttl is not None:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self.config.ttl)
        if self.config.password is not None:
            key = self.config.password.encode()
            address = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(self.config.remote))
            sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, address + struct.pack("=2xH4x80s", len(key), key))
        return sock

    def _listen(self) -> socket.socket:
        sock = self._socket()
        sock.bind((self.config.local, self.config.port))
        sock.listen(8)
        return sock

    def _accept(self, listener: socket.socket) -> socket.socket | None:
        ready, _, _ = select.select([listener, self._wake_r], [], [], 0.5)
        self._drain()
        if listener not in ready or self._pause.is_set():
            return None
        sock, address = listener.accept()
        if address[0] == self.config.remote:
            return sock
        sock.close()
        return None

    def _connect(self) -> socket.socket | None:
        if self._pause.is_set():
            select.select([self._wake_r], [], [], 0.5)
            self._drain()
            return None
        sock = self._socket()
        sock.bind((self.config.local, 0))
        sock.settimeout(1)
        try:
            sock.connect((self.config.remote, self.config.port))
        except OSError:
            sock.close()
            select.select([self._wake_r], [], [], 0.1)
            self._drain()
            return None
        return sock

    def _drain(self) -> None:
        if select.select([self._wake_r], [], [], 0)[0]:
            os.read(self._wake_r, 4096)

    def _session(self, sock: socket.socket) -> None:
        config = self.config
        sock.settimeout(10)
        sock.sendall(
            wire.open_message(
                config.asn,
                config.hold_time,
                config.router_id,
                config.families,
                config.graceful_restart,
                config.refresh,
                config.enhanced_refresh,
                config.asn4,
            )
        )
        sock.setblocking(False)
        inbox, pending, next_keepalive = b"", b"", time.monotonic()
        while not (self._stop.is_set() or self._reset.is_set()):
            if self._pause.is_set():
                select.select([self._wake_r], [], [], 0.5)
                self._drain()
                continue
            now = time.monotonic()
            if self._up and config.keepalives and now >= next_keepalive:
                pending += wire.message(wire.KEEPALIVE)
                next_keepalive = now + max(config.hold_time / 3, 0.3)
            with self._lock:
                if self._up and self._outbox:
                    pending += b"".join(self._outbox)
                    self._outbox.clear()
            ready, writable, _ = select.select([sock, self._wake_r], [sock] if pending else [], [], 0.3)
            if self._wake_r in ready:
                self._drain()
            if writable:
                try:
                    sent = sock.send(pending[:1048576])
                    pending = pending[sent:]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    pending = b""  # the other side is gone, and what it said last is still to be read
            if sock in ready:
                data = sock.recv(262144)
                # Acknowledged at once: what the other side says before a reset would otherwise wait there
                # (Nagle), and be thrown away.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if not data:
                    return
                inbox += data
                inbox, answer = self._read(inbox)
                pending += answer

    def _read(self, inbox: bytes) -> tuple[bytes, bytes]:
        """Handles whole messages; gives back what is left, and what has to be sent."""
        answer, at = b"", 0
        with self._lock:
            while len(inbox) - at >= 19:
                length, kind = struct.unpack_from("!HB", inbox, at + 16)
                if len(inbox) - at < length:
                    break
                received = wire.decode(kind, inbox[at + 19 : at + length])
                at += length
                answer += self._handle(received)
            self._lock.notify_all()
        return inbox[at:], answer

    def _handle(self, received: wire.Received) -> bytes:
        self.log.messages.append(received)
        if received.kind == wire.OPEN:
            self.log.opens.append(received.body)
            self.log.routes.clear()
            return wire.message(wire.KEEPALIVE)
        if received.kind == wire.KEEPALIVE and not self._up:
            self._up = True
            self.log.established += 1
            return self.config.announce or b""
        if received.kind == wire.UPDATE:
            for prefix in received.withdrawn:
                self.log.routes.pop(prefix, None)
            for prefix in received.announced:
                self.log.routes[prefix] = received.attributes
        if (
            received.refresh is not None
            and received.refresh[1] == 0
            and self.config.answer_refresh is not None
        ):
            family = received.refresh[0]
            if not self.config.enhanced_refresh:
                return self.config.answer_refresh
            begin, end = wire.route_refresh(family, 1), wire.route_refresh(family, 2)
            return begin + self.config.answer_refresh + end
        return b""


def _enter(path: str) -> None:
    """Move this thread into a network namespace."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)
