"""The routes of a VPN gateway as TABLE_DUMP_V2, as route collectors publish theirs. Pure.

A dump is a generator of octets, some of which are none: between two of them others have their turn and the
table may change. It holds the prefixes that there were at its beginning, in address order, each with the
paths that it has when its turn comes; prefixes without any by then are left out. Of a million routes it keeps
a list of references to their prefixes, which becomes shorter as it is written.

`received` are the Adj-RIBs-In before policy: every path as its peer sent it, stale and refused ones and those
beyond the maximum number of prefixes included. `best` is the Loc-RIB's choice for each prefix, as import made
it, with the LOCAL_PREF that the decision compared. Whether its tunnel is alive is no matter of either.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from bgpsvc.engine import Engine
from bgpsvc.gateway import Gateway
from bgpsvc.model import Attributes, Family, Prefix, SessionId, parse_address
from bgpsvc.mrt.codec import Peer, peer_index_table, rib_attributes, rib_entry, rib_record
from bgpsvc.route_filters import Refused
from bgpsvc.route_order import in_order, portions
from bgpsvc.session import Session

T = TypeVar("T")
Which = Literal["received", "best"]
Path = tuple[SessionId, Attributes, int | None]
"""Whose it is, its attributes, and another LOCAL_PREF to show than they have."""

AT_ONCE = 256
"""Prefixes of one step: about a millisecond."""
REMEMBERED = 20_000
"""Attributes whose octets are kept."""
NO_IDENTIFIER = bytes(4)


class GatewayGone(Exception):
    """The VPN gateway was deleted while its routes were written: they are not whole."""


def dump(
    engine: Engine,
    gateway: Gateway,
    which: Which,
    families: Iterable[Family],
    now: float,
    wall: float,
) -> Generator[bytes, None, None]:
    """The records, some at a time. `now` is the shell's clock, `wall` what makes Unix time of it.

    Raises GatewayGone.
    """
    sessions = [s for s in engine.sessions.values() if s.settings.gateway == gateway.name]
    identifier = gateway.config.bgp_identifier.packed
    yield peer_index_table(now + wall, identifier, gateway.name, [_peer(s) for s in sessions])
    records = _Records(now + wall, {s.id: (n, int(s.since + wall)) for n, s in enumerate(sessions)})
    paths = _best(gateway) if which == "best" else _received(gateway, engine.sessions, sessions)
    prefixes = yield from _in_order(gateway, families, sessions if which == "received" else ())
    for family, blocks in prefixes:
        records.begin(family)
        while blocks:
            # What came or went while it was put in order may be there twice, side by side.
            block = list(dict.fromkeys(blocks.pop()))
            for start in range(0, len(block), AT_ONCE):
                if engine.gateways.get(gateway.name) is not gateway:
                    raise GatewayGone(f"the VPN gateway {gateway.name} was deleted meanwhile")
                yield records.of([(prefix, paths(prefix)) for prefix in block[start : start + AT_ONCE]])


def _peer(session: Session) -> Peer:
    """A session that is not up has the AS number that it is to have, and no identifier."""
    negotiated = session.negotiated
    router = None if negotiated is None else negotiated.peer_router_id
    identifier = NO_IDENTIFIER if router is None else parse_address(router)
    return Peer(session.settings.peer_address, identifier, session.settings.peer_asn)


def _silently(work: Generator[None, None, T]) -> Generator[bytes, None, T]:
    """The same work, as steps that write nothing."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        yield b""


def _in_order(
    gateway: Gateway, families: Iterable[Family], sessions: Sequence[Session]
) -> Generator[bytes, None, list[tuple[Family, list[list[Prefix]]]]]:
    """By family, in blocks, the last one first: all prefixes of the Loc-RIB, and those to which these
    sessions have only paths that import refused."""
    refused = yield from _silently(Refused(sessions, None).find())
    routes = gateway.rib.routes
    keys = list(routes)
    for portion in portions(refused):
        keys += [prefix for prefix in portion if prefix not in routes]
        yield b""
    found = []
    for family in families:
        blocks = yield from _silently(in_order(keys, family))
        found.append((family, blocks[::-1]))
    return found


def _best(gateway: Gateway) -> Callable[[Prefix], list[Path]]:
    def paths(prefix: Prefix) -> list[Path]:
        found = gateway.rib.get(prefix)
        if found is None:
            return []
        best = found.ranked[0].candidate
        return [(best.session, best.attributes, best.local_pref)]

    return paths


def _received(
    gateway: Gateway, known: Mapping[SessionId, Session], sessions: Sequence[Session]
) -> Callable[[Prefix], list[Path]]:
    rib = gateway.rib

    def paths(prefix: Prefix) -> list[Path]:
        found: list[Path] = []
        accepted = rib.get(prefix)
        for ident in accepted.paths if accepted is not None else ():
            attributes = known[ident].adj.get(prefix) if ident in known else None
            if attributes is not None:
                found.append((ident, attributes, None))
        for session in sessions:
            adj = session.adj
            if not (adj.refused or adj.shed) or known.get(session.id) is not session:
                continue
            refused = adj.refused.get(prefix)
            attributes = refused[0] if refused is not None else adj.shed.get(prefix)
            if attributes is not None:
                found.append((session.id, attributes, None))
        return found

    return paths


class _Records:
    """Makes records, numbers them, and remembers the octets of attributes, which many prefixes share."""

    def __init__(self, at: float, peers: Mapping[SessionId, tuple[int, int]]) -> None:
        self._at = at
        self._peers = peers
        """Their place in the index, and since when they are up."""
        self._sequence = 0
        self._family = Family.IPV4
        self._known: dict[tuple[int, int | None], tuple[Attributes, bytes]] = {}
        """By the id of the attributes, which is theirs as long as they are kept here."""

    def begin(self, family: Family) -> None:
        """The prefixes that come are of this family."""
        self._family = family
        self._known.clear()

    def of(self, found: Iterable[tuple[Prefix, list[Path]]]) -> bytes:
        """The records of some prefixes; none of one that has no path any more."""
        parts = []
        for prefix, paths in found:
            entries = sorted(
                (*self._peers[ident], self._octets(attributes, local_pref))
                for ident, attributes, local_pref in paths
                if ident in self._peers  # another one may have come since the index was written
            )
            if entries:
                packed = [rib_entry(*entry) for entry in entries]
                parts.append(rib_record(self._at, self._sequence, prefix, packed))
                self._sequence += 1
        return b"".join(parts)

    def _octets(self, attributes: Attributes, local_pref: int | None) -> bytes:
        key = id(attributes), local_pref
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            shown = attributes if local_pref is None else replace(attributes, local_pref=local_pref)
            known = self._known[key] = attributes, rib_attributes(shown, self._family)
        return known[1]
