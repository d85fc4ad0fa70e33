"""Gathers what is known of a tunnel: the engine's state, the SAs, and the probes that are of use now.

What is in order is not probed: an established IKE SA needs no proof that UDP passes, an established session
none that TCP does. Probes that do not depend on each other run at the same time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from bgpsvc.diagnosing import links, probes, syn
from bgpsvc.diagnosing.evidence import (
    Bgp,
    BgpError,
    Echoes,
    Evidence,
    Ike,
    Largest,
    Link,
    Md5Counters,
    Offer,
    Refusal,
    Reply,
    Routes,
    TcpAnswer,
)
from bgpsvc.diagnosing.inside import inside_selected
from bgpsvc.diagnosing.negotiation import refused_without_reason
from bgpsvc.diagnosing.ports import holder
from bgpsvc.diagnosing.reach import behind_nat, esp_established, ike_established
from bgpsvc.diagnosing.watch import watch
from bgpsvc.engine import Engine
from bgpsvc.fib.ops import METRIC_PRIMARY
from bgpsvc.gateway import Gateway
from bgpsvc.guardian import Guardian
from bgpsvc.ipsec.model import IpsecState
from bgpsvc.ipsec.proposals import esp_words, ike_words
from bgpsvc.ipsec.wanted import ipsec_tunnels
from bgpsvc.model import Reason, Role, SessionId, format_address, format_prefix
from bgpsvc.resources.models import BgpSettings, Tunnel
from bgpsvc.session import LastError, Session
from bgpsvc.statics import RouteIndex
from bgpsvc.tunnels import Tunnel as EngineTunnel
from bgpsvc.tunnels import TunnelState

BGP_PORT = 179
NOTHING_COUNTED = Md5Counters()
CALLED_LATELY = 150.0
"""Seconds: peers try again every two minutes at the latest."""
OFFER_EVERY = 15.0
"""Seconds between offers that a peer takes: each is a half-open SA for 30 s, and strongSwan bears four."""
LOOKED_AT = 2000
"""Refused prefixes that are looked at; there may be a million."""
NAMED = 100
_HARMLESS = frozenset({Reason.AS_LOOP, Reason.VPC_OVERLAP, Reason.TUNNEL_CIDR})
"""Own routes that a peer sends back."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where evidence comes from. `wall`: what to add to the engine's clock for Unix time; `clock` has that
    time.

    `speaker` says why the speaker of a role does not run and the pid that it has nevertheless, None if it
    runs. `md5_before` was counted at the start.
    """

    engine: Engine
    wall: float
    clock: Callable[[], float]
    ipsec: Callable[[SessionId], IpsecState | None]
    speaker: Callable[[Role], tuple[str, int | None] | None]
    guardian: Guardian
    md5_before: Md5Counters
    heard: Callable[[str], tuple[float, bytes] | None]
    offers: dict[str, tuple[float, tuple[Offer, ...]]] = field(default_factory=dict)
    """Tunnel to when it was asked what the peer would accept, and the answers."""


class TunnelGone(LookupError):
    """The tunnel was deleted meanwhile."""


async def collect(sources: Sources, ident: SessionId) -> Evidence:
    """Everything about a tunnel that exists. Takes some seconds if something does not answer. TunnelGone."""
    if ident not in sources.engine.tunnels:
        raise TunnelGone(ident)
    resource = _resource(sources.engine, ident)
    known = _known(sources, ident, resource)
    key = _md5_key(resource.bgp)
    outside, inside, detection = await asyncio.gather(
        _outside(sources, known),
        _inside(sources, known, key),
        watch(sources.engine, sources.guardian, ident),
    )
    if ident not in sources.engine.tunnels:
        raise TunnelGone(ident)
    bgp, routes = _session(sources, ident, resource.bgp, inside)
    return replace(
        known,
        way=outside.way,
        udp500=outside.udp500,
        udp4500=outside.udp4500,
        offers=outside.offers,
        link=inside.link,
        elsewhere=inside.elsewhere,
        echoes=inside.echoes,
        largest=inside.largest,
        bgp=bgp,
        routes=routes,
        detection=detection,
        now=sources.clock(),
    )


# What the daemon knows ------------------------------------------------------------------------


def _resource(engine: Engine, ident: SessionId) -> Tunnel:
    settings = engine.tunnels[ident].settings
    return engine.intent.connection(settings.connection).tunnels[settings.number - 1]


def _md5_key(bgp: BgpSettings | None) -> bytes | None:
    return None if bgp is None or bgp.password is None else bgp.password.get_secret_value().encode()


def _known(sources: Sources, ident: SessionId, resource: Tunnel) -> Evidence:
    engine = sources.engine
    tunnel = engine.tunnels[ident]
    settings = tunnel.settings
    switch = engine.switchboard.switches.get(settings.connection)
    wanted = ipsec_tunnels(engine.intent).get(ident)
    state = sources.ipsec(ident)
    local = engine.intent.gateway(settings.gateway).addresses[settings.number - 1]
    made = Evidence(
        tunnel=ident,
        number=settings.number,
        role=settings.role.value,
        made=settings.made,
        interface=settings.interface,
        local=str(local),
        remote=settings.remote_address,
        now=sources.clock(),
        carrying=switch is not None and switch.carrying == ident,
        live=tunnel.state is TunnelState.LIVE,
        state_reason=tunnel.reason,
        inside_local=_text(settings.local_address),
        inside_peer=_text(settings.peer_address),
        inside_addresses=_addresses(resource.bgp),
        mtu=resource.mtu or (None if state is None else state.mtu),
        ike=None
        if wanted is None
        else Ike(
            version=wanted.ike.version,
            mode=wanted.ike.mode,
            offer=ike_words(wanted.ike),
            esp_offer=esp_words(wanted.ipsec),
            local_id=wanted.local_id,
            remote_id=wanted.remote_id,
            has_key=wanted.ike.pre_shared_key is not None,
            nat_traversal=wanted.nat_traversal,
            immediately=wanted.immediately,
            pairs=tuple((str(ours), str(theirs)) for ours, theirs in wanted.pairs),
        ),
        ipsec=state,
    )
    return replace(made, waiting=_waiting(made, tunnel))


def _waiting(known: Evidence, tunnel: EngineTunnel) -> bool:
    """It is down only for lack of traffic: without BGP such a tunnel counts as usable, and with it, it was
    never tried."""
    if known.ike is None or known.ike.immediately or known.ipsec is None or ike_established(known):
        return False
    if not tunnel.settings.bgp:
        return tunnel.ipsec_up is True
    return known.ipsec.established_count == 0 and known.ipsec.last_error is None


def _text(packed: bytes | None) -> str | None:
    return None if packed is None else format_address(packed)


def _addresses(bgp: BgpSettings | None) -> tuple[str, ...]:
    if bgp is None:
        return ()
    own = [f"{bgp.local_ip}/{bgp.tunnel_cidr.prefixlen}"]
    if bgp.ipv6 is not None:
        own.append(f"{bgp.ipv6.local_ip}/{bgp.ipv6.tunnel_cidr.prefixlen}")
    return tuple(own)


# Outside --------------------------------------------------------------------------------------


async def _outside(sources: Sources, known: Evidence) -> Evidence:
    """The way to the peer's public address, and whether it speaks IKE."""
    if not known.made:
        return known
    way = await links.way(known.local, known.remote)
    if ike_established(known):
        sources.offers.pop(known.tunnel, None)
    if ike_established(known) or way.error is not None or known.ike is None:
        return replace(known, way=way)
    source = way.source
    if source is None or not (way.local_present or behind_nat(known.local, way)):
        return replace(known, way=way)
    version = known.ike.version
    asked = [probes.ike(source, known.remote, 500, version)]
    if known.ike.nat_traversal:
        asked.append(probes.ike(source, known.remote, 4500, version))
    echo, *replies = await asyncio.gather(probes.ping(source, known.remote), *asked)
    udp4500: Reply | None = replies[1] if len(replies) > 1 else None
    offers = await _offers(sources, known, source) if replies[0].answer == "answered" else ()
    return replace(known, way=replace(way, echo=echo), udp500=replies[0], udp4500=udp4500, offers=offers)


async def _offers(sources: Sources, known: Evidence, source: str) -> tuple[Offer, ...]:
    """What the peer would accept, asked from `source`.

    An answer that cost it something is still good for a while.
    """
    before = sources.offers.pop(known.tunnel, None)
    if not refused_without_reason(known):
        return ()
    if before is not None and known.now - before[0] < OFFER_EVERY:
        sources.offers[known.tunnel] = before
        return before[1]
    found = await asyncio.gather(
        *(probes.offer(source, known.remote, version) for version in ("ikev2", "ikev1"))
    )
    if any(offer.accepted is not None for offer in found):
        sources.offers[known.tunnel] = (known.now, tuple(found))
    return tuple(found)


# Inside ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Inside:
    link: Link | None
    elsewhere: tuple[tuple[str, str], ...] = ()
    echoes: Echoes | None = None
    largest: Largest | None = None
    plain: TcpAnswer | None = None
    signed: TcpAnswer | None = None
    md5: Md5Counters = NOTHING_COUNTED


async def _inside(sources: Sources, known: Evidence, key: bytes | None) -> _Inside:
    """The interface, and what passes through it if packets can."""
    link = await links.link(known.interface)
    if link is None:
        return _Inside(None)
    missing = [text for text in known.inside_addresses if text not in link.addresses]
    if missing:
        hosts = {text.partition("/")[0] for text in missing}
        return _Inside(link, await links.elsewhere(hosts, known.interface))
    local, peer = known.inside_local, known.inside_peer
    if not inside_selected(known):
        return _Inside(link)
    if not link.up or local is None or peer is None or (known.made and not esp_established(known)):
        return _Inside(link)
    interface = known.interface
    (echoes, largest), (plain, signed) = await asyncio.gather(
        _path(interface, local, peer, link), _tcp(sources, known, key)
    )
    md5 = probes.count_md5().since(sources.md5_before)
    return _Inside(link, (), echoes, largest, plain, signed, md5)


async def _path(interface: str, local: str, peer: str, before: Link) -> tuple[Echoes, Largest | None]:
    pinged = await probes.ping_through(interface, local, peer)
    after = await links.link(interface)
    echoes = Echoes(pinged.requests, pinged.replies, pinged.seconds, before, after, pinged.error)
    if not pinged.replies or after is None:
        return echoes, None
    size = await probes.largest_packet(interface, local, peer, after.mtu)
    return echoes, Largest(size, after.mtu)


async def _tcp(
    sources: Sources, known: Evidence, key: bytes | None
) -> tuple[TcpAnswer | None, TcpAnswer | None]:
    session = sources.engine.sessions.get(SessionId(known.tunnel))
    local, peer = known.inside_local, known.inside_peer
    if session is None or session.established or local is None or peer is None:
        return None, None
    plain = probes.tcp_syn(known.interface, local, peer, BGP_PORT)
    if key is None:
        return await plain, None
    return await asyncio.gather(plain, probes.tcp_syn(known.interface, local, peer, BGP_PORT, key))


# The session and its routes -------------------------------------------------------------------


def _session(
    sources: Sources, ident: SessionId, resource: BgpSettings | None, inside: _Inside
) -> tuple[Bgp | None, Routes]:
    engine = sources.engine
    settings = engine.tunnels[ident].settings
    gateway = engine.gateways[settings.gateway]
    session = engine.sessions.get(ident)
    static = _static_routes(engine, settings.gateway, settings.connection)
    if session is None or resource is None:
        return None, Routes(gateway.propagate, gateway.name, static_routes=static)
    return _bgp(sources, session, resource, inside), _routes(engine, gateway, session, static)


def _bgp(sources: Sources, session: Session, resource: BgpSettings, inside: _Inside) -> Bgp:
    settings = session.settings
    hops = resource.ttl_security
    heard = _heard_lately(sources, format_address(settings.peer_address))
    problem, pid = sources.speaker(settings.role) or (None, None)
    local = format_address(settings.local_address)
    return Bgp(
        state=session.state,
        since=session.since + sources.wall,
        local_asn=settings.local_asn,
        peer_asn=settings.peer_asn,
        hold_time=settings.hold_time,
        passive=resource.passive,
        password=resource.password is not None,
        min_ttl=None if hops is None else 256 - hops,
        speaker=problem,
        last_error=_error(session.last_error, sources.wall),
        notification=_error(session.last_notification, sources.wall),
        plain=inside.plain,
        signed=inside.signed,
        md5=inside.md5,
        calls=_calls(heard, _md5_key(resource)),
        calls_ttl=None if heard is None else heard[8],
        flaps=session.flap_count,
        port_taken_by=None if problem is None else holder(local, BGP_PORT, but=pid),
    )


def _calls(
    heard: bytes | None, key: bytes | None
) -> Literal["unsigned", "signed", "signed_with_our_key"] | None:
    if heard is None:
        return None
    if syn.signature(heard) is None:
        return "unsigned"
    return "signed_with_our_key" if key is not None and syn.signed_with(heard, key) else "signed"


def _heard_lately(sources: Sources, peer: str) -> bytes | None:
    heard = sources.heard(peer)
    return None if heard is None or sources.clock() - heard[0] > CALLED_LATELY else heard[1]


def _error(error: LastError | None, wall: float) -> BgpError | None:
    if error is None:
        return None
    note = error.notification
    if note is None:
        return BgpError(error.at + wall, error.text)
    return BgpError(error.at + wall, error.text, note.code, note.subcode, note.sent)


def _static_routes(engine: Engine, gateway: str, connection: str) -> int:
    index = engine.intent.once(RouteIndex)
    return sum(route.vpn_connection == connection for route in index.destinations(gateway)) + sum(
        route.vpn_connection == connection for route in index.policies(gateway)
    )


def _routes(engine: Engine, gateway: Gateway, session: Session, static: int) -> Routes:
    adj, settings = session.adj, session.settings
    looked_at = min(len(adj.refused), LOOKED_AT)
    mine = [p for p, metric in gateway.table.failed if metric == METRIC_PRIMARY and adj.get(p) is not None]
    uninstalled = [(format_prefix(p), gateway.table.failed[p, METRIC_PRIMARY].text) for p in mine[:NAMED]]
    return Routes(
        propagate=gateway.propagate,
        vpn_gateway=gateway.name,
        accepted=len(adj.fresh) + len(adj.stale),
        refused=len(adj.refused),
        shed=len(adj.shed) + adj.forgotten,
        max_prefixes=settings.max_prefixes,
        looked_at=looked_at,
        refusals=_refusals(gateway, session),
        uninstalled=tuple(uninstalled),
        pending=len(gateway.table.dirty),
        advertised=session.advertised,
        advertisable=len(gateway.local_prefixes),
        export_policy=None if settings.export_policy is None else settings.export_policy.name,
        end_of_rib=session.all_families_ended,
        static_routes=static,
    )


def _refusals(gateway: Gateway, session: Session) -> tuple[Refusal, ...]:
    """By reason, the most frequent first; in the words of the rule that decided."""
    counts: Counter[tuple[str, bool, bool]] = Counter()
    samples: dict[tuple[str, bool, bool], str] = {}
    for prefix, (attributes, reason) in islice(session.adj.refused.items(), LOOKED_AT):
        judgement = session.weigh(attributes).judge(prefix, gateway.filter.refuse(prefix))
        # It differs while a changed policy has yet to reach the path.
        text = judgement.text if judgement.reason is reason else reason.text
        key = (text, reason is Reason.REJECTED_BY_POLICY, reason in _HARMLESS)
        counts[key] += 1
        samples.setdefault(key, format_prefix(prefix))
    return tuple(
        Refusal(count, samples[key], key[0], by_policy=key[1], harmless=key[2])
        for key, count in counts.most_common()
    )
