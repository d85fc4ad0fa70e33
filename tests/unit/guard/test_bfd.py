"""The BFD session by RFC 5880, rule by rule; each row or test names the section."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from bgpsvc.guard.bfd import BfdSession, Change
from bgpsvc.guard.bfd_wire import ControlPacket, Sha1Key, State, pack, parse, verify_sha1
from bgpsvc.guard.model import BfdSettings
from bgpsvc.model import SessionId

OURS, THEIRS = 11, 22
SETTINGS = BfdSettings("169.254.10.1", "169.254.10.2", interval_ms=50, multiplier=3)
KEYED = dataclasses.replace(SETTINGS, key_id=1, key=b"secret")
KEY = Sha1Key(1, b"secret")
TUNNEL = SessionId("c1-tunnel1")


def session(settings: BfdSettings = SETTINGS, draw: Callable[[], float] = lambda: 1.0) -> BfdSession:
    return BfdSession(settings, OURS, 0.0, draw)


def heard(state: State = State.UP, yours: int = OURS, **fields: Any) -> bytes:
    """A packet of the peer, which offers what we ask for."""
    plain: dict[str, Any] = {"diagnostic": 0, "multiplier": 3, "desired_tx": 50_000, "required_rx": 50_000}
    packet = ControlPacket(state=state, my_discriminator=THEIRS, your_discriminator=yours, **(plain | fields))
    return pack(packet)


def out(one: BfdSession, now: float) -> list[ControlPacket]:
    """All that is to be sent at this time."""
    packets = []
    while one.deadline() <= now:
        packet, _change = one.due(now)
        if packet is not None:
            packets.append(parse(packet))
    return packets


def up(settings: BfdSettings = SETTINGS, draw: Callable[[], float] = lambda: 1.0) -> BfdSession:
    """A session that is Up since 0.0, at full speed, its last packet sent and received then."""
    one = session(settings, draw)
    one.received(heard(State.INIT), True, 0.0)
    out(one, 0.0)
    one.received(heard(State.UP, final=True), True, 0.0)
    one.received(heard(), True, 0.0)
    assert not out(one, 0.0)
    return one


def state(one: BfdSession) -> tuple[str, str]:
    status = one.status(TUNNEL)
    return status.state, status.diagnostic


def in_state(name: State) -> BfdSession:
    if name == State.UP:
        return up()
    one = session()
    if name == State.INIT:
        one.received(heard(State.DOWN, 0), True, 0.0)
    if name == State.ADMIN_DOWN:
        one.shut(0.0)
    out(one, 0.0)
    return one


NO, NEIGHBOR, ADMIN = "No Diagnostic", "Neighbor Signaled Session Down", "Administratively Down"


@pytest.mark.parametrize(
    ("ours", "theirs", "becomes", "diagnostic", "in_force"),
    [
        # 6.8.6, "If bfd.SessionState is Down"
        (State.DOWN, State.ADMIN_DOWN, "Down", NO, None),
        (State.DOWN, State.DOWN, "Init", NO, None),
        (State.DOWN, State.INIT, "Up", NO, True),
        (State.DOWN, State.UP, "Down", NO, None),
        # "Else if bfd.SessionState is Init"
        (State.INIT, State.ADMIN_DOWN, "Down", NEIGHBOR, None),
        (State.INIT, State.DOWN, "Init", NO, None),
        (State.INIT, State.INIT, "Up", NO, True),
        (State.INIT, State.UP, "Up", NO, True),
        # "Else (bfd.SessionState is Up)"; AdminDown is no failure: RFC 5882 3.2
        (State.UP, State.ADMIN_DOWN, "Down", NEIGHBOR, None),
        (State.UP, State.DOWN, "Down", NEIGHBOR, False),
        (State.UP, State.INIT, "Up", NO, True),
        (State.UP, State.UP, "Up", NO, True),
        # "If bfd.SessionState is AdminDown": discarded
        (State.ADMIN_DOWN, State.ADMIN_DOWN, "AdminDown", ADMIN, None),
        (State.ADMIN_DOWN, State.DOWN, "AdminDown", ADMIN, None),
        (State.ADMIN_DOWN, State.INIT, "AdminDown", ADMIN, None),
        (State.ADMIN_DOWN, State.UP, "AdminDown", ADMIN, None),
    ],
)
def test_state_machine(
    ours: State, theirs: State, becomes: str, diagnostic: str, in_force: bool | None
) -> None:
    one = in_state(ours)
    one.received(heard(theirs), True, 0.01)
    assert state(one) == (becomes, diagnostic)
    assert one.up is in_force
    assert one.status(TUNNEL).remote_state == {0: "AdminDown", 1: "Down", 2: "Init", 3: "Up"}[theirs]


def test_first_packet() -> None:
    """6.8.1, 6.8.3, 6.8.7: Down, discriminator of the peer unknown, once a second at most, C bit, no Echo."""
    (packet,) = out(session(), 0.0)
    assert packet == ControlPacket(0, State.DOWN, 3, OURS, 0, 1_000_000, 50_000, 0, independent=True)


@pytest.mark.parametrize(
    ("section", "data", "ttl_ok", "reason"),
    [
        ("RFC 5881 5", heard(), False, "TTL"),
        ("6.8.6 your discriminator", heard(yours=12), True, "your discriminator 12, ours is 11"),
        ("6.8.6 your discriminator", heard(State.INIT, 0), True, "your discriminator 0"),
        ("6.8.6 length", heard()[:20], True, "20 octets"),
        (
            "6.8.6 authentication not in use",
            pack(parse(heard()), KEY, 5),
            True,
            "no authentication is configured",
        ),
    ],
)
def test_discarded_packets_count_and_change_nothing(
    section: str, data: bytes, ttl_ok: bool, reason: str
) -> None:
    one = up()
    before, revision = one.snapshot(), one.revision
    expires = one.status(TUNNEL).received
    assert one.received(data, ttl_ok, 0.1) is None
    status = one.status(TUNNEL)
    assert (status.rejected, status.received) == (1, expires)
    assert reason in str(status.last_rejected)
    kept = {name: before[name] for name in ("counters", "last_rejected")}
    assert one.snapshot() | kept == before
    assert one.revision == revision
    _packet, change = one.due(0.15)  # it did not count as a sign of life either (6.8.6, last paragraph)
    assert change is not None
    assert change.up is False


@pytest.mark.parametrize(
    ("section", "data", "reason"),
    [
        ("6.8.6 A clear, authentication in use", heard(), "no authentication"),
        ("6.7.4", pack(parse(heard()), Sha1Key(1, b"other"), 5), "digest"),
        ("6.7.4", pack(parse(heard()), Sha1Key(2, b"secret"), 5), "key id 2"),
    ],
)
def test_authentication_is_required(section: str, data: bytes, reason: str) -> None:
    one = session(KEYED)
    one.received(data, True, 0.0)
    assert reason in str(one.status(TUNNEL).last_rejected)
    assert state(one) == ("Down", NO)


def keyed(number: int, what: State = State.UP, **fields: Any) -> bytes:
    return pack(parse(heard(what, **fields)), KEY, number)


def test_sequence_numbers_that_arrive() -> None:
    """6.7.4: the window moves with packets that are right, and 6.8.1: is forgotten after twice the time."""
    one = session(KEYED)
    one.received(keyed(1000, State.DOWN), True, 0.0)
    one.received(keyed(1003, State.INIT), True, 0.0)
    forged = keyed(1012)[:-1] + b"\0"
    for data in (keyed(999), keyed(1013), forged):
        one.received(data, True, 0.0)
    assert one.status(TUNNEL).rejected == 3
    one.received(keyed(1012), True, 0.1)
    assert one.status(TUNNEL).rejected == 3
    out(one, 0.26)
    assert one.up is False
    one.received(keyed(5, State.DOWN), True, 0.3)  # 0.15 s are one Detection Time, 0.1 + 0.3 not reached
    assert one.status(TUNNEL).rejected == 4
    one.received(keyed(5, State.DOWN), True, 0.41)
    assert state(one)[0] == "Init"
    one.received(keyed(4, State.INIT), True, 0.42)  # known again
    assert one.status(TUNNEL).rejected == 5


def test_sequence_numbers_that_leave() -> None:
    """6.7.4: one more when the contents differ, so never more than the peer takes."""
    one = session(KEYED, draw=lambda: 1.0)  # begins with 2^32-1: a circle
    numbers: list[int] = []

    def send(now: float) -> None:
        while one.deadline() <= now:
            packet, _change = one.due(now)
            if packet is not None:
                numbers.append(verify_sha1(packet, parse(packet), KEY, None))

    send(0.0)
    send(1.0)
    one.received(keyed(7, State.INIT), True, 1.1)
    send(1.1)
    one.received(keyed(7, final=True), True, 1.1)
    for step in range(1, 4):
        one.received(keyed(7), True, 1.1 + step / 19)
        send(1.1 + step / 19)
    assert numbers == [0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("section", "ours_ms", "their_tx", "their_rx", "their_multiplier", "transmit", "receive", "detection"),
    [
        ("6.8.2, 6.8.4", 50, 50_000, 50_000, 3, 50, 50, 150),
        ("6.8.2 the peer takes less", 50, 50_000, 300_000, 3, 300, 50, 150),
        ("6.8.4 the peer sends less, its multiplier", 50, 200_000, 50_000, 5, 50, 200, 1000),
        ("6.8.4 we take less", 100, 20_000, 20_000, 3, 100, 100, 300),
        ("6.8.4", 10, 10_000, 10_000, 1, 10, 10, 10),
    ],
)
def test_negotiated_intervals(
    section: str,
    ours_ms: int,
    their_tx: int,
    their_rx: int,
    their_multiplier: int,
    transmit: float,
    receive: float,
    detection: float,
) -> None:
    one = session(dataclasses.replace(SETTINGS, interval_ms=ours_ms))
    offers = {"desired_tx": their_tx, "required_rx": their_rx, "multiplier": their_multiplier}
    one.received(heard(State.INIT, **offers), True, 0.0)
    out(one, 0.0)
    status = one.status(TUNNEL)
    assert (status.transmit_ms, status.receive_ms, status.detection_ms) == (transmit, receive, detection)
    assert one.detection_ms == detection
    assert one.deadline() == pytest.approx(min(transmit, detection) / 1000)


@pytest.mark.parametrize(
    ("multiplier", "drawn", "share"), [(3, 0.0, 0.75), (3, 1.0, 1.0), (1, 0.0, 0.75), (1, 1.0, 0.9)]
)
def test_jitter(multiplier: int, drawn: float, share: float) -> None:
    """6.8.7: 75 to 100 %; with bfd.DetectMult 1 at most 90 %."""
    one = up(dataclasses.replace(SETTINGS, multiplier=multiplier), draw=lambda: drawn)
    assert one.deadline() == pytest.approx(0.05 * share)
    assert len(out(one, 0.05 * share)) == 1


def test_slow_while_not_up() -> None:
    """6.8.3: Desired Min TX of a second while not Up, also if that makes it more than before."""
    one = session()
    assert [p.desired_tx for p in out(one, 0.0)] == [1_000_000]
    assert one.deadline() == pytest.approx(1.0)
    one.received(heard(State.INIT), True, 0.5)
    assert [p.desired_tx for p in out(one, 0.5)] == [50_000]
    assert one.deadline() == pytest.approx(0.55)
    one.received(heard(State.DOWN), True, 0.52)
    assert [p.desired_tx for p in out(one, 0.52)] == [1_000_000]
    assert one.deadline() == pytest.approx(0.52 + 0.15)  # detection; sending at 1.52
    assert [p.desired_tx for p in out(one, 1.5)] == [1_000_000]


def test_slower_than_a_second_stays_so() -> None:
    one = session(dataclasses.replace(SETTINGS, interval_ms=3000))
    assert [(p.desired_tx, p.required_rx) for p in out(one, 0.0)] == [(3_000_000, 3_000_000)]


def test_detection() -> None:
    """6.8.4: Down with diagnostic 1, Your Discriminator back to zero (6.8.1), told at once (6.8.7)."""
    one = up()
    assert out(one, 0.1499)
    assert one.up is True
    packet, change = one.due(0.15)
    assert change == Change(False, "no packet for 150 ms: Control Detection Time Expired", None)
    assert packet is not None
    sent = parse(packet)
    assert (sent.state, sent.diagnostic, sent.your_discriminator) == (State.DOWN, 1, 0)
    assert one.status(TUNNEL).flaps == 1
    assert one.status(TUNNEL).since == 0.15


def test_a_packet_like_the_last_one_before_the_silence() -> None:
    """It is looked at again: the peer is there, and has not noticed."""
    one = up()
    one.due(0.15)
    one.received(heard(), True, 0.2)
    assert one.status(TUNNEL).remote_state == "Up"
    assert [(p.state, p.your_discriminator) for p in out(one, 0.2)] == [(State.DOWN, THEIRS)]


def test_detection_in_init() -> None:
    """6.8.4: Init too; what was never Up has not failed."""
    one = in_state(State.INIT)
    _packet, change = one.due(0.151)
    assert change is None
    assert state(one) == ("Down", "Control Detection Time Expired")
    assert one.up is None


def test_packets_that_waited_are_looked_at_first() -> None:
    """A late process reads, then asks what is due: nobody is dead whose packet was there."""
    one = up()
    assert one.received(heard(), True, 7.0) is None
    _packet, change = one.due(7.0)
    assert change is None
    assert one.up is True


def test_peer_says_down() -> None:
    one = up()
    change = one.received(heard(State.DOWN, diagnostic=1), True, 0.1)
    assert change == Change(False, "the peer says Down: Control Detection Time Expired", None)


def test_peer_switched_off_is_no_failure() -> None:
    """RFC 5882 3.2; 6.8.6: Down with diagnostic 3."""
    one = up()
    change = one.received(heard(State.ADMIN_DOWN, diagnostic=7), True, 0.1)
    assert change == Change(None, "switched off by the peer (AdminDown)", None)
    (sent,) = out(one, 0.1)
    assert (sent.state, sent.diagnostic) == (State.DOWN, 3)


def test_peer_switched_off_after_a_failure() -> None:
    one = up()
    one.due(0.15)
    change = one.received(heard(State.ADMIN_DOWN, diagnostic=7), True, 0.2)
    assert change is not None
    assert change.up is None


def test_comes_back() -> None:
    """6.2: Down, Init and Up again; the change is told once."""
    one = up()
    one.due(0.15)
    assert one.received(heard(State.DOWN, 0), True, 0.2) is None
    change = one.received(heard(State.INIT), True, 0.21)
    assert change is not None
    assert (change.up, change.detection_ms) == (True, 150.0)
    assert one.received(heard(), True, 0.22) is None
    assert state(one) == ("Up", NO)


def test_faster_detection_is_told() -> None:
    """The peer sends once a second until it is Up itself (6.8.3)."""
    one = session()
    change = one.received(heard(State.INIT, desired_tx=1_000_000), True, 0.0)
    assert change is not None
    assert (change.detection_ms, change.reason) == (3000.0, "packets arrive both ways")
    change = one.received(heard(), True, 0.1)
    assert change is not None
    assert (change.detection_ms, change.reason) == (150.0, "packets arrive both ways")


def test_poll_is_answered_at_once() -> None:
    """6.5, 6.8.7: F set and P clear, whatever the timers and the state."""
    for name in State:
        one = in_state(name)
        one.received(heard(State.DOWN if name == State.INIT else State.UP, poll=True), True, 0.001)
        assert one.deadline() <= 0.001
        first = out(one, 0.001)[0]
        assert (first.final, first.poll) == (True, False)


def test_answer_and_poll_are_two_packets() -> None:
    """6.5: P and F are never both set."""
    one = session()
    out(one, 0.0)
    one.received(heard(State.INIT, poll=True), True, 0.1)
    assert [(p.poll, p.final) for p in out(one, 0.1)] == [(False, True), (True, False)]


def test_poll_sequence_when_up() -> None:
    """6.8.3: the new Desired Min TX is told by a Poll Sequence, on periodic packets (6.5)."""
    one = session()
    out(one, 0.0)
    one.received(heard(State.INIT), True, 0.1)
    assert [p.poll for p in out(one, 0.1)] == [True]
    one.received(heard(), True, 0.12)
    assert not out(one, 0.12)  # no additional packets
    assert [p.poll for p in out(one, 0.151)] == [True]
    one.received(heard(final=True), True, 0.16)
    assert not out(one, 0.16)
    assert [p.poll for p in out(one, 0.202)] == [False]


def adjusted(interval_ms: int) -> BfdSession:
    one = up()
    one.adjust(dataclasses.replace(SETTINGS, interval_ms=interval_ms), 0.01)
    return one


def test_slower_by_settings_waits_for_the_final() -> None:
    """6.8.3: an increased Desired Min TX is not used before the Poll Sequence has ended, the rest at once."""
    one = adjusted(200)
    (sent,) = out(one, 0.01)
    assert (sent.poll, sent.desired_tx, sent.required_rx) == (True, 200_000, 200_000)
    assert one.status(TUNNEL).transmit_ms == 50
    assert one.detection_ms == 600
    one.received(heard(final=True), True, 0.02)
    assert one.status(TUNNEL).transmit_ms == 200
    assert one.deadline() == pytest.approx(0.21)


def test_faster_by_settings() -> None:
    """6.8.3: sending faster is at once; the shorter Detection Time waits for the end of the Poll Sequence."""
    one = adjusted(20)
    (sent,) = out(one, 0.01)
    assert (sent.poll, sent.desired_tx, sent.required_rx) == (True, 20_000, 20_000)
    assert one.deadline() == pytest.approx(0.06)  # the peer takes one in 50 ms
    assert one.detection_ms == 150
    change = one.received(heard(final=True, desired_tx=20_000, required_rx=20_000), True, 0.02)
    assert change is not None
    assert change.detection_ms == 60
    assert one.status(TUNNEL).transmit_ms == 20


def test_shorter_detection_waits_for_the_final() -> None:
    """6.8.3: also for a peer that would send faster already, if it knew that it may."""
    one = up()
    one.received(heard(desired_tx=10_000), True, 0.0)
    assert one.detection_ms == 150
    one.adjust(dataclasses.replace(SETTINGS, interval_ms=20), 0.01)
    out(one, 0.01)
    assert one.detection_ms == 150
    one.received(heard(desired_tx=10_000, final=True), True, 0.02)
    assert one.detection_ms == 60


def test_second_change_during_a_poll_sequence() -> None:
    """6.8.3, third choice: a packet with P clear comes between two Poll Sequences."""
    one = adjusted(200)
    assert [p.poll for p in out(one, 0.01)] == [True]
    one.adjust(dataclasses.replace(SETTINGS, interval_ms=300), 0.02)
    one.adjust(dataclasses.replace(SETTINGS, interval_ms=400), 0.02)
    assert [(p.poll, p.desired_tx) for p in out(one, 0.02)] == [(False, 400_000)]
    one.received(heard(final=True), True, 0.03)  # for the first one: says nothing about the second
    assert one.status(TUNNEL).transmit_ms == 50
    assert [p.poll for p in out(one, 0.08)] == [True]
    one.received(heard(final=True), True, 0.09)
    assert one.status(TUNNEL).transmit_ms == 400


def test_settings_of_another_path_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot become"):
        up().adjust(dataclasses.replace(SETTINGS, peer="169.254.10.3"), 0.1)


def test_other_multiplier_is_told_without_a_poll() -> None:
    one = up()
    one.adjust(dataclasses.replace(SETTINGS, multiplier=5), 0.01)
    assert [(p.multiplier, p.poll) for p in out(one, 0.01)] == [(5, False)]


def test_a_final_nobody_asked_for_changes_nothing() -> None:
    one = up()
    before = one.status(TUNNEL)
    one.received(heard(final=True), True, 0.01)
    assert dataclasses.replace(one.status(TUNNEL), received=before.received) == before


def test_peer_in_demand_mode_gets_no_periodic_packets() -> None:
    """6.6, 6.8.7: while both are Up, except for a Poll Sequence; Polls are answered."""
    one = up()
    one.received(heard(demand=True), True, 0.01)
    assert one.deadline() == pytest.approx(0.16)  # detection only
    one.received(heard(demand=True, poll=True), True, 0.1)
    assert [p.final for p in out(one, 0.1)] == [True]
    one.adjust(dataclasses.replace(SETTINGS, interval_ms=20), 0.11)
    assert [p.poll for p in out(one, 0.11)] == [True]
    assert [p.poll for p in out(one, 0.161)] == [True]
    one.received(heard(demand=True, final=True), True, 0.17)
    assert one.deadline() == pytest.approx(0.32)
    one.received(heard(), True, 0.18)
    assert one.deadline() == pytest.approx(0.211)


def test_peer_that_wants_nothing_gets_nothing_periodic() -> None:
    """6.8.7: bfd.RemoteMinRxInterval zero."""
    one = up()
    one.received(heard(required_rx=0), True, 0.01)
    assert not out(one, 0.15)
    one.received(heard(required_rx=0, poll=True), True, 0.15)
    assert [p.final for p in out(one, 0.15)] == [True]
    one.received(heard(), True, 0.16)
    assert len(out(one, 0.16)) == 1


def test_peer_with_another_discriminator() -> None:
    """6.8.6: bfd.RemoteDiscr is what came last; a restarted peer begins with Down."""
    one = up()
    new = pack(dataclasses.replace(parse(heard(State.DOWN, 0)), my_discriminator=33))
    change = one.received(new, True, 0.05)
    assert change is not None
    assert change.up is False
    assert [p.your_discriminator for p in out(one, 0.05)] == [33]


def test_shut() -> None:
    """6.8.16: AdminDown with diagnostic 7, told again and again; packets of the peer change nothing."""
    one = up()
    sent = parse(one.shut(0.01))
    assert (sent.state, sent.diagnostic, sent.desired_tx) == (State.ADMIN_DOWN, 7, 1_000_000)
    assert one.up is None
    assert one.deadline() == pytest.approx(1.01)
    assert [p.state for p in out(one, 1.01)] == [State.ADMIN_DOWN]
    assert one.received(heard(State.DOWN), True, 1.02) is None
    assert parse(one.shut(1.03)).state == State.ADMIN_DOWN


def restored(one: BfdSession, now: float, settings: BfdSettings = SETTINGS) -> BfdSession:
    return BfdSession.restore(settings, json.loads(json.dumps(one.snapshot())), now, lambda: 1.0)


@pytest.mark.parametrize("name", [State.DOWN, State.INIT, State.UP])
def test_restored(name: State) -> None:
    """Another process sends what the first one would have sent."""
    one = in_state(name)
    other = restored(one, 0.05)
    assert dataclasses.replace(other.status(TUNNEL), sent=0) == dataclasses.replace(
        one.status(TUNNEL), sent=0
    )
    assert other.up is one.up
    assert other.detection_ms == one.detection_ms
    changes = {"heard": 0, "transmit_sequence": 0}
    assert other.snapshot() | changes == one.snapshot() | changes
    assert [p.state for p in out(other, 0.05)] == [name]


def test_restored_gives_the_peer_a_detection_time() -> None:
    other = restored(up(), 5.0)
    assert other.up is True
    out(other, 5.149)
    assert other.up is True
    _packet, change = other.due(5.15)
    assert change is not None
    assert change.up is False


def test_restored_goes_on_with_its_poll_sequence() -> None:
    one = adjusted(200)
    out(one, 0.01)
    other = restored(one, 0.05, dataclasses.replace(SETTINGS, interval_ms=200))
    assert [p.poll for p in out(other, 0.05)] == [True]
    assert other.status(TUNNEL).transmit_ms == 50
    other.received(heard(final=True), True, 0.06)
    assert other.status(TUNNEL).transmit_ms == 200


def test_restored_with_other_settings_tells_them() -> None:
    other = restored(up(), 0.05, dataclasses.replace(SETTINGS, interval_ms=20))
    assert [(p.poll, p.desired_tx) for p in out(other, 0.05)] == [(True, 20_000)]
    assert other.detection_ms == 150


def test_restored_before_anything_was_heard() -> None:
    one = session()
    other = restored(one, 1.0)
    assert [p.state for p in out(other, 1.0)] == [State.DOWN]
    assert other.due(100.0)[1] is None


def test_restored_sequence_is_one_that_the_peer_takes() -> None:
    """6.7.4: also if the process had sent another packet after its last snapshot."""
    one = up(KEYED)
    kept = one.snapshot()
    one.adjust(dataclasses.replace(KEYED, multiplier=1), 0.01)
    last, _change = one.due(0.01)
    assert last is not None
    number = verify_sha1(last, parse(last), KEY, None)
    other = BfdSession.restore(KEYED, kept, 0.02, lambda: 1.0)
    packet, _change = other.due(0.02)
    assert packet is not None
    verify_sha1(packet, parse(packet), KEY, number)


def test_a_snapshot_has_no_key_and_grows_old_only_when_something_happens() -> None:
    one = up(SETTINGS)
    revision = one.revision
    for step in range(1, 20):
        one.received(heard(), True, step / 40)
        out(one, step / 40)
    assert one.revision == revision
    assert "secret" not in json.dumps(up(KEYED).snapshot()) + repr(KEYED)
    one.received(heard(State.DOWN), True, 0.6)
    assert one.revision > revision


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"interval_ms": 9}, "interval"),
        ({"multiplier": 0}, "multiplier"),
        ({"multiplier": 256}, "multiplier"),
        ({"key_id": 1}, "go together"),
        ({"key": b"k"}, "go together"),
        ({"key": b"k" * 21, "key_id": 1}, "1 to 20"),
    ],
)
def test_impossible_settings(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        session(dataclasses.replace(SETTINGS, **changes))


@pytest.mark.parametrize("discriminator", [0, 1 << 32])
def test_impossible_discriminators(discriminator: int) -> None:
    with pytest.raises(ValueError, match="discriminator"):
        BfdSession(SETTINGS, discriminator, 0.0, lambda: 1.0)


def test_nothing_is_due_for_ever_when_shut_off_by_the_peer() -> None:
    """A peer that wants nothing and then says nothing: the session is forgotten, and begins again (6.8.1)."""
    one = up()
    one.received(heard(required_rx=0), True, 0.01)
    assert one.deadline() < math.inf
    out(one, 0.2)
    assert one.up is False
    assert len(out(one, 1.3)) == 1
