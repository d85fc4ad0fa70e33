"""How long until N prefixes are in the kernel, from the session's start: this service, BIRD, FRR, the kernel.

Two namespaces and a veth pair between them: the feeder (tests/bench/feeder.py) in one, the measured daemon in
the other, in turn, each time in fresh namespaces. The clock starts when the feeder's session reaches
Established (the daemon's KEEPALIVE has arrived); the feeder then writes UPDATEs that were encoded before. The
clock ends when an observer in the daemon's namespace has read the kernel's notification of the last network
that it looks at (every 64th and the last: tests/bench/monitor.py, which says what that resolves); afterwards
a dump must show all of them. So no daemon is asked about itself. `kernel` is the same table written by raw
batched netlink over one nexthop object, watched by the same observer: the limit for all.
"""

from __future__ import annotations

from tests.bench import limit
from tests.bench.bed import (
    cable,
    device,
    end_of,
    feeders,
    namespaces,
    until_established,
    until_installed,
    until_sent,
)
from tests.bench.configurations import Setup, neighbors
from tests.bench.devices import DEVICES
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import wait_for
from tests.bench.networks import FAMILIES, IPV4, IPV6
from tests.bench.usage import usage

Sample = dict[str, float]


def measure(name: str, *, count: int, per_update: int, family: str, deadline: float = 300) -> Sample:
    """One session of one daemon (or `kernel`) in fresh namespaces.

    seconds: to the last network. sent_seconds: to the feeder's last byte. resident, proportional: bytes of
    all its processes right after.
    """
    kind = FAMILIES[family]
    pair = neighbors(1)
    with namespaces(2) as (dut, far):
        for each in pair:
            cable(dut, far, each)
        monitor = RouteMonitor(dut, kind, count)
        if name == "kernel":
            seconds = limit.install(dut, pair[0].link, end_of(pair[0], kind), kind, count)
            monitor.wait(deadline)
            _cross_check(monitor)
            return {"seconds": seconds, "sent_seconds": seconds}
        # This service has no connection with a single BGP session: nobody answers on its tunnel 2.
        used = pair if name == "bgpsvc" else pair[:1]
        with (
            device(DEVICES[name], dut, Setup(used, ipv6=kind is IPV6)) as measured,
            feeders(far, pair[:1], kind, count, per_update, hold=False) as fed,
        ):
            measured.start()
            until_established(measured, fed)
            finished = until_installed(measured, fed, monitor, deadline)
            found = measured.usage()
            until_sent(measured, fed, 10)
            _cross_check(monitor)
            established, sent = fed[0].established_at, fed[0].sent_at
            assert established is not None
            assert sent is not None
            return {
                "seconds": finished - established,
                "sent_seconds": sent - established,
                "resident": found.resident,
                "proportional": found.proportional,
                "cpu_seconds": found.cpu_seconds,
            }


def measure_memory(name: str, *, count: int, deadline: float = 400) -> Sample:
    """Memory with the same N prefixes from both tunnels, once the daemon is idle again.

    Bytes of all its processes, before the tables (sessions up) and after.
    """
    pair = neighbors(1)
    with namespaces(2) as (dut, far):
        for each in pair:
            cable(dut, far, each)
        monitor = RouteMonitor(dut, IPV4, count)
        with (
            device(DEVICES[name], dut, Setup(pair)) as measured,
            feeders(far, pair, IPV4, count, 270, hold=True) as fed,
        ):
            measured.start()
            until_established(measured, fed)
            measured.wait_idle(60)
            before = measured.usage()
            for feeder in fed:
                feeder.release.set()
            until_installed(measured, fed, monitor, deadline)
            until_sent(measured, fed, deadline)
            measured.wait_idle(deadline, 0.1, 2.0)
            after = measured.usage()
            parts = {part: usage(pids).resident for part, pids in measured.by_part().items()}
            _cross_check(monitor)
            return {
                "resident_before": before.resident,
                "proportional_before": before.proportional,
                "resident": after.resident,
                "proportional": after.proportional,
                "bytes_per_prefix": (after.proportional - before.proportional) / count,
                **{f"resident {part}": resident for part, resident in parts.items()},
            }


def _cross_check(monitor: RouteMonitor) -> None:
    """The dump must show all; a daemon may still be at the last few when the sample was whole."""
    wait_for(lambda: monitor.missing() == 0, "all networks shown by a dump", 30, 0.1)
    monitor.close()
