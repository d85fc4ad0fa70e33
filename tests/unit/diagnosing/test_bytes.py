"""Probes as bytes: what is asked, and what is read from answers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.diagnosing import ike_offer, ike_probe, syn
from bgpsvc.diagnosing.counters import md5_counters
from bgpsvc.diagnosing.evidence import Md5Counters
from bgpsvc.diagnosing.ike_probe import HEADER, transform, with_header
from bgpsvc.health.icmp import checksum

SPI = b"12345678"
RANDOM = bytes(range(256)) * 3


def answer(version: int, exchange: int, kind: int, content: bytes) -> bytes:
    return with_header(SPI, version, exchange, 0x20, [(kind, content)])


def notify(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("!BBH", 0, 0, kind) + data


@pytest.mark.parametrize(
    ("message", "version", "exchange"),
    [
        (ike_probe.ikev2(SPI, RANDOM), 0x20, 34),
        (ike_probe.ikev1(SPI), 0x10, 2),
        (ike_offer.ikev2(SPI, 14, RANDOM), 0x20, 34),
        (ike_offer.ikev1(SPI), 0x10, 2),
    ],
)
def test_messages_are_whole(message: bytes, version: int, exchange: int) -> None:
    spi, zero, following, *head, length = HEADER.unpack_from(message)
    assert (spi, zero, length) == (SPI, bytes(8), len(message))
    assert (head[0], head[1], head[3]) == (version, exchange, 0)
    assert len(message) < 1472, "no fragments"
    offset = HEADER.size
    while following:
        following, _, size = struct.unpack_from("!BBH", message, offset)
        assert size >= 4
        offset += size
    assert offset == len(message)


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (answer(0x20, 34, 41, notify(14)), "NO_PROPOSAL_CHOSEN"),
        (answer(0x20, 34, 41, notify(9999)), "notification 9999"),
        (answer(0x20, 34, 33, b""), "an answer"),
        (answer(0x10, 5, 11, struct.pack("!IBBH", 1, 1, 0, 14)), "NO_PROPOSAL_CHOSEN"),
        (answer(0x20, 37, 46, b""), "exchange type 37"),
    ],
)
def test_any_ike_message_is_an_answer(packet: bytes, words: str) -> None:
    found = ike_probe.read(packet, SPI)
    assert found is not None
    assert found.text == words
    assert found.version == packet[17] >> 4
    assert ike_probe.read(packet, b"another.") is None
    assert ike_probe.read(packet + b"x", SPI) is None


def sa(*transforms: bytes) -> bytes:
    chained = b"".join(transforms)
    return struct.pack("!BBHBBBB", 0, 0, 8 + len(chained), 1, 1, 0, len(transforms)) + chained


KEY_256 = struct.pack("!HH", 0x8000 | 14, 256)


def test_what_the_peer_chose() -> None:
    plain = sa(transform(1, 12, KEY_256), transform(2, 5), transform(3, 12), transform(4, 14))
    combined = sa(transform(1, 20, KEY_256), transform(2, 7), transform(4, 31))
    for proposal, words in ((plain, "aes256-sha256-group14"), (combined, "aesgcm256-sha512-group31")):
        assert ike_offer.read(answer(0x20, 34, 33, proposal), SPI) == ike_offer.Choice(words)
    attributes = struct.pack(
        "!12H", *(n for k, v in ((1, 7), (14, 128), (2, 2), (3, 1), (4, 5), (11, 1)) for n in (0x8000 | k, v))
    )
    chosen = struct.pack("!II", 1, 1) + sa(
        struct.pack("!BBHBBH", 0, 0, 8 + len(attributes), 1, 1, 0) + attributes
    )
    assert ike_offer.read(answer(0x10, 2, 1, chosen), SPI) == ike_offer.Choice("aes128-sha1-group5")
    wanted = answer(0x20, 34, 41, notify(17, (2).to_bytes(2, "big")))
    assert ike_offer.read(wanted, SPI) == ike_offer.Choice(group=2)
    assert ike_offer.read(answer(0x20, 34, 41, notify(14)), SPI) == ike_offer.Choice()
    cookie = answer(0x20, 34, 41, notify(16390, b"c" * 20))
    assert ike_offer.read(cookie, SPI) == ike_offer.Choice(cookie=b"c" * 20), "no refusal"
    again = ike_offer.ikev2(SPI, 14, bytes(288), cookie=b"c" * 20)
    assert (again[16], again[28:56]) == (41, b"\x21\0\0\x1c" + notify(16390, b"c" * 20))


@given(st.binary(max_size=200), st.sampled_from([0x10, 0x20]), st.sampled_from([1, 11, 33, 41]))
def test_garbage_is_read_without_a_crash(content: bytes, version: int, kind: int) -> None:
    packet = HEADER.pack(SPI, SPI, kind, version, 34, 0, 0, HEADER.size + len(content)) + content
    ike_probe.read(packet, SPI)
    ike_offer.read(packet, SPI)


ASKED = syn.Syn(bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 40000, 179, 0xFFFFFFFF)


def segment(flags: int, acknowledged: int = 0, source: bytes = ASKED.destination) -> bytes:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 63, 6, 0, source, ASKED.source)
    return ip + struct.pack("!HHIIBBHHH", 179, 40000, 5, acknowledged, 0x50, flags, 0, 0, 0)


@pytest.mark.parametrize("key", [None, b"secret"])
def test_a_syn_has_its_checksum(key: bytes | None) -> None:
    made = syn.encode(ASKED, key)
    pseudo = ASKED.source + ASKED.destination + struct.pack("!BBH", 0, 6, len(made))
    assert checksum(pseudo + made) == 0
    assert (made[12] >> 4) * 4 == len(made) == (24 if key is None else 44)
    assert made[13] == 2, "SYN"


def test_a_reset_takes_the_syn_back() -> None:
    made = syn.reset(ASKED, b"secret")
    pseudo = ASKED.source + ASKED.destination + struct.pack("!BBH", 0, 6, len(made))
    assert checksum(pseudo + made) == 0
    assert (int.from_bytes(made[4:8], "big"), made[13]) == (0, 4), "the next sequence number, RST"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 60, 0, 0, 63, 6, 0, ASKED.source, ASKED.destination)
    assert syn.signed_with(ip + made, b"secret")


def test_signatures_are_recognized() -> None:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 64, 0, 0, 63, 6, 0, ASKED.source, ASKED.destination)
    signed, plain = ip + syn.encode(ASKED, b"key"), ip + syn.encode(ASKED)
    assert syn.signature(plain) is None
    assert len(syn.signature(signed) or b"") == 16
    assert syn.signed_with(signed, b"key")
    assert not syn.signed_with(signed, b"other")
    assert not syn.signed_with(plain, b"key")


def test_answers_to_a_syn() -> None:
    assert syn.read(segment(0x12), ASKED) == syn.SynAnswer("open", 63)
    assert syn.read(segment(0x14), ASKED) == syn.SynAnswer("refused", 63)
    for other in (segment(0x10), segment(0x12, 7), segment(0x12, source=bytes(4)), b"", segment(0x12)[:30]):
        assert syn.read(other, ASKED) is None


def test_counters() -> None:
    text = "TcpExt: A TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure\nTcpExt: 9 1 2 3\nIpExt: X\nIpExt: 1\n"
    assert md5_counters(text) == Md5Counters(1, 2, 3)
    assert md5_counters(text).since(Md5Counters(1, 1, 1)) == Md5Counters(0, 1, 2)
    assert md5_counters("") == Md5Counters()
