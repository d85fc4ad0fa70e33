"""How long until N prefixes have moved to the other tunnel: this service, BIRD and FRR side by side.

    python -m tests.bench.switchover --prefixes 1k,10k,100k --repeat 3

How it is measured. A host sends one packet each millisecond to each of 64 prefixes through the measured
daemon, which has learned all N over two tunnels and prefers the first. Then the peer ends the first
session with a NOTIFICATION. The clock starts when that packet leaves the peer, and stops, for each sampled
prefix, when its first packet arrives over the second tunnel. Both are the kernel's time stamps at the far
ends; no daemon is asked about itself. How a dead tunnel is detected is another question, and not in these
times.

Needs root (namespaces), BIRD 2 and FRR. It is no test: it asserts no time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import devices
from tests.bench.devices import LOCAL_ASN, PEER_ASN, Device
from tests.bench.load import parse_count
from tests.bench.namespace import Namespace, connect, wait_for
from tests.bench.probes import Capture, Seen, Sender, moved, sample
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer, PeerConfig

SAMPLED = 64
INTERVAL = 0.001
LOCAL_ADDRESSES = {1: "169.254.10.1", 2: "169.254.20.1"}
PEER_ADDRESSES = {1: "169.254.10.2", 2: "169.254.20.2"}
HOLD_TIME = 90
DEADLINE = 120


class Bird(devices.Bird):
    """BIRD 2; prefers the first tunnel by local preference."""

    def start(self, namespace: Namespace, directory: Path) -> None:
        """Starts it with both sessions; `directory` is private and empty."""
        sessions = "".join(
            f"""\
protocol bgp tunnel{number} {{
  local {LOCAL_ADDRESSES[number]} as {LOCAL_ASN};
  neighbor {PEER_ADDRESSES[number]} as {PEER_ASN};
  direct;
  connect delay time 1;
  connect retry time 1;
  ipv4 {{ import filter {{ bgp_local_pref = {300 - 100 * number}; accept; }}; export none; }};
}}
"""
            for number in (1, 2)
        )
        config = directory / "bird.conf"
        config.write_text(f"""\
router id {LOCAL_ADDRESSES[1]};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
{sessions}""")
        self.spawn(namespace, directory, "bird", "-f", "-c", str(config), "-s", str(directory / "bird.ctl"))


class Frr(devices.Frr):
    """FRR; prefers the first tunnel by weight."""

    def start(self, namespace: Namespace, directory: Path) -> None:
        """Starts it with one session and adds the second before any peer listens."""
        super().start(namespace, directory)
        wait_for((directory / "bgpd.vty").exists, "bgpd's socket", 10)
        second = PEER_ADDRESSES[2]
        lines = (
            *("configure terminal", f"router bgp {LOCAL_ASN}", f"neighbor {second} remote-as {PEER_ASN}"),
            *(f"neighbor {second} timers connect 1", "address-family ipv4 unicast"),
            *(f"neighbor {second} activate", f"neighbor {PEER_ADDRESSES[1]} weight 200"),
        )
        words = [word for line in lines for word in ("-c", line)]
        namespace.run("vtysh", "--vty_socket", str(directory), "-d", "bgpd", *words)


DEVICES: dict[str, Callable[[], Device]] = {
    "bird": Bird,
    "frr": Frr,
    "bgpsvc": devices.Bgpsvc,
}


def second_tunnel(device: Namespace, far: Namespace) -> None:
    """The second tunnel's cable; the device may have made its own, whose other end then moves."""
    if "t2-peer" not in device.run("ip", "-br", "link"):
        connect(device, far, "t2", (f"{LOCAL_ADDRESSES[2]}/30", f"{PEER_ADDRESSES[2]}/30"))
        return
    device.run("ip", "link", "set", "t2-peer", "netns", far.path, "name", "t2")
    far.run("ip", "address", "add", f"{PEER_ADDRESSES[2]}/30", "dev", "t2")
    far.run("ip", "link", "set", "t2", "up")


def peer(number: int, far: Namespace) -> BgpPeer:
    """The peer at the far end of a tunnel."""
    return BgpPeer(
        PeerConfig(
            local=PEER_ADDRESSES[number],
            remote=LOCAL_ADDRESSES[number],
            asn=PEER_ASN,
            router_id=f"10.9.9.{number}",
            hold_time=HOLD_TIME,
            netns=far.path,
        )
    )


def announcements(number: int, prefixes: list[str]) -> bytes:
    """The table as one peer announces it, with End-of-RIB."""
    attributes = wire.attributes(as_path=(PEER_ASN,), next_hop=PEER_ADDRESSES[number])
    return wire.packed_updates(attributes, prefixes) + wire.end_of_rib()


def measure(device: Device, count: int) -> list[float]:
    """Seconds until each sampled prefix has moved. TimeoutError if the device does not get so far."""
    dut, far, host = Namespace(), Namespace(), Namespace()
    prefixes = [f"{20 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24" for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="bgpsvc-bench-") as directory:
        try:
            connect(host, dut, "lan", ("10.0.0.10/16", "10.0.0.1/16"))
            host.run("ip", "route", "add", "default", "via", "10.0.0.1")
            connect(dut, far, "t1", (f"{LOCAL_ADDRESSES[1]}/30", f"{PEER_ADDRESSES[1]}/30"))
            dut.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            far.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
            if not isinstance(device, devices.Bgpsvc):
                second_tunnel(dut, far)
            device.start(dut, Path(directory))
            if isinstance(device, devices.Bgpsvc):
                second_tunnel(dut, far)
            with peer(1, far) as one, peer(2, far) as two:
                return _switch(host, far, one, two, prefixes)
        except (AssertionError, TimeoutError) as error:
            raise SystemExit(f"{error}\nThe end of its output:\n{device.log()}") from error
        finally:
            device.stop()
            for namespace in (dut, far, host):
                namespace.close()


def _switch(host: Namespace, far: Namespace, one: BgpPeer, two: BgpPeer, prefixes: list[str]) -> list[float]:
    for number, each in ((1, one), (2, two)):
        each.wait_established(timeout=60)
        each.send(announcements(number, prefixes))
    addresses = sample(prefixes, SAMPLED)
    first, second = Capture(far.socket, "t1"), Capture(far.socket, "t2")
    with Sender(host.socket, addresses, INTERVAL):
        # Settled: all are on the first tunnel, and nothing was on the second, for a second.
        quiet_since = time.monotonic()
        deadline = quiet_since + DEADLINE
        while time.monotonic() - quiet_since < 1:
            if time.monotonic() > deadline:
                raise TimeoutError("the table was not in the kernel in time")
            seen = {address for _, address in first.read().probes}
            if second.read().probes or len(seen) < len(addresses):
                quiet_since = time.monotonic()
            time.sleep(0.1)
        one.send(wire.notification(6, 2))
        arrived: set[bytes] = set()
        probes = []
        deadline = time.monotonic() + DEADLINE
        while len(arrived) < len(addresses):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(addresses) - len(arrived)} sampled prefixes did not move")
            time.sleep(0.1)
            probes += second.read().probes
            arrived |= {address for _, address in probes}
    result = moved(addresses, first.read(), Seen(probes, None))
    first.close()
    second.close()
    return result


def table(results: dict[int, dict[str, list[list[float]]]], repeat: int) -> str:
    """Medians over the repetitions, in milliseconds."""
    lines = [f"session end to traffic on the other tunnel, {SAMPLED} sampled prefixes, median of {repeat}"]
    lines.append(f"{'prefixes':>10}  {'':8}{'median ms':>11}{'longest ms':>12}")
    for count, by_name in results.items():
        for name, runs in by_name.items():
            middle = statistics.median(statistics.median(run) for run in runs) * 1000
            longest = statistics.median(max(run) for run in runs) * 1000
            lines.append(f"{count:>10,}  {name:8}{middle:11.1f}{longest:12.1f}")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.switchover", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--prefixes", default="1k,10k,100k", help="comma-separated, 1k = 1000 (default %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="measurements per cell (default %(default)s)")
    parser.add_argument("--only", default=",".join(DEVICES), help="comma-separated (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there too, in seconds")
    arguments = parser.parse_args()
    try:
        arguments.counts = [parse_count(text) for text in arguments.prefixes.split(",")]
    except (ValueError, argparse.ArgumentTypeError) as error:
        parser.error(f"--prefixes: {error}")
    arguments.names = arguments.only.split(",")
    unknown = set(arguments.names) - set(DEVICES)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is not one of {', '.join(DEVICES)}")
    return arguments


def main() -> int:
    """Runs the measurements in turn, so that what else the machine does hits all alike."""
    arguments = parse_arguments()
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    # So that a benchmark that is stopped stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results: dict[int, dict[str, list[list[float]]]] = {}
    for count in arguments.counts:
        by_name = results[count] = {name: [] for name in arguments.names}
        for number in range(arguments.repeat):
            for name, runs in by_name.items():
                runs.append(measure(DEVICES[name](), count))
                longest = max(runs[-1]) * 1000
                print(f"{count:,} {name} #{number + 1}: longest {longest:.1f} ms", file=sys.stderr)
    print(table(results, arguments.repeat))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"repeat": arguments.repeat, "samples": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
