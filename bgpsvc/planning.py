"""What a write does, before it is done. Pure; reads the engine, changes nothing.

It runs on every write, so it looks at the VPCs that the write touches and at forwarding classes, never at
single prefixes. Where only these could tell, it says what to ask (`simulate`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from bgpsvc.control import Plan, PlannedEffect, PlannedResource
from bgpsvc.detection_plan import detection_effects
from bgpsvc.engine import Engine
from bgpsvc.hypothetical import suppose
from bgpsvc.model import SessionId
from bgpsvc.resources import Intent
from bgpsvc.resources.advice import warnings
from bgpsvc.resources.changes import diff, in_words
from bgpsvc.resources.index import Ref
from bgpsvc.resources.problems import path_text
from bgpsvc.route_plan import kernel_effects, learned_effects, peer_effects, shared_rules
from bgpsvc.session_plan import session_effects
from bgpsvc.tunnel_plan import tunnel_effects
from bgpsvc.tunnels import TunnelState

_SHARED = {"customer_gateways", "vpn_gateways", "vpc_routes"}
"""Kinds on which the rules depend that all VPCs share."""


def plan(before: Intent, after: Intent, engine: Engine) -> Plan:
    """What leads from one intent to the other. `before` is the one that the engine has."""
    resources = diff(before, after)
    if not resources:
        return Plan()
    vpcs = set(_vpcs_touched(before, after, resources))
    old, new = _part(before, vpcs), _part(after, vpcs)
    names = dict.fromkeys(g.name for intent in (old, new) for g in intent.vpn_gateways)
    supposed = {name: suppose(engine, new, name) for name in names}
    tunnels = (*tunnel_effects(old, new), *detection_effects(old, new))
    sessions = session_effects(old, new, engine, supposed)
    return Plan(
        resources=resources,
        tunnels=tunnels,
        sessions=sessions,
        kernel=(
            *(shared_rules(before, after) if _SHARED & {r.kind for r in resources} else ()),
            *(kernel_effects(before, after) if _of_both_kinds(before, after) else kernel_effects(old, new)),
            *(effect for name in names for effect in learned_effects(engine, name, supposed[name])),
        ),
        peers=tuple(effect for name in names for effect in peer_effects(engine, name, supposed[name])),
        warnings=(*_interruptions((*tunnels, *sessions), engine), *_new_warnings(before, after, resources)),
    )


# The part that is touched -----------------------------------------------------------------------


def _vpcs_touched(before: Intent, after: Intent, resources: Iterable[PlannedResource]) -> Iterator[str]:
    """Names of the VPCs whose sessions, tables or advertisements may change."""
    for intent in (before, after):
        seen: set[Ref] = set()
        waiting: list[Ref] = [(r.kind, r.name) for r in resources]
        while waiting:
            ref = waiting.pop()
            if ref in seen:
                continue
            seen.add(ref)
            resource = intent.find(*ref)
            if ref[0] == "vpcs":
                yield ref[1]
            elif ref[0] in ("customer_gateways", "routing_policies"):
                waiting += intent.index.users.get(ref, ())
            elif resource is not None:
                vpc, gateway = getattr(resource, "vpc", None), getattr(resource, "vpn_gateway", None)
                if vpc is not None:
                    yield vpc
                if gateway is not None:
                    waiting.append(("vpn_gateways", gateway))


def _of_both_kinds(*intents: Intent) -> bool:
    """Some VPCs name interfaces and some do not: then the rules of each depend on the others."""
    return any(len({bool(vpc.interfaces) for vpc in intent.vpcs}) > 1 for intent in intents)


def _part(intent: Intent, vpcs: set[str]) -> Intent:
    """The intent of these VPCs alone. It is as valid as the whole, so nothing is judged again."""
    gateways = tuple(g for g in intent.vpn_gateways if g.vpc in vpcs)
    names = {g.name for g in gateways}
    return Intent.model_construct(
        vpcs=tuple(v for v in intent.vpcs if v.name in vpcs),
        routing_policies=intent.routing_policies,
        vpn_gateways=gateways,
        customer_gateways=intent.customer_gateways,
        vpn_connections=tuple(c for c in intent.vpn_connections if c.vpn_gateway in names),
        destination_routes=tuple(r for r in intent.destination_routes if r.vpn_gateway in names),
        policy_routes=tuple(r for r in intent.policy_routes if r.vpn_gateway in names),
        vpc_routes=tuple(r for r in intent.vpc_routes if r.vpc in vpcs),
    )


# Warnings ---------------------------------------------------------------------------------------


def _interruptions(effects: Iterable[PlannedEffect], engine: Engine) -> Iterator[str]:
    """Connections that lose all that carries their traffic at once, where one after the other would do."""
    reset = {SessionId(effect.subject) for effect in effects if effect.action == "reset"}
    remedy = "change one tunnel, and the other when the first is live again"
    sessions = {i: s.settings.connection for i, s in engine.sessions.items() if s.established}
    for connection in _all_of(sessions, reset):
        yield (
            f"all established sessions of {connection} are reset at once: its learned routes may be "
            f"gone until one is back; {remedy}"
        )
    static = {
        ident: tunnel.connection
        for ident, tunnel in engine.tunnels.items()
        if not tunnel.settings.bgp and tunnel.state is TunnelState.LIVE
    }
    for connection in _all_of(static, reset):
        yield (
            f"all live tunnels of {connection} are negotiated anew at once: nothing carries its traffic "
            f"until one is back; {remedy}"
        )


def _all_of(connections: Mapping[SessionId, str], reset: Collection[SessionId]) -> Iterator[str]:
    """Connections of which all that are given here are reset."""
    for connection in dict.fromkeys(connections[ident] for ident in sorted(reset) if ident in connections):
        if all(ident in reset for ident, name in connections.items() if name == connection):
            yield connection


def _new_warnings(before: Intent, after: Intent, resources: Iterable[PlannedResource]) -> tuple[str, ...]:
    """What is worth a look after the write and was not before."""
    if all(r.action == "delete" for r in resources):
        return ()
    known = set(_warnings(before))
    return tuple(dict.fromkeys(text for text in _warnings(after) if text not in known))


def _warnings(intent: Intent) -> Iterator[str]:
    for fault in warnings(intent):
        kind, index, *inner = fault.path
        assert isinstance(kind, str), "warnings are about a resource"
        assert isinstance(index, int), "of a list"
        name = getattr(intent, kind)[index].name
        place = f", {path_text(tuple(inner))}" if inner else ""
        yield f"{in_words((kind, name))}{place}: {fault.message}"
