"""A platform's words for what both ends of a tunnel must agree on. Pure.

Tables lead from our values to the platform's words; what a table lacks, the platform cannot do. Numbers that
only the device itself heeds (lifetimes, intervals) are brought into the platform's range instead: the nearest
value does no harm, and the template says so beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bgpsvc.peerconfig.facts import TunnelFacts
from bgpsvc.peerconfig.words import Unsupported, pick
from bgpsvc.resources.models import IkeSettings, IpsecSettings

IKEV1, IKEV2 = "ikev1", "ikev2"
NO_PFS = "disabled"
_REQUESTS = 3
"""Requests of dead peer detection without an answer until the peer counts as dead, as the gateway has it."""
_DAY = 86400

Bounds = tuple[int, int]
Table = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the platform takes it; `asked` is what the gateway has. Printed it is the former."""

    value: int
    asked: int

    def __str__(self) -> str:
        return str(self.value)

    @property
    def differs(self) -> bool:
        """The platform's range does not have what was asked for."""
        return self.value != self.asked


def within(number: int, bounds: Bounds) -> Number:
    """The number of the range (both ends belong to it) that is nearest."""
    least, most = bounds
    return Number(min(max(number, least), most), number)


def lifetime_within(seconds: int, bounds: Bounds) -> Number:
    """A lifetime as the platform takes it; 0, never at the gateway, becomes a day or what is less."""
    return Number(within(seconds or _DAY, bounds).value, seconds)


@dataclass(frozen=True, slots=True)
class Phase:
    """Words for the algorithms of IKE or of IPsec, and the range of lifetimes in seconds.

    `groups` has `disabled` where perfect forward secrecy can be left out.
    """

    encryption: Table
    integrity: Table
    groups: Table
    lifetime: Bounds


@dataclass(frozen=True, slots=True)
class Agreed:
    """The algorithms of IKE or IPsec in the platform's words; `group` is None without PFS."""

    encryption: str
    integrity: str
    group: str | None
    lifetime: Number


@dataclass(frozen=True, slots=True)
class Named:
    """What a template writes down of a tunnel's IKE, IPsec and dead peer detection."""

    ike: Agreed
    esp: Agreed
    dpd_interval: Number
    dpd_requests: int


@dataclass(frozen=True, slots=True)
class Words:
    """A platform's words. `ike` and `esp` have one entry for each version of IKE that the platform knows.

    `modes` are the modes of IKEv1, `dpd_interval` the range of seconds between two requests.
    """

    ike: Mapping[str, Phase]
    esp: Mapping[str, Phase]
    modes: tuple[str, ...] = ("main", "aggressive")
    dpd_interval: Bounds = (1, 3600)

    def of(self, tunnel: TunnelFacts) -> Named:
        """The words for a tunnel; Unsupported for the first that the platform has none for."""
        version = tunnel.ike.version
        pick({known: known for known in self.ike}, version, "IKE version", tunnel)
        if version == IKEV1:
            pick({known: known for known in self.modes}, tunnel.ike.mode, "IKEv1 mode", tunnel)
        return Named(
            _agreed(self.ike[version], tunnel.ike, "IKE", "group", tunnel),
            _agreed(self.esp[version], tunnel.ipsec, "IPsec", "PFS", tunnel),
            within(max(tunnel.dpd.timeout // _REQUESTS, 1), self.dpd_interval),
            _REQUESTS,
        )


def _agreed(
    phase: Phase, asked: IkeSettings | IpsecSettings, what: str, group_is: str, tunnel: TunnelFacts
) -> Agreed:
    group = pick(phase.groups, asked.pfs, f"{what} {group_is}", tunnel)
    return Agreed(
        pick(phase.encryption, asked.encryption, f"{what} encryption", tunnel),
        pick(phase.integrity, asked.authentication, f"{what} authentication", tunnel),
        None if asked.pfs == NO_PFS else group,
        lifetime_within(asked.lifetime, phase.lifetime),
    )


def groups(prefix: str, *, without: str | None = None) -> Table:
    """The groups 1, 2, 5 and 14 by their number behind a prefix; `without` is the word for no PFS."""
    found = {f"group{number}": f"{prefix}{number}" for number in (1, 2, 5, 14)}
    return MappingProxyType(found if without is None else found | {NO_PFS: without})


def same(phase: Phase) -> Mapping[str, Phase]:
    """Both versions of IKE with the same words."""
    return MappingProxyType({IKEV1: phase, IKEV2: phase})


def refuse(what: str, tunnel: TunnelFacts, allowed: str) -> Unsupported:
    """The error that a platform cannot do something of a tunnel."""
    return Unsupported(what, f"tunnel {tunnel.number}", allowed)
