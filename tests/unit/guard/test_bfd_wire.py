"""BFD control packets by RFC 5880 4.1, 4.4, 6.7.4 and 6.8.6: one row per rule."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest

from bgpsvc.guard.bfd_wire import (
    ControlPacket,
    Rejected,
    Sha1Key,
    State,
    diagnostic_name,
    pack,
    parse,
    verify_sha1,
    your_discriminator,
)

PACKET = ControlPacket(
    diagnostic=3,
    state=State.UP,
    multiplier=3,
    my_discriminator=0x01020304,
    your_discriminator=0x0A0B0C0D,
    desired_tx=50_000,
    required_rx=100_000,
    required_echo_rx=7,
)
# RFC 5880 4.1, field by field: version 1 and diagnostic, state and flags, multiplier, length.
PLAIN = bytes.fromhex("23c00318 01020304 0a0b0c0d 0000c350 000186a0 00000007")
KEY = Sha1Key(key_id=9, key=b"secret")
# The same with A set, 52 long; type 4, length 28, key id 9, reserved, sequence 0x11223344.
HEAD = bytes.fromhex("23c40334 01020304 0a0b0c0d 0000c350 000186a0 00000007 041c0900 11223344")
SIGNED = HEAD + hashlib.sha1(HEAD + b"secret" + bytes(14)).digest()
SEQUENCE = 0x11223344
# Sent by BIRD 2.0.12 with `authentication keyed sha1; password "weasel" { id 7; };`.
FROM_BIRD = (
    "204403340fad2e0700000000000f42400000c35000000000041c07003bfe39e7ab8228b609a6ead4ed0c9dc8975faa448996c3ee"
)


def test_mandatory_section() -> None:
    assert pack(PACKET) == PLAIN
    assert parse(PLAIN) == PACKET
    assert your_discriminator(PLAIN) == 0x0A0B0C0D
    assert your_discriminator(PLAIN[:8]) == 0


@pytest.mark.parametrize(
    ("flag", "bit"), [("poll", 0x20), ("final", 0x10), ("independent", 0x08), ("demand", 0x02)]
)
def test_flags(flag: str, bit: int) -> None:
    changes: dict[str, Any] = {flag: True}
    packet = dataclasses.replace(PACKET, **changes)
    assert pack(packet)[1] == 0xC0 | bit
    assert parse(pack(packet)) == packet


@pytest.mark.parametrize("state", State)
def test_states(state: State) -> None:
    packet = dataclasses.replace(PACKET, state=state)
    assert pack(packet)[1] == state << 6
    assert parse(pack(packet)) == packet


def test_bytes_after_the_packet_are_not_of_it() -> None:
    """RFC 5880 6.8.6 only forbids that the length is greater than the payload."""
    assert parse(PLAIN + b"rest") == PACKET
    assert verify_sha1(SIGNED + b"rest", parse(SIGNED + b"rest"), KEY, None) == SEQUENCE


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("section", "data", "reason"),
    [
        ("4.1", b"", "0 octets"),
        ("4.1", PLAIN[:23], "23 octets"),
        ("6.8.6 version", changed(PLAIN, 0, 0x03), "version 0"),
        ("6.8.6 version", changed(PLAIN, 0, 0x43), "version 2"),
        ("6.8.6 length, A clear", changed(PLAIN, 3, 23), "length 23, less than 24"),
        ("6.8.6 length, A set", changed(changed(PLAIN, 1, 0xC4), 3, 25), "length 25, less than 26"),
        ("6.8.6 length, payload", changed(PLAIN, 3, 25), "more than the 24 octets"),
        ("6.8.6 detect mult", changed(PLAIN, 2, 0), "detect multiplier 0"),
        ("6.8.6 multipoint", changed(PLAIN, 1, 0xC1), "multipoint"),
        ("6.8.6 my discriminator", PLAIN[:4] + bytes(4) + PLAIN[8:], "my discriminator 0"),
        ("6.8.6 your discriminator", PLAIN[:8] + bytes(4) + PLAIN[12:], "your discriminator 0 in state Up"),
        (
            "6.8.6 your discriminator",
            changed(PLAIN[:8] + bytes(4) + PLAIN[12:], 1, 0x80),
            "your discriminator 0 in state Init",
        ),
    ],
)
def test_discarded(section: str, data: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        parse(data)


@pytest.mark.parametrize("state", [0x00, 0x40])
def test_no_your_discriminator_is_right_while_down(state: int) -> None:
    """6.8.6: Your Discriminator may be zero in state Down and AdminDown."""
    assert parse(changed(PLAIN[:8] + bytes(4) + PLAIN[12:], 1, state)).your_discriminator == 0


def test_keyed_sha1() -> None:
    """4.4 and 6.7.4: the digest is over the packet with the padded key in its place."""
    assert pack(PACKET, KEY, SEQUENCE) == SIGNED
    packet = parse(SIGNED)
    assert packet == dataclasses.replace(PACKET, authenticated=True, length=52)
    assert verify_sha1(SIGNED, packet, KEY, None) == SEQUENCE


def test_keyed_sha1_of_bird() -> None:
    data = bytes.fromhex(FROM_BIRD)
    packet = parse(data)
    assert packet.authenticated
    assert packet.length == 52
    verify_sha1(data, packet, Sha1Key(7, b"weasel"), None)
    with pytest.raises(Rejected, match="digest"):
        verify_sha1(data, packet, Sha1Key(7, b"weasels"), None)


@pytest.mark.parametrize(
    ("section", "data", "reason"),
    [
        ("6.7.4 type", changed(SIGNED, 24, 5), "authentication type 5"),
        ("6.7.4 type", changed(SIGNED, 24, 1), "authentication type 1"),
        ("6.7.4 type", changed(SIGNED[:26], 3, 26), "authentication type 4 in a packet of 26"),
        ("6.7.4 key id", changed(SIGNED, 26, 8), "key id 8"),
        ("6.7.4 length", changed(SIGNED, 25, 27), "section of 27"),
        ("6.7.4 length", changed(SIGNED + b"x", 3, 53), "section of 28 octets in a packet of 53"),
        ("6.7.4 digest", changed(SIGNED, 51, SIGNED[51] ^ 1), "digest"),
        ("6.7.4 digest covers the state", changed(SIGNED, 1, 0x44), "digest"),
        ("6.7.4 digest covers the sequence", changed(SIGNED, 31, 0x45), "digest"),
        ("6.7.4 A clear", PLAIN, "no authentication"),
    ],
)
def test_authentication_refused(section: str, data: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        verify_sha1(data, parse(data), KEY, None)


@pytest.mark.parametrize(
    ("last", "number", "right"),
    [
        (100, 100, True),  # keyed: the same again is right
        (100, 109, True),  # 3 * Detect Mult, inclusive
        (100, 110, False),
        (100, 99, False),
        (0xFFFFFFFF, 8, True),  # a circle of 32 bits
        (0xFFFFFFFF, 9, False),
        (0, 0xFFFFFFFF, False),
    ],
)
def test_sequence_window(last: int, number: int, right: bool) -> None:
    """6.7.4: bfd.RcvAuthSeq to bfd.RcvAuthSeq + 3 * Detect Mult, inclusive, in a circle."""
    data = pack(PACKET, KEY, number)
    if right:
        assert verify_sha1(data, parse(data), KEY, last) == number
    else:
        with pytest.raises(Rejected, match="sequence"):
            verify_sha1(data, parse(data), KEY, last)


@pytest.mark.parametrize(("key_id", "key"), [(-1, b"k"), (256, b"k"), (1, b""), (1, b"k" * 21)])
def test_impossible_keys(key_id: int, key: bytes) -> None:
    with pytest.raises(ValueError, match="authentication key"):
        Sha1Key(key_id, key)


def test_a_key_is_in_no_text() -> None:
    assert "secret" not in repr(KEY)
    with pytest.raises(Rejected) as raised:
        verify_sha1(SIGNED, parse(SIGNED), Sha1Key(9, b"topsecret"), None)
    assert "topsecret" not in str(raised.value)


def test_diagnostics_by_name() -> None:
    """4.1: nine codes, the rest of the five bits is reserved."""
    assert diagnostic_name(0) == "No Diagnostic"
    assert diagnostic_name(8) == "Reverse Concatenated Path Down"
    assert diagnostic_name(31) == "Reserved (31)"
