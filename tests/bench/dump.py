"""How long a dump of a million routes in MRT takes, its size, and what others wait for REST meanwhile.

    python -m tests.bench.dump [--prefixes 1000000] [--repeat 3] [--json result.json]

How it is measured. The daemon and its routes are those of `tests.bench.search`: one session, 270 prefixes in
an UPDATE, each UPDATE with an AS path of its own. Then `/healthz` is asked every 10 ms for two seconds while
nothing else happens, and during each dump over the API's unix socket, read as fast as it comes; those of CSV,
which has the same routes, stand beside. It is no test: it asserts no time. Needs root.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.listing import UnixConnection
from tests.bench.search import IDLE_SECONDS, PATH, Watch, loaded, row

DUMPS = {
    "MRT, received": f"{PATH}/mrt",
    "MRT, best": f"{PATH}/mrt?which=best",
    "CSV": f"{PATH}/export?format=csv",
}
CHUNK = 1 << 20


def read(api: Path, target: str) -> tuple[float, int]:
    """Seconds and bytes of a file."""
    connection = UnixConnection(api)
    began = time.perf_counter()
    connection.request("GET", target)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    size = 0
    while chunk := response.read(CHUNK):
        size += len(chunk)
    taken = time.perf_counter() - began
    connection.close()
    return taken, size


def measure(api: Path, watch: Watch, repeat: int) -> Iterator[dict[str, Any]]:
    """The rows, as they are measured."""
    watch.taken()
    time.sleep(IDLE_SECONDS)
    yield row("(idle)", [], watch.taken()) | {"bytes": None, "seconds": None}
    for name, target in DUMPS.items():
        for _ in range(repeat):
            seconds, size = read(api, target)
            beside = row(name, [], watch.taken())
            yield beside | {"bytes": size, "seconds": round(seconds, 2)}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Time of dumps of many routes.")
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--deadline", type=float, default=300, help="Seconds for the prefixes to be learned.")
    parser.add_argument("--json", type=Path, help="Write the numbers there too.")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    titles = ("search", "seconds", "bytes", "healthz_median_ms", "healthz_p99_ms")
    with loaded(given.prefixes, given.deadline) as api, Watch(api) as watch:
        print(f"{given.prefixes} prefixes\n\n{'dump':16}" + "".join(f"{title:>20}" for title in titles[1:]))
        for found in measure(api, watch, given.repeat):
            rows.append(found)
            shown = ["-" if found[title] is None else str(found[title]) for title in titles]
            print(f"{shown[0]:16}" + "".join(f"{text:>20}" for text in shown[1:]), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
