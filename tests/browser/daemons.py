"""Daemons that a browser reaches: the gateway in a namespace, REST on the machine's loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from bgpsvc.lab.launch import listen
from tests.e2e.labs import LabCommand
from tests.e2e.service import LONG, REPOSITORY, Rest
from tests.e2e.two_gateways import LANS, Side
from tests.netns.namespaces import wait_until
from tests.netns.wan import Wan

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(18179 + 100 * WORKER, 18279 + 100 * WORKER)
"""Each worker's own, and not among those that the kernel gives to outgoing connections: one is free again for
the next start."""


class RestOverTcp(Rest):
    """REST at an address of the machine's loopback."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=LONG, trust_env=False)


class Lab:
    """`bgpsvc lab up`, both gateways ours. `url` is gateway 1's address, `urls` has both."""

    def __init__(self, *options: str, ordinary_user: bool = False) -> None:
        self._command = LabCommand(ordinary_user)
        try:
            up = self._command("up", *options)
            assert up.returncode == 0, up.stderr
        except BaseException:
            self._command.clean_up()
            raise
        self.urls: dict[str, str] = dict(re.findall(r"^(gw\d) +(http\S+)$", up.stdout, re.M))
        self.url = self.urls["gw1"]
        self.rest = RestOverTcp(self.url)

    def __call__(self, *arguments: str) -> str:
        """`bgpsvc lab ARGUMENTS`; what it prints."""
        done = self._command(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """`bgpsvc lab ARGUMENTS`, running."""
        return self._command.popen(*arguments)

    def be_patient(self) -> None:
        """Have BFD wait three times 300 ms, as by default: no living tunnel is dead to a busy machine."""
        path = "/v1/vpn-connections/conn1"
        tunnels = self.rest.get(path)["config"]["tunnels"]
        for tunnel in tunnels:
            tunnel["bgp"]["bfd"] = {"interval_ms": 300, "multiplier": 3}
        self.rest.write("PATCH", path, {"tunnels": tunnels})
        self.rest.until_active(path)

    def until_carrying(self, tunnel: int) -> None:
        """Until a tunnel carries the traffic, and all sessions are established unless one is broken."""

        def carries() -> bool:
            found = self.rest.get("/v1/vpn-connections/conn1")["carrying"] == f"conn1-tunnel{tunnel}"
            states = {session["state"] for session in self.rest.get("/v1/bgp-sessions")["items"]}
            return found and (tunnel != 1 or states == {"established"})

        wait_until(carries, f"tunnel {tunnel} carries", LONG)

    def close(self) -> None:
        """End it."""
        self.rest.http.close()
        self._command("down")
        self._command.clean_up()


class OpenSide(Side):
    """A gateway with a daemon whose REST is also on the machine's loopback, for those who have a token."""

    _port: int | None = None

    def __init__(self, stack: ExitStack, number: int, wan: Wan, folder: Path) -> None:
        super().__init__(stack, number, wan, folder)
        # Over TCP nobody gets in unasked; the test itself takes the socket of the state directory.
        self._socket = self._state / "api.sock"
        self.rest.http.close()
        self.rest = Rest(self._socket)
        stack.callback(self.rest.http.close)

    @property
    def url(self) -> str:
        """Where REST listens."""
        return f"http://127.0.0.1:{self._port}"

    def spawn(self) -> None:
        """Run the daemon; after the first time at the same port."""
        with listen(PORTS if self._port is None else (self._port,)) as listener, self._log.open("ab") as log:
            self._port = listener.getsockname()[1]
            number = listener.fileno()
            serve = (sys.executable, "-m", "bgpsvc", "serve", "--state-dir", str(self._state))
            argv = self.gateway.command("env", self.mark, *serve, "--listen", f"fd:{number}")
            # Every test signs in anew, more often than one address may be without a token.
            argv += ["--rate-limit", "0"]
            self._daemon = subprocess.Popen(
                [*argv, "--ipsec", "userspace"],
                cwd=REPOSITORY,
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def token(self, scope: str, **more: Any) -> str:
        """A new token."""
        document = {"name": f"browser-{scope}", "scope": scope, **more}
        return str(self.rest.write("POST", "/v1/tokens", document, 201)["token"])


@contextmanager
def open_gateway() -> Iterator[OpenSide]:
    """A gateway without resources whose daemon runs; behind its uplinks nobody answers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bgpsvc-")))
        side = OpenSide(stack, 1, stack.enter_context(Wan()), folder)
        side.start()
        yield side


@dataclass(frozen=True, slots=True)
class Pair:
    """Both gateways of the reference scenario, the first one open, and the provider between them."""

    one: OpenSide
    two: Side
    wan: Wan

    def pings(self) -> bool:
        """True if a host of VPC 1 reaches one of VPC 2."""
        words = self.one.host.command("ping", "-c", "1", "-W", "1", f"{LANS[2]}.10")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextmanager
def open_pair() -> Iterator[Pair]:
    """Both gateways, whose daemons run without resources."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bgpsvc-")))
        wan = stack.enter_context(Wan())
        one, two = OpenSide(stack, 1, wan, folder), Side(stack, 2, wan, folder)
        for side in (one, two):
            side.spawn()
        for side in (one, two):
            side.until_alive()
        yield Pair(one, two, wan)
