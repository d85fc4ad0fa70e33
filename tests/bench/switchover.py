"""How long packets are lost when tunnel 1 dies: this service, BIRD and FRR, at any number of prefixes.

    host ── device ══ tunnel 1, tunnel 2 ══ middle: a bridge for each ══ far

The device has learned all N networks over both tunnels and prefers the first. A host sends one packet every
2 ms to each of 64 sampled networks. Then tunnel 1 dies, in one of three ways:

- `silent`: the middle takes the device's port out of its bridge. Packets vanish in both directions, and no
  interface of the device changes. BFD runs on both tunnels (50 ms x 3; the far end is a BIRD of its own).
- `closed`: the far end ends the BGP session with a NOTIFICATION. The tunnel itself still forwards.
- `link`: the middle takes its port down, so the device's interface loses its carrier.

The outage of a sampled network runs from its last packet over tunnel 1 (`closed`: from the NOTIFICATION) to
its first over tunnel 2, both by the kernel's time stamps at the far ends; the resolution is the 2 ms between
packets. No daemon is asked about itself. Of `silent`, detection's share is told too: from the last packet
over tunnel 1 to the device's first BFD packet with State Down, as a capture on its interface sees it leave.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Sequence

from tests.bench.bed import device, feeders, namespaces, until_established, until_installed, until_sent
from tests.bench.bfd import DownWatch, Responder
from tests.bench.configurations import Neighbor, Setup, neighbors
from tests.bench.devices import DEVICES
from tests.bench.feeder import Feeder
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import Namespace, wait_for
from tests.bench.networks import IPV4
from tests.bench.probes import Capture, Seen, Sender

SAMPLED = 64
INTERVAL = 0.002
WAYS = ("silent", "closed", "link")
Sample = dict[str, float]


def addresses(count: int) -> list[str]:
    """One address in each of 64 networks, evenly spread over the first `count`; of all if there are fewer."""
    step = max(1, count // SAMPLED)
    packed = (IPV4.address(index) for index in range(0, count, step))
    return [socket.inet_ntoa(address[:3] + b"\x01") for address in packed][:SAMPLED]


def port(each: Neighbor) -> str:
    """The middle's interface towards the device."""
    return f"near{each.tunnel}"


def cables(
    host: Namespace, dut: Namespace, middle: Namespace, far: Namespace, pair: Sequence[Neighbor]
) -> None:
    """All links and addresses."""
    middle.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
    host.veth("lan", dut, "lan", ("10.0.0.10/16",))
    dut.ip("address add 10.0.0.1/16 dev lan")
    host.ip("route add default via 10.0.0.1")
    for each in pair:
        bridge = f"bridge{each.tunnel}"
        middle.ip(f"link add {bridge} type bridge")
        middle.ip(f"link set {bridge} up")
        dut.veth(each.link, middle, port(each), (f"{each.local}/30",))
        far.veth(each.link, middle, f"far{each.tunnel}", (f"{each.peer}/30",))
        for name in (port(each), f"far{each.tunnel}"):
            middle.ip(f"link set {name} master {bridge}")
    dut.sysctl("net/ipv4/ip_forward", 1)
    far.sysctl("net/ipv4/conf/all/rp_filter", 0)


def measure(name: str, *, count: int, way: str, deadline: float = 400) -> Sample:
    """One death of tunnel 1: seconds; `detection` only of `silent`."""
    pair = neighbors(1)
    setup = Setup(pair, bfd=way == "silent")
    with namespaces(4) as (host, dut, middle, far):
        cables(host, dut, middle, far, pair)
        monitor = RouteMonitor(dut, IPV4, count)
        with (
            device(Responder, far, setup) as responder,
            device(DEVICES[name], dut, setup) as measured,
            feeders(far, pair, IPV4, count, 270, hold=True, again=True) as fed,
        ):
            if setup.bfd:
                responder.start()
            measured.start()
            until_established(measured, fed)
            if setup.bfd:
                # FRR begins its BGP session anew when BFD's comes up.
                wait_for(responder.up, "the BFD sessions are up", 60, 0.2)
            measured.wait_idle(60, 0.3, 2.0)
            until_established(measured, fed)
            for feeder in fed:
                feeder.release.set()
            until_installed(measured, fed, monitor, deadline)
            until_sent(measured, fed, deadline)
            measured.wait_idle(deadline, 0.3, 2.0)
            until_sent(measured, fed, deadline)
            monitor.close()
            captures = [Capture(far.socket, each.link) for each in pair]
            watch = DownWatch(dut, pair[0].link)
            try:
                with Sender(host.socket, addresses(count), INTERVAL):
                    before = _settle(captures, len(addresses(count)), deadline)
                    watch.read()
                    _kill(way, middle, pair[0], fed[0])
                    first, second = _until_moved(captures, addresses(count), deadline)
                first.probes[:0] = before
                return summary(way, addresses(count), first, second, watch.read())
            finally:
                watch.close()
                for capture in captures:
                    capture.close()


def _kill(way: str, middle: Namespace, first: Neighbor, feeder: Feeder) -> None:
    """Tunnel 1 dies."""
    if way == "silent":
        middle.ip(f"link set {port(first)} nomaster")
    elif way == "link":
        middle.ip(f"link set {port(first)} down")
    else:
        feeder.end_session()


def _settle(captures: list[Capture], sampled: int, deadline: float) -> list[tuple[float, bytes]]:
    """Until for a second all sampled networks were on tunnel 1 and none on tunnel 2; what was seen last."""
    first, second = captures
    quiet_since = time.monotonic()
    until = quiet_since + deadline
    while True:
        time.sleep(0.1)
        probes = first.read().probes
        if second.read().probes or len({address for _, address in probes}) < sampled:
            quiet_since = time.monotonic()
        if time.monotonic() - quiet_since >= 1:
            return probes
        if time.monotonic() > until:
            raise TimeoutError("the sampled networks were not all on tunnel 1")


def _until_moved(captures: list[Capture], sampled: Sequence[str], deadline: float) -> tuple[Seen, Seen]:
    """Until a packet to each sampled network came over tunnel 2; what both carried since the last look."""
    wanted = {socket.inet_aton(address) for address in sampled}
    probes: list[tuple[float, bytes]] = []
    until = time.monotonic() + deadline
    while wanted:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(wanted)} sampled networks did not move")
        time.sleep(0.05)
        read = captures[1].read().probes
        probes += read
        wanted -= {address for _, address in read}
    return captures[0].read(), Seen(probes, None)


def summary(way: str, sampled: Sequence[str], first: Seen, second: Seen, down: float | None) -> Sample:
    """The longest, median and shortest outage in seconds, and what detection took of it.

    ValueError if a network's packets did not go from the first tunnel to the second once.
    """
    outages = []
    last = {address: at for at, address in first.probes}
    arrival = {address: at for at, address in reversed(second.probes)}
    for text in sampled:
        address = socket.inet_aton(text)
        lost = first.ended if way == "closed" else last.get(address)
        moved = arrival.get(address)
        if lost is None or moved is None:
            raise ValueError(
                f"{text}: nothing was seen of it on one of the tunnels, or no end of the session"
            )
        if moved < lost:
            raise ValueError(f"{text}: it was on tunnel 2 before tunnel 1 died")
        outages.append(moved - lost)
    made = {"longest": max(outages), "median": statistics.median(outages), "shortest": min(outages)}
    if way == "silent":
        # A daemon may have moved traffic before it told the peer.
        detected = made["shortest"] if down is None else down - max(last.values())
        made["detection"] = min(made["shortest"], detected)
    return made
