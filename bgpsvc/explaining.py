"""Why packets to a prefix go where they go: the story of one prefix, from announcement to kernel. Pure.

Everything is read from what the engine decided, by the code that decided it (`decide.STEPS`, the verdicts of
import, `lookup_order`), so that the explanation cannot differ from what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bgpsvc.decide import STEPS, Candidate
from bgpsvc.engine import Engine
from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.gateway import Gateway
from bgpsvc.insight import DecisionStep, ExplainedHop, ExplainedPath, Explanation, LookupStep, PolicyVerdict
from bgpsvc.lookup_order import covering, lookup_order, published
from bgpsvc.model import (
    Attributes,
    Prefix,
    Reason,
    SessionId,
    SwitchMode,
    covers,
    format_address,
    format_as_path,
    format_community,
    format_prefix,
    pack_prefix,
    parse_address,
    parse_prefix,
)
from bgpsvc.policy import denied_networks, judge
from bgpsvc.port import InvalidQuery, NotFound
from bgpsvc.rib import PathSet
from bgpsvc.routes_report import route_state, route_view
from bgpsvc.session import Session
from bgpsvc.tunnels import TunnelState
from bgpsvc.views import CandidateView, RouteView

FIRST_STEP = 3
"""Number of `decide.STEPS[0]`: 1 is judged by import, and 2 is the operator's wish, which chooses the hop."""


def explain(engine: Engine, gateway: str, asked: str) -> Explanation:
    """The story of a prefix, or of the longest match of an address.

    A prefix that nobody announces has a story too, without paths: what takes its packets instead. NotFound if
    there is no such VPN gateway, InvalidQuery if `asked` is neither a prefix nor an address.
    """
    place = engine.gateways.get(gateway)
    if place is None:
        raise NotFound("VPN gateway", gateway, sorted(engine.gateways))
    target = _parsed(asked)
    prefix = target if "/" in asked else _longest_match(engine, place, target)
    view = route_view(engine, place, prefix)
    paths = place.rib.get(prefix)
    decision = () if paths is None else _decision([r.candidate for r in paths.ranked])
    hops = () if paths is None else _hops(engine, paths)
    lookup = lookup_order(engine, place, target, prefix)
    less_specific = None
    if view.state != "installed":
        less_specific = next((p for p in covering(prefix) if p != prefix and p in place.table.primary), None)
    kernel = _kernel(engine, place, prefix)
    static = published(place, prefix)
    interface = None if view.session is None or place.desired(prefix)[0] is None else view.interface
    if static is not None and static.chosen is not None:
        interface = engine.tunnels[static.chosen.session].interface
    return Explanation(
        prefix=view.prefix,
        family=view.family,
        gateway=gateway,
        vpc=place.vpc.name,
        asked=asked,
        state=view.state,
        reason=view.reason,
        summary=_summary(asked, view, decision, hops, lookup, kernel, less_specific),
        paths=_paths(engine, place, prefix, view.candidates),
        decision=decision,
        hops=hops,
        nexthop_group=place.desired(prefix)[0],
        interface=interface,
        lookup=lookup,
        less_specific=None if less_specific is None else format_prefix(less_specific),
        kernel=kernel,
    )


def _parsed(asked: str) -> Prefix:
    """The prefix, or that of the address alone."""
    try:
        if "/" in asked:
            return parse_prefix(asked)
        address = parse_address(asked)
    except ValueError as error:
        raise InvalidQuery("prefix", f"{error}; allowed: a prefix or an address") from None
    return pack_prefix(address, len(address) * 8)


def _longest_match(engine: Engine, gateway: Gateway, host: Prefix) -> Prefix:
    """The prefix that an address belongs to: one with an accepted path before one that was only announced."""
    found = next((p for p in covering(host) if gateway.rib.get(p) is not None), None)
    if found is None:
        adjs = [s.adj for s in _sessions(engine, gateway)]
        found = next((p for p in covering(host) if any(p in a.refused or p in a.shed for a in adjs)), None)
    return host if found is None else found


def _sessions(engine: Engine, gateway: Gateway) -> list[Session]:
    return [s for s in engine.sessions.values() if s.settings.gateway == gateway.name]


# Announcements and import -----------------------------------------------------------------------


def _paths(
    engine: Engine, gateway: Gateway, prefix: Prefix, candidates: tuple[CandidateView, ...]
) -> tuple[ExplainedPath, ...]:
    found = []
    for view in candidates:  # those that take part in order of preference, then the others
        session = engine.sessions[SessionId(view.session)]
        attributes, reason = _received(session, prefix)
        found.append(
            ExplainedPath(
                session=view.session,
                role=view.role,
                received=received(attributes),
                verdicts=_verdicts(engine, gateway, session, prefix, attributes, reason),
                candidate=view if view.rank is not None else None,
            )
        )
    return tuple(found)


def _received(session: Session, prefix: Prefix) -> tuple[Attributes, Reason | None]:
    """What the session announced, and why import refused it if it did."""
    adj = session.adj
    if prefix in adj.refused:
        return adj.refused[prefix]
    if prefix in adj.shed:
        return adj.shed[prefix], Reason.MAX_PREFIXES
    attributes = adj.get(prefix)
    assert attributes is not None, "a candidate of the Loc-RIB is in the Adj-RIB-In of its session"
    return attributes, None


def received(attributes: Attributes) -> Mapping[str, Any]:
    """Attributes as they were announced, in words."""
    return {
        "next_hop": format_address(attributes.next_hop),
        "as_path": format_as_path(attributes.as_path),
        "origin": attributes.origin.name.lower(),
        "med": attributes.med,
        "local_pref": attributes.local_pref,
        "communities": [format_community(c) for c in attributes.communities],
        "large_communities": [format_community(c) for c in attributes.large_communities],
        "extended_communities": [f"0x{c:016x}" for c in attributes.extended_communities],
    }


def _verdicts(
    engine: Engine,
    gateway: Gateway,
    session: Session,
    prefix: Prefix,
    attributes: Attributes,
    reason: Reason | None,
) -> tuple[PolicyVerdict, ...]:
    """What each stage of import said, up to the one that refused."""
    judgement = judge(session.settings, gateway.filter, prefix, attributes)
    if judgement.policy is None and judgement.reason is not None:
        text = f"refused: {judgement.reason.text}{_evidence(engine, gateway, prefix, judgement.reason)}"
        return (PolicyVerdict("built_in", None, None, False, (), text),)
    text = "accepted: no loop, the next hop is the peer, outside reserved, VPC, tunnel and connected networks"
    found = [PolicyVerdict("built_in", None, None, True, (), text)]
    if judgement.policy is not None:
        accepted = judgement.reason is None
        found.append(
            PolicyVerdict(
                "import_policy", judgement.policy, judgement.rule, accepted, judgement.changes, judgement.text
            )
        )
        if not accepted:
            return tuple(found)
    text = _room(session, prefix, reason)
    found.append(PolicyVerdict("maximum_prefixes", None, None, prefix not in session.adj.shed, (), text))
    return tuple(found)


def _room(session: Session, prefix: Prefix, reason: Reason | None) -> str:
    limit = session.settings.max_prefixes
    if reason is Reason.MAX_PREFIXES:
        return f"shed: the session is over its maximum of {limit} prefixes"
    if reason is not None:
        return f"it was refused before ({reason.text}) and is about to be judged again"
    if prefix in session.adj.stale:
        return "accepted: it was announced before the session restarted, and is stale until it is again"
    return f"accepted: one of {len(session.adj.fresh)} prefixes, {limit} are allowed"


def _evidence(engine: Engine, gateway: Gateway, prefix: Prefix, reason: Reason) -> str:
    """The network that contains a refused prefix."""
    mine = (t.settings for t in engine.tunnels.values())
    tunnels = [p for settings in mine if settings.gateway == gateway.name for p in settings.cidrs]
    denied = denied_networks(gateway.vpc_prefixes, tunnels, gateway.connected)
    found = next((n for n, why in denied if why is reason and covers(n, prefix)), None)
    return "" if found is None else f" ({format_prefix(found)})"


# Decision ---------------------------------------------------------------------------------------


def _med(candidate: Candidate) -> str:
    med, asn = candidate.attributes.med, candidate.attributes.neighbour_asn
    return f"{'none, counts as 0' if med is None else med} (neighbour AS {'none' if asn is None else asn})"


_WORDS: Mapping[Reason, tuple[str, Callable[[Candidate], str]]] = {
    Reason.LOCAL_PREF: ("highest local preference", lambda c: str(c.local_pref)),
    Reason.AS_PATH_LENGTH: ("shortest AS path", lambda c: str(c.attributes.as_path_length)),
    Reason.ORIGIN: ("lowest origin", lambda c: c.attributes.origin.name.lower()),
    Reason.MED: ("lowest MED of a neighbour AS", _med),
    Reason.EBGP_OVER_IBGP: ("eBGP before iBGP", lambda c: "eBGP" if c.ebgp else "iBGP"),
    Reason.TUNNEL_ROLE: ("active tunnel before standby", lambda c: c.role.value),
    Reason.CONNECTION_ID: ("lowest connection name", lambda c: c.connection),
    Reason.PEER_ADDRESS: ("lowest peer address", lambda c: format_address(c.peer_address)),
}


def _decision(candidates: list[Candidate]) -> tuple[DecisionStep, ...]:
    """The steps until one candidate is left; none if there was nothing to choose from."""
    steps: list[DecisionStep] = []
    survivors = sorted(candidates, key=lambda c: c.session)
    for number, (reason, survive) in enumerate(STEPS, start=FIRST_STEP):
        if len(survivors) <= 1:
            break
        kept = survive(survivors)
        name, value = _WORDS[reason]
        steps.append(
            DecisionStep(
                number=number,
                name=name,
                compared={c.session: value(c) for c in survivors},
                eliminated=tuple(c.session for c in survivors if c not in kept),
                remaining=tuple(c.session for c in kept),
            )
        )
        survivors = kept
    return tuple(steps)


# Forwarding -------------------------------------------------------------------------------------


def _hops(engine: Engine, paths: PathSet) -> tuple[ExplainedHop, ...]:
    forwarding = paths.forwarding
    found = []
    for hop in forwarding.hops:
        tunnel = engine.tunnels[hop.session]
        mode = engine.modes.get(tunnel.connection, SwitchMode.AUTO)
        chosen = hop == forwarding.chosen
        reason = tunnel.reason
        if chosen and mode.value == tunnel.role.value:
            reason += f"; the operator chose the {mode.value} tunnel"
        elif not chosen and mode is not SwitchMode.AUTO and tunnel.state > TunnelState.DOWN:
            reason += f"; the operator chose the {mode.value} tunnel of {tunnel.connection}"
        found.append(
            ExplainedHop(
                session=hop.session,
                interface=tunnel.interface,
                next_hop=format_address(hop.next_hop),
                tunnel_state=tunnel.state.name.lower(),
                tunnel_reason=reason,
                chosen=chosen,
            )
        )
    return tuple(found)


def _kernel(engine: Engine, gateway: Gateway, prefix: Prefix) -> str:
    """What the kernel's table has, and why that is not what it should have."""
    table = gateway.table
    state, _ = route_state(gateway, prefix)
    present = table.primary.get(prefix)
    has = f"table {table.table} has no route to it" if present is None else f"group {present} carries it"
    if state == "installed":
        return f"in table {table.table} over nexthop group {present}, metric {METRIC_PRIMARY}"
    error = table.failed.get((prefix, METRIC_PRIMARY))
    if error is not None:
        return f"{has}; the kernel refused it: {error.text}"
    if table.held and prefix in table.waiting:
        return f"{has}, held as it was found at the start, until every session has told what it knows"
    if any(prefix in waiting for waiting in table.blocked.values()):
        return f"{has}; its nexthop group cannot be made, an interface is down or missing"
    if state == "pending":
        return f"{has}; the route is on its way to the kernel"
    return has if present is None else f"{has}; it is on its way out of table {table.table}"


# In one sentence --------------------------------------------------------------------------------


def _summary(
    asked: str,
    view: RouteView,
    decision: tuple[DecisionStep, ...],
    hops: tuple[ExplainedHop, ...],
    lookup: tuple[LookupStep, ...],
    kernel: str,
    less_specific: Prefix | None,
) -> str:
    winner = next((step for step in lookup if step.wins), None)
    if winner is not None and winner.stage != "vpc_table":
        return f"Packets to {asked} follow {winner.route}, before any learned route: {winner.text}."
    if winner is not None and winner.route is not None and not winner.route.startswith("learned route"):
        return f"Packets to {asked} follow {winner.route} of the VPC's table: {winner.text}."
    if view.state == "installed":
        earlier = next((f", but for packets of {s.route}" for s in lookup if s.route and not s.wins), "")
        return f"Packets to {asked} leave over {_chosen(decision, hops)}{earlier}."
    instead = ", and nothing else carries its packets"
    if less_specific is not None:
        instead = f"; its packets follow {format_prefix(less_specific)} instead"
    return f"{view.prefix} {_why_not(view, hops, kernel)}{instead}."


def _chosen(decision: tuple[DecisionStep, ...], hops: tuple[ExplainedHop, ...]) -> str:
    chosen = next(hop for hop in hops if hop.chosen)
    words = f"{chosen.session} ({chosen.interface})"
    best = hops[0]
    if not best.chosen:
        return f"{words}, although {best.session} has the better path: {best.tunnel_reason}"
    if not decision:
        return f"{words}, the only path"
    last = decision[-1]
    values = {name: last.compared[name] for name in (chosen.session, *last.eliminated)}
    beaten = " and ".join(f"{values[name]} of {name}" for name in last.eliminated)
    return f"{words}: {last.name} decided (step {last.number}), {values[chosen.session]} against {beaten}"


def _why_not(view: RouteView, hops: tuple[ExplainedHop, ...], kernel: str) -> str:
    if view.state == "failed" or view.state == "pending":
        return f"should leave over {view.session} ({view.interface}), but {kernel}"
    if not view.candidates:
        return "is announced by nobody"
    if view.reason is Reason.PROPAGATION_OFF:
        return f"is learned, but automatic propagation of {view.gateway} is off"
    if hops:
        states = ", ".join(f"{hop.session}: {hop.tunnel_reason}" for hop in hops)
        return f"is learned, but no tunnel that announces it is usable ({states})"
    reasons = ", ".join(f"{c.session}: {c.reason_text}" for c in view.candidates)
    return f"is announced, but import refused it ({reasons})"
