"""The reference scenario on a kernel with ESP: two gateways, a charon of the system and a daemon in each.

    ecs1 ── gw1 ══ tunnel 1, tunnel 2 ══ gw2 ── ecs3        VPC1 10.0.0.0/16 | VPC2 192.168.0.0/16
              └────────── inet ──────────┘

Each gateway has an uplink and a public address per tunnel. The daemons begin with empty stores: what they do
was asked for over REST. Everything here is a namespace of a machine that is thrown away.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.service import Rest
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan
from tests.vm.guest.charon import SystemCharon

LONG = 400.0
"""Deadline of what takes seconds: the machine's processors are emulated."""
REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the scenario; the first address of a pair belongs to tunnel 1."""

    name: str
    number: int
    asn: int
    vpc: str
    inner: str
    host: str
    public: tuple[str, str]


LEFT = Side("gw1", 1, 65530, "10.0.0.0/16", "10.0.0.1", "10.0.0.10", ("198.51.100.1", "198.51.100.3"))
RIGHT = Side(
    "gw2", 2, 65500, "192.168.0.0/16", "192.168.0.1", "192.168.0.10", ("198.51.100.2", "198.51.100.4")
)
KEYS = ("first-Key.of~tunnel1", "first-Key.of~tunnel2")


def document(side: Side, other: Side) -> dict[str, Any]:
    """What an operator of this side applies."""
    return {
        "vpcs": [{"name": "vpc", "cidrs": [side.vpc]}],
        "vpn_gateways": [
            {"name": "gw", "vpc": "vpc", "addresses": list(side.public), "auto_propagate": True}
        ],
        "customer_gateways": [
            {"name": f"peer{number}", "address": address, "asn": other.asn}
            for number, address in enumerate(other.public, 1)
        ],
        "vpn_connections": [
            {
                "name": "conn",
                "vpn_gateway": "gw",
                "enable_bgp": True,
                "local_asn": side.asn,
                "failback_hold_down": 0.5,
                "tunnels": [
                    {
                        "customer_gateway": f"peer{number}",
                        "ike": {"pre_shared_key": key},
                        "bgp": {
                            "tunnel_cidr": f"169.254.{number}0.0/30",
                            "local_ip": f"169.254.{number}0.{side.number}",
                        },
                    }
                    for number, key in enumerate(KEYS, 1)
                ],
            }
        ],
    }


class Gateway:
    """A gateway's namespace with its charon, its daemon, and the host behind it."""

    def __init__(self, side: Side, wan: Wan, other: Side, directory: Path, stack: ExitStack) -> None:
        self.side = side
        self.namespace = stack.enter_context(Namespace())
        self.host = stack.enter_context(Namespace())
        self.directory = directory
        self.directory.mkdir()
        self.charon = SystemCharon(self.namespace, directory / "charon")
        self.log_path = directory / "daemon.log"
        self.rest = Rest(directory / "state" / "api.sock")
        # A connection for each request: on a slow machine the daemon may just be closing an idle one.
        transport = httpx.HTTPTransport(
            uds=str(directory / "state" / "api.sock"), limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.rest.http.close()
        self.rest.http = httpx.Client(transport=transport, base_url="http://bgpsvc", timeout=60)
        self._daemon: subprocess.Popen[bytes] | None = None
        self.namespace.veth("vpc", self.host, "eth0", [f"{side.inner}/16"])
        self.host.ip(f"address add {side.host}/16 dev eth0")
        self.host.ip(f"route add default via {side.inner}")
        for number, (public, remote) in enumerate(zip(side.public, other.public, strict=True), 1):
            wan.attach(self.namespace, f"wan{number}", public, [remote])

    def start(self, *options: str) -> None:
        """Run the daemon, which chooses its driver itself. Whether it is there `until_alive` finds out."""
        with self.log_path.open("ab") as log:
            self._daemon = subprocess.Popen(
                self.namespace.command(
                    *(sys.executable, "-m", "bgpsvc", "serve"),
                    *("--state-dir", str(self.directory / "state")),
                    *("--listen", f"unix:{self.directory}/rest.sock"),
                    *("--charon-socket", str(self.charon.socket), *options),
                ),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def until_alive(self) -> None:
        """Until REST answers."""

        def alive() -> bool:
            assert self._daemon is not None
            assert self._daemon.poll() is None, f"the daemon ended: {self.log()}"
            try:
                return self.rest.http.get("/healthz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(alive, "REST answers", LONG)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon."""
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(LONG)
            self._daemon = None

    def log(self, lines: int = 60) -> str:
        """The end of the daemon's output."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    # What is there ----------------------------------------------------------------------------

    def tunnel(self, number: int) -> dict[str, Any]:
        """A tunnel as REST shows it."""
        (found,) = [
            tunnel
            for tunnel in self.rest.connection("conn")["tunnels"]
            if tunnel["id"] == f"conn-tunnel{number}"
        ]
        return dict(found)

    def ipsec(self, number: int) -> dict[str, Any]:
        """IPsec of a tunnel as REST shows it."""
        return dict(self.tunnel(number)["ipsec"] or {})

    def established(self, number: int) -> bool:
        """Both SAs of a tunnel are up, as REST says."""
        return self.ipsec(number).get("status") == "ipsec_sa_established"

    def settled(self, number: int) -> bool:
        """They are up, and no second IKE SA, which both sides began at once, is still to be ended."""
        name = f"bgpsvc-conn-tunnel{number}: #"
        sas = self.charon.swanctl("--list-sas").splitlines()
        return self.established(number) and sum(line.startswith(name) for line in sas) == 1

    def session(self, number: int) -> dict[str, Any]:
        """The BGP session of a tunnel."""
        return dict(self.rest.session(number, "conn"))

    def carrying(self) -> str | None:
        """Id of the tunnel that traffic takes."""
        found: str | None = self.rest.connection("conn")["carrying"]
        return found

    def spis(self) -> set[str]:
        """SPIs of the SAs in the kernel."""
        lines = self.namespace.ip("xfrm state").split()
        return {lines[index + 1] for index, word in enumerate(lines) if word == "spi"}

    def packets(self) -> dict[str, int]:
        """Packets that the kernel's SAs have carried, by the destination of their outer packets."""
        found: dict[str, int] = {}
        for state in f"\n{self.namespace.ip('-s xfrm state')}".split("\nsrc ")[1:]:
            words = state.split()
            destination = words[words.index("dst") + 1]
            # lifetime current: N(bytes), M(packets)
            carried = state.partition("lifetime current:")[2].partition("(packets)")[0].split()[-1]
            found[destination] = found.get(destination, 0) + int(carried)
        return found

    def links(self) -> dict[str, dict[str, Any]]:
        """Interfaces of the namespace by name."""
        return {link["ifname"]: link for link in json.loads(self.namespace.ip("-d -j link show"))}

    def change_tunnel(self, number: int, **sections: Any) -> None:
        """Change settings of a tunnel over REST, as an operator does: read, edit, write back."""
        config = self.rest.connection("conn")["config"]
        for name, value in sections.items():
            held = config["tunnels"][number - 1].get(name)
            config["tunnels"][number - 1][name] = held | value if isinstance(held, dict) else value
        self.rest.write("PATCH", "/v1/vpn-connections/conn", {"tunnels": config["tunnels"]})


class Site:
    """Both gateways. Use as a context manager."""

    def __init__(self) -> None:
        with ExitStack() as building:
            # Not deep in pytest's directory: the path of a unix socket has 107 bytes at the most.
            directory = Path(building.enter_context(tempfile.TemporaryDirectory(prefix="vm-")))
            self.wan = building.enter_context(Wan())
            self.left = Gateway(LEFT, self.wan, RIGHT, directory / "gw1", building)
            self.right = Gateway(RIGHT, self.wan, LEFT, directory / "gw2", building)
            self.gateways = (self.left, self.right)
            for gateway in self.gateways:
                building.callback(gateway.charon.stop)
                building.callback(gateway.stop)
            self._stack = building.pop_all()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, before: Callable[[], object]) -> None:
        """Both charons and both daemons, and what they are to do; `before` they begin with it."""
        for gateway in self.gateways:
            gateway.start()  # the daemon first: it takes long, and waits for charon
        for gateway in self.gateways:
            gateway.charon.start()
        before()
        for gateway, other in ((self.left, RIGHT), (self.right, LEFT)):
            gateway.until_alive()
            gateway.rest.write("POST", "/v1/configuration/apply", document(gateway.side, other))

    def until(self, condition: Callable[[], object], what: str, seconds: float = LONG) -> None:
        """Until a condition holds; AssertionError with the logs if it never does."""
        try:
            wait_until(condition, what, seconds)
        except AssertionError as error:
            said = "\n".join(
                f"--- {g.side.name}: daemon\n{g.log()}\n--- {g.side.name}: charon\n{g.charon.log()}"
                for g in self.gateways
            )
            raise AssertionError(f"{error}\n{said}") from None

    def until_up(self) -> None:
        """Until both tunnels carry, both sessions are up and ecs1 reaches ecs3."""
        for number in (1, 2):
            for gateway in self.gateways:
                self.until(lambda g=gateway, n=number: g.settled(n), f"IPsec {number} is up")
                self.until(
                    lambda g=gateway, n=number: g.session(n)["state"] == "established",
                    f"session {number} of {gateway.side.name} is up",
                )
        self.until(self.reachable, "ecs1 reaches ecs3")

    def reachable(self) -> bool:
        """One ping of ecs1 is answered by ecs3."""
        return "1 received" in self.left.host.run("ping", "-c1", "-W1", RIGHT.host, check=False)


class Pings:
    """A running `ping`. Use as a context manager; `lost` counts until the last answer that came."""

    def __init__(self, source: Namespace, target: str, interval: float = 0.05) -> None:
        self._process = subprocess.Popen(
            source.command("ping", "-n", "-i", str(interval), target),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._numbers: set[int] = set()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Pings:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(LONG)
        self._reader.join()

    @property
    def answered(self) -> int:
        """How many have been answered so far."""
        return len(self._numbers)

    @property
    def sent(self) -> int:
        """How many had been sent when the last answered one was."""
        return max(self._numbers, default=0)

    @property
    def lost(self) -> int:
        """How many of these were not answered."""
        return self.sent - self.answered

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"icmp_seq=(\d+) ttl", line):
                self._numbers.add(int(found[1]))
