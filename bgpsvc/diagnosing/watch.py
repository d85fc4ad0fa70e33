"""Gathers what the guard and the engine know of BFD and the probe of a tunnel's peer."""

from __future__ import annotations

import asyncio

from bgpsvc.diagnosing.detection import MULTIHOP_PORT, SINGLE_HOP_PORT
from bgpsvc.diagnosing.evidence import BfdSeen, Detection, ProbeSeen
from bgpsvc.diagnosing.ports import owners
from bgpsvc.engine import Engine
from bgpsvc.guard.model import BfdStatus
from bgpsvc.guardian import Guardian
from bgpsvc.model import SessionId
from bgpsvc.resources.models import BfdSettings, BgpSettings, ProbeSettings
from bgpsvc.tunnels import Tunnel

WATCHED_SECONDS = 2.5
"""A session that is down sends once a second (RFC 5880 6.8.3), and the guard tells its figures as often."""


async def watch(engine: Engine, guardian: Guardian, ident: SessionId) -> Detection | None:
    """How the peer of a tunnel that exists is watched; None if it is not, or the tunnel goes meanwhile.

    Takes `WATCHED_SECONDS` if BFD is not up: what came once says nothing of what comes now.
    """
    resource = _settings(engine, ident)
    if resource is None or (resource.bfd is None and resource.probe is None):
        return None
    status = guardian.figures.status
    if not status.running:
        return Detection(guard=status.last_exit or "it was not started")
    before = guardian.seen.bfd.get(ident)
    owner = None
    if resource.bfd is not None and not _says(engine.tunnels[ident], "bfd"):
        await asyncio.sleep(WATCHED_SECONDS)
        port = MULTIHOP_PORT if resource.bfd.multihop else SINGLE_HOP_PORT
        ours = {pid for pid in (status.pid, status.keeper) if pid is not None}
        owner = await asyncio.to_thread(_taken_by, port, ours)
    tunnel = engine.tunnels.get(ident)
    if tunnel is None:
        return None
    bfd = None if resource.bfd is None else _bfd(resource, resource.bfd, tunnel, guardian, before, owner)
    probe = None if resource.probe is None else _probe(resource, resource.probe, tunnel, guardian)
    return Detection(None, bfd, probe)


def _settings(engine: Engine, ident: SessionId) -> BgpSettings | None:
    settings = engine.tunnels[ident].settings
    return engine.intent.connection(settings.connection).tunnels[settings.number - 1].bgp


def _says(tunnel: Tunnel, method: str) -> bool | None:
    said = tunnel.detections.get(method)
    return None if said is None else said.up


def _taken_by(port: int, ours: set[int]) -> str | None:
    found = owners(port)
    if not found or found.keys() & ours:
        return None
    pid, name = next(iter(found.items()))
    return f"{name} (pid {pid})"


def _disbelieved(tunnel: Tunnel, method: str) -> str | None:
    return tunnel.why_disbelieved if method in tunnel.disbelieved else None


def _bfd(
    resource: BgpSettings,
    asked: BfdSettings,
    tunnel: Tunnel,
    guardian: Guardian,
    before: BfdStatus | None,
    owner: str | None,
) -> BfdSeen:
    said, status = tunnel.detections.get("bfd"), guardian.seen.bfd.get(tunnel.session)
    compared = None if before is None or status is None else (before, status)
    return BfdSeen(
        local=str(resource.local_ip),
        peer=str(resource.peer_ip),
        multihop=asked.multihop,
        key_id=asked.key_id,
        up=None if said is None else said.up,
        reason="" if said is None else said.reason,
        detection_ms=None if said is None else said.detection_ms,
        disbelieved=_disbelieved(tunnel, "bfd"),
        status=status,
        heard_lately=compared is not None and compared[1].received > compared[0].received,
        refused_lately=compared is not None and compared[1].rejected > compared[0].rejected,
        port_taken_by=owner,
    )


def _probe(resource: BgpSettings, asked: ProbeSettings, tunnel: Tunnel, guardian: Guardian) -> ProbeSeen:
    said = tunnel.detections.get("probe")
    return ProbeSeen(
        local=str(resource.local_ip),
        peer=str(resource.peer_ip),
        interval_ms=asked.interval_ms,
        up=None if said is None else said.up,
        reason="" if said is None else said.reason,
        detection_ms=None if said is None else said.detection_ms,
        disbelieved=_disbelieved(tunnel, "probe"),
        status=guardian.seen.probes.get(tunnel.session),
    )
