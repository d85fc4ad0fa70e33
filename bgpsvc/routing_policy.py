"""Routing policies, compiled: which rules can match a set of attributes, and what each makes of it.

A policy is asked in two steps, because a table of a million prefixes has a few thousand sets of
attributes. `rules_for` judges session, AS path and communities, once per set; what is left of the rules
are their prefix lists, and only those are looked at per prefix. The rules that are left end with the
first that takes every prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from bgpsvc.as_path_regex import AsPathRegex
from bgpsvc.events import Advertisement
from bgpsvc.model import (
    Attributes,
    Community,
    Prefix,
    Segment,
    SegmentType,
    format_as_path,
    parse_community,
)
from bgpsvc.resources.models import PolicyRule, PrefixMatch, RoutingPolicy

LargeCommunity = tuple[int, int, int]


class PrefixList:
    """Prefixes with ranges of lengths. A look costs one search per distinct length of a listed prefix."""

    def __init__(self, matches: Iterable[PrefixMatch]) -> None:
        # Per size of a prefix: (length, shift, network's bits to ranges of lengths), shortest first.
        tables: dict[int, dict[int, dict[int, list[tuple[int, int]]]]] = {5: {}, 17: {}}
        for match in matches:
            network = match.prefix
            bits, own = network.max_prefixlen, network.prefixlen
            low = match.ge if match.ge is not None else own
            high = match.le if match.le is not None else bits if match.ge is not None else own
            number = int(network.network_address) >> (bits - own)
            tables[bits // 8 + 1].setdefault(own, {}).setdefault(number, []).append((low, high))
        self._tables = {
            size: [((size - 1) * 8 - own, own, by_length[own]) for own in sorted(by_length)]
            for size, by_length in tables.items()
        }

    def __contains__(self, prefix: Prefix) -> bool:
        length = prefix[-1]
        number = int.from_bytes(prefix[:-1], "big")
        for shift, own, networks in self._tables[len(prefix)]:
            if own > length:
                return False
            for low, high in networks.get(number >> shift, ()):
                if low <= length <= high:
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Changes:
    """What a rule does to the paths that it accepts. `texts` says it in words (`local_preference 200`)."""

    local_preference: int | None
    med: int | None
    prepend: int
    add: frozenset[Community]
    remove: frozenset[Community]
    texts: tuple[str, ...]

    def imported(self, received: Attributes, peer_asn: int) -> Attributes:
        """The attributes of a path from a peer of that ASN; the very same object if nothing changes.

        The ASN that is prepended is the neighbour's as the path names it, so that MED goes on
        comparing the same paths (RFC 4271 9.1.2.2 c).
        """
        if not self.texts:
            return received
        communities, large = self._communities(received.communities, received.large_communities)
        path = received.as_path
        if self.prepend:
            asn = received.neighbour_asn
            path = _prepended(path, peer_asn if asn is None else asn, self.prepend)
        made = replace(
            received,
            preference=self.local_preference,
            med=received.med if self.med is None else self.med,
            as_path=path,
            communities=communities,
            large_communities=large,
        )
        return received if made == received else made

    def exported(self, plain: Advertisement, ebgp: bool) -> Advertisement:
        """The advertisement to a peer. LOCAL_PREF is for iBGP alone (RFC 4271 5.1.5).

        To an iBGP peer nothing is prepended: our ASN is its own, and it would see a loop (9.1.2).
        """
        communities, large = self._communities(plain.communities, plain.large_communities)
        preference = None if ebgp else self.local_preference
        return Advertisement(
            med=plain.med if self.med is None else self.med,
            local_pref=plain.local_pref if preference is None else preference,
            communities=communities,
            large_communities=large,
            prepend=plain.prepend + self.prepend if ebgp else 0,
        )

    def _communities(
        self, standard: Iterable[int], large: Iterable[LargeCommunity]
    ) -> tuple[tuple[int, ...], tuple[LargeCommunity, ...]]:
        # What is both removed and added stays: a rule that replaces a community may be given it already.
        received: frozenset[Community] = frozenset([*standard, *large])
        left = (received - self.remove) | self.add
        return (
            tuple(sorted(c for c in left if isinstance(c, int))),
            tuple(sorted(c for c in left if isinstance(c, tuple))),
        )


def _prepended(path: tuple[Segment, ...], asn: int, times: int) -> tuple[Segment, ...]:
    more = (asn,) * times
    if path and path[0].type is SegmentType.SEQUENCE:
        return (Segment(SegmentType.SEQUENCE, more + path[0].asns), *path[1:])
    return (Segment(SegmentType.SEQUENCE, more), *path)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, `number` from 1. `prefixes` None: every prefix. None of the others restricts if empty."""

    number: int
    accept: bool
    prefixes: PrefixList | None
    as_path: AsPathRegex | None
    communities: frozenset[Community]
    sessions: frozenset[str]
    changes: Changes

    def may_match(self, session: str, as_path: str, communities: frozenset[Community]) -> bool:
        """True if everything but the prefix matches."""
        if self.sessions and session not in self.sessions:
            return False
        if self.communities and self.communities.isdisjoint(communities):
            return False
        return self.as_path is None or self.as_path.search(as_path)


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A routing policy, ready to be asked. Equal and of equal hash if the resource is."""

    source: RoutingPolicy
    rules: tuple[Rule, ...] = field(compare=False, repr=False)

    def __hash__(self) -> int:
        # Asked often; hashing thousands of listed prefixes each time would tell no more policies apart.
        return hash(self.source.name)

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.source.name

    @property
    def accepts_by_default(self) -> bool:
        """What becomes of a path that no rule matches."""
        return self.source.default_action == "accept"

    @property
    def names_sessions(self) -> bool:
        """True if a rule tells sessions apart."""
        return any(rule.sessions for rule in self.rules)

    def rules_for(self, session: str, attributes: Attributes | None) -> Sequence[Rule]:
        """The rules that can match, in order; attributes None: a prefix of our own (empty AS path).

        Only the last one may take every prefix; if it does not, the default action comes behind it.
        """
        path = "" if attributes is None else format_as_path(attributes.as_path)
        communities: frozenset[Community] = frozenset()
        if attributes is not None:
            communities = frozenset((*attributes.communities, *attributes.large_communities))
        found = []
        for rule in self.rules:
            if rule.may_match(session, path, communities):
                found.append(rule)
                if rule.prefixes is None:
                    break
        return found


@lru_cache(maxsize=256)
def compile_policy(policy: RoutingPolicy) -> CompiledPolicy:
    """Compile a (valid) policy; sessions with the same one share the result."""
    return CompiledPolicy(policy, tuple(_rule(n, rule) for n, rule in enumerate(policy.rules, start=1)))


def _rule(number: int, rule: PolicyRule) -> Rule:
    match = rule.match
    changes = Changes(
        local_preference=rule.local_preference,
        med=rule.med,
        prepend=rule.prepend,
        add=frozenset(map(parse_community, rule.add_communities)),
        remove=frozenset(map(parse_community, rule.remove_communities)),
        texts=tuple(_texts(rule)),
    )
    return Rule(
        number=number,
        accept=rule.action == "accept",
        prefixes=PrefixList(match.prefixes) if match is not None and match.prefixes else None,
        as_path=AsPathRegex(match.as_path) if match is not None and match.as_path is not None else None,
        communities=frozenset(map(parse_community, match.communities if match is not None else ())),
        sessions=frozenset(match.sessions if match is not None else ()),
        changes=changes,
    )


def _texts(rule: PolicyRule) -> Iterable[str]:
    if rule.local_preference is not None:
        yield f"local_preference {rule.local_preference}"
    if rule.med is not None:
        yield f"med {rule.med}"
    if rule.prepend:
        yield f"prepend {rule.prepend}"
    for community in rule.remove_communities:
        yield f"remove_communities {community}"
    for community in rule.add_communities:
        yield f"add_communities {community}"


class ExportRules:
    """What an export policy makes of our own prefixes on one session."""

    def __init__(self, policy: CompiledPolicy, session: str, ebgp: bool, plain: Advertisement) -> None:
        self._rules = [
            (rule.prefixes, rule.changes.exported(plain, ebgp) if rule.accept else None)
            for rule in policy.rules_for(session, None)
        ]
        self._default = plain if policy.accepts_by_default else None

    def advertisement(self, prefix: Prefix) -> Advertisement | None:
        """How the prefix is advertised; None if it is not."""
        for prefixes, advertisement in self._rules:
            if prefixes is None or prefix in prefixes:
                return advertisement
        return self._default
