"""Import: which announced paths become candidates, and with which attributes.

First come built-in checks that nothing overrides (but for the default route), then the routing policy
of the connection, if it has one. Both have two halves, because they depend on different things. What
depends on the prefix (martians, the VPC's own addresses, tunnel and connected networks; the policy's
prefix lists) is a search in sorted ranges or tables and runs once per prefix. What depends on the
attributes (AS loop, next hop, local preference; AS path and communities of the policy's rules) runs
once per distinct attribute set, as those are interned: that is `weigh`.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from bgpsvc.model import GRACEFUL_SHUTDOWN, Attributes, Prefix, Reason, Role, SessionId, covers, parse_prefix
from bgpsvc.routing_policy import CompiledPolicy, PrefixList, Rule

LOCAL_PREF_DEFAULT = 100
LOCAL_PREF_ACTIVE = 200
"""What the import policy gives to paths of the active tunnel, so that it wins as in the cloud."""
LOCAL_PREF_LEAVING = 0
"""What it gives to paths over a link that the peer is about to take down."""

# Never valid on a VPN (RFC 6890): this network, loopback, link-local, multicast, reserved and
# broadcast; unspecified and IPv4-embedded, link-local, multicast. Private and documentation
# space is what people route over VPNs, so it is not listed.
MARTIANS = tuple(
    parse_prefix(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/8",
        "fe80::/10",
        "ff00::/8",
    )
)
SHARED_ADDRESS_SPACE = parse_prefix("100.64.0.0/10")

Denied = tuple[Prefix, Reason]


class PrefixFilter:
    """Refuses prefixes equal to or inside denied networks, and default routes (the caller may allow those).

    Less specific prefixes that merely cover a denied network pass: connected and system routes
    are looked up before learned ones, so such a prefix captures nothing.
    """

    def __init__(self, denied: Iterable[Denied]) -> None:
        self.denied = tuple(denied)
        # Outermost networks only: these ranges do not overlap, so one binary search finds the
        # only range that can contain an address. The exact reason is looked up on a hit.
        outermost: list[Prefix] = []
        # A network sorts behind those that cover it. There are several for each tunnel: one look each.
        for p in sorted({p for p, _ in self.denied}, key=lambda p: (len(p), p)):
            if not outermost or not covers(outermost[-1], p):
                outermost.append(p)
        self._starts = {size: [p for p in outermost if len(p) == size] for size in (5, 17)}
        self._ranges = {
            size: [(p[-1], _last_address(p)) for p in starts] for size, starts in self._starts.items()
        }
        self._denied_starts = {
            size: {start for p in (*starts, Prefix(bytes(size))) for start in _first_two_bytes(p)}
            for size, starts in self._starts.items()
        }

    def passes(self, prefixes: Collection[Prefix]) -> bool:
        """True only if none of the prefixes is refused; False says nothing.

        A prefix inside a denied network begins with the same 16 bits as something in it. So prefixes that
        begin with none of these pass, which a set tells for all of them at once.
        """
        joined = b"".join(prefixes)
        size = 5 if len(joined) == 5 * len(prefixes) else 17
        if len(joined) != size * len(prefixes):
            return False  # of both families
        starts = bytearray(2 * len(prefixes))
        starts[0::2], starts[1::2] = joined[0::size], joined[1::size]
        return self._denied_starts[size].isdisjoint(memoryview(starts).cast("H"))

    def refuse(self, prefix: Prefix) -> Reason | None:
        """Why the prefix is refused, or None."""
        size = len(prefix)
        length = prefix[-1]
        if length == 0:
            return Reason.DEFAULT_ROUTE
        index = bisect_right(self._starts[size], prefix) - 1
        if index < 0:
            return None
        outer_length, last = self._ranges[size][index]
        if length < outer_length or prefix[:-1] > last:
            return None
        return next(reason for network, reason in self.denied if covers(network, prefix))


def _first_two_bytes(prefix: Prefix) -> Iterator[int]:
    """What the addresses of a network begin with, as a 16-bit number in host order.

    Of a default route only the network address: it is refused itself, and not what is inside it.
    """
    first = int.from_bytes(prefix[:2], "big")
    last = int.from_bytes(_last_address(prefix)[:2], "big") if prefix[-1] else first
    for start in range(first, last + 1):
        yield int.from_bytes(start.to_bytes(2, "big"), sys.byteorder)


def _last_address(prefix: Prefix) -> bytes:
    bits = (len(prefix) - 1) * 8
    number = int.from_bytes(prefix[:-1], "big") | ((1 << (bits - prefix[-1])) - 1)
    return number.to_bytes(bits // 8, "big")


def denied_networks(
    vpc: Iterable[Prefix], tunnels: Iterable[Prefix], connected: Iterable[Prefix]
) -> tuple[Denied, ...]:
    """All denied networks of a gateway. Where several contain a prefix, the first names the reason."""
    return (
        *((p, Reason.VPC_OVERLAP) for p in vpc),
        *((p, Reason.TUNNEL_CIDR) for p in tunnels),
        *((p, Reason.CONNECTED) for p in connected if p[-1] > 0),
        (SHARED_ADDRESS_SPACE, Reason.SHARED_ADDRESS_SPACE),
        *((p, Reason.MARTIAN) for p in MARTIANS),
    )


@dataclass(frozen=True, slots=True)
class AttributePolicy:
    """What the import policy of one session needs to judge attributes.

    `next_hops` are the networks a next hop may lie in: the peer's own addresses and, where the session
    carries IPv6, link-local ones. A peer that names anybody else sends traffic nowhere.
    """

    local_asn: int
    ebgp: bool
    role: Role
    prefer_active: bool
    next_hops: tuple[Prefix, ...]

    def refuse(self, attributes: Attributes) -> Reason | None:
        """Why paths with these attributes are refused, or None."""
        # RFC 4271 9.1.2: our own AS in the path is a loop. For iBGP peers the path is empty of it too.
        if attributes.has_asn(self.local_asn):
            return Reason.AS_LOOP
        hop = attributes.next_hop
        # RFC 4271 5.1.3: on a point-to-point tunnel the peer itself is the only next hop there can be.
        host = Prefix(hop + bytes((len(hop) * 8,)))
        if not any(covers(network, host) for network in self.next_hops):
            return Reason.INVALID_NEXT_HOP
        return None

    def local_pref(self, attributes: Attributes) -> int:
        """The local preference for the decision: a routing policy's, else that of the tunnel's role.

        LOCAL_PREF of an eBGP peer is ignored (RFC 4271 5.1.5). A path that its peer is about to take down is
        the last choice (RFC 8326 4.2), unless a routing policy says otherwise.
        """
        if attributes.preference is not None:
            return attributes.preference
        if GRACEFUL_SHUTDOWN in attributes.communities:
            return LOCAL_PREF_LEAVING
        if self.prefer_active:
            return LOCAL_PREF_ACTIVE if self.role is Role.ACTIVE else LOCAL_PREF_DEFAULT
        if self.ebgp or attributes.local_pref is None:
            return LOCAL_PREF_DEFAULT
        return attributes.local_pref


class Importing(Protocol):
    """What import needs to know of a session; `SessionSettings` has it."""

    @property
    def id(self) -> SessionId: ...
    @property
    def peer_asn(self) -> int: ...
    @property
    def accept_default(self) -> bool: ...
    @property
    def policy(self) -> AttributePolicy: ...
    @property
    def import_policy(self) -> CompiledPolicy | None: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What import makes of an announced path: refused for a reason, or accepted with these attributes.

    `policy` is the routing policy that decided, None if a built-in check did or there is no policy.
    `rule` counts from 1, None for the policy's default action. `changes` says what the rule set.
    """

    reason: Reason | None
    attributes: Attributes | None
    policy: str | None = None
    rule: int | None = None
    changes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In words: `rejected by rule 2 of import policy from-dc`."""
        if self.policy is None:
            return "accepted" if self.reason is None else self.reason.text
        by = "the default action" if self.rule is None else f"rule {self.rule}"
        return f"{'accepted' if self.reason is None else 'rejected'} by {by} of import policy {self.policy}"


_REFUSED = {reason: Judgement(reason, None) for reason in Reason}


class Weighed:
    """What import makes of one attribute set of one session, as far as it can be said without the prefix.

    `refused` is the reason that holds for all prefixes, if there is one. `uniform` are the attributes that
    every prefix gets which the prefix filter lets pass; None if the prefix decides, or the policy rejects.
    """

    __slots__ = ("_accept_default", "_outcomes", "refused", "uniform")

    def __init__(
        self,
        refused: Reason | None,
        outcomes: tuple[tuple[PrefixList | None, Judgement], ...],
        accept_default: bool,
    ) -> None:
        self.refused = refused
        self._outcomes = outcomes
        self._accept_default = accept_default
        first, judgement = outcomes[0]
        self.uniform = judgement.attributes if first is None and refused is None else None

    def judge(self, prefix: Prefix, denied: Reason | None) -> Judgement:
        """The judgement on a prefix of which the prefix filter says `denied`."""
        if self.refused is not None:
            return _REFUSED[self.refused]
        if denied is not None and denied is not Reason.DEFAULT_ROUTE:
            return _REFUSED[denied]
        for prefixes, judgement in self._outcomes:
            if prefixes is not None and prefix in prefixes:
                return judgement
        # The last outcome takes every prefix. It does not name the default route.
        return judgement if denied is None or self._accept_default else _REFUSED[denied]


def weigh(session: Importing, attributes: Attributes) -> Weighed:
    """Everything about a path of a session that does not depend on its prefix."""
    policy = session.import_policy
    if policy is None:
        outcomes: list[tuple[PrefixList | None, Judgement]] = [(None, Judgement(None, attributes))]
    else:
        rules = policy.rules_for(session.id, attributes)
        outcomes = [(r.prefixes, _by_rule(policy.name, r, attributes, session.peer_asn)) for r in rules]
        if not rules or rules[-1].prefixes is not None:
            default = Judgement(None, attributes, policy.name)
            if not policy.accepts_by_default:
                default = Judgement(Reason.REJECTED_BY_POLICY, None, policy.name)
            outcomes.append((None, default))
    return Weighed(session.policy.refuse(attributes), tuple(outcomes), session.accept_default)


def _by_rule(policy: str, rule: Rule, attributes: Attributes, peer_asn: int) -> Judgement:
    if not rule.accept:
        return Judgement(Reason.REJECTED_BY_POLICY, None, policy, rule.number)
    changes = rule.changes
    return Judgement(None, changes.imported(attributes, peer_asn), policy, rule.number, changes.texts)


def judge(session: Importing, filter: PrefixFilter, prefix: Prefix, attributes: Attributes) -> Judgement:
    """What import makes of a path as announced: the way that every UPDATE goes, for one prefix.

    `filter` is the gateway's. A default route is refused unless the connection accepts it or the rule that
    decides names it in its prefix list. The maximum number of prefixes is no part of this.
    """
    return weigh(session, attributes).judge(prefix, filter.refuse(prefix))
