"""BMP of the real daemon, read by pmacct's collector: four RIBs, OPENs, a session lost, a restart."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import (
    CONFIGURATION,
    END,
    LOCAL_ASN,
    LONG,
    PEER_ASN,
    Site,
    prefixes,
    prefixes6,
    table6_of,
    table_of,
)
from tests.fakes import bgp_wire as wire
from tests.fakes.bgp_peer import BgpPeer
from tests.fakes.bgp_peer import _enter as enter
from tests.fakes.bmp_collector import Collector as Decoder
from tests.netns.namespaces import wait_until

PORT, RAW_PORT = 1790, 1791
IPV4, IPV6 = prefixes(40), prefixes6(4)
REFUSED = "10.0.7.0/24"
"""Inside the VPC: import policy refuses it."""
RIBS = "pre-policy,post-policy,loc-rib,adj-rib-out"
CONF = """
daemonize: false
bmp_daemon_ip: 127.0.0.1
bmp_daemon_port: {port}
bmp_daemon_max_peers: 4
bmp_daemon_msglog_file: {log}
bmp_daemon_msglog_output: json
"""


class Collector:
    """What `pmbmpd` logged: one object for each prefix, peer and report."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def messages(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """Those of a kind with these members, in order."""
        if not self._log.exists():
            return []
        # The last line may be on its way still.
        lines = self._log.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines]
        return [m for m in found if m.get("bmp_msg_type") == kind and wanted.items() <= m.items()]

    def table(self, **wanted: Any) -> dict[str, dict[str, Any]]:
        """Prefixes that were announced and not withdrawn since, with what was said of each."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages("route_monitor", **wanted):
            if message["log_type"] == "update":
                found[message["ip_prefix"]] = message
            else:
                found.pop(message["ip_prefix"], None)
        return found

    def until_table(self, expected: set[str], **wanted: Any) -> None:
        """Until a table has just these prefixes."""
        self.until(lambda: self.table(**wanted).keys() == expected, f"{len(expected)} prefixes of {wanted}")

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: bool(condition()), what, LONG)


PRE = {"is_post": 0, "is_in": 1}
POST = {"is_post": 1, "is_in": 1}
OUT = {"is_post": 1, "is_out": 1}
LOC = {"is_loc": 1}


@contextmanager
def monitored(site: Site) -> Iterator[Collector]:
    log = site.directory / "bmp.json"
    conf = site.directory / "pmbmpd.conf"
    conf.write_text(CONF.format(port=PORT, log=log))
    # It writes its title over its environment, where a site looks for its processes.
    running = site.spawn(site.gateway.command("pmbmpd", "-f", str(conf)))
    try:
        yield Collector(log)
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One daemon for all; the tests follow each other."""
    with Site() as made:
        made.configure(CONFIGURATION)
        yield made


@pytest.fixture(scope="module")
def raw(site: Site) -> list[Decoder]:
    """Another station: what each of its connections was told."""
    met: list[Decoder] = []
    listening = threading.Event()

    def listen() -> None:
        enter(site.gateway.path)
        with socket.create_server(("127.0.0.1", RAW_PORT)) as server:
            listening.set()
            while len(met) < 2:  # before and after the restart
                connection, _ = server.accept()
                met.append(Decoder())
                with connection:
                    while data := connection.recv(65536):
                        met[-1].feed(data)

    threading.Thread(target=listen, daemon=True, name="BMP station").start()
    assert listening.wait(LONG)
    return met


@pytest.fixture(scope="module")
def collector(site: Site, raw: list[Decoder]) -> Iterator[Collector]:
    with monitored(site) as made:
        site.start(
            *("--bmp", f"127.0.0.1:{RAW_PORT}"),
            *("--bmp", f"127.0.0.1:{PORT}", "--bmp-ribs", RIBS, "--bmp-statistics", "1", "--keep-speakers"),
        )
        yield made


@pytest.fixture(scope="module")
def peers(site: Site, collector: Collector) -> Iterator[tuple[BgpPeer, BgpPeer]]:
    """Both sessions are up, each with its table."""
    with site.peer(1) as first, site.peer(2) as second:
        for number, peer in ((1, first), (2, second)):
            peer.wait_established()
            med = {"med": 10 * number}
            peer.send(table_of(number, [*IPV4, REFUSED], **med) + table6_of(number, IPV6) + END)
        yield first, second


Peers = tuple[BgpPeer, BgpPeer]


def of_peer(number: int) -> dict[str, Any]:
    return {"peer_ip": f"169.254.{number}0.2"}


def in_use(collector: Collector) -> set[str]:
    """Next hops of the Loc-RIB's IPv4 prefixes."""
    return {found["bgp_nexthop"] for prefix, found in collector.table(**LOC).items() if prefix in IPV4}


def test_each_rib_is_told(collector: Collector, peers: Peers) -> None:
    every = {*IPV4, *IPV6}
    for number in (1, 2):
        peer = of_peer(number)
        collector.until_table({*every, REFUSED}, **PRE, **peer)
        collector.until_table(every, **POST, **peer)
        collector.until_table({"10.0.0.0/16"}, **OUT, **peer)
        before = collector.table(**PRE, **peer)[IPV4[0]]
        assert (before["med"], before["as_path"], before["bgp_nexthop"]) == (
            10 * number,
            str(PEER_ASN),
            f"169.254.{number}0.2",
        )
        assert "local_pref" not in before
        assert collector.table(**POST, **peer)[IPV4[0]]["local_pref"] == (200, 100)[number - 1]
        advertised = collector.table(**OUT, **peer)["10.0.0.0/16"]
        assert (advertised["as_path"], advertised["med"]) == (str(LOCAL_ASN), 100 * number)
    collector.until_table(every, **LOC)
    collector.until(lambda: in_use(collector) == {"169.254.10.2"}, "the Loc-RIB leads over the active tunnel")


def opens(told: Decoder, number: int) -> list[tuple[bytes, bytes]]:
    """What a Peer Up of the peer of a tunnel had: our OPEN and the peer's."""
    address = bytes(12) + bytes((169, 254, 10 * number, 2))
    return [peer.opens for key, peer in told.peers.items() if key[2] == address]


def test_peer_up_has_the_ports_and_the_opens_of_the_wire(
    collector: Collector, raw: list[Decoder], peers: Peers
) -> None:
    (told,) = collector.messages("peer_up", **of_peer(1))
    assert (told["peer_asn"], told["bgp_id"], told["local_ip"]) == (PEER_ASN, "10.9.9.1", "169.254.10.1")
    assert 179 in (told["local_port"], told["remote_port"])
    assert told["bmp_peer_up_info_string"] == "conn1-tunnel1"
    for number, peer in enumerate(peers, start=1):
        assert [opened[0][19:] for opened in opens(raw[0], number)] == peer.log.opens[:1]
        assert opens(raw[0], number)[0][1][24:28] == bytes((10, 9, 9, number))
    (loc_rib,) = collector.messages("peer_up", peer_type=3)
    assert loc_rib["rd"] == "0:0:201"


def test_statistics_count_routes(collector: Collector, peers: Peers) -> None:
    routes = len(IPV4) + len(IPV6)
    received = {**of_peer(1), "counter_type": 7, "counter_value": routes + 1}
    collector.until(lambda: collector.messages("stats", **received), "what the peer announces")
    loc_rib = {"peer_type": 3, "counter_type": 8, "counter_value": routes}
    collector.until(lambda: collector.messages("stats", **loc_rib), "the Loc-RIB")


def test_a_session_lost_is_told_and_the_other_path_is_in_use(
    site: Site, collector: Collector, peers: Peers
) -> None:
    peers[0].send(wire.notification(6, 4))
    collector.until(lambda: collector.messages("peer_down", **of_peer(1)), "Peer Down")
    (down,) = collector.messages("peer_down", **of_peer(1))
    assert down["reason_type"] == 3, "the peer's NOTIFICATION"
    collector.until(lambda: in_use(collector) == {"169.254.20.2"}, "the Loc-RIB leads over the other tunnel")
    collector.until(lambda: len(collector.messages("peer_up", **of_peer(1))) == 2, "Peer Up again")


def test_a_restarted_daemon_has_the_same_opens(
    site: Site, collector: Collector, raw: list[Decoder], peers: Peers
) -> None:
    """The speakers keep the sessions, and tell of them again."""
    before, sent = collector.messages("peer_up", **of_peer(2)), opens(raw[0], 2)
    site.stop(signal.SIGTERM)
    collector.until(lambda: collector.messages("term"), "Termination")
    site.start("--bmp", f"127.0.0.1:{PORT}", "--bmp", f"127.0.0.1:{RAW_PORT}", "--bmp-ribs", RIBS)
    seen = len(before)
    collector.until(lambda: len(collector.messages("peer_up", **of_peer(2))) == seen + 1, "Peer Up again")
    again = collector.messages("peer_up", **of_peer(2))[-1]
    told = ("local_port", "remote_port", "bgp_id", "peer_asn", "bmp_peer_up_info_string")
    assert [again[name] for name in told] == [before[-1][name] for name in told]
    collector.until(lambda: len(raw) == 2 and opens(raw[1], 2), "the other station knows too")
    assert opens(raw[1], 2) == sent
    found = {s["station"]: s["state"] for s in site.rest.get("/v1/bmp-stations")["items"]}
    assert found == {f"127.0.0.1:{port}": "connected" for port in (PORT, RAW_PORT)}
    metrics = site.rest.http.get("/metrics").text
    assert f'bgpsvc_bmp_up{{station="127.0.0.1:{PORT}"}} 1.0' in metrics
