"""What the RIBs say of prefixes now, as it is told: attributes, and the prefixes that have them.

Attributes are interned in the RIBs, so prefixes are told apart by identity: to compare would cost more than
all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bgpsvc.bgp_message import MAXIMUM_EXTENDED, AttributesTooLong, update_messages
from bgpsvc.events import Advertisement
from bgpsvc.gateway import Gateway
from bgpsvc.model import (
    Attributes,
    Family,
    Origin,
    Prefix,
    Segment,
    SegmentType,
    SessionId,
    prefix_family,
)
from bgpsvc.rib import PathSet
from bgpsvc.session import Session

DEFAULT_LOCAL_PREFERENCE = 100

Rows = list[tuple[Attributes | None, list[Prefix]]]
"""Prefixes by their attributes; None: there is no path."""


def received(session: Session, prefixes: Sequence[Prefix]) -> Rows:
    """As the peer announced them: accepted, refused and shed ones, and stale ones that still count."""
    adj = session.adj
    found: list[Attributes | None] = list(map(adj.fresh.get, prefixes))
    if None in found:
        for place, prefix in enumerate(prefixes):
            if found[place] is None:
                found[place] = _not_accepted(session, prefix)
    return _by_identity(prefixes, found)


def _not_accepted(session: Session, prefix: Prefix) -> Attributes | None:
    adj = session.adj
    if prefix in adj.refused:
        return adj.refused[prefix][0]
    if prefix in adj.shed:
        return adj.shed[prefix]
    # Those of a former session do not, unless graceful restart keeps them (RFC 4724 4.2).
    return adj.stale.get(prefix) if session.keep_stale else None


def accepted(gateway: Gateway, session: Session, prefixes: Sequence[Prefix]) -> Rows:
    """As import policy left them, with the local preference that they have for the decision."""
    adj, ident = session.adj, session.id

    def of(paths: PathSet | None) -> Attributes | None:
        found = None if paths is None else paths.paths.get(ident)
        return None if found is None else preferred(session, found)

    rows = _by_identity(prefixes, _each_once(map(gateway.rib.routes.get, prefixes), of))
    if not adj.stale or session.keep_stale:
        return rows
    hidden = [prefix for prefix in prefixes if prefix not in adj.fresh]
    if not hidden:
        return rows
    fresh = [(attributes, [p for p in members if p in adj.fresh]) for attributes, members in rows]
    return [*((attributes, members) for attributes, members in fresh if members), (None, hidden)]


def selected(gateway: Gateway, sessions: Mapping[SessionId, Session], prefixes: Sequence[Prefix]) -> Rows:
    """The path to each prefix that traffic takes; none while no tunnel that leads there is usable.

    Of several that a tunnel has, the one of the hop that was chosen; RFC 4271 9.1.2: whose next hop can be
    reached.
    """

    def of(paths: PathSet | None) -> Attributes | None:
        chosen = None if paths is None else paths.forwarding.chosen
        if paths is None or chosen is None:
            return None
        found = paths.paths.get(chosen.session)
        return None if found is None else preferred(sessions[chosen.session], found)

    return _by_identity(prefixes, _each_once(map(gateway.rib.routes.get, prefixes), of))


def preferred(session: Session, attributes: Attributes) -> Attributes:
    """With the local preference that import gave the path, in LOCAL_PREF."""
    return replace(attributes, local_pref=session.settings.policy.local_pref(attributes), preference=None)


def advertised(
    session: Session, next_hops: Mapping[Family, bytes], what: Advertisement, family: Family
) -> Attributes:
    """The attributes with which the speaker announces (`exabgp/advertise.py` says the same to ExaBGP)."""
    settings = session.settings
    path: tuple[Segment, ...] = ()
    if settings.ebgp:
        path = (Segment(SegmentType.SEQUENCE, (settings.local_asn,) * (1 + what.prepend)),)
    preference = DEFAULT_LOCAL_PREFERENCE if what.local_pref is None else what.local_pref
    return Attributes(
        next_hop=next_hops[family],
        origin=Origin.IGP,
        as_path=path,
        med=what.med,
        local_pref=None if settings.ebgp else preference,
        communities=tuple(sorted(what.communities)),
        large_communities=tuple(sorted(what.large_communities)),
    )


def updates(rows: Iterable[tuple[Attributes | None, Sequence[Prefix]]], asn4: bool) -> Iterator[bytes]:
    """UPDATE messages that say so, withdrawals first."""
    for attributes, prefixes in rows:
        for family, members in _families(prefixes):
            if attributes is None:
                yield from update_messages(None, family, (), members)
                continue
            try:
                yield from update_messages(attributes, family, members, (), asn4=asn4)
            except AttributesTooLong:  # a policy added to attributes that filled a message (RFC 8654)
                yield from update_messages(
                    attributes, family, members, (), asn4=asn4, maximum=MAXIMUM_EXTENDED
                )


def _families(prefixes: Sequence[Prefix]) -> Iterator[tuple[Family, Sequence[Prefix]]]:
    sizes = set(map(len, prefixes))
    if len(sizes) == 1:
        yield prefix_family(prefixes[0]), prefixes
        return
    for family in Family:
        members = [prefix for prefix in prefixes if prefix_family(prefix) is family]
        if members:
            yield family, members


def _each_once(
    found: Iterable[PathSet | None], of: Callable[[PathSet | None], Attributes | None]
) -> list[Attributes | None]:
    """The attributes of each path set; what has equal path sets gets the same object."""
    paths = list(found)
    known = {path_set: of(path_set) for path_set in set(paths)}
    return list(map(known.__getitem__, paths))


def _by_identity(prefixes: Sequence[Prefix], found: Sequence[Attributes | None]) -> Rows:
    idents = list(map(id, found))
    if not idents:
        return []
    if idents.count(idents[0]) == len(idents):
        return [(found[0], list(prefixes))]
    groups: dict[int, tuple[Attributes | None, list[Prefix]]] = {}
    for prefix, ident, attributes in zip(prefixes, idents, found, strict=True):
        groups.setdefault(ident, (attributes, []))[1].append(prefix)
    # What is withdrawn goes first.
    return sorted(groups.values(), key=lambda row: row[0] is not None)
