"""What is known of a tunnel's IKE SAs, and which of them matters. Pure; time is an argument.

There can be several for a while: a rekey replaces one, or both sides began at once.
"""

from __future__ import annotations

from dataclasses import replace

from bgpsvc.ipsec.model import ChildSa, IkeSa
from bgpsvc.resources.models import DpdSettings

DUPLICATES_S, DUPLICATES_LATER_S = 15.0, 30.0
"""How long two IKE SAs may stand side by side; the later is for the side with the higher address.

charon itself keeps one of IKEv1 that was reauthenticated for 10 s.
"""
UNDEAD_S = 10.0
"""How long an SA that was ended may still be seen."""

IkeSas = tuple[IkeSa, ...]

_SIGNS_OF_LIFE = ("received packet", "parsed ")
_QUESTIONS = ("sending DPD request", "retransmit ", "sending retransmit ")


class Sas:
    """The SAs as last read, kept up to date by events."""

    def __init__(self) -> None:
        self.all: IkeSas = ()
        """Without those that were ended and are still there."""
        self._ended_up_to = 0
        """SAs with a unique id up to this are not to be counted any more; charon numbers them upwards."""
        self._ended_at = 0.0
        self._asked: dict[int | None, float] = {}
        """Since when the peer owes an answer on an IKE SA."""
        self._several_since: float | None = None

    # Levels -------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Packets pass."""
        return any(usable(ike) for ike in self.all)

    @property
    def established(self) -> bool:
        """The peer is authenticated, at least."""
        return any(ike.established for ike in self.all)

    @property
    def best(self) -> IkeSa | None:
        """The newest with an installed child, else the newest established, else the newest."""
        return max(self.all, key=_worth, default=None)

    def surplus(self) -> IkeSas:
        """Those beside the best that nobody is about to replace or delete."""
        chosen = self.best
        if chosen is None or not usable(chosen):
            return ()
        return tuple(ike for ike in self.all if ike is not chosen and ike.state == "ESTABLISHED")

    # Times --------------------------------------------------------------------------------------

    def dead_at(self, dpd: DpdSettings) -> float | None:
        """When a peer that does not answer counts as dead.

        It is asked after a third of the timeout, during which nothing came from it. What it says elsewhere,
        where it may just begin anew, does not help the SA that packets take.
        """
        best = self.best
        if best is None or not best.established or not dpd.enabled:
            return None
        since = self._asked.get(best.unique_id, self._asked.get(None))
        return None if since is None else since + dpd.timeout - max(dpd.timeout // 3, 1)

    def surplus_at(self, leads: bool) -> float | None:
        """When `surplus` is to be ended."""
        if self._several_since is None:
            return None
        return self._several_since + (DUPLICATES_S if leads else DUPLICATES_LATER_S)

    # What is heard ------------------------------------------------------------------------------

    def read(self, sas: IkeSas, now: float) -> tuple[int, ...]:
        """The SAs as they are; returns unique ids of those that should be gone long since."""
        self.all = tuple(ike for ike in sas if ike.unique_id > self._ended_up_to)
        there = {ike.unique_id for ike in sas}
        self._asked = {ike: since for ike, since in self._asked.items() if ike is None or ike in there}
        self._count(now)
        if len(self.all) == len(sas) or now < self._ended_at + UNDEAD_S:
            return ()
        self._ended_at = now
        return tuple(ike.unique_id for ike in sas if ike.unique_id <= self._ended_up_to)

    def came(self, came: IkeSa, now: float) -> None:
        """One came up, or a child of it. An event names only the children that it is about."""
        if came.unique_id <= self._ended_up_to:
            return
        before = next((ike for ike in self.all if ike.unique_id == came.unique_id), None)
        kept = () if before is None else _others(before, came)
        others = tuple(ike for ike in self.all if ike.unique_id != came.unique_id)
        self.all = (*others, replace(came, children=(*kept, *came.children)))
        self._count(now)

    def went(self, went: IkeSa, whole: bool, now: float) -> None:
        """One went (`whole`), or the children of it that the event names."""
        gone = {child.unique_id for child in went.children}
        if whole:
            self._asked.pop(went.unique_id, None)
            self.all = tuple(ike for ike in self.all if ike.unique_id != went.unique_id)
        else:
            self.all = tuple(replace(ike, children=_without(ike, gone)) for ike in self.all)
        self._count(now)

    def line(self, message: str, ike_id: int | None, now: float) -> bool:
        """A line of the log about an IKE SA; true if it is a sign of life of the peer."""
        if message.startswith(_SIGNS_OF_LIFE):
            self._asked.pop(ike_id, None)
            return True
        if message.startswith(_QUESTIONS):
            self._asked.setdefault(ike_id, now)
        return False

    def ended(self, now: float) -> None:
        """All that there were were ended; charon may take a moment to do so."""
        self._ended_up_to = max((ike.unique_id for ike in self.all), default=self._ended_up_to)
        self._ended_at = now
        self._forget()

    def lost(self) -> None:
        """charon is gone, and all of them with it; a new one begins to number them anew."""
        self._ended_up_to = 0
        self._forget()

    def surplus_ended(self, now: float) -> None:
        """It was tried; again later if that did not help."""
        self._several_since = now

    def _forget(self) -> None:
        self.all = ()
        self._asked.clear()
        self._several_since = None

    def _count(self, now: float) -> None:
        if not self.surplus():
            self._several_since = None
        elif self._several_since is None:
            self._several_since = now


def usable(ike: IkeSa) -> bool:
    """A child SA is installed below an established IKE SA."""
    return ike.established and any(child.established for child in ike.children)


def _worth(ike: IkeSa) -> tuple[bool, bool, float, int]:
    since = -1.0 if ike.established_at is None else ike.established_at
    return usable(ike), ike.established, since, ike.unique_id


def _others(before: IkeSa, came: IkeSa) -> tuple[ChildSa, ...]:
    return _without(before, {child.unique_id for child in came.children})


def _without(ike: IkeSa, gone: set[int]) -> tuple[ChildSa, ...]:
    return tuple(child for child in ike.children if child.unique_id not in gone)
