"""How long a page of a list takes: 10,000 resources, every page of every list, over HTTP.

    python -m tests.bench.listing [--resources 10000] [--server URL --token-file FILE] [--json result.json]

How it is measured. The resources (a fifth each of VPCs, VPN gateways, customer gateways, VPN connections
without BGP, destination-based routes) are made with one `POST /v1/configuration/apply`. Then each list is
read from its first page to its last, again and again, over one connection; the clock runs from the first byte
of the request to the last byte of the response. Without --server it starts a daemon of its own in a network
namespace (root is needed), and asks it over its unix socket. It is no test: it asserts no time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.e2e.service import Site

KINDS = 5
LISTS = ("vpcs", "vpn-gateways", "customer-gateways", "vpn-connections", "destination-routes", "tunnels")
FIRST = {"gateway": IPv4Address("11.0.0.1"), "customer": IPv4Address("12.0.0.1")}


def configuration(resources: int) -> dict[str, Any]:
    """So many resources, in the form of the configuration file."""
    numbers = range(resources // KINDS)
    return {
        "vpcs": [
            {"name": f"vpc-{n:05}", "cidrs": [f"10.{n >> 8}.{n & 255}.0/24"], "route_table": 1_000_000 + n}
            for n in numbers
        ],
        "vpn_gateways": [
            {
                "name": f"gw-{n:05}",
                "vpc": f"vpc-{n:05}",
                "addresses": [str(FIRST["gateway"] + 2 * n), str(FIRST["gateway"] + 2 * n + 1)],
            }
            for n in numbers
        ],
        "customer_gateways": [
            {"name": f"cgw-{n:05}", "address": str(FIRST["customer"] + n), "asn": 65500} for n in numbers
        ],
        "vpn_connections": [
            {
                "name": f"conn-{n:05}",
                "vpn_gateway": f"gw-{n:05}",
                "tunnels": [
                    {"customer_gateway": f"cgw-{n:05}", "interface": f"b{n}-{tunnel}"} for tunnel in (1, 2)
                ],
            }
            for n in numbers
        ],
        "destination_routes": [
            {
                "name": f"route-{n:05}",
                "vpn_gateway": f"gw-{n:05}",
                "destination": f"172.{16 + (n >> 8 & 15)}.{n & 255}.0/24",
                "vpn_connection": f"conn-{n:05}",
            }
            for n in numbers
        ],
    }


class Client:
    """Requests over one connection."""

    def __init__(self, connection: http.client.HTTPConnection, token: str | None = None) -> None:
        self._connection = connection
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[Any, float]:
        """The JSON of the response, and the seconds that it took."""
        content = None if body is None else json.dumps(body)
        begin = time.perf_counter()
        self._connection.request(method, path, content, {"Content-Type": "application/json", **self._headers})
        response = self._connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - begin
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {answer[:2000].decode()}")
        return json.loads(answer), seconds


def pages(client: Client, name: str, limit: int) -> Iterator[tuple[int, float]]:
    """Of each page of a list: how many items it has, and the seconds that it took."""
    cursor = ""
    while True:
        page, seconds = client.ask("GET", f"/v1/{name}?limit={limit}{cursor}")
        yield len(page["items"]), seconds
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={quote(page['next_cursor'])}"


def measure(client: Client, name: str, limit: int, repeat: int) -> dict[str, Any]:
    """A row of the table: times in milliseconds."""
    found = [page for _ in range(repeat) for page in pages(client, name, limit)]
    times = sorted(seconds * 1000 for _, seconds in found)
    return {
        "list": name,
        "limit": limit,
        "items": sum(items for items, _ in found) // repeat,
        "pages": len(times),
        "p50_ms": round(statistics.median(times), 2),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 2),
        "max_ms": round(times[-1], 2),
    }


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=600)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextmanager
def api(given: argparse.Namespace) -> Iterator[Client]:
    """The API that was asked for, or that of a daemon made for this."""
    if given.server is not None:
        token = given.token_file.read_text().strip() if given.token_file is not None else None
        parts = urlsplit(given.server)
        yield Client(http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=600), token)
        return
    with Site(stored=True) as site:
        site.start()
        yield Client(UnixConnection(site.socket_path))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Time for each page of the lists.")
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--limits", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--server", help="http://ADDRESS:PORT of a daemon made for the purpose.")
    parser.add_argument("--token-file", type=Path, help="File with a token of scope admin.")
    parser.add_argument("--json", type=Path, help="Write the numbers there too.")
    given = parser.parse_args()
    with api(given) as client:
        _, seconds = client.ask("POST", "/v1/configuration/apply", configuration(given.resources))
        print(f"{given.resources} resources made in {seconds:.1f} s\n")
        rows = [measure(client, name, limit, given.repeat) for limit in given.limits for name in LISTS]
    print(f"{'list':20}{'limit':>6}{'items':>8}{'pages':>7}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for row in rows:
        print(
            f"{row['list']:20}{row['limit']:>6}{row['items']:>8}{row['pages']:>7}"
            f"{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['max_ms']:>9.2f}"
        )
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
