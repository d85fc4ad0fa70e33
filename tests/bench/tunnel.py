"""What a tunnel costs: throughput and latency through it, beside the plain link below it and a VXLAN.

    python -m tests.bench.tunnel [--seconds 2] [--repeat 3] [--only plain,userspace] [--json result.json]

How it is measured. Two gateways, each a daemon of ours (`bgpsvc serve`) in a network namespace, are joined by
a third namespace that forwards, as a provider does. `plain` goes between their public addresses, `vxlan`
through a VXLAN between the same addresses, `userspace` through tunnel 1 of the VPN connection (IKEv2, aes256,
sha256; ESP by a charon of its own at either end). In a kernel that has ESP and XFRM interfaces, `xfrm` is
measured likewise. Everything runs on one machine: sender, receiver and both ends of the tunnel share its
processors, and the sender of small packets is a Python program, which is what limits `plain`.

For each link in turn, again and again: one TCP stream, several, a flood of UDP packets of 1400 and of 64
bytes (with their IP header; what arrives counts), and round trips of a small UDP packet. It is no test: it
asserts no time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import flows
from tests.e2e.service import REPOSITORY
from tests.e2e.vpn_gateway import FAR, NEAR, VpnGateway, configuration
from tests.netns.namespaces import Namespace, wait_until
from tests.netns.wan import Wan
from tests.vm.guest.charon import SystemCharon

STREAMS = 4
UDP_SIZES = (1400, 64)
LINKS = ("plain", "vxlan", "userspace", "xfrm")
_HEADERS = 28
"""IPv4 and UDP."""
_KEY = "k3y-of-the-benchmark"
_VXLAN = ("10.255.0.1", "10.255.0.2")

Sample = dict[str, float]


@dataclass(frozen=True, slots=True)
class Link:
    """A way from one namespace to an address of another."""

    near: Namespace
    far: Namespace
    address: str


def kernel_has_xfrm() -> bool:
    """Whether an XFRM interface can be made here."""
    words = ("link", "add", "try", "type", "xfrm", "dev", "lo", "if_id", "1")
    with Namespace() as place:
        return not subprocess.run(place.command("ip", *words), capture_output=True, check=False).returncode


@contextmanager
def links(names: list[str]) -> Iterator[dict[str, Link]]:
    """The links of these names, up."""
    with ExitStack() as stack:
        made: dict[str, Link] = {}
        near, far = _gateways(stack)
        if "plain" in names:
            made["plain"] = Link(near.namespace, far.namespace, FAR.public[0])
        if "vxlan" in names:
            made["vxlan"] = _vxlan(near, far)
        if "userspace" in names:
            made["userspace"] = _tunnel(near, far)
        if "xfrm" in names:
            near, far = _gateways(stack)
            for gateway in (near, far):
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bgpsvc-bench-")))
                charon = SystemCharon(gateway.namespace, directory)
                stack.callback(charon.stop)
                charon.start()
                gateway.driver = ["--ipsec", "xfrm", "--charon-socket", str(charon.socket)]
            made["xfrm"] = _tunnel(near, far)
        yield made


def _gateways(stack: ExitStack) -> tuple[VpnGateway, VpnGateway]:
    wan = stack.enter_context(Wan())
    return stack.enter_context(VpnGateway(wan, NEAR, FAR)), stack.enter_context(VpnGateway(wan, FAR, NEAR))


def _vxlan(near: VpnGateway, far: VpnGateway) -> Link:
    for gateway, other, address in zip((near, far), (FAR, NEAR), _VXLAN, strict=True):
        ends = f"local {gateway.side.public[0]} remote {other.public[0]}"
        gateway.namespace.ip(f"link add vxlan0 type vxlan id 1 dev wan1 {ends} dstport 4789 nolearning")
        gateway.namespace.ip(f"address add {address}/30 dev vxlan0")
        gateway.namespace.ip("link set vxlan0 up")
    return Link(near.namespace, far.namespace, _VXLAN[1])


def _tunnel(near: VpnGateway, far: VpnGateway) -> Link:
    settings = {"ike": {"pre_shared_key": _KEY}}
    for gateway, other in ((near, FAR), (far, NEAR)):
        gateway.start(configuration(gateway.side, other, settings, settings))
    for gateway in (near, far):
        gateway.until_up(1)
    return Link(near.namespace, far.namespace, FAR.inside[0])


def sample(link: Link, seconds: float) -> Sample:
    """One measurement of everything: bits and packets per second, seconds."""
    with _sink(link):
        made: Sample = {
            "tcp": _flow(link, "tcp", 1, seconds),
            "tcp_streams": _flow(link, "tcp", STREAMS, seconds),
        }
        for size in UDP_SIZES:
            made[f"udp_{size}"] = _flow(link, "udp", size - _HEADERS, seconds)
        made["median"], made["p99"] = _flow(link, "latency", max(100, int(500 * seconds)))
    return made


@contextmanager
def _sink(link: Link) -> Iterator[None]:
    process = subprocess.Popen(
        link.far.command(sys.executable, "-m", flows.__name__, "sink", link.address), cwd=REPOSITORY
    )
    try:
        wait_until(lambda: f":{flows.TCP_PORT} " in link.far.run("ss", "-Hltn"), "the receiver listens", 30)
        yield
    finally:
        process.kill()
        process.wait()


def _flow(link: Link, kind: str, *options: float) -> Any:
    words = (sys.executable, "-m", flows.__name__, kind, link.address, *map(str, options))
    done = subprocess.run(
        link.near.command(*words), cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{kind} to {link.address} failed: {done.stderr}")
    return json.loads(done.stdout)


def table(results: dict[str, list[Sample]]) -> str:
    """Medians over the repetitions."""
    repeat = max(map(len, results.values()))
    lines = [
        f"through a link, medians of {repeat}; {os.cpu_count()} processors for both ends and the traffic"
    ]
    rates = "".join(f"{f'UDP {size} B':>14}" for size in UDP_SIZES)
    lines.append(f"{'link':12}{'TCP':>12}{f'TCP x{STREAMS}':>12}{rates}{'median':>11}{'p99':>11}")
    lines.append(f"{'':12}{'Mbit/s':>12}{'Mbit/s':>12}{'packets/s':>14}{'packets/s':>14}{'ms':>11}{'ms':>11}")
    for name, samples in results.items():
        middle = {key: statistics.median(one[key] for one in samples) for key in samples[0]}
        line = f"{name:12}{middle['tcp'] / 1e6:12,.0f}{middle['tcp_streams'] / 1e6:12,.0f}"
        line += "".join(f"{middle[f'udp_{size}']:14,.0f}" for size in UDP_SIZES)
        lines.append(line + f"{middle['median'] * 1e3:11.3f}{middle['p99'] * 1e3:11.3f}")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tunnel", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each flow (default %(default)g)")
    parser.add_argument("--repeat", type=int, default=3, help="measurements per cell (default %(default)s)")
    parser.add_argument("--only", default=",".join(LINKS), help="comma-separated (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there too")
    arguments = parser.parse_args()
    arguments.names = arguments.only.split(",")
    unknown = set(arguments.names) - set(LINKS)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is not one of {', '.join(LINKS)}")
    return arguments


def main() -> int:
    """Command line."""
    arguments = parse_arguments()
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    # So that a benchmark that is stopped stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = arguments.names
    if "xfrm" in names and not kernel_has_xfrm():
        print("xfrm is left out: this kernel has no XFRM interfaces", file=sys.stderr)
        names.remove("xfrm")
    results: dict[str, list[Sample]] = {name: [] for name in names}
    with links(names) as made:
        for number in range(arguments.repeat):
            for name, link in made.items():
                results[name].append(sample(link, arguments.seconds))
                rate = results[name][-1]["tcp"] / 1e6
                print(f"{name} #{number + 1}: {rate:,.0f} Mbit/s in one TCP stream", file=sys.stderr)
    print(table(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"seconds": arguments.seconds, "samples": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
