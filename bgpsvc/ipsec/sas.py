"""Which of a tunnel's IKE SAs matters, and what an event changes about them. Pure.

There can be several for a while: a rekey replaces one, or both sides began at once.
"""

from __future__ import annotations

from dataclasses import replace

from bgpsvc.ipsec.model import ChildSa, IkeSa

IkeSas = tuple[IkeSa, ...]


def usable(ike: IkeSa) -> bool:
    """Packets pass: a child SA is installed below an established IKE SA."""
    return ike.established and any(child.established for child in ike.children)


def _worth(ike: IkeSa) -> tuple[bool, bool, float, int]:
    since = -1.0 if ike.established_at is None else ike.established_at
    return usable(ike), ike.established, since, ike.unique_id


def best(sas: IkeSas) -> IkeSa | None:
    """The newest with an installed child, else the newest established, else the newest."""
    return max(sas, key=_worth, default=None)


def surplus(sas: IkeSas) -> IkeSas:
    """Those beside the best that nobody is about to replace or delete."""
    chosen = best(sas)
    if chosen is None or not usable(chosen):
        return ()
    return tuple(ike for ike in sas if ike is not chosen and ike.state == "ESTABLISHED")


def merged(sas: IkeSas, came: IkeSa) -> IkeSas:
    """With an SA that came up. An event names only the children that it is about."""
    before = next((ike for ike in sas if ike.unique_id == came.unique_id), None)
    kept = () if before is None else _others(before, came)
    others = tuple(ike for ike in sas if ike.unique_id != came.unique_id)
    return (*others, replace(came, children=(*kept, *came.children)))


def without(sas: IkeSas, went: IkeSa, *, whole: bool) -> IkeSas:
    """Without an IKE SA (`whole`), or without the children of it that the event names."""
    if whole:
        return tuple(ike for ike in sas if ike.unique_id != went.unique_id)
    gone = {child.unique_id for child in went.children}
    return tuple(
        replace(ike, children=tuple(child for child in ike.children if child.unique_id not in gone))
        for ike in sas
    )


def _others(before: IkeSa, came: IkeSa) -> tuple[ChildSa, ...]:
    named = {child.unique_id for child in came.children}
    return tuple(child for child in before.children if child.unique_id not in named)
