"""Routes of the Loc-RIB and of the VPC table: candidates, reasons, filters, pages."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from api import export
from api.server import Listen
from bgpsvc.cli import columns
from bgpsvc.cli.output import Column, Format, write_list
from bgpsvc.control import SYSTEM, Actor
from bgpsvc.port import RouteFilter
from bgpsvc.views import Page
from tests.fakes.server import DEADLINE, RunningApi
from tests.fakes.service import ACTIVE, STANDBY, FakeService
from tests.unit.api.conftest import Client

LOC_RIB = "/v1/vpn-gateways/gw1/routes"
TABLE = "/v1/vpcs/vpc1/routes"
ALL = [
    "0.0.0.0/0",
    "10.0.5.0/24",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "192.168.10.0/24",
    "2001:db8:2::/48",
]


def prefixes(client: Client, path: str) -> list[str]:
    return [item["prefix"] for item in client.get(path)["items"]]


def test_every_candidate_has_its_reason(client: Client) -> None:
    (route,) = client.get(f"{LOC_RIB}?prefix=192.168.0.0/16")["items"]
    assert (route["state"], route["reason"], route["session"]) == ("installed", None, ACTIVE)
    best, loser = route["candidates"]
    assert (best["rank"], best["in_use"], best["reason"], best["communities"]) == (
        1,
        True,
        None,
        ["65500:100"],
    )
    assert (loser["rank"], loser["in_use"], loser["session"]) == (2, False, STANDBY)
    assert loser["reason"] == "lower_local_preference"
    assert loser["reason_text"] == "another path has a higher local preference"


def test_refused_paths_are_shown_without_a_rank(client: Client) -> None:
    (route,) = client.get(f"{LOC_RIB}?prefix=10.0.5.0/24")["items"]
    assert (route["state"], route["reason"], route["session"]) == ("not_installed", "inside_vpc_cidr", None)
    assert [(c["rank"], c["reason"]) for c in route["candidates"]] == [(None, "inside_vpc_cidr")] * 2


def test_without_propagation_routes_say_so(client: Client, service: FakeService) -> None:
    service.auto_propagate = False
    (route,) = client.get(f"{LOC_RIB}?prefix=192.168.0.0/16")["items"]
    assert (route["state"], route["reason"]) == ("not_installed", "propagation_off")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ALL),
        ("?family=ipv6", ["2001:db8:2::/48"]),
        ("?prefix=192.168.10.0/24", ["192.168.10.0/24"]),
        ("?prefix=192.168.0.0/16&match=longer", ["192.168.0.0/16", "192.168.10.0/24"]),
        ("?prefix=192.168.10.0/24&match=covering", ["0.0.0.0/0", "192.168.0.0/16", "192.168.10.0/24"]),
        ("?prefix=192.168.10.7&match=best", ["192.168.10.0/24"]),
        ("?prefix=2001:db8:2::1&match=best", ["2001:db8:2::/48"]),
        (f"?session={STANDBY}&family=ipv4", ALL[1:5]),
        ("?asn=65502", ["172.16.0.0/12"]),
        ("?community=65500:100", ["192.168.0.0/16"]),
        ("?community=65500:1:2", ["2001:db8:2::/48"]),
        ("?state=not_installed", ["0.0.0.0/0", "10.0.5.0/24"]),
        ("?asn=65500&state=installed&family=ipv4&prefix=192.168.0.0/16&match=longer", ALL[3:5]),
    ],
)
def test_filters(client: Client, query: str, found: list[str]) -> None:
    assert prefixes(client, LOC_RIB + query) == found


def test_pages_hold_every_route_once(client: Client) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"{LOC_RIB}?limit=4{cursor}")
        seen += [item["prefix"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ALL


class Slow(FakeService):
    """Searches never end by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.given_up = threading.Event(), threading.Event()

    async def routes(
        self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        self.begun.set()
        try:
            return await asyncio.Future()
        finally:
            self.given_up.set()

    table_routes = routes


@pytest.mark.parametrize(
    "path", [LOC_RIB, TABLE, f"{LOC_RIB}/export?format=csv", f"{TABLE}/export?format=csv"]
)
def test_a_search_ends_when_its_client_goes(path: str, tmp_path: Path) -> None:
    service, where = Slow(), tmp_path / "api.sock"
    with RunningApi(service, Listen(path=str(where))), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(where))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert service.begun.wait(DEADLINE)
        assert not service.given_up.is_set()
        client.close()
        assert service.given_up.wait(DEADLINE)


def test_the_table_has_what_is_installed(client: Client, service: FakeService) -> None:
    assert prefixes(client, TABLE) == ALL[2:]
    (row,) = client.get(f"{TABLE}?prefix=192.168.0.0/16")["items"]
    assert row == {
        "prefix": "192.168.0.0/16",
        "family": "ipv4",
        "vpc": "vpc1",
        "table": 1001,
        "metric": 100,
        "nexthop_group": 0x20000002,
        "connection": "conn1",
        "session": ACTIVE,
        "interface": "t1",
        "next_hop": "169.254.10.2",
        "backup_session": STANDBY,
        "source": "bgp",
    }
    service.session_down(ACTIVE)
    (row,) = client.get(f"{TABLE}?prefix=192.168.0.0/16")["items"]
    assert (row["session"], row["backup_session"]) == (STANDBY, None)


@pytest.mark.parametrize("path", [LOC_RIB, TABLE])
@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("prefix=10.0.0.1/8", "#/prefix", "'10.0.0.1/8' is not a prefix: host bits are set"),
        (
            "prefix=10.0.0.1",
            "#/prefix",
            "'10.0.0.1' is not a prefix: an address, a slash and a length are needed",
        ),
        ("match=longer", "#", "match needs prefix: it says how prefix selects"),
        (
            "match=any&prefix=10.0.0.0/8",
            "#/match",
            "must be 'exact', 'longer', 'covering' or 'best', not 'any'",
        ),
        ("asn=-1", "#/asn", "must be greater than or equal to 0, not '-1'"),
        ("limit=0", "#/limit", "must be greater than or equal to 1, not '0'"),
        ("limit=1001", "#/limit", "must be less than or equal to 1000, not '1001'"),
        ("cursor=nope", "#/cursor", "is not a cursor of this list"),
        ("perfix=10.0.0.0/8", "#/perfix", "is not known here"),
    ],
)
def test_a_filter_that_cannot_be_understood_is_a_422(
    client: Client, path: str, query: str, pointer: str, detail: str
) -> None:
    response = client("GET", f"{path}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"] == [{"in": "query", "pointer": pointer, "detail": detail}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.168.", ["192.168.0.0/16", "192.168.10.0/24"]),
        ("192.168.10.7", ["0.0.0.0/0", "192.168.0.0/16", "192.168.10.0/24"]),
        ("AS65502", ["172.16.0.0/12"]),
        ("65500:100", ["192.168.0.0/16"]),
        (f"{STANDBY} ipv6", ["2001:db8:2::/48"]),
    ],
)
def test_free_text(client: Client, text: str, found: list[str]) -> None:
    page = client.get(f"{LOC_RIB}?q={quote(text)}")
    assert ([item["prefix"] for item in page["items"]], page["matching"]) == (found, len(found))


def test_free_text_without_meaning_is_a_422_at_its_field(client: Client) -> None:
    response = client("GET", f"{LOC_RIB}?q=nowhere")
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "#/q"
    assert error["detail"].endswith(f"nor a session of this gateway ({ACTIVE}, {STANDBY})")


@pytest.mark.parametrize(
    ("path", "shown", "name"),
    [(LOC_RIB, columns.ROUTES, "routes-gw1"), (TABLE, columns.TABLE, "table-vpc1")],
)
def test_an_export_is_what_the_command_line_writes(
    client: Client, path: str, shown: Sequence[Column], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    monkeypatch.setattr(export, "AT_ONCE", 1)
    items = client.get(path)["items"]
    written = io.StringIO()
    write_list([items], shown, Format.CSV, written)
    response = client("GET", f"{path}/export?format=csv")
    assert response.text == written.getvalue()
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    disposition = response.headers["content-disposition"]
    assert re.fullmatch(rf'attachment; filename="{name}-\d{{8}}T\d{{6}}Z\.csv"', disposition)
    lines = client("GET", f"{path}/export?format=ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == items


def test_an_export_takes_the_filters_of_the_list(client: Client) -> None:
    lines = client("GET", f"{LOC_RIB}/export?format=ndjson&q=192.168.&state=installed").text.splitlines()
    assert [json.loads(line)["prefix"] for line in lines] == ALL[3:5]
    assert client("GET", f"{LOC_RIB}/export?format=csv&q=as1").text.count("\n") == 1, "its head"


@pytest.mark.parametrize(
    ("query", "pointer"), [("", "#/format"), ("format=xml", "#/format"), ("format=csv&limit=5", "#/limit")]
)
def test_an_export_that_cannot_be_understood_is_a_422(client: Client, query: str, pointer: str) -> None:
    response = client("GET", f"{LOC_RIB}/export?{query}")
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, pointer)


def test_an_export_of_nothing_known_is_a_404(client: Client) -> None:
    assert client("GET", "/v1/vpn-gateways/gw2/routes/export?format=csv").status_code == 404
    assert client("GET", "/v1/vpcs/vpc2/routes/export?format=csv").status_code == 404


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-conn", "'-conn"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        (-5, "-5"),
        (None, ""),
        (("65500:100", "no-export"), "65500:100 no-export"),
    ],
)
def test_no_cell_is_a_formula(value: object, shown: str) -> None:
    assert export.cell(value) == shown
