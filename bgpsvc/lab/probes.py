"""The prober's output, read as it comes."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bgpsvc.lab.handle import Lab
from bgpsvc.lab.pings import Outage, Series
from bgpsvc.lab.topology import GATEWAYS, TUNNELS

INTERVAL = 0.005
COUNT_SECONDS = 0.5
SWITCHOVER_MARGIN_SECONDS = 2.0
"""What a switchover may take beyond its detection: on a busy machine a daemon is not always in time."""
SETTLE_SECONDS = 0.3
"""A request older than this without an answer is lost: many round trips and reports of the prober."""
FLOW_SECONDS = 0.5
"""How long every request (or none) must be answered before traffic counts as flowing (or stopped)."""


def probe_command(lab: Lab, host: str, address: str, *options: str) -> list[str]:
    """The command line of a prober in a host."""
    return lab.command(host, program(lab, "prober", address, *options))


def program(lab: Lab, name: str, *options: str) -> list[str]:
    """The command line of one of the lab's own programs, inside a host."""
    return [lab.spec.python, "-P", "-m", f"bgpsvc.lab.{name}", *options]


def packet_passes(lab: Lab, host: str, address: str, size: int) -> bool:
    """True if an IP packet of `size` bytes that may not be fragmented is answered."""
    command = probe_command(lab, host, address, "--count", "3", "--interval", "0.05", "--size", str(size))
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return any(json.loads(line)["received"] for line in done.stdout.splitlines())


def packets_over(lab: Lab, tunnel: int) -> int | str:
    """Counts for a moment, while requests cross, what the tunnels of both gateways forward.

    The packets of this tunnel in each direction, or what is not as it should be if it alone carries them.
    """
    carried = list[int]()
    before = {(g.name, t): lab.counters(g, t) for g in GATEWAYS for t in TUNNELS}
    began = time.monotonic()
    time.sleep(COUNT_SECONDS)
    crossed = (time.monotonic() - began) / INTERVAL
    for gateway in GATEWAYS:
        for number in TUNNELS:
            was, now = before[gateway.name, number], lab.counters(gateway, number)
            sent, received = now.sent - was.sent, now.received - was.received
            if number == tunnel:
                right = min(sent, received) > crossed / 2
                carried.append(min(sent, received))
            else:
                right = max(sent, received) < crossed / 4
            if not right:
                return f"{gateway.name} sent {sent} and received {received} packets over tunnel {number}"
    return min(carried)


class RunningProber:
    """Context manager: a prober that runs by a command, and its series so far.

    A request without answer counts as lost `settle` seconds after it was sent.
    """

    def __init__(self, command: Sequence[str], settle: float = SETTLE_SECONDS) -> None:
        self._command = command
        self._settle = settle
        self._series = Series()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._reader.join()
        self._process.wait()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            record = json.loads(line)
            with self._lock:
                self._series.add(record["sent"], record["received"])

    def flows(self, since: float = 0.0) -> bool:
        """True if all requests of the last `FLOW_SECONDS` (all later than `since`) were answered."""
        end = time.monotonic() - self._settle
        with self._lock:
            return end - FLOW_SECONDS >= since and self._series.flows(end - FLOW_SECONDS, end)

    def stopped(self) -> bool:
        """True if no request of the last `FLOW_SECONDS` was answered."""
        end = time.monotonic() - self._settle
        with self._lock:
            return self._series.stopped(end - FLOW_SECONDS, end)

    def outage(self, since: float) -> Outage:
        """The loss since then, up to the requests that may still be answered."""
        with self._lock:
            return self._series.outage(since, time.monotonic() - self._settle)


class Probes(RunningProber):
    """A prober that runs in a host of a lab."""

    def __init__(self, lab: Lab, host: str, address: str) -> None:
        super().__init__(probe_command(lab, host, address, "--interval", str(INTERVAL), "--until-eof"))
