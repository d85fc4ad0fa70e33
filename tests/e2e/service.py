"""The whole daemon between real namespaces: hosts, gateway, far gateway, hand-written BGP peers.

    host ── gateway ══ t1, t2 ══ far ── far_host
    10.0.0.10          169.254.10.0/30, 169.254.20.0/30     192.168.0.10

`bgpsvc serve` runs in `gateway` as an operator runs it; `far` holds the peers (tests.fakes.bgp_peer) and
answers for 20.0.0.0/8 and 2001:db8:20::/44 itself, so that any announced prefix can be probed. Everything
that a `Site` starts carries a mark in its environment, by which it is found again and ended.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.e2e.marked import marked, new_mark
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer, PeerConfig
from tests.netns.namespaces import Namespace, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = 201
PEER_ASN, LOCAL_ASN = 65500, 65530
FIRST_PREFIX = 20 << 24
LONG = 90.0
"""Deadline for what takes a few seconds: the tests share two processors with each other."""

CONFIGURATION: dict[str, Any] = {
    "vpcs": [{"name": "vpc1", "cidrs": ["10.0.0.0/16"]}],
    "vpn_gateways": [
        {"name": "gw1", "vpc": "vpc1", "addresses": ["198.51.100.1", "198.51.100.3"], "auto_propagate": True}
    ],
    "customer_gateways": [
        {"name": "peer1", "address": "198.51.100.2", "asn": PEER_ASN},
        {"name": "peer2", "address": "198.51.100.4", "asn": PEER_ASN},
    ],
    "vpn_connections": [
        {
            "name": "conn1",
            "vpn_gateway": "gw1",
            "enable_bgp": True,
            "local_asn": LOCAL_ASN,
            "failback_hold_down": 0.2,
            "tunnels": [
                {
                    "customer_gateway": f"peer{number}",
                    "interface": f"t{number}",
                    "bgp": {
                        "tunnel_cidr": f"169.254.{number}0.0/30",
                        "local_ip": f"169.254.{number}0.1",
                        "hold_time": 30,
                        "ipv6": {
                            "tunnel_cidr": f"fd00:{number}0::/126",
                            "local_ip": f"fd00:{number}0::1",
                        },
                    },
                }
                for number in (1, 2)
            ],
        }
    ],
}


def configuration(tunnel: int | None = None, **bgp: Any) -> dict[str, Any]:
    """The configuration with other BGP settings, of one tunnel or both."""
    made = copy.deepcopy(CONFIGURATION)
    for number, item in enumerate(made["vpn_connections"][0]["tunnels"], start=1):
        if tunnel in (None, number):
            item["bgp"] |= bgp
    return made


def prefixes(count: int, start: int = 0) -> list[str]:
    """`count` /24 networks from 20.0.0.0 on, as text."""
    numbers = range(FIRST_PREFIX + (start << 8), FIRST_PREFIX + ((start + count) << 8), 256)
    return [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.0/24" for n in numbers]


def prefixes6(count: int) -> list[str]:
    """`count` /64 networks from 2001:db8:20:: on, as text."""
    return [f"2001:db8:20:{n:x}::/64" if n else "2001:db8:20::/64" for n in range(count)]


class Rest:
    """REST over the daemon's unix socket; an error status raises with the problem's text."""

    def __init__(self, path: Path) -> None:
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://bgpsvc", timeout=60
        )

    def get(self, path: str, **query: Any) -> Any:
        """The answer's body."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def all_pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The items of all pages, in order."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    def routes(self, **query: Any) -> list[dict[str, Any]]:
        """Routes of the Loc-RIB, of all pages."""
        return self.all_pages("/v1/vpn-gateways/gw1/routes", **{"limit": 1000} | query)

    def route(self, prefix: str) -> dict[str, Any]:
        """One prefix of the Loc-RIB, which must be there."""
        (found,) = self.routes(prefix=prefix)
        return found

    def table(self, **query: Any) -> list[dict[str, Any]]:
        """Routes of the VPC's table, of all pages."""
        return self.all_pages("/v1/vpcs/vpc1/routes", **{"limit": 1000} | query)

    def session(self, number: int, connection: str = "conn1") -> Any:
        """The BGP session of a tunnel."""
        return self.get(f"/v1/bgp-sessions/{connection}-tunnel{number}")

    def connection(self, name: str = "conn1") -> Any:
        """A VPN connection."""
        return self.get(f"/v1/vpn-connections/{name}")

    def gateway(self) -> Any:
        """The VPN gateway."""
        return self.get("/v1/vpn-gateways/gw1")

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The latest 1000 events of these kinds."""
        return list(self.get("/v1/events", limit=1000, kind=list(kinds))["items"])

    def write(self, method: str, path: str, body: Any = None, status: int = 200, **query: Any) -> Any:
        """A request that changes something; the answer's body."""
        answer = self.http.request(method, path, json=body, params=query)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def until_active(self, path: str) -> Any:
        """Until a resource's change is in force; the resource."""
        wait_until(lambda: self.get(path)["status"] == "active", f"{path} is active", LONG)
        return self.get(path)

    def patch(self, on: bool) -> Any:
        """Switch automatic propagation."""
        answer = self.http.patch("/v1/vpn-gateways/gw1", json={"auto_propagate": on})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def switch(self, mode: str, dry_run: bool = False) -> Any:
        """The operator's switch."""
        answer = self.http.post(
            "/v1/vpn-connections/conn1/switch", json={"mode": mode}, params={"dry_run": dry_run}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


class Site:
    """The namespaces, the state directory, the daemon and its peers. Use as a context manager.

    `stored`: the resources are the store's, there is no configuration file.
    """

    def __init__(self, stored: bool = False) -> None:
        self.stored = stored
        # What was made before something failed goes again.
        with contextlib.ExitStack() as building:
            self._build(building)
            self._stack = building.pop_all()

    def _build(self, stack: contextlib.ExitStack) -> None:
        self.mark = new_mark()
        # Not pytest's directory: the path of a unix socket has 107 bytes at the most.
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-test-")))
        self.state_dir = self.directory / "state"
        self.config_path = self.directory / "gateway.yaml"
        self.socket_path = self.directory / "api.sock"
        self.log_path = self.directory / "daemon.log"
        self.listen: str | None = None
        """Where REST listens beside the socket in the state directory; None: on `socket_path`."""
        self.options: tuple[str, ...] = ()
        """More of the daemon's command line, for each start."""
        self.daemon: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self.host, self.gateway, self.far, self.far_host = (
            stack.enter_context(Namespace()) for _ in range(4)
        )
        self.rest = Rest(self.socket_path)
        stack.callback(lambda: self.rest.http.close())  # tests replace the client
        stack.callback(self._end_processes)
        self._cables()

    def _cables(self) -> None:
        self.gateway.veth("lan", self.host, "eth0", ["10.0.0.1/16", "fd10::1/64"])
        self.host.ip("addr add 10.0.0.10/16 dev eth0")
        self.host.ip("addr add fd10::10/64 dev eth0 nodad")
        self.host.ip("route add default via 10.0.0.1")
        self.host.ip("route add default via fd10::1")
        for number in (1, 2):
            addresses = [f"169.254.{number}0.1/30", f"fd00:{number}0::1/126"]
            self.gateway.veth(f"t{number}", self.far, f"t{number}", addresses)
            self.far.ip(f"addr add 169.254.{number}0.2/30 dev t{number}")
            self.far.ip(f"addr add fd00:{number}0::2/126 dev t{number} nodad")
            self.far.ip(f"route add 10.0.0.0/16 via 169.254.{number}0.1 metric {number}")
            self.far.ip(f"route add fd10::/64 via fd00:{number}0::1 metric {number}")
        self.far.veth("lan", self.far_host, "eth0", ["192.168.0.1/16"])
        self.far_host.ip("addr add 192.168.0.10/16 dev eth0")
        self.far_host.ip("route add default via 192.168.0.1")
        self.far.ip("route add local 20.0.0.0/8 dev lo")
        self.far.ip("route add local 2001:db8:20::/44 dev lo")
        self.far.sysctl("net/ipv4/ip_forward", 1)
        self.gateway.sysctl("net/ipv6/conf/all/keep_addr_on_down", 1)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_processes(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in self._children:
            child.wait()

    # The daemon -------------------------------------------------------------------------------

    def listen_at(self, address: str) -> None:
        """Have REST listen on TCP; the tests themselves then ask over the socket of the state directory."""
        self.listen = address
        self.socket_path = self.state_dir / "api.sock"
        self.rest.http.close()
        self.rest = Rest(self.socket_path)

    def configure(self, content: Mapping[str, Any] | str) -> None:
        """Write the configuration file."""
        self.config_path.write_text(content if isinstance(content, str) else yaml.safe_dump(dict(content)))

    def argv(self, *options: str, listen: str | None = None) -> list[str]:
        """The command line of the daemon, wherever it runs."""
        return [
            *("env", self.mark, sys.executable, "-m", "bgpsvc", "serve"),
            *(() if self.stored else ("--config", str(self.config_path))),
            *("--state-dir", str(self.state_dir)),
            *("--listen", listen or self.listen or f"unix:{self.socket_path}", *self.options, *options),
        ]

    def spawn(self, argv: Sequence[str], cwd: Path = REPOSITORY, **popen: Any) -> subprocess.Popen[bytes]:
        """Start a process that ends with the site; its output goes to the log."""
        with self.log_path.open("ab") as log:
            child = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **popen)
        self._children.append(child)
        return child

    def start(self, *options: str, cwd: Path = REPOSITORY) -> None:
        """Run the daemon in the gateway's namespace until REST answers; what is installed at `cwd`."""
        self.daemon = self.spawn(self.gateway.command(*self.argv(*options)), cwd)
        self.until_alive()

    def until_alive(self) -> None:
        """Until REST answers; AssertionError with the daemon's output if it ended."""

        def alive() -> bool:
            assert self.daemon is not None
            assert self.daemon.poll() is None, f"the daemon ended: {self.log()}"
            try:
                return self.rest.http.get("/healthz", timeout=1).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(alive, f"REST answers; the daemon said: {self.log()}", LONG)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Signal the daemon and wait for its end; the seconds that took."""
        assert self.daemon is not None
        began = time.monotonic()
        self.daemon.send_signal(number)
        self.daemon.wait(30)
        return time.monotonic() - began

    def reload(self, content: Mapping[str, Any] | str) -> dict[str, Any]:
        """Write a configuration, SIGHUP; the event that tells what came of it."""
        seen = len(self.rest.events("config.reloaded", "config.rejected"))
        self.configure(content)
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGHUP)

        def told() -> list[dict[str, Any]]:
            return self.rest.events("config.reloaded", "config.rejected")[seen:]

        wait_until(told, f"the reload is told; the daemon said: {self.log()}", LONG)
        return told()[0]

    def log(self) -> str:
        """The end of the daemon's output."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-30:])

    def processes(self) -> dict[int, str]:
        """Living processes that descend from a command of this site: pid to command line."""
        return marked(self.mark)

    def pids(self, word: str) -> list[int]:
        """Those of them whose command line contains a word (`launcher`: speakers, `relay`: helpers)."""
        return sorted(pid for pid, command in self.processes().items() if word in command)

    # Peers ------------------------------------------------------------------------------------

    def peer(self, number: int, **options: Any) -> BgpPeer:
        """A peer at the far end of a tunnel; a context manager."""
        defaults: dict[str, Any] = {
            "local": f"169.254.{number}0.2",
            "remote": f"169.254.{number}0.1",
            "asn": PEER_ASN,
            "router_id": f"10.9.9.{number}",
            "families": ("ipv4", "ipv6"),
            "netns": self.far.path,
        }
        return BgpPeer(PeerConfig(**(defaults | options)))

    def until_session(self, number: int, state: str = "established", connection: str = "conn1") -> None:
        """Until REST shows the session of a tunnel in a state."""
        wait_until(
            lambda: self.rest.session(number, connection)["state"] == state,
            f"session {number} is {state}",
            LONG,
        )

    # The kernel -------------------------------------------------------------------------------

    def kernel_routes(self, metric: int = 100, version: int = 4) -> set[str]:
        """Prefixes in the VPC's table with our protocol number and a metric."""
        found = self.gateway.run(
            *("ip", f"-{version}", "route", "show", "table", str(TABLE), "proto", "201"), check=False
        )
        return {line.split()[0] for line in found.splitlines() if f" metric {metric} " in f"{line} "}

    def nexthops(self) -> dict[int, str]:
        """Nexthops and groups with our protocol number: id to what `ip` prints."""
        lines = self.gateway.run("ip", "nexthop", "show", "proto", "201").splitlines()
        return {int(line.split()[1]): line for line in lines}

    def until_routes(
        self,
        wanted: Iterable[str],
        *,
        backups: bool = False,
        version: int = 4,
        seconds: float = LONG,
    ) -> None:
        """Until the table holds just these prefixes: as primary routes, and if so wanted as backups too."""
        expected = set(wanted)

        def same() -> bool:
            metrics = (100, 200) if backups else (100,)
            return all(self.kernel_routes(metric, version) == expected for metric in metrics)

        wait_until(same, f"{len(expected)} prefixes in the kernel, and no others", seconds)


def table_of(number: int, announced: Iterable[str], **attributes: Any) -> bytes:
    """UPDATEs of the peer of a tunnel for IPv4 prefixes, without End-of-RIB."""
    defaults: dict[str, Any] = {"as_path": (PEER_ASN,), "next_hop": f"169.254.{number}0.2"}
    return wire.packed_updates(wire.attributes(**(defaults | attributes)), announced)


def table6_of(number: int, announced: Sequence[str]) -> bytes:
    """UPDATEs for IPv6 prefixes, 100 in each."""
    out = b""
    for start in range(0, len(announced), 100):
        reach = wire.mp_reach(f"fd00:{number}0::2", announced[start : start + 100])
        out += wire.update(wire.attributes(as_path=(PEER_ASN,), extra=reach))
    return out


END = wire.end_of_rib("ipv4") + wire.end_of_rib("ipv6")


@contextmanager
def running(content: Mapping[str, Any] | None = None) -> Iterator[Site]:
    """A site with the daemon running."""
    with Site() as site:
        site.configure(content if content is not None else CONFIGURATION)
        site.start()
        yield site


class NetlinkMonitor:
    """Notifications since it was made: of nexthops, and of routes of table or protocol 201.

    Other routes the kernel makes by itself, IPv6 ones of an interface some time after it came up.
    """

    GROUPS = (7, 11, 32)
    """RTNLGRP_IPV4_ROUTE, IPV6_ROUTE, NEXTHOP."""
    NAMES: Mapping[int, str] = {24: "newroute", 25: "delroute", 104: "newnexthop", 105: "delnexthop"}

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((0, 0))
        for group in self.GROUPS:
            self._socket.setsockopt(270, 1, group)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
        self._socket.setblocking(False)

    def read(self) -> list[tuple[str, int]]:
        """What came since the last call, by name; the id of nexthops, 0 for routes.

        OSError (ENOBUFS) if something was lost.
        """
        seen: list[tuple[str, int]] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return seen
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind > 100:
                    # NHA_ID is the first attribute behind the two headers.
                    seen.append((self.NAMES[kind], struct.unpack_from("=I", data, 28)[0]))
                elif 201 in data[20:22]:  # table, protocol
                    seen.append((self.NAMES[kind], 0))
                data = data[(length + 3) & ~3 :]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Pings:
    """ICMP echo requests from the host every `interval` seconds, one by one to each of some addresses."""

    def __init__(
        self, site: Site, addresses: Sequence[str] = ("192.168.0.10",), interval: float = 0.005
    ) -> None:
        self._addresses = addresses
        self._interval = interval
        self._ident = os.getpid() & 0xFFFF
        with site.host.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self.sent = 0
        self.answered: set[int] = set()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def __enter__(self) -> Pings:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            body = struct.pack("!BBHHH", 8, 0, 0, self._ident, self.sent & 0xFFFF)
            total = sum(struct.unpack("!4H", body))
            checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            packet = body[:2] + struct.pack("!H", checksum) + body[4:]
            address = self._addresses[self.sent % len(self._addresses)]
            self.sent += 1
            # Without a route the host's own kernel refuses: that is a lost packet too.
            with contextlib.suppress(OSError):
                self._socket.sendto(packet, (address, 0))
            due = max(due + self._interval, time.monotonic() - 1)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        # An answer may be on its way for a while: who passes it on shares the processors with others.
        heard = time.monotonic()
        while (sending := self._threads[0].is_alive()) or (self.lost and time.monotonic() < heard + 1):
            try:
                data = self._socket.recv(2048)
            except TimeoutError:
                heard = time.monotonic() if sending else heard
                continue
            heard = time.monotonic()
            kind, _, _, ident, number = struct.unpack_from("!BBHHH", data, (data[0] & 15) * 4)
            if kind == 0 and ident == self._ident:
                self.answered.add(number)

    @property
    def lost(self) -> int:
        """Requests without an answer; final after the `with` block."""
        return self.sent - len(self.answered)


def answered(site: Site, address: str) -> bool:
    """True if one ping of the host is answered."""
    words = ("ping", "-6" if ":" in address else "-4", "-c", "1", "-W", "1", address)
    return subprocess.run(site.host.command(*words), capture_output=True, check=False).returncode == 0


def tunnel_of(site: Site, address: str) -> str | None:
    """The tunnel (`t1` or `t2`) over which a ping of the host arrives at the far end, None if none."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    ether_type, destination = (0x86DD, slice(24, 40)) if ":" in address else (0x0800, slice(16, 20))
    taps: dict[str, socket.socket] = {}
    with site.far.entered():
        for name in ("t1", "t2"):
            # SOCK_DGRAM: without the link-layer header, so offsets are those of the IP header.
            taps[name] = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ether_type))
            taps[name].bind((name, ether_type))
            taps[name].setblocking(False)
    try:
        answered(site, address)
        return next((name for name, tap in taps.items() if _arrived(tap, packed, destination)), None)
    finally:
        for tap in taps.values():
            tap.close()


def _arrived(tap: socket.socket, address: bytes, destination: slice) -> bool:
    while True:
        try:
            if tap.recv(2048)[destination] == address:
                return True
        except BlockingIOError:
            return False
