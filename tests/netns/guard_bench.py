"""A guard in a namespace with two tunnels, each to a peer with BIRD's BFD, and a daemon's end.

The daemon's end is a plain socket, so that a test decides when a daemon is there at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bgpsvc.fib.ops import NEXTHOP_IDS
from bgpsvc.guard.messages import pack, unpack
from bgpsvc.guard.model import (
    BfdSettings,
    Candidate,
    Detection,
    GroupPlan,
    Hello,
    Method,
    Plan,
    ProbeSettings,
    ProbeStatus,
    Status,
    ToDaemon,
    ToGuard,
    Watched,
)
from bgpsvc.guard.server import ENV_STATE_DIR, SOCKET
from bgpsvc.model import SessionId
from tests.netns.namespaces import Namespace, wait_until

ROOT = Path(__file__).parents[2]
T1, T2 = SessionId("c-tunnel1"), SessionId("c-tunnel2")
N1, N2, GROUP = NEXTHOP_IDS.start + 1, NEXTHOP_IDS.start + 2, NEXTHOP_IDS.start + 100

BIRD = """
log "{home}/log" all;
router id 1.1.1.{tunnel};
protocol device {{ scan time 1; }}
protocol bfd {{
  debug {{ states, events }};
  interface "p{tunnel}" {{ interval {interval} ms; multiplier {multiplier}; idle tx interval 200 ms; }};
  neighbor 169.254.1{tunnel}.1 dev "p{tunnel}" local 169.254.1{tunnel}.2;
}}
"""


class Peer:
    """BIRD at the far end of a tunnel."""

    def __init__(self, namespace: Namespace, tunnel: int, interval: int = 50, multiplier: int = 3) -> None:
        self.namespace = namespace
        self.home = Path(tempfile.mkdtemp(prefix="bgpsvc-bird-"))
        text = BIRD.format(home=self.home, tunnel=tunnel, interval=interval, multiplier=multiplier)
        (self.home / "conf").write_text(text)
        # As punctual as the guard: what is measured is not how busy the machine is.
        urgent = namespace.command("chrt", "-r", "10", "/usr/sbin/bird", "-f")
        self.process = subprocess.Popen(
            [*urgent, "-c", str(self.home / "conf"), "-s", str(self.home / "ctl")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def states(self) -> list[str]:
        """What its session went through."""
        path = self.home / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.rpartition(" ")[2] for line in lines if "changed state from" in line]

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        subprocess.run(["rm", "-r", str(self.home)], check=True)


class Daemon:
    """A daemon's end of the connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.said: list[ToDaemon] = []
        self.standing: dict[tuple[SessionId, Method], Detection] = {}
        self.greeted: Hello
        self._partial = b""

    def say(self, *messages: ToGuard) -> None:
        self.sock.sendall(b"".join(map(pack, messages)))

    def hear(self, wanted: Callable[[ToDaemon], object], what: str, seconds: float = 30) -> ToDaemon:
        """The first message from now on of which something holds."""
        deadline = time.monotonic() + seconds
        while True:
            line, found, rest = self._partial.partition(b"\n")
            if found:
                self._partial = rest
                message = unpack(line)
                assert isinstance(message, ToDaemon)
                self.said.append(message)
                if isinstance(message, Detection):
                    self.standing[message.tunnel, message.method] = message
                if wanted(message):
                    return message
                continue
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.sock.recv(1 << 16)
            except TimeoutError:
                raise AssertionError(
                    f"not heard in {seconds} s: {what}; but {str(self.standing)[:1500]}"
                ) from None
            if not data:
                raise EOFError(f"the connection ended before: {what}")
            self._partial += data

    def hello(self) -> Hello:
        """The next greeting."""
        found = self.hear(lambda message: isinstance(message, Hello), "a greeting")
        assert isinstance(found, Hello)
        self.greeted = found
        return found

    def asked_and_answered(self, tunnel: SessionId, times: int) -> None:
        """So often a probe is sent from now on, and answered."""

        def figures(message: ToDaemon) -> list[ProbeStatus]:
            found = message.probes if isinstance(message, Status) else ()
            return [one for one in found if one.tunnel == tunnel and not one.lost_in_a_row]

        first = figures(self.hear(figures, "figures"))[0].sent
        self.hear(lambda message: [one for one in figures(message) if one.sent > first + times], "replies")

    def detection(self, tunnel: SessionId, method: Method, up: bool | None) -> Detection:
        """What a method says of a tunnel, as soon as it says this; perhaps it did last already."""

        def says_so(_: ToDaemon | None = None) -> bool:
            return (tunnel, method) in self.standing and self.standing[tunnel, method].up is up

        if not says_so():
            self.hear(says_so, f"{tunnel} {method.value} {up}")
        return self.standing[tunnel, method]


class Bench:
    """Tunnels t1 and t2 to a peer each; nexthops N1 and N2 over them, and GROUP leading to N1."""

    def __init__(self, stack: ExitStack) -> None:
        self.here = stack.enter_context(Namespace())
        self.far = [stack.enter_context(Namespace()) for _ in range(2)]
        self.state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-guard-")))
        for i, far in enumerate(self.far, 1):
            self.here.veth(f"t{i}", far, f"p{i}", [f"169.254.1{i}.1/30"])
            far.ip(f"addr add 169.254.1{i}.2/30 dev p{i}")
            self.here.ip(f"nexthop add id {NEXTHOP_IDS.start + i} via 169.254.1{i}.2 dev t{i} proto 201")
        self.here.ip(f"nexthop add id {GROUP} group {N1} proto 201")
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(self.close)

    def start(self, *wrapper: str) -> None:
        """Start a guard, as the argument of another command."""
        environment = {
            "PYTHONPATH": str(ROOT),
            ENV_STATE_DIR: str(self.state_dir),
            "PATH": os.environ["PATH"],
        }
        with (self.state_dir / "guard.err").open("wb") as errors:
            self._process = subprocess.Popen(
                self.here.command(*wrapper, sys.executable, "-m", "bgpsvc.guard"),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """Connect as a daemon does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:

            def connected() -> bool:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    sock.connect(str(self.state_dir / SOCKET))
                    return True
                return False

            wait_until(connected, "the guard listens")
            yield Daemon(sock)

    def processes(self) -> list[int]:
        """The guard's."""
        return [pid for pid, command in self.here.processes().items() if "bgpsvc.guard" in command]

    def complaints(self) -> str:
        """What the guard wrote about itself."""
        return (self.state_dir / "guard.err").read_text()

    def leads_to(self) -> int | None:
        """The nexthop of GROUP, None if there is no such group."""
        shown = self.here.run("ip", "nexthop", "show", "id", str(GROUP), check=False).split()
        return int(shown[shown.index("group") + 1]) if "group" in shown else None

    def close(self) -> None:
        self.here.end_processes()
        if self._process is not None:
            self._process.wait()


def watched(tunnel: int, bfd: bool = False, probe: bool = False) -> Watched:
    """A tunnel with BFD of 50 ms x 3, or a probe of 40 ms x 3, or nothing but its link."""
    local, peer = f"169.254.1{tunnel}.1", f"169.254.1{tunnel}.2"
    return Watched(
        SessionId(f"c-tunnel{tunnel}"),
        f"t{tunnel}",
        bfd=BfdSettings(local, peer, 50, 3) if bfd else None,
        probe=ProbeSettings(local, peer, 40, 3) if probe else None,
    )


def lead(group: int, *nexthops: int) -> GroupPlan:
    """Over tunnel 1 by N1, else over tunnel 2 by one of these."""
    return GroupPlan(group, (Candidate(N1, T1, True), *(Candidate(one, T2, True) for one in nexthops)))


PLAN = Plan((lead(GROUP, N2),), whole=True)
