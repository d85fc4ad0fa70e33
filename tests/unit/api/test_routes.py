"""Routes of the Loc-RIB and of the VPC table: candidates, reasons, filters, pages."""

from __future__ import annotations

import pytest

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
