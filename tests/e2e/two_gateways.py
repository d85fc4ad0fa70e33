"""Two whole daemons that make their own tunnels, with a provider between them: the reference scenario.

host1 ── gw1 ══ provider ══ gw2 ── host2
10.0.0.10  198.51.100.1, .3    198.51.100.2, .4  192.168.0.10
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.marked import marked, new_mark
from tests.e2e.service import LONG, REPOSITORY, Rest
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan

ADDRESSES = {1: ("198.51.100.1", "198.51.100.3"), 2: ("198.51.100.2", "198.51.100.4")}
ASNS = {1: 65530, 2: 65500}
LANS = {1: "10.0.0", 2: "192.168.0"}
CONNECTION = "/v1/vpn-connections/conn1"
OURS = ("conn1-tunnel", "ipsec")
"""What the names of the interfaces begin with that the service makes."""


def documents(side: int, **connection: Any) -> dict[str, list[dict[str, Any]]]:
    """The resources of a gateway; `connection` has more keys of the VPN connection."""
    other = 3 - side
    tunnels = [
        {
            "customer_gateway": f"peer{number}",
            "ike": {"pre_shared_key": f"the-key-of-{number}"},
            "bgp": {"tunnel_cidr": f"169.254.{number}0.0/30", "local_ip": f"169.254.{number}0.{side}"},
        }
        for number in (1, 2)
    ]
    made = {
        "name": "conn1",
        "vpn_gateway": f"gw{side}",
        "enable_bgp": True,
        "local_asn": ASNS[side],
        "failback_hold_down": 0.2,
        "tunnels": tunnels,
    }
    return {
        "vpcs": [{"name": "vpc1", "cidrs": [f"{LANS[side]}.0/24"]}],
        "vpn_gateways": [
            {"name": f"gw{side}", "vpc": "vpc1", "addresses": list(ADDRESSES[side]), "auto_propagate": True}
        ],
        "customer_gateways": [
            {"name": f"peer{number}", "address": ADDRESSES[other][number - 1], "asn": ASNS[other]}
            for number in (1, 2)
        ],
        "vpn_connections": [made | connection],
    }


class Side:
    """A gateway with its daemon, and a host behind it."""

    def __init__(self, stack: ExitStack, number: int, wan: Wan, folder: Path) -> None:
        self.number = number
        self.gateway, self.host = (stack.enter_context(Namespace()) for _ in range(2))
        self.mark = new_mark()
        self._socket, self._state = folder / f"{number}.sock", folder / f"state{number}"
        self._log = folder / f"log{number}"
        self._daemon: subprocess.Popen[bytes] | None = None
        stack.callback(self._end)
        self.rest = Rest(self._socket)
        stack.callback(self.rest.http.close)
        for index, address in enumerate(ADDRESSES[number]):
            wan.attach(self.gateway, f"wan{index + 1}", address, [ADDRESSES[3 - number][index]])
        lan = LANS[number]
        self.gateway.veth("lan", self.host, "eth0", [f"{lan}.1/24"])
        self.host.ip(f"addr add {lan}.10/24 dev eth0")
        self.host.ip(f"route add default via {lan}.1")

    def start(self) -> None:
        """Run the daemon until REST answers."""
        self.spawn()
        self.until_alive()

    def spawn(self) -> None:
        """Run the daemon."""
        serve = (sys.executable, "-m", "bgpsvc", "serve", "--state-dir", str(self._state))
        argv = self.gateway.command("env", self.mark, *serve, "--listen", f"unix:{self._socket}")
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [*argv, "--ipsec", "userspace"],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def until_alive(self) -> None:
        """Until REST answers; AssertionError with the daemon's output if it ended."""
        wait_until(self._alive, f"REST answers; the daemon said: {self.log()}", LONG)

    def _alive(self) -> bool:
        assert self._daemon is not None
        assert self._daemon.poll() is None, f"the daemon ended: {self.log()}"
        try:
            return self.rest.http.get("/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the daemon and wait for its end."""
        assert self._daemon is not None
        self._daemon.send_signal(number)
        self._daemon.wait(LONG)

    def command(self, *words: str) -> str:
        """Run `bgpsvc` against the daemon; its output. AssertionError with what it says if it fails."""
        argv = [sys.executable, "-m", "bgpsvc", "--server", f"unix:{self._socket}", *words]
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self) -> str:
        """The end of the daemon's output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])

    def tunnel(self, number: int) -> Any:
        """A tunnel as REST shows it."""
        return self.rest.get(f"/v1/tunnels/conn1-tunnel{number}")

    def spis(self, number: int) -> tuple[str, str] | None:
        """SPIs of a tunnel's IKE SA and of its IPsec SA; None without them."""
        ike = self.tunnel(number)["ipsec"]["ike"]
        return (ike["spi_initiator"], ike["children"][-1]["spi_in"]) if ike and ike["children"] else None

    def events(self, *kinds: str, after: int = 0) -> list[dict[str, Any]]:
        """Events of these kinds with a higher id."""
        return [event for event in self.rest.events(*kinds) if event["id"] > after]

    def last_event(self) -> int:
        """Id of the latest event."""
        latest = self.rest.events()
        return int(latest[-1]["id"]) if latest else 0

    def links(self) -> list[str]:
        """Interfaces of the gateway that the service made."""
        lines = self.gateway.run("ip", "-brief", "link").splitlines()
        names = [line.split()[0].partition("@")[0] for line in lines]
        return [name for name in names if name.startswith(OURS)]

    def processes(self, word: str) -> list[int]:
        """Processes of the gateway with this word in their command line, whoever started them."""
        return sorted(pid for pid, command in self.gateway.processes().items() if word in command)

    def patch_tunnel(self, number: int, **ike: Any) -> None:
        """Change the IKE section of a tunnel; its secrets stay unless they are given."""
        tunnels = self.rest.get(CONNECTION)["config"]["tunnels"]
        tunnels[number - 1]["ike"] |= ike
        self.rest.write("PATCH", CONNECTION, {"tunnels": tunnels})
        self.rest.until_active(CONNECTION)

    def _end(self) -> None:
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # The charons too, which outlive the daemon, before the folders go that tell of them.
        self.gateway.end_processes()
        if self._daemon is not None:
            self._daemon.wait()


@contextmanager
def two_gateways() -> Iterator[tuple[Side, Side]]:
    """Both sides with their daemons running, without resources."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-")))
        wan = stack.enter_context(Wan())
        one, two = (Side(stack, number, wan, folder) for number in (1, 2))
        for side in (one, two):
            side.spawn()
        for side in (one, two):
            side.until_alive()
        yield one, two
