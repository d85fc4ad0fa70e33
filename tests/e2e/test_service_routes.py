"""What REST shows of 10,000 real routes: filters, pages, candidates, reasons; IPv6 forwards packets."""

from __future__ import annotations

import csv
import ipaddress
import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from bgpsvc.model import Reason
from tests.e2e.service import (
    END,
    LOCAL_ASN,
    LONG,
    PEER_ASN,
    Site,
    configuration,
    prefixes,
    prefixes6,
    running,
    table6_of,
    table_of,
    tunnel_of,
)
from tests.fakes import bgp_wire as wire
from tests.netns.namespaces import wait_until

COUNT = 10_000
BOTH = prefixes(COUNT)
SECOND_ONLY = ["30.1.0.0/16", "30.1.2.0/24", "30.1.2.128/25", "30.0.0.0/8"]
TAGGED = prefixes(20, start=COUNT)
LARGE = prefixes(5, start=COUNT + 100)
V6 = prefixes6(500)
# Prefix to the reason for which it is refused, with the attributes that differ from the usual ones.
REFUSED: dict[str, tuple[Reason, dict[str, Any]]] = {
    "0.0.0.0/0": (Reason.DEFAULT_ROUTE, {}),
    "127.1.0.0/16": (Reason.MARTIAN, {}),
    "224.1.0.0/16": (Reason.MARTIAN, {}),
    "100.64.1.0/24": (Reason.SHARED_ADDRESS_SPACE, {}),
    "10.0.0.0/16": (Reason.VPC_OVERLAP, {}),
    "10.0.200.0/24": (Reason.VPC_OVERLAP, {}),
    "169.254.20.0/30": (Reason.TUNNEL_CIDR, {}),
    "169.254.77.0/24": (Reason.MARTIAN, {}),
    "172.31.5.0/24": (Reason.CONNECTED, {}),
    "40.1.0.0/16": (Reason.AS_LOOP, {"as_path": (PEER_ASN, LOCAL_ASN, 64999)}),
    "40.2.0.0/16": (Reason.INVALID_NEXT_HOP, {"next_hop": "192.0.2.77"}),
}
ACCEPTED = {*BOTH, *SECOND_ONLY, *TAGGED, *LARGE}
LARGE_COMMUNITY = wire.attribute(0xC0, 32, struct.pack("!3I", PEER_ASN, 7, 9))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Two sessions with tables that overlap, and everything that is refused."""
    with running(configuration()) as made, made.peer(1) as one, made.peer(2) as two:
        made.gateway.ip("link add other type veth peer name other-peer")
        made.gateway.ip("addr add 172.31.0.1/16 dev other")
        made.gateway.ip("link set other up")
        made.gateway.ip("link set other-peer up")
        for peer in (one, two):
            peer.wait_established()
        one.send(table_of(1, BOTH, as_path=(PEER_ASN, 64600)) + table6_of(1, V6))
        one.send(table_of(1, TAGGED, communities=[(PEER_ASN, 100), (0xFFFF, 0xFF01)], med=7))
        one.send(table_of(1, LARGE, extra=LARGE_COMMUNITY))
        for prefix, (_, attributes) in REFUSED.items():
            one.send(table_of(1, [prefix], **attributes))
        two.send(table_of(2, BOTH, as_path=(PEER_ASN,)) + table_of(2, SECOND_ONLY, as_path=(PEER_ASN, 64700)))
        for peer in (one, two):
            peer.send(END)
        made.until_routes(ACCEPTED)
        made.until_routes(V6, version=6)
        wait_until(lambda: made.rest.gateway()["status"] == "active", "settled", LONG)
        yield made


def names(routes: list[dict[str, Any]]) -> list[str]:
    """The prefixes of some routes."""
    return [route["prefix"] for route in routes]


@pytest.mark.parametrize("limit", [7, 1000])
def test_pages_give_every_prefix_once_in_order(site: Site, limit: int) -> None:
    """Short pages over a part, long ones over all."""
    query = {"prefix": "20.0.0.0/17", "match": "longer"} if limit == 7 else {}
    expected = set(prefixes(128)) if limit == 7 else {*ACCEPTED, *V6, *REFUSED}
    for get, wanted in ((site.rest.routes, expected), (site.rest.table, expected - set(REFUSED))):
        found = names(get(limit=limit, **query))
        assert len(found) == len(wanted)
        assert set(found) == wanted
        keys = [(n.version, int(n.network_address), n.prefixlen) for n in map(ipaddress.ip_network, found)]
        assert all(a < b for a, b in pairwise(keys))


def test_kernel_and_rest_show_the_same(site: Site) -> None:
    table = site.rest.table()
    assert set(names(table)) == site.kernel_routes() | site.kernel_routes(version=6)
    by_prefix = {route["prefix"]: route for route in table}
    group = by_prefix[BOTH[0]]["nexthop_group"]
    assert group in site.nexthops()
    assert {by_prefix[p]["nexthop_group"] for p in BOTH} == {group}, "one forwarding class, one group"
    first = by_prefix[BOTH[0]]
    assert (first["session"], first["interface"], first["next_hop"]) == (
        "conn1-tunnel1",
        "t1",
        "169.254.10.2",
    )
    assert first["backup_session"] == "conn1-tunnel2"
    assert by_prefix[SECOND_ONLY[0]]["session"] == "conn1-tunnel2"


def test_match_by_prefix(site: Site) -> None:
    rest = site.rest
    assert names(rest.routes(prefix="30.1.2.0/24")) == ["30.1.2.0/24"]
    assert names(rest.routes(prefix="30.1.3.0/24")) == []
    assert names(rest.routes(prefix="30.0.0.0/8", match="longer")) == [
        "30.0.0.0/8",
        "30.1.0.0/16",
        "30.1.2.0/24",
        "30.1.2.128/25",
    ]
    covering = names(rest.routes(prefix="30.1.2.200/32", match="covering"))
    assert covering == ["0.0.0.0/0", "30.0.0.0/8", "30.1.0.0/16", "30.1.2.0/24", "30.1.2.128/25"]
    assert names(rest.routes(prefix="30.1.2.200", match="best")) == ["30.1.2.128/25"]
    assert names(rest.routes(prefix="30.1.2.1", match="best")) == ["30.1.2.0/24"]
    assert names(rest.table(prefix="30.77.0.1", match="best")) == ["30.0.0.0/8"]
    assert names(rest.table(prefix="2001:db8:20:5::1", match="best")) == ["2001:db8:20:5::/64"]
    assert names(rest.table(prefix="31.0.0.1", match="best")) == [], "a refused default route is not there"


def test_filters_by_path(site: Site) -> None:
    rest = site.rest
    of_two = names(rest.routes(session="conn1-tunnel2"))
    assert set(of_two) == {*BOTH, *SECOND_ONLY}
    assert set(names(rest.routes(asn=64700))) == set(SECOND_ONLY)
    assert set(names(rest.routes(asn=64999))) == {"40.1.0.0/16"}, "refused paths count too"
    assert set(names(rest.routes(community=f"{PEER_ASN}:100"))) == set(TAGGED)
    assert set(names(rest.routes(community="no-export"))) == set(TAGGED)
    assert set(names(rest.routes(community=f"{PEER_ASN}:7:9"))) == set(LARGE)
    assert names(rest.routes(community=f"{PEER_ASN}:101")) == []
    assert set(names(rest.routes(state="not_installed"))) == set(REFUSED)
    assert set(names(rest.routes(state="installed", family="ipv6"))) == set(V6)
    assert names(rest.routes(session="conn1-tunnel2", asn=64600)) == [], "one path must match both"


def test_a_search_by_free_text_tells_how_many_there_are(site: Site) -> None:
    rest = site.rest
    assert names(rest.routes(q="30.1.2.200")) == names(rest.routes(prefix="30.1.2.200", match="covering"))
    assert names(rest.routes(q="30.1.")) == names(rest.routes(prefix="30.1.0.0/16", match="longer"))
    assert set(names(rest.routes(q=f"AS64700 {PEER_ASN}:101"))) == set()
    page = rest.get("/v1/vpn-gateways/gw1/routes", q="conn1-tunnel2", limit=10)
    assert page["matching"] == len({*BOTH, *SECOND_ONLY})
    table = rest.get("/v1/vpcs/vpc1/routes", limit=10)
    assert table["matching"] == rest.gateway()["routes_installed"]


def test_files_have_every_route(site: Site) -> None:
    http = site.rest.http
    for path, routes in (
        ("/v1/vpn-gateways/gw1/routes", site.rest.routes()),
        ("/v1/vpcs/vpc1/routes", site.rest.table()),
    ):
        assert site.rest.get(path, limit=1)["matching"] == len(routes)
        lines = http.get(f"{path}/export", params={"format": "ndjson"}).text.splitlines()
        assert [json.loads(line) for line in lines] == routes
        rows = list(csv.DictReader(http.get(f"{path}/export", params={"format": "csv"}).text.splitlines()))
        assert [row["prefix"] for row in rows] == names(routes)


@pytest.mark.parametrize("prefix", REFUSED)
def test_reasons_for_refused_paths(site: Site, prefix: str) -> None:
    route = site.rest.route(prefix)
    reason = REFUSED[prefix][0].value
    assert (route["state"], route["reason"]) == ("not_installed", reason)
    (candidate,) = route["candidates"]
    assert (candidate["rank"], candidate["in_use"], candidate["reason"]) == (None, False, reason)
    assert candidate["reason_text"]
    assert prefix not in site.kernel_routes()


def test_candidates_and_the_reason_of_the_loser(site: Site) -> None:
    route = site.rest.route(BOTH[4321])
    best, loser = route["candidates"]
    assert (best["session"], best["rank"], best["in_use"], best["reason"]) == ("conn1-tunnel1", 1, True, None)
    assert best["as_path"] == f"{PEER_ASN} 64600"
    assert (loser["session"], loser["rank"], loser["in_use"]) == ("conn1-tunnel2", 2, False)
    assert loser["reason"] == Reason.LOCAL_PREF.value, "the active tunnel wins in spite of its longer AS path"
    tagged = site.rest.route(TAGGED[0])["candidates"][0]
    assert tagged["communities"] == [f"{PEER_ASN}:100", "no-export"]
    assert tagged["med"] == 7


def test_counts(site: Site) -> None:
    one, two = (site.rest.session(number)["prefixes"] for number in (1, 2))
    assert one["accepted"] == len(ACCEPTED) - len(SECOND_ONLY) + len(V6)
    assert one["rejected"] == len(REFUSED)
    assert one["received"] == one["accepted"] + one["rejected"]
    assert two["accepted"] == COUNT + len(SECOND_ONLY)
    assert (one["advertised"], two["advertised"]) == (1, 1)
    assert site.rest.gateway()["routes_learned"] == len(ACCEPTED) + len(V6)


def test_packets_of_both_families_take_the_active_tunnel(site: Site) -> None:
    assert tunnel_of(site, "20.0.5.1") == "t1"
    assert tunnel_of(site, "2001:db8:20:1f3::1") == "t1"
    assert tunnel_of(site, "2001:db8:21::1") is None
