"""The whole daemon with tunnels of its own making, between a host of its VPC and the provider.

host ── gateway ── provider (tests.netns.wan)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from bgpsvc.lab.probes import RunningProber
from tests.e2e.marked import marked, new_mark
from tests.e2e.service import REPOSITORY, Rest
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan

PATIENCE = 120.0
"""Deadline of what takes some seconds: a machine may be busy, or emulated."""
SETTLE_SECONDS = 1.0
"""A request older than this without an answer is lost."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of the VPN: its gateway's public and inside addresses by tunnel, its VPC and its host."""

    number: int
    asn: int
    public: tuple[str, str]
    inside: tuple[str, str]
    network: str
    address: str
    host: str

    @property
    def connection(self) -> str:
        """Name of its only VPN connection."""
        return f"conn{self.number}"


NEAR = Side(
    number=1,
    asn=65530,
    public=("198.51.100.1", "198.51.100.3"),
    inside=("169.254.10.1", "169.254.20.1"),
    network="10.0.0.0/16",
    address="10.0.0.1",
    host="10.0.0.10",
)
FAR = Side(
    number=2,
    asn=65500,
    public=("198.51.100.2", "198.51.100.4"),
    inside=("169.254.10.2", "169.254.20.2"),
    network="192.168.0.0/16",
    address="192.168.0.1",
    host="192.168.0.10",
)


def configuration(
    side: Side,
    other: Side,
    *tunnels: Mapping[str, Any],
    hold_time: int = 30,
    **connection: Any,
) -> dict[str, Any]:
    """The resources of one side; `tunnels` has the settings (`ike`, `ipsec`, `dpd` …) of each tunnel."""
    return {
        "vpcs": [{"name": "vpc", "cidrs": [side.network]}],
        "vpn_gateways": [
            {"name": "gw", "vpc": "vpc", "addresses": list(side.public), "auto_propagate": True}
        ],
        "customer_gateways": [
            {"name": f"peer{n}", "address": other.public[n - 1], "asn": other.asn} for n in (1, 2)
        ],
        "vpn_connections": [
            {
                "name": side.connection,
                "vpn_gateway": "gw",
                "enable_bgp": True,
                "local_asn": side.asn,
                # Tests break tunnels often: the way back takes no longer for that.
                "failback_hold_down": 0.5,
                "failback_hold_down_max": 0,
                "tunnels": [
                    {
                        "customer_gateway": f"peer{n}",
                        "bgp": {
                            "tunnel_cidr": f"169.254.{n}0.0/30",
                            "local_ip": side.inside[n - 1],
                            "hold_time": hold_time,
                        },
                        **settings,
                    }
                    for n, settings in enumerate(tunnels, start=1)
                ],
                **connection,
            }
        ],
    }


def descriptors(pid: int) -> Iterator[str]:
    """What the kernel tells of each open file of a process; nothing of one that is gone."""
    with contextlib.suppress(OSError):
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):
                yield info.read_text()


class VpnGateway:
    """A gateway, its host and its daemon. Use as a context manager."""

    def __init__(self, wan: Wan, side: Side, other: Side) -> None:
        self.side = side
        self.daemon: subprocess.Popen[bytes] | None = None
        self.driver = ["--ipsec", "userspace"]
        """What the daemon is told of its tunnels' driver."""
        self._mark = new_mark()
        with contextlib.ExitStack() as building:
            # Not pytest's directory: the path of a unix socket has 107 bytes at the most.
            made = building.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-test-"))
            self.directory = Path(made)
            self.namespace, self.host = (building.enter_context(Namespace()) for _ in range(2))
            building.callback(self._end_processes)
            self.rest = Rest(self.directory / "api.sock")
            building.callback(self.rest.http.close)
            for n, (public, remote) in enumerate(zip(side.public, other.public, strict=True), start=1):
                wan.attach(self.namespace, f"wan{n}", public, [remote])
            self.namespace.veth("vpc", self.host, "eth0", [f"{side.address}/16"])
            self.host.ip(f"address add {side.host}/16 dev eth0")
            self.host.ip(f"route add default via {side.address}")
            self._stack = building.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_processes(self) -> None:
        """Everything that descends from the daemon; charons too, which take whatever end they get."""
        for pid in marked(self._mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.namespace.end_processes()
        if self.daemon is not None:
            self.daemon.wait()

    # The daemon -------------------------------------------------------------------------------

    def start(self, content: Mapping[str, Any] | None = None, *options: str) -> None:
        """Run the daemon until REST answers: on a configuration file, or (None) on its store."""
        argv = ["env", self._mark, sys.executable, "-m", "bgpsvc", "serve", *self.driver]
        argv += ["--state-dir", str(self.directory / "state"), "--listen", f"unix:{self.directory}/api.sock"]
        if content is not None:
            path = self.directory / "gateway.yaml"
            path.write_text(yaml.safe_dump(dict(content)))
            path.chmod(0o600)
            argv += ["--config", str(path)]
        with (self.directory / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.namespace.command(*argv, *options),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._alive, "REST answers", PATIENCE)

    def apply(self, content: Mapping[str, Any]) -> None:
        """Have a daemon without a file take these resources."""
        self.rest.write("POST", "/v1/configuration/apply", dict(content))

    def _alive(self) -> bool:
        assert self.daemon is not None
        assert self.daemon.poll() is None, f"the daemon ended: {self.log()}"
        try:
            return self.rest.http.get("/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """The end of the daemon's output."""
        path = self.directory / "daemon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:])

    def charon(self, number: int) -> int:
        """Pid of the charon of a tunnel: the one that holds the TUN behind the tunnel's interface."""
        name = self.tunnel(number)["interface"]
        for pid in self.namespace.processes():
            if any(f"iff:\t{name}\n" in text for text in descriptors(pid)):
                return pid
        raise AssertionError(f"no process holds {name}")

    # What REST says ---------------------------------------------------------------------------

    def tunnel(self, number: int) -> dict[str, Any]:
        """The resource of a tunnel."""
        found: dict[str, Any] = self.rest.get(f"/v1/tunnels/{self.side.connection}-tunnel{number}")
        return found

    def ipsec(self, number: int) -> dict[str, Any]:
        """What is known of a tunnel's IPsec."""
        found: dict[str, Any] = self.tunnel(number)["ipsec"]
        return found

    def carrying(self) -> int | None:
        """The number of the tunnel that carries traffic."""
        name = self.rest.get(f"/v1/vpn-connections/{self.side.connection}")["carrying"]
        return None if name is None else int(name[-1])

    def until_up(self, *numbers: int, seconds: float = PATIENCE) -> None:
        """Until these tunnels (both, by default) are live: SAs, session and routes."""
        for number in numbers or (1, 2):
            try:
                wait_until(lambda n=number: self.tunnel(n)["state"] == "live", "live", seconds)  # type: ignore[misc]
            except AssertionError:
                state = json.dumps(self.tunnel(number), indent=1)
                name = f"{self.side.connection}-tunnel{number}"
                raise AssertionError(f"{name} is not live in {seconds} s: {state}\n{self.log()}") from None

    def until_carrying(self, number: int | None, seconds: float = PATIENCE) -> None:
        """Until traffic takes this tunnel."""
        wait_until(
            lambda: self.carrying() == number, f"traffic of {self.side.connection} over {number}", seconds
        )


class Probes(RunningProber):
    """Echo requests from a namespace every `interval` seconds, and which of them were answered."""

    def __init__(self, namespace: Namespace, address: str, interval: float = 0.01) -> None:
        prober = [sys.executable, "-P", "-m", "bgpsvc.lab.prober", address, "--interval", str(interval)]
        super().__init__(namespace.command(*prober, "--until-eof"), SETTLE_SECONDS)

    def until_flowing(self, seconds: float = PATIENCE) -> None:
        """Until the requests of a moment were answered, all of them sent after this call."""
        began = time.monotonic()
        wait_until(lambda: self.flows(began), "every ping is answered", seconds)
