"""Reads what peers send in large pieces, and hands plain UPDATEs over as they are.

ExaBGP asks the system four times per message and gives each message a turn of its main loop. Here a
session's turn reads up to `READ_SIZE` bytes at once, and all plain UPDATEs at their beginning become
lines of `packed`, written to the helper together. Whatever follows (any other message, an UPDATE about
which anything is not plainly right, ADD-PATH) is read by ExaBGP's own code out of the same buffer, in the
same order, with the same answers to what is malformed; RFC 7606 as in `treatment`. One turn handles no more
than one piece, so the other sessions, KEEPALIVEs and hold timers have theirs.

Only the launcher installs this, in the speaker's process. `BGPSVC_SPEAKER_LINES=json` in the environment
leaves all UPDATEs to ExaBGP: the tests compare both.
"""

from __future__ import annotations

import os
from binascii import b2a_base64
from collections.abc import Iterator
from typing import Any

from exabgp.bgp.message import _NOP, Message, Update
from exabgp.bgp.message.update.attribute import Attributes
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI
from exabgp.reactor.api.processes import Processes
from exabgp.reactor.api.response.json import JSON
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.network.error import LostConnection, NetworkError, NotConnected, TooSlowError, error
from exabgp.reactor.protocol import Protocol
from exabgp.util.errstr import errstr

from bgpsvc.exabgp.interned import limit
from bgpsvc.exabgp.nlri import well_formed
from bgpsvc.exabgp.packed import MOST_NLRI, Head, Parts, line, split
from bgpsvc.exabgp.rfc7606 import (
    AS4_AGGREGATOR,
    AS4_PATH,
    MP_REACH_NLRI,
    MP_UNREACH_NLRI,
    Peering,
    check,
    usual,
)
from bgpsvc.model import Family

ENV_LINES = "BGPSVC_SPEAKER_LINES"
"""To the speaker: `json` leaves all UPDATEs to ExaBGP, for comparison."""
# Below what makes the system map and unmap memory for each call.
READ_SIZE = 1 << 16
REMEMBERED = 10_000
_SMALLEST_UPDATE = 23
_FAMILIES = {Family.IPV4: (AFI.ipv4, SAFI.unicast), Family.IPV6: (AFI.ipv6, SAFI.unicast)}
_ORIGINAL_INIT = Connection.__init__
_ORIGINAL_READ = Protocol.read_message
# Of TYPE Update, so that the peer's loop takes it for a sign of life, and without any routes.
_HANDED_OVER = Update([], Attributes())


# Bytes ------------------------------------------------------------------------------------------


def init(connection: Any, *arguments: Any) -> None:
    """In place of `Connection.__init__`: what was read and is not used yet begins at `used`."""
    _ORIGINAL_INIT(connection, *arguments)
    connection.pending = b""
    connection.used = 0


def read(connection: Any, number: int) -> Iterator[bytes]:
    """In place of `Connection._reader`: empty until `number` bytes are there, then those."""
    if not connection.io:
        connection.close()
        raise NotConnected("Trying to read on a closed TCP connection")
    if number == 0:
        yield b""
        return
    while len(connection.pending) - connection.used < number:
        if not receive(connection):
            yield b""
    start = connection.used
    connection.used = start + number
    yield connection.pending[start : start + number]


def receive(connection: Any) -> bool:
    """Read once. False if there is nothing now; the errors are those of `Connection._reader`."""
    try:
        data = connection.io.recv(READ_SIZE)
    except TimeoutError as exc:
        connection.close()
        raise TooSlowError(f"Timeout while reading data from the network ({errstr(exc)})") from None
    except OSError as exc:
        if exc.errno in error.block:
            return False
        if exc.errno in error.fatal:
            connection.close()
            raise LostConnection(f"issue reading on the socket: {errstr(exc)}") from None
        raise NetworkError(f"Problem while reading data from the network ({errstr(exc)})") from None
    if not data:
        connection.close()
        raise LostConnection("the TCP connection was closed by the remote end")
    connection.pending = connection.pending[connection.used :] + data
    connection.used = 0
    return True


def waiting(connection: Any) -> bool:
    """True if a whole message is there, or a header that ExaBGP's own code will refuse."""
    data, at = connection.pending, connection.used
    if len(data) - at < Message.HEADER_LEN:
        return False
    length = data[at + 16] << 8 | data[at + 17]
    return len(data) - at >= length or length > connection.msg_size or not data.startswith(Message.MARKER, at)


# Messages ---------------------------------------------------------------------------------------


def read_message(protocol: Any) -> Iterator[Any]:
    """In place of `Protocol.read_message`: NOPs while nothing is there, then plain UPDATEs or one message."""
    session = _session(protocol)
    while session is not None and protocol.connection.io:
        if not waiting(protocol.connection) and not receive(protocol.connection):
            yield _NOP
        elif session.hand_over():
            yield _HANDED_OVER
            return
        elif waiting(protocol.connection):
            break
    yield from _ORIGINAL_READ(protocol)


def _session(protocol: Any) -> Session | None:
    """Of a protocol that is Established and whose UPDATEs go to one helper, parsed, as JSON."""
    known: Session | None = getattr(protocol, "handing_over", None)
    if known is not None:
        return known
    api, peer = protocol.neighbor.api, protocol.peer
    if not peer.established() or api["receive-packets"] or api["receive-consolidate"]:
        return None
    helpers = api["receive-update"]
    if len(helpers) != 1 or not isinstance(peer.reactor.processes._encoder.get(helpers[0]), JSON):
        return None
    protocol.handing_over = Session(protocol, helpers[0])
    return protocol.handing_over  # type: ignore[no-any-return]


class Session:
    """What handing over UPDATEs of one session takes."""

    def __init__(self, protocol: Any, helper: str) -> None:
        self._protocol = protocol
        self._helper = helper
        neighbor, negotiated = protocol.neighbor, protocol.negotiated
        local, peer = str(neighbor["local-address"]), str(neighbor["peer-address"])
        self._key = f"{local} {peer}"
        self._peering = Peering(asn4=bool(negotiated.asn4), ibgp=neighbor["local-as"] == neighbor["peer-as"])
        # RFC 4271 4.3: IPv4 prefixes in their own fields need no negotiation.
        plain = [Family.IPV4] + [Family.IPV6] * (_FAMILIES[Family.IPV6] in negotiated.families)
        self._heads = {
            family: Head(family, os.getpid(), local, peer, self._peering).pack()
            for family in plain
            if not negotiated.addpath.receive(*_FAMILIES[family]) and not negotiated.nexthop
        }

    def hand_over(self) -> int:
        """The UPDATEs at the beginning of what is there, as far as they are plain; how many they were."""
        connection = self._protocol.connection
        data, at, end = connection.pending, connection.used, len(connection.pending)
        batch = Batch(self._heads, self._counter())
        handed = 0
        while end - at >= _SMALLEST_UPDATE:
            length = data[at + 16] << 8 | data[at + 17]
            if (
                length > end - at
                or length < _SMALLEST_UPDATE
                or data[at + 18] != Message.CODE.UPDATE
                or length > connection.msg_size
                or not data.startswith(Message.MARKER, at)
            ):
                break
            parts = self._plain(data[at + Message.HEADER_LEN : at + length])
            if parts is None:
                break
            batch.add(*parts)
            at += length
            handed += 1
        connection.used = at
        if handed:
            self._write(batch)
            self._protocol.peer.stats["receive-update"] += handed
        return handed

    def _plain(self, body: bytes) -> tuple[Parts, bytes] | None:
        """The parts of an UPDATE and its attributes in base64; None if it is to go ExaBGP's way."""
        parts = split(body)
        if (
            parts is None
            or parts.family not in self._heads
            or not well_formed(parts.announced, parts.family)
            or not well_formed(parts.withdrawn, parts.family)
        ):
            return None
        text = checked_text(parts.attributes, self._peering)
        return None if text is None else (parts, text)

    def _counter(self) -> int:
        return int(JSON._count.get(self._key, 0))

    def _write(self, batch: Batch) -> None:
        """As `Processes.write`, for whole lines that are bytes already."""
        processes: Processes = self._protocol.peer.reactor.processes
        if processes.silence:
            return
        lines = batch.finish()
        JSON._count[self._key] = batch.counter
        try:
            pipe = processes._process[self._helper].stdin
            pipe.write(lines)
            pipe.flush()
        except OSError:
            # The relay is gone and a new one on its way. That lines were lost the counter tells.
            log.debug(lambda: "the relay is gone, lines are lost", "process")


class Batch:
    """Lines for the UPDATEs of one turn; neighbouring ones with equal attributes share a line."""

    def __init__(self, heads: dict[Family, bytes], counter: int) -> None:
        self.counter = counter
        self._heads = heads
        self._lines: list[bytes] = []
        self._family = Family.IPV4
        self._withdrawn: list[bytes] = []
        self._announced: list[bytes] = []
        self._size = 0
        self._next_hop = self._attributes = b""

    def add(self, parts: Parts, attributes: bytes) -> None:
        """An UPDATE; withdrawn prefixes go before announced ones, so what was announced ends a line."""
        if self._announced and (
            parts.withdrawn
            or attributes != self._attributes
            or parts.next_hop != self._next_hop
            or parts.family != self._family
        ):
            self._end_line()
        if parts.family != self._family or self._size > MOST_NLRI:
            self._end_line()
            self._family = parts.family
        self._size += len(parts.withdrawn) + len(parts.announced)
        if parts.withdrawn:
            self._withdrawn.append(parts.withdrawn)
        if parts.announced:
            self._announced.append(parts.announced)
            self._next_hop, self._attributes = parts.next_hop, attributes

    def finish(self) -> bytes:
        self._end_line()
        return b"".join(self._lines)

    def _end_line(self) -> None:
        if not self._withdrawn and not self._announced:
            return
        self.counter += 1
        self._lines.append(
            line(
                self._heads[self._family],
                self.counter,
                b"".join(self._withdrawn),
                b"".join(self._announced),
                b2a_base64(self._next_hop, newline=False),
                self._attributes,
            )
        )
        self._withdrawn, self._announced = [], []
        self._size = 0
        self._next_hop = self._attributes = b""


# Attributes -------------------------------------------------------------------------------------

_texts: dict[Peering, dict[bytes, bytes | None]] = {}


def checked_text(attributes: bytes, peering: Peering) -> bytes | None:
    """What `rfc7606.check` leaves of them, in base64; None if they are not plainly right.

    AS4_PATH and AS4_AGGREGATOR of OLD speakers have to be put together with others (RFC 6793 4.2.3):
    that is left to ExaBGP, and so is a second MP attribute.
    """
    known = _texts.setdefault(peering, {})
    try:
        return known[attributes]
    except KeyError:
        text = known[attributes] = _checked_text(attributes, peering)
        limit(known, REMEMBERED)
        return text


def _checked_text(attributes: bytes, peering: Peering) -> bytes | None:
    if usual(peering).fullmatch(attributes):
        return b2a_base64(attributes, newline=False)
    checked = check(attributes, peering)
    left = {MP_REACH_NLRI, MP_UNREACH_NLRI}
    if not peering.asn4:
        left |= {AS4_PATH, AS4_AGGREGATOR}
    if checked.malformed is not None or not checked.codes.isdisjoint(left):
        return None
    return b2a_base64(checked.attributes, newline=False)


def install() -> None:
    """Put all of it in place. Once per process, before ExaBGP starts."""
    Connection.__init__ = init
    Connection._reader = read
    if os.environ.get(ENV_LINES) != "json":
        Protocol.read_message = read_message
