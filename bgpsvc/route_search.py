"""What a search among routes asks for: filters, and free text in place of them. Pure.

Words of the free text (`RouteFilter.q`), which combine with AND as filters do:

    192.168.0.0/16  192.168.  2001:db8:     the prefix and all inside it (host bits are cleared)
    192.168.10.7  2001:db8::1               every prefix that contains the address
    AS65500  65500                          an AS number in the AS path
    65500:100  65500:1:2  no-export         a community
    conn1-tunnel1                           a session of the gateway
    ipv6  installed                         a family, a state
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from bgpsvc.model import (
    WELL_KNOWN_COMMUNITIES,
    Attributes,
    Community,
    Family,
    Prefix,
    SessionId,
    format_prefix,
    pack_prefix,
    parse_address,
    parse_community,
    parse_prefix,
    prefix_family,
)
from bgpsvc.port import InvalidQuery, RouteFilter
from bgpsvc.route_order import FIRST, LAST
from bgpsvc.views import RouteState

STATES = get_args(RouteState)
FAMILIES = tuple(family.label for family in Family)
MAX_ASN = 0xFFFFFFFF
NAMED = 10
"""Sessions that an error lists at most."""

PathTest = Callable[[SessionId, Attributes], bool]


@dataclass(frozen=True, slots=True)
class Span:
    """The prefixes of a family behind `low` up to `high`, in address order."""

    family: Family
    low: Prefix
    high: Prefix

    def behind(self, cursor: Prefix | None) -> Span:
        """What of it is behind a cursor, perhaps nothing."""
        if cursor is None:
            return self
        if len(cursor) != len(self.high):
            # All of IPv4 is before IPv6.
            return self if len(cursor) < len(self.high) else replace(self, low=self.high)
        return replace(self, low=max(self.low, cursor))

    def holds(self, prefix: Prefix) -> bool:
        """The prefix is one of them."""
        return len(prefix) == len(self.high) and self.low < prefix <= self.high


@dataclass(frozen=True, slots=True)
class Places:
    """Where a search looks: at some prefixes, or (None) at all in the spans."""

    only: tuple[Prefix, ...] | None
    """In address order; whether there is a route to them is another question."""
    best: bool
    """Of `only`, the last one that there is a route to."""
    spans: tuple[Span, ...]


# Free text ------------------------------------------------------------------------------------


def understood(query: RouteFilter, sessions: Collection[str]) -> RouteFilter:
    """The filters with the words of `q` among them; InvalidQuery for a word that means nothing here."""
    if query.q is None:
        return query
    found = replace(query, q=None)
    for word in query.q.split():
        name, value = _meaning(word, sessions)
        if name == "prefix":
            _once(found.prefix, value[0], word)
            found = replace(found, prefix=value[0], match=value[1])
        else:
            _once(getattr(found, name), value, word)
            found = replace(found, **{name: value})
    return found


def _once(before: Any, value: Any, word: str) -> None:
    if before is not None and before != value:
        raise InvalidQuery("q", f"{word!r} comes on top of {before}: only one of a kind can be searched for")


def _meaning(word: str, sessions: Collection[str]) -> tuple[str, Any]:
    """The filter that a word stands for, and its value."""
    low = word.lower()
    if word in sessions:
        return "session", word
    if low in FAMILIES:
        return "family", low
    if low in STATES:
        return "state", low
    number = low.removeprefix("as")
    if number.isascii() and number.isdigit():
        if int(number) > MAX_ASN:
            raise InvalidQuery("q", f"{word!r} is no AS number: the largest is {MAX_ASN}")
        return "asn", int(number)
    try:
        parse_community(low)
    except ValueError:
        return "prefix", _place_of(low, word, sessions)
    return "community", low


def _place_of(low: str, word: str, sessions: Collection[str]) -> tuple[str, str]:
    """A prefix and how it is to match."""
    try:
        if "/" in low:
            return format_prefix(_cleared(low)), "longer"
        if (begun := _begun(low)) is not None:
            return format_prefix(begun), "longer"
        parse_address(low)
    except ValueError as error:
        if "/" in low:
            raise InvalidQuery("q", str(error)) from None
        known = ", ".join(sorted(sessions)[:NAMED]) or "there is none"
        raise InvalidQuery(
            "q",
            f"{word!r} is no prefix, address, AS number (AS65500), community (65500:100), state "
            f"({', '.join(STATES)}), ipv4 or ipv6, nor a session of this gateway ({known})",
        ) from None
    return low, "covering"


def _cleared(text: str) -> Prefix:
    """A prefix whose host bits are cleared."""
    address, _, length = text.partition("/")
    packed = parse_address(address)
    bits = len(packed) * 8
    if not (length.isascii() and length.isdigit() and int(length) <= bits):
        raise ValueError(f"{text!r} is not a prefix: its length is 0 to {bits}")
    shift = bits - int(length)
    return pack_prefix(
        (int.from_bytes(packed, "big") >> shift << shift).to_bytes(bits // 8, "big"), int(length)
    )


def _begun(text: str) -> Prefix | None:
    """The prefix that the beginning of an address stands for (`192.168`, `10.`, `2001:db8:`)."""
    if "." in text and ":" not in text:
        parts = text.removesuffix(".").split(".")
        if len(parts) < 4 and all(p.isascii() and p.isdigit() and int(p) <= 255 for p in parts):
            return pack_prefix(bytes(map(int, parts)) + bytes(4 - len(parts)), 8 * len(parts))
    if text.endswith(":") and not text.endswith("::"):
        groups = text.removesuffix(":").split(":")
        if len(groups) < 8 and all(groups):
            return pack_prefix(parse_address(text + ":"), 16 * len(groups))
    return None


# Filters --------------------------------------------------------------------------------------


def places(query: RouteFilter) -> Places:
    """Where to look by `prefix`, `match` and `family`. Raises InvalidQuery."""
    families = [f for f in Family if query.family in (None, f.label)]
    prefix = parse_match(query)
    if prefix is None:
        return Places(None, False, tuple(Span(f, FIRST, LAST[f]) for f in families))
    if prefix_family(prefix) not in families:
        return Places((), False, ())
    if query.match == "longer":
        return Places(None, False, (inside(prefix),))
    if query.match == "exact":
        return Places((prefix,), False, ())
    return Places(tuple(covering(prefix)), query.match == "best", ())


def parse_match(query: RouteFilter) -> Prefix | None:
    """The prefix of a filter; for `best` and `covering` an address becomes a host prefix."""
    text = query.prefix
    if text is None:
        return None
    try:
        if "/" not in text and query.match in ("best", "covering"):
            address = parse_address(text)
            return pack_prefix(address, len(address) * 8)
        return parse_prefix(text)
    except ValueError as error:
        raise InvalidQuery("prefix", str(error)) from None


def inside(prefix: Prefix) -> Span:
    """The prefix and everything inside it.

    All of these begin at or behind its address; those at it that are shorter come before it.
    """
    bits, length = (len(prefix) - 1) * 8, prefix[-1]
    last = int.from_bytes(prefix[:-1], "big") | ((1 << (bits - length)) - 1)
    high = Prefix(last.to_bytes(bits // 8, "big") + b"\xff")
    low = Prefix(prefix[:-1] + bytes((length - 1,))) if length else FIRST
    return Span(prefix_family(prefix), low, high)


def covering(prefix: Prefix) -> list[Prefix]:
    """Everything that contains the prefix, itself included, least specific first."""
    bits = (len(prefix) - 1) * 8
    number = int.from_bytes(prefix[:-1], "big")
    return [
        Prefix((number >> (bits - n) << (bits - n)).to_bytes(bits // 8, "big") + bytes((n,)))
        for n in range(prefix[-1] + 1)
    ]


def path_test(query: RouteFilter) -> PathTest | None:
    """A test of one path for the session, asn and community filters; None if there are none."""
    tests: list[PathTest] = []
    if query.session is not None:
        wanted = query.session
        tests.append(lambda session, _: session == wanted)
    if query.asn is not None:
        tests.append(_asn_test(query.asn))
    if query.community is not None:
        tests.append(_community_test(query.community))
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda session, attributes: all(test(session, attributes) for test in tests)


def _asn_test(asn: int) -> PathTest:
    def test(_: SessionId, attributes: Attributes) -> bool:
        # A generator would take longer than the rest, and a table may have hundreds of thousands of AS paths.
        for segment in attributes.as_path:  # noqa: SIM110
            if asn in segment.asns:
                return True
        return False

    return test


def _community_test(text: str) -> PathTest:
    try:
        value: Community = parse_community(text)
    except ValueError:
        allowed = ", ".join(sorted(WELL_KNOWN_COMMUNITIES.values()))
        raise InvalidQuery(
            "community", f"{text!r} is not a community; allowed: 65000:100, 65000:1:2 (large), {allowed}"
        ) from None
    if isinstance(value, tuple):
        return lambda _, attributes: value in attributes.large_communities
    return lambda _, attributes: value in attributes.communities


def any_path(test: PathTest) -> Callable[[Mapping[SessionId, Attributes]], bool]:
    """The test for sets of paths: one of them passes."""

    def passes(paths: Mapping[SessionId, Attributes]) -> bool:
        for session, attributes in paths.items():  # noqa: SIM110  (as above)
            if test(session, attributes):
                return True
        return False

    return passes
