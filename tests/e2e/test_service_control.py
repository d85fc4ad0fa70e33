"""What an operator switches at run time: propagation and the tunnel in use, as peers and packets see it."""

from __future__ import annotations

import signal
import struct
from collections.abc import Iterator

import pytest

from tests.e2e.service import END, LONG, Site, prefixes, running, table_of, tunnel_of
from tests.fakes.bgp_peer import BgpPeer
from tests.netns.namespaces import wait_until

ROUTES = prefixes(200)
SAMPLE = "20.0.7.1"
VPC = "10.0.0.0/16"


@pytest.fixture(scope="module")
def lab() -> Iterator[tuple[Site, BgpPeer, BgpPeer]]:
    """The daemon and both peers, which announce the same."""
    with running() as site, site.peer(1) as one, site.peer(2) as two:
        for number, peer in ((1, one), (2, two)):
            peer.config.answer_refresh = table_of(number, ROUTES)
            peer.wait_established()
            peer.send(table_of(number, ROUTES) + END)
        site.until_routes(ROUTES, backups=True)
        wait_until(lambda: tunnel_of(site, SAMPLE) == "t1", "forwarding")
        yield site, one, two


@pytest.fixture(autouse=True)
def no_session_flaps(lab: tuple[Site, BgpPeer, BgpPeer]) -> Iterator[None]:
    """Nothing here is a reason to lose a session."""
    yield
    assert [peer.log.established for peer in lab[1:]] == [1, 1]
    assert [peer.log.lost for peer in lab[1:]] == [0, 0]


def restart(site: Site) -> None:
    """Kill the daemon and start another, until it has heard everything again."""
    site.stop(signal.SIGKILL)
    site.start()

    def settled() -> bool:
        sessions = [site.rest.session(number) for number in (1, 2)]
        return all(s["end_of_rib"] and not s["prefixes"]["stale"] for s in sessions)

    wait_until(settled, "every session was heard again", LONG)


def test_propagation_off_and_on(lab: tuple[Site, BgpPeer, BgpPeer]) -> None:
    site, one, two = lab
    for peer in (one, two):
        peer.wait(lambda peer=peer: VPC in peer.log.routes, "the VPC's CIDR is announced")  # type: ignore[misc]

    answer = site.rest.patch(False)
    assert answer["auto_propagate"] is False
    site.until_routes([], backups=True)
    for peer in (one, two):
        peer.wait(lambda peer=peer: not peer.log.routes, "the VPC's CIDR is withdrawn")  # type: ignore[misc]
    assert tunnel_of(site, SAMPLE) is None
    assert site.rest.route(ROUTES[0])["reason"] == "propagation_off"
    assert site.rest.gateway()["routes_learned"] == len(ROUTES)
    assert site.rest.session(1)["prefixes"]["advertised"] == 0

    restart(site)
    assert site.rest.gateway()["auto_propagate"] is False
    assert site.kernel_routes() == set()
    assert not one.log.routes
    assert not two.log.routes

    site.rest.patch(True)
    site.until_routes(ROUTES, backups=True)
    for peer in (one, two):
        peer.wait(lambda peer=peer: VPC in peer.log.routes, "announced again")  # type: ignore[misc]
    assert tunnel_of(site, SAMPLE) == "t1"
    wait_until(lambda: site.rest.gateway()["status"] == "active", "status active")


def test_the_standby_is_announced_with_a_worse_med(lab: tuple[Site, BgpPeer, BgpPeer]) -> None:
    _, one, two = lab
    meds = []
    for peer in (one, two):
        peer.wait(lambda peer=peer: VPC in peer.log.routes, "the VPC's CIDR is announced")  # type: ignore[misc]
        meds.append(struct.unpack("!I", peer.log.routes[VPC][4])[0])
    assert meds[0] < meds[1]


def test_a_stale_etag_changes_nothing(lab: tuple[Site, BgpPeer, BgpPeer]) -> None:
    site = lab[0]
    answer = site.rest.http.patch(
        "/v1/vpn-gateways/gw1", json={"auto_propagate": False}, headers={"If-Match": '"stale"'}
    )
    assert answer.status_code == 412
    assert site.rest.gateway()["auto_propagate"] is True
    assert site.kernel_routes() == set(ROUTES)


MED, COMMUNITIES = 4, 8
GRACEFUL_SHUTDOWN = bytes.fromhex("ffff0000")


def until_drained(one: BgpPeer, two: BgpPeer, drained: bool) -> None:
    """Until the first tunnel's peer hears that it is the last choice (RFC 8326), or that it is not."""

    def heard() -> bool:
        first, second = one.log.routes[VPC], two.log.routes[VPC]
        worse = first[MED] > second[MED]
        return worse is drained and (GRACEFUL_SHUTDOWN in first.get(COMMUNITIES, b"")) is drained

    one.wait(
        heard, f"the VPC's CIDR is announced over tunnel 1 {'as the last choice' if drained else 'again'}"
    )
    assert COMMUNITIES not in two.log.routes[VPC]


def test_operator_switch(lab: tuple[Site, BgpPeer, BgpPeer]) -> None:
    site, one, two = lab
    plan = site.rest.switch("standby", dry_run=True)
    assert (plan["from_tunnel"], plan["to_tunnel"]) == ("conn1-tunnel1", "conn1-tunnel2")
    assert (plan["prefixes_moved"], plan["groups_replaced"], plan["changed"]) == (len(ROUTES), 1, True)
    assert site.rest.connection()["mode"] == "auto"
    assert tunnel_of(site, SAMPLE) == "t1"

    assert site.rest.switch("standby") == plan
    assert tunnel_of(site, SAMPLE) == "t2"
    assert site.rest.connection()["carrying"] == "conn1-tunnel2"
    until_drained(one, two, True)
    losers = [c for c in site.rest.route(ROUTES[0])["candidates"] if not c["in_use"]]
    assert [c["reason"] for c in losers] == ["operator_preference"]

    restart(site)
    assert site.rest.connection()["mode"] == "standby"
    assert site.rest.connection()["carrying"] == "conn1-tunnel2"
    assert site.rest.connection()["choice"]["by"] is not None
    assert tunnel_of(site, SAMPLE) == "t2"
    until_drained(one, two, True)

    site.gateway.ip("link set t2 down")
    wait_until(lambda: tunnel_of(site, SAMPLE) == "t1", "the wish waits while its tunnel is down")
    site.gateway.ip("link set t2 up")
    wait_until(lambda: tunnel_of(site, SAMPLE) == "t2", "the wish is followed again")

    site.rest.switch("auto")
    until_drained(one, two, False)
    assert tunnel_of(site, SAMPLE) == "t1"
    assert site.rest.connection()["carrying"] == "conn1-tunnel1"
