"""A shorter way through ExaBGP for the UPDATEs that make up a table: plain IPv4 unicast routes.

ExaBGP builds several objects and a dozen log closures per prefix, only to print the prefix as JSON.
Here the prefixes of a well-formed UPDATE go straight from bytes to JSON text. The attributes are
still parsed by ExaBGP, so RFC 7606 is applied by the same code; and whatever is not plainly right
(lengths that do not add up, a prefix length over 32, MP attributes, ADD-PATH, End-of-RIB) takes
ExaBGP's own way from the beginning. The JSON is the same, byte for byte, except that `negotiated` is
not repeated in every UPDATE.

Only the launcher installs this, in the speaker's process.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from exabgp.bgp.message import Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.update.attribute import MPRNLRI, MPURNLRI, Attribute, Attributes
from exabgp.protocol.family import AFI, SAFI
from exabgp.protocol.ip import NoNextHop
from exabgp.reactor.api.response.json import JSON

from bgpsvc.exabgp.treatment import judged

_MAX_IPV4 = 32
_ORIGINAL_UNPACK = Update.unpack_message.__func__
_ORIGINAL_HEADER = JSON._header
_ORIGINAL_UPDATE = JSON._update


class PlainUpdate(Update):  # type: ignore[misc]
    """An UPDATE whose IPv4 prefixes are kept as text. `nlris` is empty: nothing downstream needs them."""

    def __init__(self, withdrawn: list[str], announced: list[str], attributes: Any) -> None:
        Update.__init__(self, (), attributes)
        self.withdrawn = withdrawn
        self.announced = announced


def prefixes(data: bytes) -> list[str] | None:
    """The NLRI of RFC 4271 4.3 as text; None if there is anything wrong with them."""
    texts = []
    at, end = 0, len(data)
    while at < end:
        length = data[at]
        following = at + 1 + (length + 7) // 8
        if length > _MAX_IPV4 or following > end:
            return None
        if length > 24:
            text = f"{data[at + 1]}.{data[at + 2]}.{data[at + 3]}.{data[at + 4]}/{length}"
        elif length > 16:
            text = f"{data[at + 1]}.{data[at + 2]}.{data[at + 3]}.0/{length}"
        elif length > 8:
            text = f"{data[at + 1]}.{data[at + 2]}.0.0/{length}"
        else:
            text = f"{data[at + 1] if length else 0}.0.0.0/{length}"
        texts.append(text)
        at = following
    return texts


def split(data: bytes) -> tuple[list[str], bytes, list[str]] | None:
    """Withdrawn prefixes, attributes and announced prefixes of an UPDATE's body; None if in doubt."""
    if len(data) < 4:
        return None
    attributes_at = 4 + int.from_bytes(data[:2], "big")
    if attributes_at > len(data):
        return None
    announced_at = attributes_at + int.from_bytes(data[attributes_at - 2 : attributes_at], "big")
    if announced_at > len(data):
        return None
    withdrawn = prefixes(data[2 : attributes_at - 2])
    announced = prefixes(data[announced_at:])
    if withdrawn is None or announced is None or not (withdrawn or announced):
        return None
    return withdrawn, data[attributes_at:announced_at], announced


def unpack_message(cls: Any, data: bytes, direction: Any, negotiated: Any) -> Any:
    """In place of `Update.unpack_message`."""
    update = parse(cls, data, direction, negotiated)
    return judged(update, data, negotiated) if direction == Direction.IN else update


def parse(cls: Any, data: bytes, direction: Any, negotiated: Any) -> Any:
    """The shorter way if possible, else ExaBGP's."""
    if direction != Direction.IN or negotiated.addpath.receive(AFI.ipv4, SAFI.unicast):
        return _ORIGINAL_UNPACK(cls, data, direction, negotiated)
    parts = split(data)
    if parts is None:
        return _ORIGINAL_UNPACK(cls, data, direction, negotiated)
    withdrawn, packed, announced = parts
    attributes = Attributes.unpack(packed, direction, negotiated)
    if MPRNLRI.ID in attributes or MPURNLRI.ID in attributes:
        return _ORIGINAL_UNPACK(cls, data, direction, negotiated)
    return PlainUpdate(withdrawn, announced, attributes)


def message_json(update: PlainUpdate) -> str:
    """What `JSON._update` makes of it, compact."""
    withdrawn, announced = update.withdrawn, update.announced
    if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in update.attributes:
        # RFC 7606 2: handled as though all of its routes had been withdrawn.
        withdrawn, announced = withdrawn + announced, []
    parts = []
    if update.attributes:
        parts.append(f'"attribute": {{ {update.attributes.json()} }}')
    if announced:
        next_hop = update.attributes.get(Attribute.CODE.NEXT_HOP, NoNextHop)
        texts = '", "'.join(announced)
        parts.append(f'"announce": {{ "ipv4 unicast": {{ "{next_hop}": [ "{texts}" ] }} }}')
    if withdrawn:
        texts = '", "'.join(withdrawn)
        parts.append(f'"withdraw": {{ "ipv4 unicast": [ "{texts}" ] }}')
    return f'{{ "update": {{ {", ".join(parts)} }} }}'


def update_json(
    encoder: Any, neighbor: Any, direction: str, update: Any, _: Any, header: bytes, body: bytes
) -> Any:
    """In place of `JSON.update`: without the negotiated parameters, which are sent once per session."""
    if isinstance(update, PlainUpdate):
        content = f'"message": {message_json(update)}'
    else:
        content = encoder._kv(_ORIGINAL_UPDATE(encoder, update))
    return encoder._header(
        encoder._neighbor(neighbor, direction, content), header, body, neighbor, message_type="update"
    )


class _ProcessFields:
    """Host name and process ids for the header; they do not change while the speaker runs."""

    host: str | None = None


def header_json(
    encoder: Any, content: str, header: bytes, body: bytes, neighbor: Any, message_type: str | None = None
) -> Any:
    """In place of `JSON._header`: asks the system for host name and process ids once, not per line."""
    if header or body or message_type is None:
        return _ORIGINAL_HEADER(encoder, content, header, body, neighbor, message_type=message_type)
    if _ProcessFields.host is None:
        _ProcessFields.host = (
            f'"host" : "{socket.gethostname()}", "pid" : {os.getpid()}, "ppid" : {os.getppid()}, '
        )
    counter = f'"counter": {encoder._counter(neighbor)}, ' if neighbor is not None else ""
    return (
        f'{{ "exabgp": "{encoder.version}", "time": {time.time()}, {_ProcessFields.host}{counter}'
        f'"type": "{message_type}", {content} }}'
    )


def counter(encoder: Any, neighbor: Any) -> int:
    """In place of `JSON._counter`: counts per session, not per `Neighbor` object, which a reload replaces."""
    key = f"{neighbor['local-address']} {neighbor['peer-address']}"
    value = int(encoder._count.get(key, 0)) + 1
    encoder._count[key] = value
    return value


def install() -> None:
    """Put all of it in place. Once per process, before ExaBGP starts."""
    Update.unpack_message = classmethod(unpack_message)
    JSON.update = update_json
    JSON._header = header_json
    JSON._counter = counter
