"""The speakers against BIRD and FRR: what one side announces arrives at the other as it was meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.events import Advertisement, EndOfRib, SessionDown, SessionUp
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.model import Family, Origin, Segment, SegmentType, parse_address, parse_prefix
from tests.interop import daemons
from tests.interop.harness import ASKED, T1, Recorder, Site, active_opens, run, session, site

TABLE = {"20.0.0.0/24", "20.0.1.0/24", "30.0.0.0/8", "2001:db8:20::/48"}
OWN = {parse_prefix("10.0.0.0/16"): Advertisement(med=100, communities=(65530 << 16 | 7,))}
OWN6 = {parse_prefix("2001:db8:10::/48"): Advertisement(med=100)}
PEERS = ["bird", "frr"]


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "state") as made:
        yield made


def peer(kind: str, where: Site, **options: Any) -> AbstractContextManager[Any]:
    """The daemon at the other end of tunnel 1; `bird` and `frr` in options hold what is for one of them."""
    mine = {key: value for key, value in options.items() if key not in PEERS} | options.get(kind, {})
    return daemons.bird(where.peers, **mine) if kind == "bird" else daemons.frr(where.peers, **mine)


def learned(kind: str, daemon: Any) -> str:
    """What the peer has learned from us, as text to search in."""
    return daemon.routes() if kind == "bird" else str(daemon.routes())


@pytest.mark.parametrize("kind", PEERS)
def test_routes_both_ways(kind: str, where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=120)])
        # Before the session is up; it goes out with it.
        speakers.advertise(T1.id, OWN | OWN6)
        with peer(kind, where, ipv6=True) as daemon:
            await seen.until_up()
            await seen.until(lambda: seen.prefixes() == TABLE, "the peer's table")
            attributes = seen.attributes("20.0.0.0/24")
            assert attributes.next_hop == parse_address("169.254.10.2")
            assert attributes.origin is Origin.IGP
            assert attributes.as_path == (Segment(SegmentType.SEQUENCE, (65500,)),)
            assert attributes.med == 7
            assert attributes.communities == (65500 << 16 | 42,)
            assert attributes.large_communities == ((65500, 1, 2),)
            assert seen.attributes("2001:db8:20::/48").next_hop == parse_address("fd00:10::2")
            await seen.until(
                lambda: {e.family for e in seen.of(EndOfRib)} == set(Family), "End-of-RIB of both families"
            )
            (up,) = seen.of(SessionUp)
            assert up.negotiated.peer_asn == 65500
            assert up.negotiated.peer_router_id == "10.9.9.9"
            assert up.negotiated.hold_time == 30
            assert up.negotiated.graceful_restart_time == 120
            assert up.negotiated.route_refresh
            await seen.until(
                lambda: all(
                    p in learned(kind, daemon) for p in ("10.0.0.0/16", "2001:db8:10::/48", "fd00:10::1")
                ),
                "our routes at the peer",
            )
            speakers.advertise(T1.id, OWN6)
            await seen.until(lambda: "10.0.0.0/16" not in learned(kind, daemon), "our withdrawal at the peer")
            assert "2001:db8:10::/48" in learned(kind, daemon)

    run(where, scenario)


def test_attributes_of_ours_at_bird(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with daemons.bird(where.peers) as bird:
            await seen.until_up()
            speakers.advertise(T1.id, OWN)
            await seen.until(lambda: "10.0.0.0/16" in bird.routes(), "our route at BIRD")
            text = bird.routes()
            for expected in (
                "BGP.as_path: 65530",
                "BGP.next_hop: 169.254.10.1",
                "BGP.med: 100",
                "BGP.community: (65530,7)",
                "BGP.origin: IGP",
            ):
                assert expected in text

    run(where, scenario)


SHAPED = Advertisement(
    med=50,
    communities=(65530 << 16 | 9, 0xFFFFFF01),
    large_communities=((65530, 4200000000, 1),),
    prepend=2,
)


def test_what_export_policies_set_arrives(where: Site) -> None:
    own, other = parse_prefix("10.0.0.0/16"), parse_prefix("10.1.0.0/16")

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with daemons.bird(where.peers) as bird:

            def at_bird(prefix: str, *expected: str) -> bool:
                text = bird.command(f"show route all for {prefix} protocol gw4")
                return all(f"{line}\n" in text for line in expected)

            await seen.until_up()
            speakers.advertise(T1.id, {own: SHAPED, other: Advertisement(med=100)})
            await seen.until(
                lambda: at_bird(
                    "10.0.0.0/16",
                    "BGP.as_path: 65530 65530 65530",
                    "BGP.med: 50",
                    "BGP.community: (65530,9) (65535,65281)",
                    "BGP.large_community: (65530, 4200000000, 1)",
                ),
                "what was shaped at BIRD",
            )
            assert at_bird("10.1.0.0/16", "BGP.as_path: 65530", "BGP.med: 100")
            # The policy is taken back: each attribute goes, without a withdrawal in between.
            speakers.advertise(T1.id, {own: Advertisement(med=100), other: SHAPED})
            await seen.until(
                lambda: at_bird("10.0.0.0/16", "BGP.as_path: 65530", "BGP.med: 100"),
                "the plain route at BIRD",
            )
            assert "community" not in bird.command("show route all for 10.0.0.0/16 protocol gw4")
            await seen.until(
                lambda: at_bird("10.1.0.0/16", "BGP.as_path: 65530 65530 65530", "BGP.med: 50"),
                "the other route, shaped",
            )
            speakers.advertise(T1.id, {})
            await seen.until(lambda: "10.1.0.0/16" not in bird.routes(), "the withdrawal of what was shaped")

    run(where, scenario)


def test_ibgp_carries_local_preference(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(local_asn=65500)])
        speakers.advertise(
            T1.id, {parse_prefix("10.0.0.0/16"): Advertisement(med=5, local_pref=333, prepend=3)}
        )
        with daemons.bird(where.peers, remote_asn=65500) as bird:
            await seen.until_up()
            await seen.until(lambda: "BGP.local_pref: 333" in bird.routes(), "local preference at BIRD")
            # Nothing is prepended to an iBGP peer, whose own ASN it would be.
            assert "BGP.as_path: \n" in bird.routes()
            await seen.until(lambda: "20.0.0.0/24" in seen.prefixes(), "BIRD's routes")
            # From our own AS: an empty AS path is right, and local preference comes with it.
            assert seen.attributes("20.0.0.0/24").as_path == ()
            assert seen.attributes("20.0.0.0/24").local_pref == 100

    run(where, scenario)


def test_withdrawals(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with daemons.frr(where.peers, ipv6=True) as frr:
            await seen.until_up()
            await seen.until(lambda: seen.prefixes() == TABLE, "FRR's table")
            frr.configure("router bgp 65500", "address-family ipv4 unicast", "no network 20.0.1.0/24")
            await seen.until(lambda: seen.prefixes() == TABLE - {"20.0.1.0/24"}, "the IPv4 withdrawal")
            frr.configure("router bgp 65500", "address-family ipv6 unicast", "no network 2001:db8:20::/48")
            await seen.until(lambda: seen.prefixes() == {"20.0.0.0/24", "30.0.0.0/8"}, "the IPv6 withdrawal")

    run(where, scenario)


@pytest.mark.parametrize("kind", PEERS)
@pytest.mark.parametrize("restart", [0, 120])
def test_route_refresh_is_answered_and_ends(kind: str, restart: int, where: Site) -> None:
    """With and without graceful restart: FRR answers nobody to whom it has not sent End-of-RIB."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=restart)])
        with peer(kind, where, ipv6=True):
            await seen.until_up()
            await seen.until(
                lambda: seen.prefixes() == TABLE and len(seen.of(EndOfRib)) == 2, "the first table"
            )
            seen.routes.clear()
            seen.events.clear()
            assert await speakers.refresh(T1.id) in ASKED
            await seen.until(lambda: len(seen.of(EndOfRib)) == 2, "the end of the refresh")
            assert seen.prefixes() == TABLE

    run(where, scenario)


FEATURES: dict[str, tuple[SpeakerSession, dict[str, Any]]] = {
    "md5": (
        session(password="a;key!{with}[signs]"),
        {
            "bird": {"options": 'password "a;key!{with}[signs]";'},
            "frr": {"options": ["password a;key!{with}[signs]"]},
        },
    ),
    "gtsm": (
        session(ttl_security=1),
        {"bird": {"options": "ttl security on;"}, "frr": {"options": ["ttl-security hops 1"]}},
    ),
    "hold time": (session(hold_time=9), {}),
    "passive": (session(passive=True), {}),
    "peer is passive": (session(), {"bird": {"options": "passive on;"}, "frr": {"options": ["passive"]}}),
}


@pytest.mark.parametrize("kind", PEERS)
@pytest.mark.parametrize("feature", FEATURES)
def test_features(kind: str, feature: str, where: Site) -> None:
    ours, options = FEATURES[feature]

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([ours])
        with peer(kind, where, **options):
            await seen.until_up()
            (up,) = seen.of(SessionUp)
            assert up.negotiated.hold_time == ours.hold_time
            if feature == "passive":
                assert active_opens(where.gateway) == 0, "a passive session does not connect"
            if feature == "peer is passive":
                assert active_opens(where.peers) == 0, "the peer was connected to"

    run(where, scenario)


@pytest.mark.parametrize("kind", PEERS)
def test_a_wrong_asn_is_told(kind: str, where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(peer_asn=65499)])
        with peer(kind, where):
            await seen.until(
                lambda: any(d.notification and d.notification.code == 2 for d in seen.of(SessionDown)),
                "bad peer AS",
            )
            assert not seen.of(SessionUp)

    run(where, scenario)


@pytest.mark.parametrize("kind", PEERS)
def test_loss_and_return_of_the_peer(kind: str, where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=120)])
        speakers.advertise(T1.id, OWN)
        with peer(kind, where) as daemon:
            await seen.until_up()
            # Attempts before the peer listened failed, and are told as well.
            before = len(seen.of(SessionDown))
            if kind == "bird":
                # What BIRD has not read when it closes makes a reset, which overtakes its NOTIFICATION.
                await seen.until(lambda: "10.0.0.0/16" in learned(kind, daemon), "our route")
                daemon.command("disable gw4")
                await seen.until(lambda: seen.of(SessionDown)[before:], "the NOTIFICATION")
        await seen.until(lambda: seen.of(SessionDown)[before:], "the loss")
        # BIRD says goodbye, FRR just goes as graceful restart is negotiated.
        assert seen.of(SessionDown)[before].graceful is (kind == "frr")
        with peer(kind, where) as daemon:
            await seen.until_up()
            await seen.until(lambda: "10.0.0.0/16" in learned(kind, daemon), "our route after the return")

    run(where, scenario)


def test_a_silent_peer_is_noticed_by_the_hold_time(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(hold_time=3)])
        with daemons.bird(where.peers):
            await seen.until_up()
            where.peers.ip("link set t1 down")
            await seen.until(lambda: seen.of(SessionDown), "the hold timer", seconds=8)
            notification = seen.of(SessionDown)[0].notification
            assert notification is not None
            assert (notification.sent, notification.code) == (True, 4)
            where.peers.ip("link set t1 up")
            await seen.until_up()

    run(where, scenario)
