"""The measured: BIRD and FRR started by hand, this service, and the kernel alone as the limit.

Each starts inside a namespace that already has the link to the feeder, with a configuration that does one
thing: one eBGP session to the feeder, everything it sends into the kernel.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from tests.bench.namespace import Namespace

LINK = "t1"
LOCAL, PEER, LENGTH = "169.254.10.1", "169.254.10.2", 30
LOCAL_ASN, PEER_ASN = 65530, 65500


class Device(Protocol):
    """Something that takes routes from the feeder and puts them into the kernel of its namespace."""

    name: str

    def start(self, namespace: Namespace, directory: Path) -> None:
        """Starts it; `directory` is private and empty. Returns before the session is up."""

    def log(self) -> str:
        """The end of what it wrote, for a message about a failure."""

    def stop(self) -> None:
        """Ends its processes."""


class Daemons:
    """The processes of one device, their log and their memory."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.path: Path | None = None

    def spawn(self, namespace: Namespace, directory: Path, *words: str) -> None:
        """Starts a process inside, its output in `directory`/output."""
        self.path = directory / "output"
        self.processes.append(namespace.popen(words, self.path, directory))

    def log(self) -> str:
        """The last lines of all output."""
        if self.path is None or not self.path.exists():
            return "(no output)"
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-20:])

    def resident_megabytes(self) -> float:
        """Resident memory of the processes and all their descendants."""
        return sum(_resident(pid) for process in self.processes for pid in _tree(process.pid)) / 1e6

    def stop(self) -> None:
        """SIGTERM, and after 10 s SIGKILL, in the order started last first."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


def _tree(pid: int) -> list[int]:
    """A process and its descendants; those that ended meanwhile are left out."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _resident(pid: int) -> int:
    """Resident memory in bytes, 0 if the process ended meanwhile."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Bird(Daemons):
    """BIRD 2 with a kernel protocol that exports everything."""

    name = "bird"

    def start(self, namespace: Namespace, directory: Path) -> None:
        config = directory / "bird.conf"
        config.write_text(f"""\
router id {LOCAL};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol bgp feeder {{
  local {LOCAL} as {LOCAL_ASN};
  neighbor {PEER} as {PEER_ASN};
  direct;
  connect delay time 1;
  connect retry time 1;
  ipv4 {{ import all; export none; }};
}}
""")
        control = directory / "bird.ctl"
        self.spawn(namespace, directory, "bird", "-f", "-c", str(config), "-s", str(control))


class Frr(Daemons):
    """FRR's zebra and bgpd, each with its own file; they drop to the user frr, which owns their directory."""

    name = "frr"

    def start(self, namespace: Namespace, directory: Path) -> None:
        shutil.chown(directory, "frr", "frr")
        (directory / "zebra.conf").write_text(f"hostname dut\nrouter-id {LOCAL}\n")
        (directory / "bgpd.conf").write_text(f"""\
router bgp {LOCAL_ASN}
 bgp router-id {LOCAL}
 no bgp ebgp-requires-policy
 neighbor {PEER} remote-as {PEER_ASN}
 neighbor {PEER} timers connect 1
 address-family ipv4 unicast
  neighbor {PEER} activate
 exit-address-family
""")
        socket_path = directory / "zserv.api"
        for daemon in ("zebra", "bgpd"):
            self.spawn(
                namespace,
                directory,
                f"/usr/lib/frr/{daemon}",
                *("-f", str(directory / f"{daemon}.conf"), "-i", str(directory / f"{daemon}.pid")),
                *("-z", str(socket_path), "--vty_socket", str(directory), "-P", "0"),
                *("--log", "stdout", "--log-level", "warnings"),
            )
            deadline = time.monotonic() + 10
            while not socket_path.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"zebra made no socket: {self.log()}")
                time.sleep(0.05)


class Bgpsvc(Daemons):
    """This service as an operator runs it: `bgpsvc serve`, one connection, no peer on its tunnel 2."""

    name = "bgpsvc"

    def start(self, namespace: Namespace, directory: Path) -> None:
        config = directory / "config.yaml"
        config.write_text(f"""\
vpcs:
  - {{name: vpc1, cidrs: [10.0.0.0/16]}}
vpn_gateways:
  - {{name: gw1, vpc: vpc1, addresses: [198.51.100.1, 198.51.100.3], auto_propagate: true}}
customer_gateways:
  - {{name: peer1, address: 198.51.100.2, asn: {PEER_ASN}}}
  - {{name: peer2, address: 198.51.100.4, asn: {PEER_ASN}}}
vpn_connections:
  - name: conn1
    vpn_gateway: gw1
    enable_bgp: true
    local_asn: {LOCAL_ASN}
    tunnels:
      - customer_gateway: peer1
        interface: {LINK}
        bgp: {{tunnel_cidr: 169.254.10.0/30, local_ip: {LOCAL}, hold_time: 90}}
      - customer_gateway: peer2
        interface: t2
        bgp: {{tunnel_cidr: 169.254.20.0/30, local_ip: 169.254.20.1, hold_time: 90}}
""")
        namespace.run("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0")
        namespace.run("ip", "link", "add", "t2", "type", "veth", "peer", "name", "t2-peer")
        namespace.run("ip", "address", "add", "169.254.20.1/30", "dev", "t2")
        namespace.run("ip", "link", "set", "t2", "up")
        namespace.run("ip", "link", "set", "t2-peer", "up")
        program = Path(sys.executable).with_name("bgpsvc")
        listen = f"unix:{directory / 'api.sock'}"
        self.spawn(
            namespace,
            directory,
            *(str(program), "serve", "--config", str(config)),
            *("--state-dir", str(directory / "state"), "--listen", listen),
        )


RTM_NEWROUTE, RTM_NEWNEXTHOP = 24, 104
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 0x1, 0x4, 0x400
RTA_DST, RTA_NH_ID = 1, 30
NHA_ID, NHA_OIF, NHA_GATEWAY = 1, 5, 6
ROUTES_PER_SEND = 500


def install_in_kernel(namespace: Namespace, wanted: list[bytes]) -> float:
    """Installs the networks over one nexthop object with raw batched netlink: as fast as the kernel can.

    Messages are encoded beforehand. Returns the monotonic time at which the first was sent.
    """
    index = int(namespace.run("ip", "-o", "link", "show", LINK).split(":", 1)[0])
    with namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        nexthop = struct.pack("=BBBBI", socket.AF_INET, 0, 186, 0, 0)
        nexthop += struct.pack("=HHI", 8, NHA_ID, 1) + struct.pack("=HHI", 8, NHA_OIF, index)
        nexthop += struct.pack("=HH4s", 8, NHA_GATEWAY, socket.inet_aton(PEER))
        _request(netlink, [_message(RTM_NEWNEXTHOP, nexthop)])
        route = struct.pack("=BBBBBBBBI", socket.AF_INET, 24, 0, 0, 254, 186, 0, 1, 0)
        messages = [
            route + struct.pack("=HH4sHHI", 8, RTA_DST, network, 8, RTA_NH_ID, 1) for network in wanted
        ]
        encoded = [_message(RTM_NEWROUTE, body) for body in messages]
        started = time.monotonic()
        for start in range(0, len(encoded), ROUTES_PER_SEND):
            _request(netlink, encoded[start : start + ROUTES_PER_SEND])
        return started


def _message(kind: int, body: bytes) -> bytes:
    """A netlink message without the ACK flag and without a sequence number."""
    return struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_CREATE, 1, 0) + body


def _request(netlink: socket.socket, messages: list[bytes]) -> None:
    """Sends messages in one datagram, waits for the ACK of the last; OSError if the kernel refuses one."""
    last = messages[-1]
    flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK
    netlink.send(b"".join(messages[:-1]) + last[:6] + struct.pack("=H", flags) + last[8:])
    error = -struct.unpack_from("=i", netlink.recv(65536), 16)[0]
    if error:
        raise OSError(error, os.strerror(error))
