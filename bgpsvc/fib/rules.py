"""Policy rules that put a table of ours into the lookup order: packing, reading, and which are due.

The order (lower preference first; the same for IPv4 and IPv6):

    0      local                              the host's own addresses
    32000  main, but no default route         connected networks and the system's routes
    32001  to 32100                           kept free: policy-based routes, priority 1 to 100
    32200                                     kept free: destination-based static routes
    32300  our table                          routes learned over BGP
    32766  main                               as it is: the system's default route

So a learned route captures neither a VPC address nor a connected network, and still comes before
the default route. Table 254 is the main table itself and needs no rules.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bgpsvc.fib.codec import ADDRESS_FAMILY
from bgpsvc.fib.ops import PROTOCOL
from bgpsvc.fib.wire import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    attribute,
    attributes,
    number,
    request,
    u32,
)
from bgpsvc.model import Family

RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RT_TABLE_MAIN = 254

PREFERENCE_ENDPOINT = 31990
PREFERENCE_SYSTEM = 32000
PREFERENCE_POLICY = range(32001, 32101)
PREFERENCE_STATIC = 32200
PREFERENCE_BGP = 32300

_FIB_RULE = struct.Struct("=8BI")  # family, dst_len, src_len, tos, table, 2 reserved, action; flags
_FRA_DST = 1
_FRA_PRIORITY, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE, _FRA_PROTOCOL = 6, 14, 15, 21
_FR_ACT_TO_TBL = 1
_NOT_SUPPRESSED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ours: look into a table; routes no longer than `suppress` bits do not count.

    With `to` only for that destination (4 or 16 bytes).
    """

    family: Family
    preference: int
    table: int
    suppress: int | None = None
    to: bytes | None = None


def system_rule(family: Family) -> Rule:
    """The rule that looks up connected networks and the system's routes before ours."""
    return Rule(family, PREFERENCE_SYSTEM, RT_TABLE_MAIN, suppress=0)


def bgp_rule(family: Family, table: int) -> Rule:
    """The rule that looks up a table of learned routes."""
    return Rule(family, PREFERENCE_BGP, table)


def endpoint_rule(address: bytes) -> Rule:
    """The rule that keeps the far end of a tunnel out of the learned routes.

    The tunnel's own packets go there: routed by a learned prefix that covers the address (a default
    route, say), they would go into the tunnel again.
    """
    family = Family.IPV4 if len(address) == 4 else Family.IPV6
    return Rule(family, PREFERENCE_ENDPOINT, RT_TABLE_MAIN, to=address)


def missing(table: int, present: set[Rule]) -> list[Rule]:
    """Rules to add for a table, in an order that never lets a learned route capture a connected network."""
    if table == RT_TABLE_MAIN:
        return []
    wanted = [rule for family in Family for rule in (system_rule(family), bgp_rule(family, table))]
    return [rule for rule in wanted if rule not in present]


def superfluous(table: int, present: set[Rule]) -> list[Rule]:
    """Rules to delete when a table goes: its own, and then the system rule if no rule of ours is left."""
    rules: list[Rule] = []
    if table == RT_TABLE_MAIN:
        return rules
    for family in Family:
        own, system = bgp_rule(family, table), system_rule(family)
        rest = {r for r in present if r.family is family and r.to is None} - {own, system}
        rules += [rule for rule in (own, *(() if rest else (system,))) if rule in present]
    return rules


def pack_rule(kind: int, seq: int, rule: Rule) -> bytes:
    """RTM_NEWRULE (refused with EEXIST if it is there) or RTM_DELRULE."""
    flags = NLM_F_ACK | (NLM_F_CREATE | NLM_F_EXCL if kind == RTM_NEWRULE else 0)
    small_table = rule.table if rule.table < 256 else 0
    bits = 8 * len(rule.to) if rule.to is not None else 0
    payload = _FIB_RULE.pack(ADDRESS_FAMILY[rule.family], bits, 0, 0, small_table, 0, 0, _FR_ACT_TO_TBL, 0)
    if rule.to is not None:
        payload += attribute(_FRA_DST, rule.to)
    payload += number(_FRA_PRIORITY, rule.preference) + number(_FRA_TABLE, rule.table)
    payload += attribute(_FRA_PROTOCOL, bytes((PROTOCOL,)))
    if rule.suppress is not None:
        payload += number(_FRA_SUPPRESS_PREFIXLEN, rule.suppress)
    return request(kind, flags, seq, payload)


def dump_rules(family: Family, seq: int) -> bytes:
    """Ask for all rules of a family."""
    header = _FIB_RULE.pack(ADDRESS_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0)
    return request(RTM_GETRULE, NLM_F_DUMP, seq, header)


def decode_rule(payload: bytes, family: Family) -> Rule | None:
    """Payload of RTM_NEWRULE; None if the rule is not ours (by its protocol)."""
    found = attributes(payload, _FIB_RULE.size)
    if found.get(_FRA_PROTOCOL) != bytes((PROTOCOL,)):
        return None
    table = u32(found[_FRA_TABLE]) if _FRA_TABLE in found else payload[4]
    suppress = u32(found[_FRA_SUPPRESS_PREFIXLEN]) if _FRA_SUPPRESS_PREFIXLEN in found else _NOT_SUPPRESSED
    preference = u32(found[_FRA_PRIORITY]) if _FRA_PRIORITY in found else 0
    return Rule(
        family, preference, table, None if suppress == _NOT_SUPPRESSED else suppress, found.get(_FRA_DST)
    )
