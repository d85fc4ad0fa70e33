"""Tells of OPEN and NOTIFICATION messages as they were on the wire, in the speaker's process.

ExaBGP's API has them parsed only, and what it would make of that again need not be what was sent. Readers of
BMP get these bytes (RFC 7854 4.9, 4.10). Two lines more:

    opens   once both OPENs agree, in front of `up`: `sent` and `received`, whole messages in base64, and the
            ports of the TCP connection, `local_port` and `peer_port`
    ended   in front of `down`, if a NOTIFICATION ended the session: `message`, whole, in base64

`bgpsvc sync` repeats `opens` of sessions that are Established. Only the launcher installs this.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

from exabgp.bgp.fsm import FSM
from exabgp.bgp.message import Message
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.peer import Peer
from exabgp.reactor.protocol import Protocol

_KEPT = (Message.CODE.OPEN, Message.CODE.NOTIFICATION)


def keep_messages() -> None:
    """A connection keeps the last OPEN and NOTIFICATION of each direction: `said` and `heard`, by type."""
    init, reader = Connection.__init__, Connection.reader
    writer: Callable[[Any, bytes], Iterator[bool]] = Connection.writer

    def begin(connection: Any, *arguments: Any) -> None:
        init(connection, *arguments)
        connection.said = {}
        connection.heard = {}

    def write(connection: Any, data: bytes) -> Iterator[bool]:
        if data[18] in _KEPT:
            connection.said[data[18]] = data
        return writer(connection, data)

    def read(connection: Any) -> Iterator[Any]:
        for read in reader(connection):
            _, kind, header, body, error = read
            if kind in _KEPT and error is None:
                connection.heard[kind] = header + body
            yield read

    Connection.__init__ = begin
    Connection.writer = write
    Connection.reader = read


def opens(protocol: Any) -> dict[str, str | int] | None:
    """Both OPENs and the ports of a connection; None unless there are both, or if it is closed already."""
    connection = protocol.connection
    sent = connection.said.get(Message.CODE.OPEN)
    received = connection.heard.get(Message.CODE.OPEN)
    if sent is None or received is None or not connection.io:
        return None
    return {
        "sent": b64encode(sent).decode("ascii"),
        "received": b64encode(received).decode("ascii"),
        "local_port": connection.io.getsockname()[1],
        "peer_port": connection.io.getpeername()[1],
    }


def opens_json(protocol: Any) -> str:
    """The same as a JSON object, or `null`."""
    return json.dumps(opens(protocol))


def tell(peer: Any, kind: str, content: dict[str, str | int]) -> None:
    """One line of JSON to everybody who hears of the session's changes."""
    processes = peer.reactor.processes
    for process in peer.neighbor.api["neighbor-changes"]:
        encoder = processes._encoder[process]
        said = encoder._neighbor(peer.neighbor, None, encoder._kv(content))
        processes.write(process, encoder._header(said, "", "", peer.neighbor, message_type=kind))


def tell_of_opens() -> None:
    """When the OPENs agree: `validate_open` raises if they do not."""
    original = Protocol.validate_open

    def validate_open(protocol: Any) -> None:
        original(protocol)
        both = opens(protocol)
        if both is not None:
            tell(protocol.peer, "opens", both)

    Protocol.validate_open = validate_open


def tell_of_notifications() -> None:
    """Before `Peer._close` says why the session is down."""
    original = Peer._close

    def close(peer: Any, message: str = "", error: Any = "") -> None:
        ended = _ended_by(peer, message)
        if ended is not None and peer.fsm not in (FSM.IDLE, FSM.ACTIVE):
            tell(peer, "ended", {"message": b64encode(ended).decode("ascii")})
        original(peer, message, error)

    Peer._close = close


def _ended_by(peer: Any, message: str) -> bytes | None:
    if peer.proto is None or peer.proto.connection is None:
        return None
    connection = peer.proto.connection
    which = connection.said if message.startswith("notification sent") else connection.heard
    found: bytes | None = which.get(Message.CODE.NOTIFICATION)
    return found if message.startswith("notification") else None


def install() -> None:
    """Once per process, before ExaBGP starts and after `reading`, which replaces how connections are read."""
    keep_messages()
    tell_of_opens()
    tell_of_notifications()
