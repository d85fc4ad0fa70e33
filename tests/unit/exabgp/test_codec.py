"""The decoder on lines that ExaBGP wrote: recorded with a hand-written peer, BIRD and FRR, see `lines/`."""

from __future__ import annotations

import re
import time
from pathlib import Path

import orjson
import pytest

from bgpsvc.events import (
    Announced,
    BgpEvent,
    EndOfRib,
    MessagesLost,
    Negotiated,
    Notification,
    OpenMessages,
    SessionDown,
    SessionResync,
    SessionStateChanged,
    SessionUp,
    Withdrawn,
)
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.wording import negotiated_of
from bgpsvc.model import (
    Attributes,
    Family,
    Origin,
    Segment,
    SegmentType,
    SessionId,
    SessionState,
    format_prefix,
    parse_address,
    parse_prefix,
)

LINES = Path(__file__).parent / "lines"
ADDRESSES = ("169.254.10.1", "169.254.10.2")
NAME = SessionId("c1-tunnel1")
PATH = (Segment(SegmentType.SEQUENCE, (65500, 65501)),)
HOP = parse_address("169.254.10.2")


def recorded(name: str) -> list[bytes]:
    return (LINES / f"{name}.jsonl").read_bytes().splitlines()


def decoder() -> Decoder:
    return Decoder({ADDRESSES: NAME})


def decode(lines: list[bytes], with_decoder: Decoder | None = None) -> list[BgpEvent]:
    made = with_decoder or decoder()
    return [event for line in lines for event in made.feed(line)]


def routes(name: str) -> list[BgpEvent]:
    return [e for e in decode(recorded(name)) if isinstance(e, Announced | Withdrawn | EndOfRib)]


def announced(
    *prefixes: str, hop: bytes = HOP, path: tuple[Segment, ...] = PATH, **attributes: object
) -> Announced:
    values = {"next_hop": hop, "origin": Origin.IGP, "as_path": path} | attributes
    return Announced(NAME, Attributes(**values), tuple(map(parse_prefix, prefixes)))  # type: ignore[arg-type]


def withdrawn(*prefixes: str, error: str | None = None) -> Withdrawn:
    return Withdrawn(NAME, tuple(map(parse_prefix, prefixes)), error)


def line(
    content: str, kind: str = "update", counter: int = 1, pid: int = 7, peer: str = ADDRESSES[1]
) -> bytes:
    """A line as ExaBGP writes it."""
    return (
        f'{{ "exabgp": "5.0.0", "time": 1.5, "host" : "gw", "pid" : {pid}, "ppid" : 1, "counter": {counter}, '
        f'"type": "{kind}", "neighbor": {{ "address": {{ "local": "{ADDRESSES[0]}", "peer": "{peer}" }}, '
        f'"asn": {{ "local": 65530, "peer": 65500 }}, {content} }} }}'
    ).encode()


def state(value: str, reason: str = "", counter: int = 1) -> bytes:
    return line(f'"state": "{value}", "reason": {orjson.dumps(reason).decode()}', "state", counter)


ONE = Segment(SegmentType.SEQUENCE, (65500,))
PEER_ROUTES: list[BgpEvent] = [
    announced(
        "20.0.0.0/24",
        "20.0.1.128/25",
        "0.0.0.0/0",
        med=5,
        communities=(65500 << 16 | 1, 65535 << 16 | 65281),
        large_communities=((65500, 1, 2),),
        extended_communities=(0x0002FDE800000064,),
    ),
    withdrawn("20.0.0.0/24"),
    announced("21.0.0.0/8", atomic_aggregate=True, aggregator=(70000, "1.2.3.4")),
    announced("22.0.0.0/8", path=(ONE, Segment(SegmentType.SET, (5, 6))), origin=Origin.INCOMPLETE),
    announced("2001:db8:1::/48", "2001:db8:2::/48", hop=parse_address("fd00:10::2"), path=(ONE,)),
    withdrawn("2001:db8:2::/48"),
    EndOfRib(NAME, Family.IPV4),
    EndOfRib(NAME, Family.IPV6),
    # RFC 7606: these UPDATEs are malformed, so their prefixes are withdrawn and the session stays.
    withdrawn("23.0.0.0/8", "20.0.1.128/25", error="the UPDATE's attributes are malformed (RFC 7606)"),
    withdrawn("24.0.0.0/8", error="ORIGIN has an undefined value (RFC 7606 7.1)"),
    withdrawn("25.0.0.0/8", error="ORIGIN is missing (RFC 7606 3 d)"),
    withdrawn("26.0.0.0/8", error="AS_PATH is missing or empty in an UPDATE from another AS (RFC 7606 3 d)"),
    withdrawn("27.0.0.0/8", error="NEXT_HOP is missing (RFC 7606 3 d)"),
    # Sent with host bits set.
    announced("28.128.0.0/9"),
    # Two families refreshed; the end of each (RFC 7313) is an End-of-RIB.
    announced("20.0.0.0/24"),
    EndOfRib(NAME, Family.IPV4),
    announced("20.0.0.0/24"),
    EndOfRib(NAME, Family.IPV6),
]


def test_every_recorded_line_is_understood() -> None:
    for name in ("peer", "bird", "frr"):
        made = decoder()
        decode(recorded(name), made)
        assert (name, made.unknown) == (name, 0)


def test_routes_of_the_hand_written_peer() -> None:
    assert routes("peer") == PEER_ROUTES


@pytest.mark.parametrize("name", ["bird", "frr"])
def test_routes_of_real_peers(name: str) -> None:
    tables: dict[bool, dict[str, Attributes]] = {False: {}, True: {}}
    after_end = False
    for event in routes(name):
        assert not isinstance(event, Withdrawn)
        if isinstance(event, Announced):
            tables[after_end] |= {format_prefix(prefix): event.attributes for prefix in event.prefixes}
            # The second announcement answers the route refresh.
            after_end = "20.0.0.0/24" in tables[False]
    table = tables[False] | tables[True]
    assert set(table) == {"20.0.0.0/24", "20.0.1.0/24", "30.0.0.0/8", "2001:db8:20::/48"}
    attributes = table["20.0.0.0/24"]
    assert attributes.as_path == (ONE,)
    assert attributes.med == 7
    assert attributes.communities == (65500 << 16 | 42,)
    assert attributes.large_communities == ((65500, 1, 2),)
    assert table["2001:db8:20::/48"].next_hop == parse_address("fd00:10::2")
    ends = [event.family for event in routes(name) if isinstance(event, EndOfRib)]
    assert ends == [Family.IPV4, Family.IPV6] * 2


def test_sessions_of_the_hand_written_peer() -> None:
    events = decode(recorded("peer"))
    downs = [event for event in events if isinstance(event, SessionDown)]
    ups = [event for event in events if isinstance(event, SessionUp)]
    assert len(ups) == 5
    assert ups[0].negotiated == Negotiated(
        hold_time=30,
        families=(Family.IPV4, Family.IPV6),
        route_refresh=True,
        enhanced_refresh=True,
        peer_router_id="10.9.9.9",
        peer_asn=65500,
        graceful_restart_time=60,
        graceful_restart_families=(Family.IPV4, Family.IPV6),
        forwarding_preserved=(Family.IPV4, Family.IPV6),
        peer_capabilities=(
            "asn4",
            "enhanced-route-refresh",
            "graceful restart",
            "multiprotocol",
            "route-refresh",
        ),
    )
    told, lost, garbage, reset = downs
    assert told.notification == Notification(
        False, 6, 2, 'Cease / Administrative Shutdown / Shutdown Communication: "maint"'
    )
    assert not told.graceful
    assert (lost.notification, lost.graceful) == (None, True)
    assert "closed by the remote end" in lost.reason
    assert garbage.notification is not None
    assert (garbage.notification.sent, garbage.notification.code, garbage.notification.subcode) == (
        True,
        1,
        1,
    )
    assert not garbage.graceful
    # Our own reset, with graceful restart negotiated: ExaBGP closes without a word.
    assert (reset.notification, reset.graceful) == (None, True)


def test_what_a_peer_writes_cannot_drive_a_terminal() -> None:
    """RFC 9003 2 lets a peer send any UTF-8, which ends in logs and on the screens of operators."""
    text = 'Cease / Administrative Shutdown / Shutdown Communication: "\x1b[2J\u202eWartung für 1 h\x07"'
    (down,) = decode([state("down", f"notification received (6,2): {text}")])
    assert isinstance(down, SessionDown)
    assert down.notification is not None
    for told in (down.reason, down.notification.text):
        assert told.isprintable()
        assert told.endswith('"?[2J?Wartung für 1 h?"')


def test_states_below_established_follow_the_rfc() -> None:
    changes = [e.state for e in decode(recorded("bird")) if isinstance(e, SessionStateChanged)]
    connect, sent, confirm = SessionState.CONNECT, SessionState.OPENSENT, SessionState.OPENCONFIRM
    assert changes == [connect, sent, confirm, SessionState.IDLE, connect]


def test_a_refused_connection_says_so() -> None:
    last = decode(recorded("bird"))[-1]
    assert last == SessionDown(NAME, "no connection: Connection refused")


def test_capabilities_without_a_name_do_not_hide_that_the_session_is_up() -> None:
    (up,) = [event for event in decode(recorded("frr")) if isinstance(event, SessionUp)]
    assert "code 73" in up.negotiated.peer_capabilities
    assert up.negotiated.graceful_restart_families == ()


def test_negotiated_of_nothing() -> None:
    made = negotiated_of({}, {"capabilities": {"5": "text"}})
    assert made == Negotiated(hold_time=0, families=())


@pytest.mark.parametrize(
    ("counters", "missing"),
    [([1, 2, 3], []), ([5, 6], []), ([1, 3], [1]), ([1, 2, 12, 13], [9]), ([7, 1, 2], []), ([7, 3], [2])],
)
def test_counter(counters: list[int], missing: list[int]) -> None:
    """A jump is a loss, and so is a new beginning that isn't at one; the first may be any."""
    made = decoder()
    events = decode(
        [line('"message": { "eor": {"afi": "ipv4", "safi": "unicast"} }', counter=c) for c in counters], made
    )
    assert [event.missing for event in events if isinstance(event, MessagesLost)] == missing


def test_counter_of_a_new_speaker_begins_anywhere() -> None:
    made = decoder()
    eor = '"message": { "eor": {"afi": "ipv4", "safi": "unicast"} }'
    events = decode(
        [line(eor, counter=9, pid=1), line(eor, counter=4, pid=2), line(eor, counter=5, pid=2)], made
    )
    assert not [event for event in events if isinstance(event, MessagesLost)]


def test_reset_forgets_states_and_counters() -> None:
    made = decoder()
    decode([state("up")], made)
    assert made.established() == (NAME,)
    made.reset()
    assert made.established() == ()
    assert not decode([state("connected", counter=50)], made)


def sync(value: str, counter: int) -> bytes:
    more = ""
    if value == "established":
        more = (
            ', "negotiated": {"hold_time": 9, "families": ["ipv4 unicast"], "refresh": "normal"}, "open": {}'
        )
    return line(f'"state": "{value}"{more}', "sync", counter)


def test_sync_tells_what_was_not_seen() -> None:
    made = decoder()
    (resync,) = decode([sync("established", 1)], made)
    assert resync == SessionResync(NAME, Negotiated(hold_time=9, families=(Family.IPV4,), route_refresh=True))
    assert decode([sync("established", 2)], made) == []
    (down,) = decode([sync("connect", 3)], made)
    assert isinstance(down, SessionDown)
    assert not down.graceful


def test_sync_of_a_session_that_was_never_up() -> None:
    made = decoder()
    assert decode([sync("active", 1), sync("active", 2)], made) == [
        SessionStateChanged(NAME, SessionState.ACTIVE)
    ]


def test_sync_closes_a_gap_at_the_end_of_a_burst() -> None:
    made = decoder()
    events = decode([state("up"), sync("established", 8)], made)
    assert events[1:] == [MessagesLost(NAME, 6)]


def eor(counter: int, family: str = "ipv4") -> bytes:
    return line(f'"message": {{ "eor": {{"afi": "{family}", "safi": "unicast"}} }}', counter=counter)


def refresh(subtype: str, counter: int, family: str = "ipv4") -> bytes:
    content = f'"route-refresh": {{"afi": "{family}", "safi": "unicast", "subtype": "{subtype}"}}'
    return line(content, "refresh", counter)


END4, END6 = EndOfRib(NAME, Family.IPV4), EndOfRib(NAME, Family.IPV6)


@pytest.mark.parametrize("begin", ["lost", "resync", "asked"])
def test_an_end_of_rib_from_before_a_loss_does_not_pass_for_its_repair(begin: str) -> None:
    made = decoder()
    if begin == "lost":
        assert decode([state("up"), eor(9)], made)[1:] == [MessagesLost(NAME, 7)]
    elif begin == "resync":
        decode([sync("established", 9)], made)
    else:
        decode([state("up", counter=9)], made)
        made.expect_refresh(NAME, Family)
    # Still from before: an End-of-RIB, and the end of a refresh whose beginning was not seen.
    assert decode([eor(10), refresh("end", 11)], made) == []
    assert decode([refresh("begin", 12), eor(13), refresh("end", 14)], made) == [END4]
    # The other family waits for its own.
    assert decode([eor(15, "ipv6"), refresh("end", 16, "ipv6")], made) == []
    assert decode([refresh("begin", 17, "ipv6"), refresh("end", 18, "ipv6")], made) == [END6]
    assert decode([eor(19), eor(20, "ipv6"), refresh("end", 21), refresh("query", 22)], made) == [
        END4,
        END6,
        END4,
    ]


def test_a_loss_within_a_refresh_spoils_it() -> None:
    made = decoder()
    decode([sync("established", 1), refresh("begin", 2)], made)
    assert decode([refresh("end", 4)], made) == [MessagesLost(NAME, 1)]
    assert decode([refresh("begin", 5), refresh("end", 6)], made) == [END4]


def test_a_new_session_ends_the_waiting() -> None:
    made = decoder()
    decode([sync("established", 1), state("down", "closing connection", 2), state("up", "", 3)], made)
    assert decode([eor(4)], made) == [END4]


def test_a_collision_is_no_loss_of_the_session() -> None:
    reason = "closing outgoing connection as we have another incoming on with higher router-id"
    assert decode([state("down", reason)]) == []


def test_an_attempt_that_fails_is_never_graceful() -> None:
    (down,) = decode([state("down", "closing connection: Broken TCP connection")])
    assert down == SessionDown(NAME, "closing connection: Broken TCP connection")


def test_lines_of_unknown_sessions_and_families_are_left_out() -> None:
    other = '"message": { "update": { "attribute": {}, "announce": { "ipv4 flow": { "x": [ "y" ] } } } }'
    assert decode([line(other), line(other, peer="10.0.0.9")]) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"neighbor": 1}',
        line('"message": {}'),
        line(
            '"message": { "update": { "attribute": [], "announce": '
            '{ "ipv4 unicast": { "1.1.1.1": ["x/8"] } } } }'
        ),
        line('"x": 1', "surprise"),
        line('"state": "nowhere"', "fsm"),
    ],
)
def test_what_is_not_understood_is_counted_and_harmless(text: bytes) -> None:
    made = decoder()
    assert made.feed(text) == []
    assert made.unknown == 1
    assert made.last_unknown == text[:500]
    assert decode([state("up", counter=2)], made) != []


def test_equal_attributes_are_one_object() -> None:
    events = [event for event in decode(recorded("bird") * 2) if isinstance(event, Announced)]
    by_value: dict[Attributes, set[int]] = {}
    for event in events:
        by_value.setdefault(event.attributes, set()).add(id(event.attributes))
    assert all(len(objects) == 1 for objects in by_value.values())


def test_an_empty_as_path_is_right_from_our_own_as() -> None:
    text = line(
        '"message": { "update": { "attribute": {"origin": "igp", "local-preference": 90}, '
        '"announce": { "ipv4 unicast": { "169.254.10.2": ["20.0.0.0/8"] } } } }'
    )
    (event,) = decode([text.replace(b"65530", b"65500")])
    assert isinstance(event, Announced)
    assert event.attributes.as_path == ()
    assert event.attributes.local_pref == 90


def test_sessions_that_stay_keep_what_is_known() -> None:
    made = decoder()
    decode([state("up")], made)
    made.set_sessions({ADDRESSES: NAME, ("a", "b"): SessionId("other")})
    assert made.established() == (NAME,)
    made.set_sessions({ADDRESSES: SessionId("renamed")})
    assert made.established() == ()


def test_speed() -> None:
    """400,000 prefixes per second and more, in UPDATEs of 270 (process time: other load doesn't count)."""
    head = line(
        '"message": { "update": { "attribute": {"origin": "igp", "as-path": '
        '{"0": {"element": "as-sequence", "value": [65500]}} }, "announce": '
        '{ "ipv4 unicast": { "169.254.10.2": [ PREFIXES ] } } } }',
        counter=0,
    )
    total, lines = 0, []
    for number in range(150):
        texts = ", ".join(f'"20.{number}.{item % 256}.0/24"' for item in range(270))
        numbered = re.sub(rb'"counter": 0', b'"counter": %d' % (number + 1), head)
        lines.append(numbered.replace(b"PREFIXES", texts.encode()))
        total += 270
    made, best = decoder(), 0.0
    for _ in range(5):
        started = time.process_time()
        for text in lines:
            made.feed(text)
        best = max(best, total / (time.process_time() - started))
    assert best > 400_000


def established(counter: int, where: Decoder) -> list[BgpEvent]:
    """What a `sync` tells of an Established session."""
    content = '"state": "established", "negotiated": {"hold_time": 30}, "open": {}'
    return where.feed(line(content, "sync", counter))


def test_a_forgotten_session_is_told_again() -> None:
    made = decoder()
    made.feed(state("up"))
    assert established(2, made) == []
    made.forget({SessionId("another")})
    assert established(3, made) == []
    made.forget({NAME})
    assert made.established() == ()
    # The counter goes on: what is lost meanwhile is noticed.
    assert [type(event) for event in established(5, made)] == [MessagesLost, SessionResync]
    assert made.established() == (NAME,)
    # What was on its way to the consumer's old record is not the end of the refresh that follows.
    assert made.feed(line('"message": {"eor": {"afi": "ipv4", "safi": "unicast"}}', counter=6)) == []


def test_a_renamed_session_is_told_under_its_new_name() -> None:
    made = decoder()
    made.feed(state("up"))
    made.set_sessions({ADDRESSES: SessionId("new-tunnel1")})
    (resync,) = established(2, made)
    assert isinstance(resync, SessionResync)
    assert resync.session == "new-tunnel1"


def test_a_session_forgotten_while_it_comes_up_keeps_its_open() -> None:
    made = decoder()
    made.feed(line('"negotiated": {"hold_time": 9}', "negotiated", 1))
    made.forget({NAME})
    (up,) = made.feed(state("up", counter=2))
    assert isinstance(up, SessionUp)
    assert up.negotiated.hold_time == 9


def test_the_state_below_established_is_told_again_too() -> None:
    made = decoder()
    made.feed(line('"state": "OPENSENT"', "fsm", 1))
    assert made.feed(line('"state": "opensent"', "sync", 2)) == []
    made.forget({NAME})
    assert made.feed(line('"state": "opensent"', "sync", 3)) == [
        SessionStateChanged(NAME, SessionState.OPENSENT)
    ]


def told(kind: str, counter: int, **content: object) -> bytes:
    """A line as the speaker's `verbatim` writes it."""
    neighbor = {"address": {"local": ADDRESSES[0], "peer": ADDRESSES[1]}, **content}
    return orjson.dumps({"type": kind, "pid": 7, "counter": counter, "neighbor": neighbor})


OPEN_LINE = {"sent": "c2VudA==", "received": "cmVjZWl2ZWQ=", "local_port": 41000, "peer_port": 179}


def test_opens_and_notification_as_they_were_on_the_wire() -> None:
    """RFC 7854 4.9, 4.10; of another connection nothing is left."""
    opens = OpenMessages(b"sent", b"received", 41000, 179)
    lines = [
        told("opens", 1, **OPEN_LINE),
        told("state", 2, state="up"),
        told("ended", 3, message="Tk9URQ=="),
        told("state", 4, state="down", reason="notification received (6,4): Cease"),
        told("state", 5, state="up"),
        told("state", 6, state="down", reason="notification sent (6,2): Cease"),
    ]
    first, ended, second, last = decode(lines)
    assert isinstance(first, SessionUp)
    assert first.opens == opens
    assert isinstance(ended, SessionDown)
    assert ended.notification == Notification(False, 6, 4, "Cease", b"NOTE")
    assert isinstance(second, SessionUp)
    assert second.opens is None
    assert isinstance(last, SessionDown)
    assert last.notification == Notification(True, 6, 2, "Cease", b"")


def test_a_speaker_that_goes_on_tells_the_opens_again() -> None:
    known = {"state": "established", "negotiated": {}, "open": {}}
    (resync,) = decode([told("sync", 1, **known, opens=OPEN_LINE)])
    assert resync == SessionResync(
        NAME, negotiated_of({}, {}), OpenMessages(b"sent", b"received", 41000, 179)
    )
    (of_an_older_one,) = decode([told("sync", 1, **known)])
    assert isinstance(of_an_older_one, SessionResync)
    assert of_an_older_one.opens is None
