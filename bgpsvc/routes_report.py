"""Routes in the words of the API: the Loc-RIB with every candidate, and a VPC's table. Pure."""

from __future__ import annotations

from dataclasses import replace

from bgpsvc.engine import Engine
from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.gateway import Gateway
from bgpsvc.model import (
    Attributes,
    Prefix,
    Reason,
    SessionId,
    format_address,
    format_as_path,
    format_community,
    format_prefix,
    prefix_family,
)
from bgpsvc.rib import PathSet
from bgpsvc.session import Session
from bgpsvc.tunnels import Hop, TunnelState
from bgpsvc.views import CandidateView, RouteState, RouteView, TableRouteView


def route_state(gateway: Gateway, prefix: Prefix) -> tuple[RouteState, Reason | None]:
    """Whether a prefix is in the kernel's table, and why not."""
    paths = gateway.rib.get(prefix)
    table = gateway.table
    if paths is None:
        return "not_installed", None
    if not gateway.propagate:
        return "not_installed", Reason.PROPAGATION_OFF
    if gateway.statics.stands_published(prefix):
        return "not_installed", Reason.PUBLISHED_STATIC
    group, _ = gateway.desired(prefix)
    if group is None:
        return "not_installed", Reason.NO_LIVE_TUNNEL
    if table.primary.get(prefix) == group:
        return "installed", None
    if (prefix, METRIC_PRIMARY) in table.failed:
        return "failed", Reason.KERNEL_ERROR
    return "pending", Reason.PENDING


def route_view(engine: Engine, gateway: Gateway, prefix: Prefix) -> RouteView:
    """A prefix with all its candidates, best first, refused ones last."""
    paths = gateway.rib.get(prefix)
    state, reason = route_state(gateway, prefix)
    chosen = paths.forwarding.chosen if paths is not None else None
    candidates = [
        *(_ranked(engine, prefix, paths) if paths is not None else ()),
        *_refused(engine, gateway, prefix),
    ]
    text = reason.text if reason is not None else None
    if reason is None and state != "installed":
        first = next((c for c in candidates if c.reason is not None), None)
        reason, text = (first.reason, first.reason_text) if first is not None else (None, None)
    failed = gateway.table.failed.get((prefix, METRIC_PRIMARY))
    if state == "failed" and failed is not None:
        text = f"the kernel refused the route: {failed.text}"
    return RouteView(
        prefix=format_prefix(prefix),
        family=prefix_family(prefix).label,  # type: ignore[arg-type]  # ipv4 or ipv6
        gateway=gateway.name,
        vpc=gateway.vpc.name,
        state=state,
        reason=reason,
        reason_text=text,
        session=chosen.session if chosen is not None else None,
        interface=engine.tunnels[chosen.session].interface if chosen is not None else None,
        nexthop_group=paths.forwarding.ident if paths is not None and state == "installed" else None,
        candidates=tuple(candidates),
    )


def _ranked(engine: Engine, prefix: Prefix, paths: PathSet) -> list[CandidateView]:
    chosen = paths.forwarding.chosen
    views = []
    for rank, ranked in enumerate(paths.ranked, start=1):
        candidate = ranked.candidate
        session = engine.sessions[candidate.session]
        hop = Hop(candidate.session, candidate.attributes.next_hop)
        in_use = hop == chosen
        reason = None if in_use else _why_not(engine, session, prefix, hop, chosen, ranked.reason)
        views.append(
            _candidate(session, prefix, candidate.attributes, candidate.local_pref, rank, in_use, reason)
        )
    return views


def _why_not(
    engine: Engine, session: Session, prefix: Prefix, hop: Hop, chosen: Hop | None, lost: Reason | None
) -> Reason:
    """Why a candidate is not in use: its own state first, then the operator, then the decision."""
    state = engine.tunnels[hop.session].state
    if state is TunnelState.DOWN:
        return Reason.TUNNEL_DOWN
    if chosen is None or prefix in session.adj.stale:
        return Reason.STALE
    if state < engine.tunnels[chosen.session].state:
        return Reason.STALE if state is TunnelState.STALE else Reason.TUNNEL_WARMING
    if lost is None:
        return Reason.OPERATOR_PREFERENCE
    return lost


def _refused(engine: Engine, gateway: Gateway, prefix: Prefix) -> list[CandidateView]:
    views = []
    for session in engine.sessions.values():
        if session.settings.gateway != gateway.name:
            continue
        if prefix in session.adj.refused:
            attributes, reason = session.adj.refused[prefix]
        elif prefix in session.adj.shed:
            attributes, reason = session.adj.shed[prefix], Reason.MAX_PREFIXES
        else:
            continue
        local_pref = session.settings.policy.local_pref(attributes)
        view = _candidate(session, prefix, attributes, local_pref, None, False, reason)
        judgement = session.weigh(attributes).judge(prefix, gateway.filter.refuse(prefix))
        if judgement.reason is reason:
            # It is not while a changed policy has yet to reach the path.
            view = replace(view, reason_text=judgement.text)
        views.append(view)
    return views


def _candidate(
    session: Session,
    prefix: Prefix,
    attributes: Attributes,
    local_pref: int,
    rank: int | None,
    in_use: bool,
    reason: Reason | None,
) -> CandidateView:
    return CandidateView(
        rank=rank,
        session=session.id,
        role=session.settings.role,
        next_hop=format_address(attributes.next_hop),
        as_path=format_as_path(attributes.as_path),
        origin=attributes.origin.name.lower(),  # type: ignore[arg-type]  # the enum's names
        med=attributes.med,
        local_pref=local_pref,
        communities=tuple(format_community(c) for c in attributes.communities),
        large_communities=tuple(format_community(c) for c in attributes.large_communities),
        extended_communities=tuple(f"0x{c:016x}" for c in attributes.extended_communities),
        stale=prefix in session.adj.stale,
        in_use=in_use,
        reason=reason,
        reason_text=reason.text if reason is not None else None,
    )


def table_route_view(engine: Engine, gateway: Gateway, prefix: Prefix) -> TableRouteView:
    """A route of ours in the VPC's kernel table, by what the kernel holds (not by what is wanted)."""
    table = gateway.table
    group = table.primary[prefix]
    members = engine.fib.groups.get(group, ())
    member = members[0] if members else group
    nexthop = engine.fib.nexthops.get(member)
    session = gateway.session_of(member)
    backup = table.backup.get(prefix)
    return TableRouteView(
        prefix=format_prefix(prefix),
        family=prefix_family(prefix).label,  # type: ignore[arg-type]  # ipv4 or ipv6
        vpc=gateway.vpc.name,
        table=table.table,
        metric=METRIC_PRIMARY,
        nexthop_group=group,
        connection=_connection(engine, session),
        session=session or "",
        interface=next((n for n, (i, _) in engine.links.items() if nexthop and i == nexthop.ifindex), ""),
        next_hop=format_address(nexthop.gateway) if nexthop and nexthop.gateway else "",
        backup_session=gateway.session_of(backup) if backup is not None else None,
        source=gateway.statics.source_of(prefix, group),
    )


def _connection(engine: Engine, session: SessionId | None) -> str:
    return engine.tunnels[session].connection if session in engine.tunnels else ""
