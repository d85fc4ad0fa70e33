"""How long REST takes to answer while a million prefixes load over two sessions, and when nothing happens.

Three clients ask over the unix socket, each a request of its own kind: the list of BGP sessions, the route
of one prefix, and the operator's switch as a dry run. Each client's requests are due at fixed times, and the
clock of a request runs from the moment at which it was due to the last byte of its answer: a server that
stalls makes all the requests late that were due meanwhile, not just one. `loading` lasts from the first
UPDATE until all networks are in the kernel and the feeders are done; `idle` is as many seconds as asked for,
after that.
"""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.bed import cable, device, feeders, namespaces, until_established, until_installed, until_sent
from tests.bench.configurations import Setup, neighbors
from tests.bench.devices import Bgpsvc
from tests.bench.listing import UnixConnection
from tests.bench.monitor import RouteMonitor
from tests.bench.namespace import wait_for
from tests.bench.networks import IPV4
from tests.bench.statistic import percentile

Sample = dict[str, float]
PERIOD = 0.05
REQUESTS = {
    "sessions": ("GET", "/v1/bgp-sessions", None),
    "route": ("GET", f"/v1/vpn-gateways/gw1/routes?prefix={IPV4.text(0)}", None),
    "switch": ("POST", "/v1/vpn-connections/conn1/switch?dry_run=true", b'{"mode": "standby"}'),
}


@dataclass
class Client:
    """Asks one thing every PERIOD until stopped; `times` are the seconds of each answer, in order."""

    path: Path
    method: str
    target: str
    body: bytes | None
    times: list[float] = field(default_factory=list)
    failure: str | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[float]:
        """The times; OSError if an answer was an error."""
        self._stop.set()
        self._thread.join(130)
        if self.failure is not None:
            raise OSError(f"{self.method} {self.target}: {self.failure}")
        return self.times

    def _run(self) -> None:
        connection = UnixConnection(self.path)
        headers = {"Content-Type": "application/json"}
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                connection.request(self.method, self.target, self.body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self.failure = f"{answer.status} {text[:300].decode()}"
                    return
                self.times.append(time.monotonic() - due)
                due += PERIOD
        except (OSError, http.client.HTTPException) as error:
            self.failure = str(error)
        finally:
            connection.close()


def measure(name: str, *, count: int, idle: float, deadline: float = 400) -> Sample:
    """Seconds: p50, p99 and the longest, as `loading_switch_p99`; and `loading_seconds`, of the load.

    `loading_switch_max_at`: how many seconds after the load's start the slowest request was due.
    """
    assert name == Bgpsvc.name, "no other daemon has this interface"
    pair = neighbors(1)
    with namespaces(2) as (dut, far):
        for each in pair:
            cable(dut, far, each)
        monitor = RouteMonitor(dut, IPV4, count)
        with (
            device(Bgpsvc, dut, Setup(pair)) as measured,
            feeders(far, pair, IPV4, count, 270, hold=True) as fed,
        ):
            measured.start()
            until_established(measured, fed)
            measured.wait_idle(60)
            began = time.monotonic()
            clients = _clients(measured.api)
            for feeder in fed:
                feeder.release.set()
            until_installed(measured, fed, monitor, deadline)
            until_sent(measured, fed, deadline)
            loading = time.monotonic() - began
            made = {"loading_seconds": loading} | _summary("loading", clients)
            wait_for(lambda: monitor.missing() == 0, "all networks shown by a dump", 60, 0.1)
            measured.wait_idle(deadline, 0.1, 2.0)
            clients = _clients(measured.api)
            time.sleep(idle)
            return made | _summary("idle", clients)


def _clients(path: Path) -> dict[str, Client]:
    return {name: Client(path, *request) for name, request in REQUESTS.items()}


def _summary(when: str, clients: dict[str, Client]) -> Sample:
    made: Sample = {}
    for name, client in clients.items():
        times = client.stop()
        for word, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            made[f"{when}_{name}_{word}"] = percentile(times, share)
        made[f"{when}_{name}_max_at"] = PERIOD * times.index(max(times))
    return made
