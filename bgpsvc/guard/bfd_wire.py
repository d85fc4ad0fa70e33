"""BFD control packets as bytes (RFC 5880 4.1), with keyed SHA1 authentication (4.4).

`parse` and `verify_sha1` make the checks of 6.8.6 and 6.7.4 that need no session; those that do are in `bfd`.
Intervals are in microseconds, as on the wire.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from enum import IntEnum

VERSION = 1
MANDATORY = 24
SHA1_SECTION = 28
KEY_LENGTH = 20
KEYED_SHA1 = 4

_HEAD = struct.Struct("!BBBBIIIII")
_SHA1 = struct.Struct("!BBBBI")
_SEQUENCES = 1 << 32

POLL = 0x20
FINAL = 0x10
INDEPENDENT = 0x08
AUTHENTICATED = 0x04
DEMAND = 0x02
MULTIPOINT = 0x01


class State(IntEnum):
    """RFC 5880 4.1, Sta."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


STATE_NAMES = {State.ADMIN_DOWN: "AdminDown", State.DOWN: "Down", State.INIT: "Init", State.UP: "Up"}


class Diagnostic(IntEnum):
    """RFC 5880 4.1, Diag: the codes that we send."""

    NONE = 0
    TIME_EXPIRED = 1
    NEIGHBOR_DOWN = 3
    ADMIN_DOWN = 7


_DIAGNOSTICS = (
    "No Diagnostic",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)


def diagnostic_name(code: int) -> str:
    """The RFC's name of a diagnostic code 0..31, reserved ones with their number."""
    return _DIAGNOSTICS[code] if code < len(_DIAGNOSTICS) else f"Reserved ({code})"


class Rejected(ValueError):
    """A packet that must be discarded; the text says why."""


@dataclass(frozen=True, slots=True)
class ControlPacket:
    """The mandatory section. `length` is where the packet ends: more bytes may follow it in the datagram."""

    diagnostic: int
    state: State
    multiplier: int
    my_discriminator: int
    your_discriminator: int
    desired_tx: int
    required_rx: int
    required_echo_rx: int = 0
    poll: bool = False
    final: bool = False
    independent: bool = False
    authenticated: bool = False
    demand: bool = False
    length: int = MANDATORY


@dataclass(frozen=True, slots=True)
class Sha1Key:
    """A key of 1..20 octets for keyed SHA1 under a key id 0..255."""

    key_id: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.key_id <= 255:
            raise ValueError(f"authentication key id {self.key_id}: 0 to 255 is allowed")
        if not 1 <= len(self.key) <= KEY_LENGTH:
            raise ValueError(f"authentication key of {len(self.key)} octets: 1 to {KEY_LENGTH} are allowed")


def pack(packet: ControlPacket, key: Sha1Key | None = None, sequence: int = 0) -> bytes:
    """The packet as bytes; with a key it is authenticated under this sequence number (6.7.4).

    `length` and `authenticated` of the packet are not looked at: they follow from the key.
    """
    length = MANDATORY if key is None else MANDATORY + SHA1_SECTION
    flags = (
        (POLL if packet.poll else 0)
        | (FINAL if packet.final else 0)
        | (INDEPENDENT if packet.independent else 0)
        | (AUTHENTICATED if key is not None else 0)
        | (DEMAND if packet.demand else 0)
    )
    head = _HEAD.pack(
        VERSION << 5 | packet.diagnostic,
        packet.state << 6 | flags,
        packet.multiplier,
        length,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_tx,
        packet.required_rx,
        packet.required_echo_rx,
    )
    if key is None:
        return head
    head += _SHA1.pack(KEYED_SHA1, SHA1_SECTION, key.key_id, 0, sequence)
    return head + _hash(head, key)


def _hash(head: bytes, key: Sha1Key) -> bytes:
    # 6.7.4: the digest of the packet with the key, padded with zeros, in the place of the digest.
    return hashlib.sha1(head + key.key.ljust(KEY_LENGTH, b"\0")).digest()


def your_discriminator(data: bytes) -> int:
    """The field by which packets find their session; 0 too if the packet is too short to have it."""
    return int.from_bytes(data[8:12], "big")


def parse(data: bytes) -> ControlPacket:
    """The packet of a UDP payload. Rejected if RFC 5880 6.8.6 has it discarded, in the section's order."""
    if len(data) < MANDATORY:
        raise Rejected(f"{len(data)} octets, a control packet has {MANDATORY} at least")
    first, second, multiplier, length, mine, yours, tx, rx, echo = _HEAD.unpack_from(data)
    if first >> 5 != VERSION:
        raise Rejected(f"version {first >> 5}, not {VERSION}")
    authenticated = bool(second & AUTHENTICATED)
    least = MANDATORY + 2 if authenticated else MANDATORY
    if length < least:
        raise Rejected(f"length {length}, less than {least}")
    if length > len(data):
        raise Rejected(f"length {length}, more than the {len(data)} octets that came")
    if multiplier == 0:
        raise Rejected("detect multiplier 0")
    if second & MULTIPOINT:
        raise Rejected("multipoint bit set")
    if mine == 0:
        raise Rejected("my discriminator 0")
    state = State(second >> 6)
    if yours == 0 and state not in (State.DOWN, State.ADMIN_DOWN):
        raise Rejected(f"your discriminator 0 in state {STATE_NAMES[state]}")
    return ControlPacket(
        diagnostic=first & 0x1F,
        state=state,
        multiplier=multiplier,
        my_discriminator=mine,
        your_discriminator=yours,
        desired_tx=tx,
        required_rx=rx,
        required_echo_rx=echo,
        poll=bool(second & POLL),
        final=bool(second & FINAL),
        independent=bool(second & INDEPENDENT),
        authenticated=authenticated,
        demand=bool(second & DEMAND),
        length=length,
    )


def verify_sha1(data: bytes, packet: ControlPacket, key: Sha1Key, last_sequence: int | None) -> int:
    """Check the authentication section of a packet (6.7.4) and return its sequence number.

    `last_sequence` is bfd.RcvAuthSeq, None while bfd.AuthSeqKnown is 0. The caller keeps the number returned:
    only of a packet with the right digest, so that nobody without the key can move the window. Rejected else.
    """
    if not packet.authenticated:
        raise Rejected("no authentication, keyed SHA1 is configured")
    if packet.length < MANDATORY + SHA1_SECTION:
        raise Rejected(f"authentication type {data[MANDATORY]} in a packet of {packet.length} octets")
    auth_type, length, key_id, _reserved, sequence = _SHA1.unpack_from(data, MANDATORY)
    if auth_type != KEYED_SHA1:
        raise Rejected(f"authentication type {auth_type}, {KEYED_SHA1} is configured")
    if key_id != key.key_id:
        raise Rejected(f"authentication key id {key_id}, {key.key_id} is configured")
    if length != SHA1_SECTION or packet.length != MANDATORY + SHA1_SECTION:
        raise Rejected(f"authentication section of {length} octets in a packet of {packet.length}")
    if last_sequence is not None:
        _in_window(sequence, last_sequence, packet.multiplier)
    digest = data[MANDATORY + _SHA1.size : MANDATORY + SHA1_SECTION]
    if not hmac.compare_digest(digest, _hash(data[: MANDATORY + _SHA1.size], key)):
        raise Rejected("authentication digest is wrong (another key?)")
    return int(sequence)


def _in_window(sequence: int, last: int, multiplier: int) -> None:
    if (sequence - last) % _SEQUENCES > 3 * multiplier:
        raise Rejected(f"authentication sequence {sequence}, the last one was {last}")
