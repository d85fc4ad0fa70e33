"""Adj-RIB-Out of one session, level-based: what shall be announced, what ExaBGP has, what leads there.

ExaBGP takes `announce attributes … nlri PREFIX…`: one parse of the attributes for hundreds of
prefixes. Announcing a route again that ExaBGP has with equal attributes sends nothing to the peer,
so after a doubt (lost commands, an adopted speaker) everything is simply said again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bgpsvc.events import Advertisement
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.model import Family, Prefix, format_prefix, prefix_family

PREFIXES_PER_COMMAND = 500
DEFAULT_LOCAL_PREFERENCE = 100


class AdjRibOut:
    """What is to be announced on a session (None: not known yet), and what ExaBGP has.

    `sent` maps a prefix to its advertisement, or to None if ExaBGP has the prefix and it is not known how.
    """

    def __init__(self, session: SpeakerSession) -> None:
        self._session = session
        self.desired: Mapping[Prefix, Advertisement] | None = None
        self.sent: dict[Prefix, Advertisement | None] = {}

    @property
    def session(self) -> SpeakerSession:
        """Its settings. What was announced with another next hop of our own has to be announced again."""
        return self._session

    @session.setter
    def session(self, session: SpeakerSession) -> None:
        before = {family: self.next_hop(family) for family in Family}
        self._session = session
        moved = {family for family in Family if self.next_hop(family) != before[family]}
        for prefix in self.sent:
            if prefix_family(prefix) in moved:
                self.sent[prefix] = None

    def listed(self, prefixes: set[Prefix], certain: bool) -> None:
        """ExaBGP has exactly these prefixes; unless `certain`, commands may have been lost."""
        self.sent = {prefix: self.sent.get(prefix) if certain else None for prefix in prefixes}

    def changes(self) -> Iterator[tuple[str, list[Prefix], Advertisement | None]]:
        """Commands that lead from `sent` to `desired`, with their prefixes; tell `done` of each sent one.

        Withdrawals come first; a prefix that changes is announced again without being withdrawn.
        """
        if self.desired is None:
            return
        gone = [prefix for prefix in self.sent if prefix not in self.desired]
        for family, chunk in _chunks(gone):
            head = self._head("withdraw", family, Advertisement())
            if head is not None:
                yield f"{head} {' '.join(map(format_prefix, chunk))}", chunk, None
        groups: dict[Advertisement, list[Prefix]] = {}
        for prefix, advertisement in self.desired.items():
            if self.sent.get(prefix) != advertisement:
                groups.setdefault(advertisement, []).append(prefix)
        for advertisement, prefixes in groups.items():
            for family, chunk in _chunks(prefixes):
                head = self._head("announce", family, advertisement)
                if head is not None:
                    yield f"{head} {' '.join(map(format_prefix, chunk))}", chunk, advertisement

    def done(self, prefixes: list[Prefix], advertisement: Advertisement | None) -> None:
        """A command of `changes` was handed over."""
        if advertisement is None:
            for prefix in prefixes:
                self.sent.pop(prefix, None)
        else:
            for prefix in prefixes:
                self.sent[prefix] = advertisement

    def next_hop(self, family: Family) -> str | None:
        """Our own address for routes of a family; None if the session can't carry them."""
        if family not in self.session.families:
            return None
        local = self.session.addresses[0]
        own = Family.IPV6 if ":" in local else Family.IPV4
        return local if own is family else self.session.local_address_v6 if family is Family.IPV6 else None

    def _head(self, action: str, family: Family, advertisement: Advertisement) -> str | None:
        next_hop = self.next_hop(family)
        if next_hop is None:
            return None
        local, peer = self.session.addresses
        words = [f"neighbor {peer} local-ip {local} {action} attributes next-hop {next_hop}"]
        if advertisement.med is not None:
            words.append(f"med {advertisement.med}")
        if self.session.ibgp:
            preference = advertisement.local_pref
            words.append(f"local-preference {DEFAULT_LOCAL_PREFERENCE if preference is None else preference}")
        if advertisement.communities:
            texts = " ".join(f"{value >> 16}:{value & 0xFFFF}" for value in advertisement.communities)
            words.append(f"community [ {texts} ]")
        if advertisement.large_communities:
            texts = " ".join(":".join(map(str, parts)) for parts in advertisement.large_communities)
            words.append(f"large-community [ {texts} ]")
        if advertisement.prepend and not self.session.ibgp:
            # What is said replaces what ExaBGP would say by itself, our ASN once. To an iBGP peer, whose ASN
            # it is too, it would be a loop (RFC 4271 9.1.2).
            asns = " ".join([str(self.session.local_asn)] * (1 + advertisement.prepend))
            words.append(f"as-path [ {asns} ]")
        words.append("nlri")
        return " ".join(words)


def _chunks(prefixes: list[Prefix]) -> Iterator[tuple[Family, list[Prefix]]]:
    """The prefixes of each family in portions of one command."""
    for family in Family:
        mine = [prefix for prefix in prefixes if prefix_family(prefix) is family]
        for start in range(0, len(mine), PREFIXES_PER_COMMAND):
            yield family, mine[start : start + PREFIXES_PER_COMMAND]
