"""Import policy: which announced paths become candidates, and with which local preference.

Two halves, because they depend on different things. What depends on the prefix (martians, the
VPC's own addresses, tunnel and connected networks, the default route) is a search in sorted
ranges and runs once per prefix. What depends on the attributes (AS loop, next hop, local
preference) runs once per distinct attribute set, as those are interned.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from bgpsvc.model import Attributes, Prefix, Reason, Role, covers, parse_prefix

LOCAL_PREF_DEFAULT = 100
LOCAL_PREF_ACTIVE = 200
"""What the import policy gives to paths of the active tunnel, so that it wins as in the cloud."""

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
        self._denied = tuple(denied)
        # Outermost networks only: these ranges do not overlap, so one binary search finds the
        # only range that can contain an address. The exact reason is looked up on a hit.
        outermost = {p for p, _ in self._denied if not any(covers(q, p) and q != p for q, _ in self._denied)}
        self._starts = {size: [p for p in sorted(outermost) if len(p) == size] for size in (5, 17)}
        self._ranges = {
            size: [(p[-1], _last_address(p)) for p in starts] for size, starts in self._starts.items()
        }

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
        return next(reason for network, reason in self._denied if covers(network, prefix))


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
        """The local preference for the decision. LOCAL_PREF of an eBGP peer is ignored (RFC 4271 5.1.5)."""
        if self.prefer_active:
            return LOCAL_PREF_ACTIVE if self.role is Role.ACTIVE else LOCAL_PREF_DEFAULT
        if self.ebgp or attributes.local_pref is None:
            return LOCAL_PREF_DEFAULT
        return attributes.local_pref
