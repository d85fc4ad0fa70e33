"""Layer `routes`: what the session's routes came to, in both directions. Pure.

What the peer does with ours cannot be seen from here; that nothing is advertised can.
"""

from __future__ import annotations

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import Evidence, Routes
from bgpsvc.diagnosis import Check, Fact

NAMED = 5
"""Refusals and prefixes that the evidence names."""


def routes(e: Evidence) -> Check:
    """Learned and advertised routes; static ones where there is no BGP."""
    found = e.routes
    if found is None:
        return check("routes", "unknown", "ok", "routes were not examined")
    if e.bgp is None:
        return _static(found)
    return _propagation(found) or _learned(e, found) or _advertised(e, found) or _fine(found)


def _static(found: Routes) -> Check:
    if found.static_routes:
        return ok("routes", f"{_number(found.static_routes, 'static route')} of the connection")
    return check(
        "routes",
        "failed",
        "no_static_routes",
        "the connection uses no BGP and has no static routes: nothing is sent into its tunnels",
        "Create a destination-based or policy-based route to the networks behind the peer, or set "
        "`enable_bgp`.",
    )


def _propagation(found: Routes) -> Check | None:
    if found.propagate:
        return None
    fact = Fact("learned and not used", _number(found.accepted, "prefix", "prefixes"))
    if found.static_routes:
        return check(
            "routes",
            "warning",
            "routes_by_hand",
            f"automatic propagation of {found.vpn_gateway} is off; {found.static_routes} static routes are "
            "used",
            f"`bgpsvc propagate on {found.vpn_gateway}` if learned routes shall be used too.",
            fact,
        )
    return check(
        "routes",
        "failed",
        "propagation_off",
        f"automatic propagation of {found.vpn_gateway} is off: nothing is learned into the VPC's table, and "
        "nothing is advertised",
        f"`bgpsvc propagate on {found.vpn_gateway}`",
        fact,
    )


def _learned(e: Evidence, found: Routes) -> Check | None:
    facts = (*_counts(found), *_refusals(found))
    if found.shed:
        return check(
            "routes",
            "failed",
            "prefix_limit",
            f"the peer announces more than {found.max_prefixes} prefixes: {found.shed} are shed",
            "Raise `max_prefixes` of the tunnel's `bgp`, or have the peer announce less (summaries, a "
            "filter).",
            *facts,
        )
    if not found.accepted and found.refused:
        return _all_filtered(found, facts)
    if not found.accepted and not found.end_of_rib:
        text = "the peer has not sent all its routes yet, and none of them came so far"
        return check("routes", "warning", "waits_for_end_of_rib", text, "Ask again in a few seconds.", *facts)
    if not found.accepted:
        return check(
            "routes",
            "failed",
            "nothing_learned",
            "the peer announces nothing",
            "At the peer: is there a network or redistribution for its side, does its export filter let it "
            f"pass to {e.inside_local}, and is the IPv4 unicast family active for the session?",
            *facts,
        )
    return _kernel(found, facts)


def _all_filtered(found: Routes, facts: tuple[Fact, ...]) -> Check:
    first = found.refusals[0] if found.refusals else None
    by = "" if first is None else f": {first.text}"
    return check(
        "routes",
        "failed",
        "all_filtered",
        f"import refuses all {found.refused} prefixes that the peer announces{by}",
        _filter_remedy(first is not None and first.by_policy),
        *facts,
    )


def _filter_remedy(by_policy: bool) -> str:
    if by_policy:
        return (
            "Change the rule of the import policy that is named, or have the peer announce what it accepts."
        )
    return (
        "Have the peer announce its own networks: what lies inside the VPC or a tunnel network, carries our "
        "ASN or is reserved is never accepted. `bgpsvc explain PREFIX` tells of each."
    )


def _kernel(found: Routes, facts: tuple[Fact, ...]) -> Check | None:
    if found.uninstalled:
        prefix, why = found.uninstalled[0]
        return check(
            "routes",
            "failed",
            "not_installed",
            f"the kernel refused {_number(len(found.uninstalled), 'route')}, {prefix} among them: {why}",
            f"`bgpsvc explain {prefix}` says what the kernel's table has; another program may own the route "
            "or the table.",
            *facts,
            Fact("refused by the kernel", ", ".join(text for text, _ in found.uninstalled[:NAMED])),
        )
    if found.pending:
        text = f"{found.pending} routes are on their way to the kernel"
        return check("routes", "warning", "routes_pending", text, "Ask again in a few seconds.", *facts)
    return None


def _advertised(e: Evidence, found: Routes) -> Check | None:
    if found.advertised:
        return None
    if not found.advertisable:
        why, remedy = "the VPC has no address ranges to advertise", "Give the VPC its CIDRs."
    elif found.export_policy is not None:
        why = f"the export policy {found.export_policy} lets none of {found.advertisable} prefixes pass"
        remedy = f"Change the export policy {found.export_policy}."
    else:
        why = "the session's families carry none of the VPC's prefixes"
        remedy = "IPv6 ranges need `ipv6` in the tunnel's `bgp`, and the family at the peer."
    return check(
        "routes",
        "failed",
        "nothing_advertised",
        f"nothing is advertised to the peer, so nothing returns: {why}",
        remedy,
        *_counts(found),
    )


def _fine(found: Routes) -> Check:
    facts = (*_counts(found), *_refusals(found))
    filtered = [r for r in found.refusals if not r.harmless]
    if filtered:
        return check(
            "routes",
            "warning",
            "some_filtered",
            f"import refuses a part of what the peer announces: {filtered[0].text}",
            _filter_remedy(filtered[0].by_policy),
            *facts,
        )
    learned = _number(found.accepted, "prefix", "prefixes")
    return ok("routes", f"{learned} learned, {found.advertised} advertised", *facts)


def _counts(found: Routes) -> tuple[Fact, ...]:
    return (
        Fact(
            "received", f"{found.accepted} accepted, {found.refused} refused, {found.shed} shed by the limit"
        ),
        Fact("advertised", f"{found.advertised}; whether the peer accepts them cannot be seen from here"),
    )


def _refusals(found: Routes) -> tuple[Fact, ...]:
    of = "" if found.looked_at >= found.refused else f" of the first {found.looked_at}"
    return tuple(Fact("refused", f"{r.count}{of}, as {r.sample}: {r.text}") for r in found.refusals[:NAMED])


def _number(count: int, word: str, plural: str | None = None) -> str:
    return f"{count} {word if count == 1 else plural or word + 's'}"
