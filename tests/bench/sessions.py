"""1,000 sessions on one node: time until all are Established, processor time when idle, memory.

    device ── 1,000 veth pairs ── far: BIRD with 1,000 passive sessions

500 connections of two tunnels each, every tunnel with an interface of its own. The far end waits for
connections, so the pace is the measured daemon's. Each pair of sessions announces the same 16 networks. The
clock starts when the daemon is started, and stops when the far BIRD logs the last session as established (its
own time stamps, in microseconds). Then, when the daemon has become quiet, its processes' user and system time
is read from /proc, and again `idle` seconds later: keepalives every 30 s on every session are what is left to
do.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

from tests.bench.bed import device, namespaces
from tests.bench.configurations import HOLD_TIME, LOCAL_ASN, PEER_ASN, Neighbor, Setup, neighbors
from tests.bench.devices import DEVICES, Bird, Device
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import Namespace, wait_for
from tests.bench.networks import IPV4
from tests.bench.usage import usage

Sample = dict[str, float]
NETWORKS = 16
_ESTABLISHED = re.compile(r"^(\S+ \S+) <TRACE> (\w+): BGP session established$", re.MULTILINE)
_DOWN = re.compile(r"^(\S+ \S+) <TRACE> (\w+): BGP session closed$", re.MULTILINE)


def far_configuration(sessions: tuple[Neighbor, ...]) -> str:
    """bird.conf of the far end: a table for each pair, announced on both its sessions."""
    lines = ["router id 198.51.100.99;", "timeformat log iso long us;", "protocol device { }"]
    lines.append("debug protocols { events };")
    for pair in sorted({each.pair for each in sessions}):
        routes = " ".join(
            f"route {IPV4.text((pair - 1) * NETWORKS + index)} blackhole;" for index in range(NETWORKS)
        )
        lines += [
            f"ipv4 table c{pair};",
            f"protocol static s{pair} {{ ipv4 {{ table c{pair}; }}; {routes} }}",
        ]
    lines += [
        f"protocol bgp {each.name} {{ local {each.peer} as {PEER_ASN}; neighbor {each.local} as {LOCAL_ASN}; "
        f"direct; passive; hold time {HOLD_TIME}; "
        f"ipv4 {{ table c{each.pair}; import none; export all; next hop self; }}; }}"
        for each in sessions
    ]
    return "\n".join(lines) + "\n"


class Far(Bird):
    """The far end of all sessions."""

    name = "far end"

    def start(self) -> None:
        """Starts it and returns when it answers."""
        config = self.directory / "bird.conf"
        config.write_text(far_configuration(self.setup.neighbors))
        self.log_file = self.directory / "sessions.log"
        with config.open("a") as out:
            out.write(f'log "{self.log_file}" all;\n')
        control = self.directory / "bird.ctl"
        self.spawn("bird", "-f", "-c", str(config), "-s", str(control))
        wait_for(control.exists, "the far end answers", 30)

    def established(self) -> dict[str, float]:
        """Sessions that are up: when each came up last, seconds since the epoch."""
        return read_log(self.log_file)


def read_log(path: Path) -> dict[str, float]:
    """What BIRD's log tells: name of each session that is up to when it came up, seconds since the epoch."""
    text = path.read_text(errors="replace") if path.exists() else ""
    closed = {name: _seconds(stamp) for stamp, name in _DOWN.findall(text)}
    up = {name: _seconds(stamp) for stamp, name in _ESTABLISHED.findall(text)}
    return {name: at for name, at in up.items() if at > closed.get(name, 0.0)}


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def cables(near: Namespace, far: Namespace, sessions: tuple[Neighbor, ...]) -> None:
    """All the tunnels' interfaces, in a few commands: IPv4 alone, so that nothing chatters on them.

    The other end's link-layer address is written down: the kernel learns 1024 by default
    (net.ipv4.neigh.default.gc_thresh3), of all namespaces together, and both ends are on this machine.
    """
    for namespace in (near, far):
        namespace.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
    made: list[str] = []
    ends: tuple[list[str], list[str]] = ([], [])
    for number, each in enumerate(sessions):
        here, there = (f"02:00:0{end}:00:{number >> 8:02x}:{number & 255:02x}" for end in (1, 2))
        made.append(
            # Different indexes at both ends, see tests/netns/namespaces.py.
            f"link add {each.link} index {10_000 + number} address {here} "
            f"type veth peer name {each.link} address {there} netns {far.path}"
        )
        sides = ((each.local, each.peer, there), (each.peer, each.local, here))
        for lines, (own, other, at) in zip(ends, sides, strict=True):
            lines += [
                f"addr add {own}/30 dev {each.link}",
                f"link set {each.link} up",
                f"neigh replace {other} lladdr {at} dev {each.link} nud permanent",
            ]
    near.ip_batch(made)
    for namespace, lines in zip((near, far), ends, strict=True):
        namespace.ip_batch(lines)


def measure(name: str, *, count: int, idle: float, deadline: float = 300) -> Sample:
    """So many sessions (an even number) of one daemon.

    established_seconds: since the daemon's start; first_seconds: the first session; installed_seconds: all
    that was announced is in the kernel. idle_cpu: share of one processor of all its processes over `idle`
    seconds. Both it and `resident` (bytes) also by part of the daemon, as `idle_cpu speakers`.
    """
    sessions = neighbors(count // 2)
    with namespaces(2) as (dut, away):
        cables(dut, away, sessions)
        setup = Setup(sessions)
        networks = count // 2 * NETWORKS
        monitor = RouteMonitor(dut, IPV4, networks)
        with device(Far, away, setup) as far, device(DEVICES[name], dut, setup) as measured:
            far.start()
            began, began_monotonic = time.time(), time.monotonic()
            measured.start()
            times = _until_all(far, measured, count, deadline)
            used_until_established = measured.usage().cpu_seconds
            installed = monitor.wait(deadline) - began_monotonic
            measured.wait_steady(120, min(5.0, idle))
            shares = measured.shares(idle)
            lost = count - len(far.established())
            if lost or monitor.missing():
                raise TimeoutError(f"{lost} sessions were lost, {monitor.missing()} networks are missing")
            found = measured.usage()
            parts = {part: usage(pids).resident for part, pids in measured.by_part().items()}
        monitor.close()
    return {
        "established_seconds": max(times) - began,
        "first_seconds": min(times) - began,
        "established_cpu_seconds": used_until_established,
        "installed_seconds": installed,
        "idle_cpu": sum(shares.values()),
        "resident": found.resident,
        "proportional": found.proportional,
        **{f"idle_cpu {part}": share for part, share in shares.items()},
        **{f"resident {part}": resident for part, resident in parts.items()},
    }


def _until_all(far: Far, measured: Device, count: int, deadline: float) -> list[float]:
    """When each session came up; waits until all have."""

    def complete() -> bool:
        measured.check()
        return len(far.established()) >= count

    try:
        wait_for(complete, f"{count} sessions", deadline, 0.25)
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {len(far.established())} are up") from error
    return list(far.established().values())
