"""The speakers against a hand-written peer: what no honest speaker sends, and what a busy one sends."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bgpsvc.events import Advertisement, BgpEvent, EndOfRib, MessagesLost, SessionDown, SessionUp, Withdrawn
from bgpsvc.exabgp.reading import ENV_LINES
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.model import Family, parse_prefix
from tests.fakes import bgp_wire as wire
from tests.interop.harness import ASKED, T1, T2, Recorder, Site, active_opens, run, session, site

HOP = "169.254.10.2"
GOOD = wire.attributes([65500, 65501], HOP, med=5)
MANY = 20_000
TABLE = [f"{20 + (i >> 16)}.{(i >> 8) & 255}.{i & 255}.0/24" for i in range(MANY)]


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "state") as made:
        yield made


MALFORMED = {
    "undefined origin": wire.attributes([65500], HOP, origin=9),
    "no origin": wire.attributes([65500], HOP, origin=None),
    "no next hop": wire.attributes([65500]),
    "no AS path": wire.attributes([], HOP),
    "communities of three bytes": GOOD + wire.attribute(0xC0, 8, b"\1\2\3"),
    "attribute longer than the rest": GOOD + b"\xc0\x08\xff\1",
    "AS path that runs over": wire.attribute(0x40, 1, b"\0") + wire.attribute(0x40, 2, b"\2\x09\0\0\1\1"),
    "med of three bytes": GOOD[:-7] + wire.attribute(0x80, 4, b"\0\0\1"),
    "origin with wrong flags": wire.attribute(0x80, 1, b"\0") + GOOD[4:],
}


@pytest.fixture(params=["packed", "json"])
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain UPDATEs handed over as they are, and all of them left to ExaBGP."""
    monkeypatch.setenv(ENV_LINES, request.param)


@pytest.mark.usefixtures("lines")
def test_malformed_updates_withdraw_their_prefixes(where: Site) -> None:
    """RFC 7606: the routes go, the session stays."""
    prefixes = {name: f"20.0.{number}.0/24" for number, name in enumerate(MALFORMED)}

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer() as peer:
            await seen.until_up()
            peer.send(wire.update(GOOD, ["20.1.0.0/24", *prefixes.values()]))
            await seen.until(lambda: len(seen.prefixes()) == 1 + len(prefixes), "good routes")
            for name, attributes in MALFORMED.items():
                peer.send(wire.update(attributes, [prefixes[name]]))
            peer.send(wire.end_of_rib())
            await seen.until(lambda: seen.of(EndOfRib), "End-of-RIB")
            assert seen.prefixes() == {"20.1.0.0/24"}
            withdrawn = seen.of(Withdrawn)
            assert len(withdrawn) == len(prefixes)
            assert all(event.error for event in withdrawn)
            assert not seen.of(SessionDown)
            assert peer.established

    run(where, scenario)


# What comes from far away, through peers that don't read it: each one used to end the session.
DISCARDED = {
    "20.1.0.0/24": wire.attribute(0xC0, 17, b"\2\5\0\0"),
    "20.1.1.0/24": wire.attribute(0xC0, 18, b"\1\2\3"),
    "20.1.2.0/24": wire.attribute(0xC0, 22, b"\x63"),
    "20.1.3.0/24": wire.attribute(0x80, 9, b"\1\2\3\4\5"),
    "20.1.4.0/24": wire.attribute(0x80, 10, b"\1"),
    "20.1.5.0/24": wire.attribute(0x80, 26, b"\1\0\1"),
}
WITHDRAWN = {
    "20.2.0.0/24": wire.attribute(0x40, 1, b"\0\0") + GOOD[4:],
    "20.2.1.0/24": GOOD[:4] + wire.attribute(0x40, 2, b"\2\0") + wire.attributes([65500], HOP)[-7:],
    "20.2.2.0/24": GOOD + wire.attribute(0xC0, 32, b"\1\2\3"),
}


@pytest.mark.usefixtures("lines")
def test_attributes_of_a_stranger_leave_the_session_alone(where: Site) -> None:
    """RFC 7606 3 and 7; the table of all attributes is in the unit tests."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer() as peer:
            await seen.until_up()
            peer.send(wire.update(GOOD, [*DISCARDED, *WITHDRAWN]))
            await seen.until(lambda: len(seen.prefixes()) == len({*DISCARDED, *WITHDRAWN}), "good routes")
            plain = seen.attributes("20.1.0.0/24")
            changed = wire.attributes([65500, 65501], HOP, med=6)
            for prefix, attribute in DISCARDED.items():
                peer.send(wire.update(changed + attribute, [prefix]))
            for prefix, attributes in WITHDRAWN.items():
                peer.send(wire.update(attributes, [prefix]))
            v6 = wire.mp_reach("fd00:10::2", ["2001:db8:1::/48", "2001:db8:2::/48"])
            peer.send(wire.update(wire.attributes([65500], extra=v6)))
            bad6 = wire.attribute(0xC0, 8, b"\1") + wire.mp_reach("fd00:10::2", ["2001:db8:1::/48"])
            peer.send(wire.update(wire.attributes([65500], extra=bad6)) + wire.end_of_rib())
            await seen.until(lambda: seen.of(EndOfRib), "End-of-RIB")
            assert seen.prefixes() == {*DISCARDED, "2001:db8:2::/48"}
            for prefix in DISCARDED:
                assert seen.attributes(prefix) == dataclasses.replace(plain, med=6)
            reasons = [event.error for event in seen.of(Withdrawn)]
            assert [(reason or "").split()[0] for reason in reasons] == [
                "ORIGIN",
                "AS_PATH",
                "LARGE_COMMUNITY",
                "COMMUNITIES",
            ]
            assert not seen.of(SessionDown)
            assert (peer.log.established, peer.log.lost) == (1, 0)

    run(where, scenario)


FATAL = {
    "no marker": (b"\0" * 19, (1, 1)),
    "bad length": (wire.MARKER + struct.pack("!HB", 5, 2), (1, 2)),
    "unknown type": (wire.message(9), (1, 3)),
    "prefix length 33": (
        wire.message(wire.UPDATE, struct.pack("!HH", 0, len(GOOD)) + GOOD + b"\x21\1\2\3\4\5"),
        (3, 10),
    ),
    "attributes longer than the message": (wire.message(wire.UPDATE, b"\0\0\xff\xff"), (3, 1)),
}


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize(("data", "code"), FATAL.values(), ids=FATAL)
def test_what_cannot_be_survived_is_told(data: bytes, code: tuple[int, int], where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer() as peer:
            await seen.until_up()
            peer.send(data)
            await seen.until(lambda: seen.of(SessionDown), "the session goes down")
            notification = seen.of(SessionDown)[0].notification
            assert notification is not None
            assert notification.sent
            assert (notification.code, notification.subcode) == code
            assert not seen.of(SessionDown)[0].graceful
            await peer_got(seen, peer.log.of, code)
            await seen.until(lambda: len(seen.of(SessionUp)) == 2, "it comes back")

    run(where, scenario)


async def peer_got(seen: Recorder, of: Callable[[int], list[wire.Received]], code: tuple[int, int]) -> None:
    await seen.until(lambda: of(wire.NOTIFICATION), "the NOTIFICATION at the peer")
    assert tuple(of(wire.NOTIFICATION)[0].body[:2]) == code


def test_notification_of_the_peer(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=120)])
        with where.peer(graceful_restart=60) as peer:
            await seen.until_up()
            (up,) = seen.of(SessionUp)
            assert up.negotiated.graceful_restart_time == 60
            assert up.negotiated.graceful_restart_families == (Family.IPV4, Family.IPV6)
            peer.send(wire.notification(6, 2, b"\x05maint"))
            await seen.until(lambda: seen.of(SessionDown), "the NOTIFICATION")
            (down,) = seen.of(SessionDown)
            assert down.notification is not None
            assert (down.notification.sent, down.notification.code, down.notification.subcode) == (
                False,
                6,
                2,
            )
            assert "maint" in down.notification.text
            assert not down.graceful
            peer.drop()
            await seen.until_up()

    run(where, scenario)


def test_lost_transport_is_graceful(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=120)])
        with where.peer(graceful_restart=60) as peer:
            await seen.until_up()
            peer.drop()
            await seen.until(lambda: seen.of(SessionDown), "the loss")
            assert (seen.of(SessionDown)[0].graceful, seen.of(SessionDown)[0].notification) == (True, None)

    run(where, scenario)


def test_end_of_rib_follows_our_routes(where: Site) -> None:
    """A peer that kept our routes over a restart drops at End-of-RIB what it has not heard again."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([session(graceful_restart=120)])
        with where.peer(graceful_restart=60) as peer:
            await seen.until_up()
            assert not any(message.end_of_rib for message in peer.log.of(wire.UPDATE))
            speakers.advertise(T1.id, {parse_prefix(prefix): Advertisement(med=1) for prefix in TABLE[:2000]})
            await seen.until(
                lambda: any(m.end_of_rib == "ipv4" for m in peer.log.of(wire.UPDATE)), "End-of-RIB"
            )
            kinds = [bool(m.end_of_rib) for m in peer.log.of(wire.UPDATE) if m.end_of_rib != "ipv6"]
            assert kinds == sorted(kinds), "a route came behind End-of-RIB"
            assert len(peer.log.routes) == 2000

    run(where, scenario)


@pytest.mark.usefixtures("lines")
def test_many_prefixes_both_ways(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        with where.peer() as peer:
            await seen.until_up()
            peer.send(wire.packed_updates(GOOD, TABLE) + wire.end_of_rib())
            await seen.until(lambda: seen.of(EndOfRib), "the table")
            assert seen.prefixes() == set(TABLE)
            assert not seen.of(MessagesLost)
            own = [prefix.replace("20.", "40.", 1) for prefix in TABLE]
            speakers.advertise(T1.id, {parse_prefix(prefix): Advertisement(med=1) for prefix in own})
            await seen.until(lambda: len(peer.log.routes) == MANY, "our table at the peer")
            assert set(peer.log.routes) == set(own)
            # A change of some is neither a withdrawal nor a repetition of the others.
            before = len(peer.log.messages)
            changed = {parse_prefix(p): Advertisement(med=1 if n % 2 else 2) for n, p in enumerate(own[:100])}
            rest = {parse_prefix(p): Advertisement(med=1) for p in own[100:]}
            speakers.advertise(T1.id, changed | rest)
            await seen.until(
                lambda: sum(len(m.announced) for m in peer.log.messages[before:]) >= 50, "the changed ones"
            )
            news = [m for m in peer.log.messages[before:] if m.kind == wire.UPDATE]
            assert sorted(p for m in news for p in m.announced) == sorted(own[:100:2])
            assert not [p for m in news for p in m.withdrawn]

    run(where, scenario)


def test_quick_changes_end_in_the_last_one(where: Site) -> None:
    """Announced, changed and withdrawn in one breath, before the session is up and after."""
    prefix = parse_prefix("10.0.0.0/16")
    other = parse_prefix("10.1.0.0/16")

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])

        async def wave() -> None:
            for desired in (
                {prefix: Advertisement(med=1), other: Advertisement(med=2)},
                {prefix: Advertisement(med=2)},
                {prefix: Advertisement(med=1), other: Advertisement(med=1)},
                {other: Advertisement(med=2)},
                {prefix: Advertisement(med=2), other: Advertisement(med=1)},
            ):
                speakers.advertise(T1.id, desired)
                await asyncio.sleep(0.02)

        def settled() -> bool:
            meds = {p: struct.unpack("!L", a[4])[0] for p, a in peer.log.routes.items()}
            return meds == {"10.0.0.0/16": 2, "10.1.0.0/16": 1}

        await wave()
        with where.peer() as peer:
            await seen.until_up()
            await seen.until(settled, "the last wave's routes")
            for _ in range(3):
                await wave()
                await seen.until(settled, "the last wave's routes again")

    run(where, scenario)


def test_route_refresh_with_and_without_capability(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1, T2])
        assert await speakers.refresh(T1.id) == "not_established"
        answer = wire.update(GOOD, ["20.0.0.0/24"])
        with (
            where.peer(answer_refresh=answer) as peer,
            where.peer(20, refresh=False, enhanced_refresh=False) as old,
        ):
            await seen.until_up(T1.id, T2.id)
            assert await speakers.refresh(T1.id, Family.IPV4) in ASKED
            await seen.until(lambda: seen.of(EndOfRib), "the end of the refresh")
            assert seen.prefixes() == {"20.0.0.0/24"}
            assert [m.refresh for m in peer.log.of(wire.ROUTE_REFRESH)] == [("ipv4", 0)]
            # What can't be asked is reset.
            assert await speakers.refresh(T2.id) == "reset"
            await seen.until(lambda: seen.of(SessionDown, T2.id), "the reset")
            await seen.until_up(T2.id)
            assert not old.log.of(wire.ROUTE_REFRESH)
            assert not seen.of(SessionDown)

    run(where, scenario)


def test_a_refresh_of_ours_is_not_answered_with_our_table(where: Site) -> None:
    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        speakers.advertise(T1.id, {parse_prefix("10.0.0.0/16"): Advertisement(med=1)})
        with where.peer(answer_refresh=wire.update(GOOD, ["20.0.0.0/24"])) as peer:
            await seen.until_up()
            await seen.until(lambda: peer.log.routes, "our route")
            await speakers.refresh(T1.id, Family.IPV4)
            await seen.until(lambda: seen.of(EndOfRib), "the end of the refresh")
            # The peer's own request is answered, once, between two markers.
            peer.send(wire.route_refresh())
            await seen.until(lambda: len(peer.log.of(wire.ROUTE_REFRESH)) == 3, "begin and end at the peer")
            assert sum(len(m.announced) for m in peer.log.of(wire.UPDATE)) == 2

    run(where, scenario)


def test_events_wait_for_a_busy_consumer(where: Site) -> None:
    """While what `on_events` returned is not done nothing more is read; nothing is lost meanwhile."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        gate = asyncio.Event()
        running: list[int] = []

        async def slowly(events: list[BgpEvent]) -> None:
            running.append(1)
            assert len(running) == 1, "called again while it was busy"
            seen(events)
            if len(seen.prefixes()) > 100:
                await gate.wait()
            running.pop()

        for speaker in speakers._speakers.values():
            speaker._on_events = slowly  # type: ignore[assignment]
        await speakers.start([T1])
        with where.peer() as peer:
            await seen.until_up()
            peer.send(wire.packed_updates(GOOD, TABLE))
            await seen.until(lambda: len(seen.prefixes()) > 100, "the first portion")
            peer.send(wire.end_of_rib())  # not before: one portion may hold the whole table
            await asyncio.sleep(0.5)
            assert not seen.of(EndOfRib)
            gate.set()
            await seen.until(lambda: seen.of(EndOfRib), "the rest")
            assert seen.prefixes() == set(TABLE)
            assert not seen.of(MessagesLost)

    run(where, scenario)


def test_no_connection_says_why_and_is_not_hammered(where: Site) -> None:
    """Nobody listens: a reason once, and about one attempt per second."""

    async def scenario(speakers: Speakers, seen: Recorder) -> None:
        await speakers.start([T1])
        await seen.until(lambda: seen.of(SessionDown), "a failed attempt")
        assert seen.of(SessionDown)[0].reason == "no connection: Connection refused"
        before, since = active_opens(where.gateway), time.monotonic()
        await seen.until(lambda: active_opens(where.gateway) >= before + 3, "it goes on trying")
        # A busy machine makes it longer, never shorter; the first of them may have been due at once.
        assert time.monotonic() - since > 1
        assert len(seen.of(SessionDown)) == 1

    run(where, scenario)
