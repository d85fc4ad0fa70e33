"""How long until N prefixes are in the kernel, from the session's start: this service, BIRD, FRR, the kernel.

    python -m tests.bench.load --prefixes 1k,100k --repeat 3 --json result.json

How it is measured. Two namespaces and a veth pair between them: the feeder (tests/bench/feeder.py) in one,
the measured daemon in the other, in turn, each time in fresh namespaces. The clock starts when the
feeder's session reaches Established (the daemon's KEEPALIVE has arrived); the feeder then writes UPDATEs
that were encoded before. The clock ends when a listener in the daemon's namespace has read the kernel's
notification of the last missing prefix (tests/bench/monitor.py); afterwards a dump must show the same set.
So no daemon is asked about itself. `kernel` is the same table written by raw batched netlink over one
nexthop object: the limit for all. Numbers are medians; memory is the resident memory of all processes of a
daemon right after.

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
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.devices import (
    LENGTH,
    LINK,
    LOCAL,
    PEER,
    PEER_ASN,
    Bgpsvc,
    Bird,
    Daemons,
    Frr,
    install_in_kernel,
)
from tests.bench.feeder import Feeder, networks
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import Namespace, connect, wait_for

DEVICES: dict[str, Callable[[], Bird | Frr | Bgpsvc]] = {"bird": Bird, "frr": Frr, "bgpsvc": Bgpsvc}
SESSION_DEADLINE = 60
TABLE_DEADLINE = 300


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: seconds to the last prefix, to the feeder's last byte, and megabytes resident."""

    seconds: float
    sent_seconds: float
    megabytes: float


def measure_kernel(count: int) -> Sample:
    """The limit: the same prefixes by raw batched netlink."""
    namespace, feeder_side = Namespace(), Namespace()
    try:
        connect(namespace, feeder_side, LINK, (f"{LOCAL}/{LENGTH}", f"{PEER}/{LENGTH}"))
        namespace.run("sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0")
        wanted = networks(count)
        monitor = RouteMonitor(namespace)
        started = install_in_kernel(namespace, wanted)
        sent = time.monotonic()
        finished = monitor.wait(set(wanted), TABLE_DEADLINE)
        monitor.close()
        # The listener reads only after the writer is done here: the kernel's limit is the writer's own time.
        return Sample(min(sent, finished) - started, sent - started, 0.0)
    finally:
        namespace.close()
        feeder_side.close()


def measure(device: Bird | Frr | Bgpsvc, count: int) -> Sample:
    """One session of one daemon in fresh namespaces."""
    dut, feeder_side = Namespace(), Namespace()
    with tempfile.TemporaryDirectory(prefix="bgpsvc-bench-") as directory:
        feeder: Feeder | None = None
        monitor: RouteMonitor | None = None
        try:
            connect(dut, feeder_side, LINK, (f"{LOCAL}/{LENGTH}", f"{PEER}/{LENGTH}"))
            feeder = Feeder(feeder_side, PEER, PEER_ASN, count)
            monitor = RouteMonitor(dut)
            device.start(dut, Path(directory))
            return _timed(device, feeder, monitor, set(networks(count)))
        except TimeoutError as error:
            raise SystemExit(f"{device.name}: {error}\nThe end of its output:\n{device.log()}") from error
        finally:
            if feeder is not None:
                feeder.close()
            device.stop()
            if monitor is not None:
                monitor.close()
            dut.close()
            feeder_side.close()


def _timed(device: Daemons, feeder: Feeder, monitor: RouteMonitor, wanted: set[bytes]) -> Sample:
    """Waits for the session, then for the table; checks the result by a dump."""
    wait_for(lambda: _established(device, feeder), "session Established", SESSION_DEADLINE, 0.001)
    finished = monitor.wait(wanted, TABLE_DEADLINE)
    started = feeder.established_at
    assert started is not None
    megabytes = device.resident_megabytes()
    wait_for(lambda: feeder.sent_at is not None or feeder.failure is not None, "the feeder's last byte", 10)
    if feeder.failure is not None or feeder.sent_at is None:
        raise TimeoutError(f"the feeder's session broke: {feeder.failure}")
    missing = wanted - monitor.dump()
    if missing:
        raise TimeoutError(f"{len(missing)} prefixes were notified and are not in the kernel")
    return Sample(finished - started, feeder.sent_at - started, megabytes)


def _established(device: Daemons, feeder: Feeder) -> bool:
    """True once the session is up; TimeoutError if a process of the device has ended before."""
    for process in device.processes:
        if process.poll() is not None:
            raise TimeoutError(f"a process ended with status {process.returncode}")
    return feeder.established_at is not None


def parse_count(text: str) -> int:
    """`1000`, `100k` or `1m`; argparse shows the error."""
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    count = int(text[:-1] if factor > 1 else text) * factor
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text}: 1 to 1m prefixes")
    return count


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.load", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--prefixes", default="1k,100k", help="comma-separated, 1k = 1000 (default %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="measurements per cell (default %(default)s)")
    parser.add_argument("--only", default=",".join(DEVICES), help="comma-separated (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there too")
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


def table(results: dict[int, dict[str, list[Sample]]], repeat: int) -> str:
    """The results side by side, medians, with what each daemon takes relative to FRR and to BIRD."""
    lines = [f"session start to all prefixes in the kernel, median of {repeat}"]
    lines.append(
        f"{'prefixes':>10}  {'':8}{'seconds':>9}{'x FRR':>8}{'x BIRD':>8}{'prefixes/s':>12}{'MB':>7}"
    )
    for count, by_name in results.items():
        medians = {name: statistics.median(s.seconds for s in samples) for name, samples in by_name.items()}
        for name, seconds in medians.items():
            ratios = "".join(
                f"{seconds / medians[other]:8.2f}" if other in medians else f"{'-':>8}"
                for other in ("frr", "bird")
            )
            megabytes = statistics.median(s.megabytes for s in by_name[name])
            memory = f"{megabytes:7.0f}" if megabytes else f"{'-':>7}"
            lines.append(f"{count:>10,}  {name:8}{seconds:9.3f}{ratios}{count / seconds:12,.0f}{memory}")
    return "\n".join(lines)


def main() -> int:
    """Runs the measurements in turn, so that what else the machine does hits all alike."""
    arguments = parse_arguments()
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    # So that a benchmark that is stopped stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results: dict[int, dict[str, list[Sample]]] = {}
    for count in arguments.counts:
        by_name: dict[str, list[Sample]] = {name: [] for name in ("kernel", *arguments.names)}
        for number in range(arguments.repeat):
            for name, samples in by_name.items():
                sample = measure_kernel(count) if name == "kernel" else measure(DEVICES[name](), count)
                samples.append(sample)
                print(f"{count:,} {name} #{number + 1}: {sample.seconds:.3f} s", file=sys.stderr)
        results[count] = by_name
    print(table(results, arguments.repeat))
    if arguments.json is not None:
        plain = {
            str(count): {name: [asdict(sample) for sample in samples] for name, samples in by_name.items()}
            for count, by_name in results.items()
        }
        arguments.json.write_text(json.dumps({"repeat": arguments.repeat, "samples": plain}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
