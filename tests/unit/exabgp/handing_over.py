"""A session of a speaker without the speaker: what it hands over of the messages that a peer sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from exabgp.protocol.family import AFI
from exabgp.reactor.api.response.json import JSON
from exabgp.reactor.network.connection import Connection

from bgpsvc.exabgp import reading
from tests.fakes import bgp_wire as wire

LOCAL, PEER = "169.254.10.1", "169.254.10.2"
HELPER = "relay"


class Pipe:
    """The helper's end of the pipe."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.broken = False

    def write(self, data: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.written.append(data)

    def flush(self) -> None:
        pass

    def lines(self) -> list[bytes]:
        """What came since the last call."""
        found = b"".join(self.written).splitlines()
        self.written.clear()
        return found


def protocol(negotiated: Any, io: Any = None) -> Any:
    """As much of ExaBGP's `Protocol` as reading looks at. Established, and the counter begins anew."""
    JSON._count = {}
    encoder = JSON("5.0.0")
    connection = _Connection(AFI.ipv4, PEER, LOCAL)
    connection.pending, connection.used = b"", 0
    connection.io = io
    pipe = Pipe()
    processes = SimpleNamespace(
        silence=False,
        _encoder={HELPER: encoder},
        _process={HELPER: SimpleNamespace(stdin=pipe)},
        _broken=[],
    )
    api = {"receive-packets": [], "receive-consolidate": [], "receive-update": [HELPER]}
    neighbor = {"local-address": LOCAL, "peer-address": PEER, "adj-rib-in": False} | negotiated.neighbor
    peer = SimpleNamespace(
        established=lambda: True,
        reactor=SimpleNamespace(processes=processes),
        stats={"receive-update": 0},
    )
    return SimpleNamespace(
        neighbor=_Neighbor(neighbor, api),
        negotiated=negotiated,
        peer=peer,
        connection=connection,
        pipe=pipe,
    )


class _Connection(Connection):  # type: ignore[misc]
    def __del__(self) -> None:
        """The test closes its sockets itself."""


class _Neighbor(dict[str, Any]):
    def __init__(self, values: dict[str, Any], api: dict[str, Any]) -> None:
        super().__init__(values)
        self.api = api


def handed_over(negotiated: Any, *bodies: bytes) -> list[bytes] | None:
    """The lines of UPDATEs that came one after the other; None if not all of them are handed over."""
    made = protocol(negotiated)
    made.connection.pending = b"".join(wire.message(wire.UPDATE, body) for body in bodies)
    session = reading.Session(made, HELPER)
    if session.hand_over() < len(bodies):
        return None
    lines: list[bytes] = made.pipe.lines()
    return lines
