"""How long a search among a million routes takes, over HTTP, and what others wait for REST meanwhile.

    python -m tests.bench.search [--prefixes 1000000] [--repeat 30] [--json result.json]

How it is measured. A daemon as an operator runs it learns the prefixes over one session: 270 in an UPDATE,
each with an AS path of its own, the second half with a community, the last UPDATE with one more. Then each
kind of search is asked over the API's unix socket, in turn, `repeat` times; the clock runs from the first
byte of the request to the last byte of the response (pages of 100). The first time stands by itself: what a
filter matches is remembered until a path changes. Two are asked before all others, while nothing is in
order. All the while another connection asks `/healthz` every 10 ms: its times stand beside those of the
search that went on, and before all of them those of an idle daemon. It is no test: it asserts no time. Needs
root.
"""

from __future__ import annotations

import argparse
import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.bench.bed import cable, check, device, namespaces, until_established, until_installed
from tests.bench.configurations import PEER_ASN, Setup, neighbors
from tests.bench.devices import Bgpsvc
from tests.bench.feeder import Feeder
from tests.bench.listing import Client, UnixConnection
from tests.bench.monitor import RouteMonitor
from tests.bench.networks import IPV4
from tests.fakes import bgp_wire as wire

PER_UPDATE = 270
FIRST_ASN = 4_200_000_000
IDLE_SECONDS, ORDERING_SECONDS = 2, 3
"""How long `/healthz` is measured while nothing happens, and while the first search's order is made. In a
longer pause the daemon would close the connection."""
HALF, FEW = (65500, 500), (65500, 7)
"""Communities of the second half of the prefixes, and of the last UPDATE's."""
EVERY = 0.01
PATH = "/v1/vpn-gateways/gw1/routes"
ROUTES = f"{PATH}?limit=100"


def table(count: int, next_hop: str) -> bytes:
    """UPDATEs of so many prefixes; see the module."""
    parts: list[bytes] = []
    starts = range(0, count, PER_UPDATE)
    for number, start in enumerate(starts):
        communities = [HALF] if start >= count // 2 else []
        if start == starts[-1]:
            communities.append(FEW)
        packed = b"".join(struct.pack("!HH", *community) for community in communities)
        attributes = wire.attributes(
            as_path=(PEER_ASN, FIRST_ASN + number),
            next_hop=next_hop,
            extra=wire.attribute(0xC0, 8, packed) if packed else b"",
        )
        body = struct.pack("!HH", 0, len(attributes)) + attributes
        parts.append(
            wire.message(wire.UPDATE, body + IPV4.nlri(range(start, min(start + PER_UPDATE, count))))
        )
    return b"".join([*parts, wire.end_of_rib("ipv4")])


def searches(count: int) -> dict[str, str]:
    """What is searched for: its name and the query behind `ROUTES`."""
    middle = IPV4.text(count // 2)
    inside = ".".join(IPV4.text(count // 3).split(".")[:2])
    return {
        "first page": "",
        "an address": f"&q={middle.replace('.0/24', '.7')}",
        "inside a prefix": f"&q={inside}.",
        "AS of 270 prefixes": f"&q=AS{FIRST_ASN + count // PER_UPDATE // 2}",
        "AS of none": "&q=AS64999",
        "AS of all": f"&q=AS{PEER_ASN}",
        "community of half": f"&q={HALF[0]}:{HALF[1]}",
        "community of the last": f"&q={FEW[0]}:{FEW[1]}",
        "session": "&q=conn1-tunnel1",
        "state installed": "&q=installed",
        "state not_installed": "&q=not_installed",
        "state pending": "&q=pending",
        "half and a prefix": f"&q={quote(f'{HALF[0]}:{HALF[1]} {inside}.')}",
    }


class Watch:
    """Asks `/healthz` over a connection of its own, again and again, while it is used."""

    def __init__(self, api: Path) -> None:
        self._client = Client(UnixConnection(api))
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._times.append(self._client.ask("GET", "/healthz")[1])

    def taken(self) -> list[float]:
        """Seconds that each took since the last call."""
        found, self._times = self._times, []
        return found

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def row(name: str, seconds: list[float], beside: list[float], matching: Any = None) -> dict[str, Any]:
    """A row of the table: times in milliseconds."""

    def at(values: list[float], share: float) -> float | None:
        ordered = sorted(values)
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 1) if ordered else None

    return {
        "search": name,
        "matching": matching,
        "first_ms": at(seconds[:1], 0.5),
        "median_ms": at(seconds, 0.5),
        "p99_ms": at(seconds, 0.99),
        "healthz_median_ms": at(beside, 0.5),
        "healthz_p99_ms": at(beside, 0.99),
    }


def measure(client: Client, watch: Watch, count: int, repeat: int) -> Iterator[dict[str, Any]]:
    """The rows, as they are measured."""
    watch.taken()
    time.sleep(IDLE_SECONDS)
    yield row("(idle)", [], watch.taken())
    wanted = searches(count)
    for name in ("AS of 270 prefixes", "first page"):
        page, seconds = client.ask("GET", ROUTES + wanted[name])
        yield row(f"{name}, first of all", [seconds], watch.taken(), page["matching"])
    time.sleep(ORDERING_SECONDS)
    yield row("(putting in order)", [], watch.taken())
    cursor = middle_cursor(client, count)
    wanted["middle page"] = f"&cursor={cursor}"
    for name, query in wanted.items():
        asked = [client.ask("GET", ROUTES + query) for _ in range(repeat)]
        yield row(name, [seconds for _, seconds in asked], watch.taken(), asked[0][0]["matching"])


def middle_cursor(client: Client, count: int) -> str:
    """The cursor of a page in the middle of all."""
    first, second, *_ = IPV4.text(count // 2).split(".")
    page, _ = client.ask("GET", f"{PATH}?limit=1&prefix={first}.{second}.0.0/16&match=longer")
    return quote(page["next_cursor"])


@contextmanager
def loaded(count: int, deadline: float) -> Iterator[Path]:
    """A daemon that has learned so many prefixes and has them in the kernel; the socket of its API."""
    pair = neighbors(1)
    with namespaces(2) as (dut, far):
        for each in pair:
            cable(dut, far, each)
        monitor = RouteMonitor(dut, IPV4, count)
        with device(Bgpsvc, dut, Setup(pair)) as measured:
            feeder = Feeder(far, pair[0].peer, PEER_ASN, table(count, pair[0].peer))
            try:
                measured.start()
                until_established(measured, [feeder])
                until_installed(measured, [feeder], monitor, deadline)
                measured.wait_idle(deadline)
                check(measured, [feeder])
                monitor.close()
                yield measured.api
            finally:
                feeder.close()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Time of searches among many routes.")
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--deadline", type=float, default=300, help="Seconds for the prefixes to be learned.")
    parser.add_argument("--json", type=Path, help="Write the numbers there too.")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with loaded(given.prefixes, given.deadline) as api:
        head = ("search", "matching", "first ms", "median ms", "p99 ms", "healthz median", "healthz p99")
        print(f"{given.prefixes} prefixes\n\n{head[0]:34}" + "".join(f"{title:>15}" for title in head[1:]))
        with Watch(api) as watch:
            for found in measure(Client(UnixConnection(api)), watch, given.prefixes, given.repeat):
                rows.append(found)
                name, *figures = ("-" if value is None else str(value) for value in found.values())
                print(f"{name:34}" + "".join(f"{figure:>15}" for figure in figures), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
