"""Our BFD over its real sockets in a namespace, in a small loop like the guard's; and other BFD daemons."""

from __future__ import annotations

import json
import random
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from bgpsvc.guard.bfd import BfdSession, Change
from bgpsvc.guard.bfd_sockets import Demultiplexer, Receiver, Sender
from bgpsvc.guard.model import BfdSettings, BfdStatus
from bgpsvc.model import SessionId
from tests.interop.daemons import BIRD, VTYSH, Bird, daemon_home, daemon_process
from tests.netns.namespaces import Namespace, wait_until

BFDD = "/usr/lib/frr/bfdd"
TUNNEL = SessionId("c1-tunnel1")


class Node:
    """One session in a thread of its own. `pause` ends it as a crash would, `go_on` is another process."""

    def __init__(self, namespace: Namespace, settings: BfdSettings, interface: str = "t1") -> None:
        self.changes: list[tuple[float, Change]] = []
        self.complaints: list[str] = []
        self._namespace = namespace
        self._settings = settings
        self._interface = interface
        self._session: BfdSession | None = None
        self._port: int | None = None
        self._kept = ""
        self._todo: list[Callable[[BfdSession, float], bytes | None]] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        six = ":" in settings.local
        family = socket.AF_INET6 if six else socket.AF_INET
        with namespace.entered():
            # As with the guard's processes, the receiver outlives the one that reads it.
            self._receiver = Receiver.open(family, settings.multihop)

    def __enter__(self) -> Self:
        self._start(lambda now: BfdSession(self._settings, random.getrandbits(32), now, random.random))
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        self._receiver.close()

    def pause(self) -> None:
        """Stop at once, telling nobody."""
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self._thread = None

    def go_on(self) -> None:
        """Go on from what was kept."""
        kept = json.loads(self._kept)
        self._start(lambda now: BfdSession.restore(self._settings, kept, now, random.random))

    def adjust(self, settings: BfdSettings) -> None:
        """Other settings for the session."""
        self._settings = settings
        with self._lock:
            self._todo.append(lambda session, now: session.adjust(settings, now))

    def shut(self) -> None:
        """Say AdminDown."""
        with self._lock:
            self._todo.append(lambda session, now: session.shut(now))

    def status(self) -> BfdStatus:
        assert self._session is not None
        return self._session.status(TUNNEL)

    def up(self) -> bool | None:
        return self._session.up if self._session is not None else None

    @property
    def source_port(self) -> int | None:
        return self._port

    def until(self, up: bool | None, detection_ms: float | None = None) -> float:
        """Wait until the session says so; when it did, as time.monotonic()."""

        def said() -> bool:
            if not self.changes:
                return False
            change = self.changes[-1][1]
            return change.up is up and detection_ms in (None, change.detection_ms)

        wait_until(said, f"BFD is {up} within {detection_ms}")
        return self.changes[-1][0]

    def _start(self, make: Callable[[float], BfdSession]) -> None:
        self._end = threading.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make, self._end, ready))
        self._thread.start()
        assert ready.wait(10)

    def _run(self, make: Callable[[float], BfdSession], end: threading.Event, ready: threading.Event) -> None:
        with self._namespace.entered():
            sender = Sender(self._settings, self._interface, self._port)
            session = self._session = make(time.monotonic())
            ready.set()
            demultiplexer: Demultiplexer[BfdSession] = Demultiplexer()
            demultiplexer.add(session.discriminator, self._settings, self._interface, session)
            poll = select.poll()
            poll.register(self._receiver.fileno(), select.POLLIN)
            revision = -1
            while not end.is_set():
                poll.poll(min(50.0, max(0.0, (session.deadline() - time.monotonic()) * 1000)))
                now = time.monotonic()
                for datagram in self._receiver.read():
                    if demultiplexer.find(datagram, self._settings.multihop) is session:
                        self._note(session.received(datagram.data, datagram.ttl_ok, now))
                with self._lock:
                    for todo in self._todo:
                        self._send(sender, todo(session, now))
                    self._todo.clear()
                while session.deadline() <= now:
                    packet, change = session.due(now)
                    self._note(change)
                    self._send(sender, packet)
                self._port = sender.port
                if session.revision != revision:
                    revision = session.revision
                    self._kept = json.dumps(session.snapshot())
            sender.close()

    def _send(self, sender: Sender, packet: bytes | None) -> None:
        failure = None if packet is None else sender.send(packet)
        if failure is not None:
            self.complaints.append(failure)

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self.changes.append((time.monotonic(), change))


@contextmanager
def bird_bfd(namespace: Namespace, interfaces: str, neighbor: str) -> Iterator[Bird]:
    """BIRD with nothing but BFD; options of its `interface` (or `multihop`) block, and of the neighbor."""
    text = f"""
log stderr all;
router id 10.9.9.9;
protocol device {{ scan time 1; }}
protocol bfd b {{ {interfaces} {neighbor} }}
"""
    with daemon_home() as home:
        (home / "bird.conf").write_text(text)
        files = ["-c", str(home / "bird.conf"), "-s", str(home / "bird.ctl"), "-P", str(home / "pid")]
        with daemon_process(namespace, [BIRD, "-f", *files], home):
            wait_until((home / "bird.ctl").exists, "BIRD is up")
            yield Bird(home)


class Bfdd:
    """A running bfdd of FRR; `pid` is its process."""

    def __init__(self, home: Any, pid: int) -> None:
        self._home = home
        self.pid = pid

    def _vtysh(self, *commands: str) -> str:
        arguments = [part for command in commands for part in ("-c", command)]
        done = subprocess.run(
            [VTYSH, "--vty_socket", str(self._home), "-d", "bfdd", *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout

    def configure(self, *lines: str) -> None:
        self._vtysh("configure terminal", "bfd", *lines)

    def peer(self) -> dict[str, Any]:
        """What it says of its only session."""
        (peer,) = json.loads(self._vtysh("show bfd peers json"))
        found: dict[str, Any] = peer
        return found


@contextmanager
def frr_bfdd(namespace: Namespace, lines: Sequence[str]) -> Iterator[Bfdd]:
    """FRR's bfdd without zebra: it must be told of no interface then, and finds the route itself."""
    with daemon_home("frr") as home:
        (home / "bfdd.conf").write_text("\n".join(["bfd", *(f" {line}" for line in lines)]) + "\n")
        argv = [BFDD, "-f", str(home / "bfdd.conf"), "-i", str(home / "pid"), "--vty_socket", str(home)]
        argv += ["-z", str(home / "zserv.api"), "--bfdctl", str(home / "bfdd.sock")]
        argv += ["-u", "frr", "-g", "frr", "-P", "0", "--log", "stdout", "--log-level", "informational"]
        with daemon_process(namespace, argv, home) as process:
            wait_until((home / "bfdd.vty").exists, "bfdd is up")
            yield Bfdd(home, process.pid)
