"""The guard beside the engine: what it is to watch and to do, and what becomes of its words.

After each step of the engine `follow` tells the guard what became different: it has a new plan before the
kernel has the groups of it. What the guard says becomes an event; where it moved groups by itself, the
engine hears why first, and then the kernel is read, so that both agree without a detour.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bgpsvc.detection_report import GuardSeen
from bgpsvc.effects import Log
from bgpsvc.engine import Engine
from bgpsvc.events import DetectionChanged, Event, HealthChanged
from bgpsvc.guard.model import (
    BfdSettings,
    BfdStatus,
    CheckSettings,
    CheckVerdict,
    Detection,
    Hello,
    Method,
    ProbeSettings,
    ProbeStatus,
    Refused,
    Status,
    ToDaemon,
    Watch,
    Watched,
)
from bgpsvc.guarding import Guarding, GuardStatus
from bgpsvc.measuring.histogram import Histogram
from bgpsvc.metrics import SWITCH_BOUNDS
from bgpsvc.model import SessionId
from bgpsvc.resources import Intent
from bgpsvc.resources.interfaces import interface_of
from bgpsvc.resources.models import BgpSettings, VpnConnection
from bgpsvc.switch_plan import SwitchPlans
from bgpsvc.tunnels import Tunnel

FIRST_WORDS_SECONDS = 2.0
"""How long a start waits for what the guard has seen while no daemon ran."""

log = logging.getLogger("bgpsvc")


@dataclass(frozen=True, slots=True)
class Figures:
    """For metrics: the guard, what it told, how many groups it moved by itself, and how fast (seconds)."""

    status: GuardStatus
    seen: GuardSeen
    moved: int
    switches: Histogram


_NO_INTERFACE = os.strerror(errno.ENODEV)
"""How the guard ends its words about an interface that does not exist."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What to do about the guard's word: take the event, read links, bring the mirror to the kernel's."""

    event: Event | None = None
    links: bool = False
    moved: bool = False


class Guardian:
    """Keeps guard and engine together. `act` is called with what the guard's words come to."""

    def __init__(
        self, engine: Engine, state_dir: Path, act: Callable[[Heard], None], note: Callable[[Log], None]
    ) -> None:
        self._engine = engine
        self._act = act
        self._note = note
        self._guarding = Guarding(state_dir, self._on_message, note)
        self._plans = SwitchPlans()
        self._followed: tuple[Intent, int] | None = None
        self._bfd: dict[SessionId, BfdStatus] = {}
        self._probes: dict[SessionId, ProbeStatus] = {}
        self._told: dict[SessionId, tuple[Method, frozenset[tuple[int, int]]]] = {}
        """Who had which groups leave a tunnel, until the same method takes that back."""
        self._unheard: set[SessionId] = set()
        """Tunnels of which the guard has not said a word since the start."""
        self._heard_all = asyncio.Event()
        self._moved = 0
        self._switches = Histogram(SWITCH_BOUNDS)
        self._started = False
        self.ports_changed: Callable[[], None] = lambda: None
        """Called when the guard's netlink ports are others."""

    # Life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with the guard that is there, or start one, and hear what it has to say first."""
        self._followed = self._standing()
        self._plans.changes(self._engine)
        watch = watch_of(self._engine)
        self._unheard = {one.tunnel for one in watch.tunnels}
        self._started = True
        await self._guarding.start(watch, self._plans.whole)
        if self._unheard:
            try:
                async with asyncio.timeout(FIRST_WORDS_SECONDS):
                    await self._heard_all.wait()
            except TimeoutError:
                log.warning("guard: nothing heard of %d tunnels yet", len(self._unheard))

    def follow(self) -> None:
        """After a step of the engine: tell the guard what became different, if anything did."""
        if not self._started:
            return
        standing = self._standing()
        if standing != self._followed:
            self._followed = standing
            self._guarding.watch(watch_of(self._engine))
        plan = self._plans.changes(self._engine)
        if plan is not None:
            self._guarding.plan(plan)

    def _standing(self) -> tuple[Intent, int]:
        return self._engine.intent, self._engine.switchboard.disbeliefs

    def read_now(self) -> None:
        """Handle what the guard has said already, before the kernel's notices are judged."""
        if self._started:
            self._guarding.read_now()

    async def failed(self) -> None:
        """Raises what ended the task that attends to the guard, which is a defect."""
        await self._guarding.failed()

    async def stop(self, keep: bool) -> None:
        """Stop attending; with `keep` it goes on watching."""
        if self._started:
            self._started = False
            await self._guarding.stop(keep)

    # What is known ----------------------------------------------------------------------------

    @property
    def ports(self) -> frozenset[int]:
        """Netlink ports whose changes are the guard's."""
        return self._guarding.ports

    @property
    def seen(self) -> GuardSeen:
        """For views."""
        return GuardSeen(self._guarding.status().running, self._bfd, self._probes)

    @property
    def figures(self) -> Figures:
        """For metrics."""
        return Figures(self._guarding.status(), self.seen, self._moved, self._switches)

    def ready(self) -> tuple[bool, str]:
        """Whether it runs, and how."""
        status = self._guarding.status()
        if not status.running:
            return False, status.last_exit or "not running"
        how = "" if status.realtime is None else f", real-time priority {status.realtime}"
        return True, f"running, pid {status.pid}{how}"

    # What it says -----------------------------------------------------------------------------

    def _on_message(self, message: ToDaemon) -> None:
        match message:
            case Hello():
                self.ports_changed()
            case Detection():
                self._detected(message)
            case CheckVerdict():
                self._act(Heard(HealthChanged(message.tunnel, message.healthy, message.reason)))
            case Status():
                self._figures(message)
            case Refused():
                if not self._waits_for_interface(message):
                    self._note(Log("guard.error", "error", "guard", f"{message.subject}: {message.text}"))

    def _waits_for_interface(self, refused: Refused) -> bool:
        """True if all that is wrong is an interface that is not there: its tunnel says so itself."""
        tunnel = self._engine.tunnels.get(SessionId(refused.subject.partition(" ")[0]))
        return tunnel is not None and not tunnel.link_up and refused.text.endswith(_NO_INTERFACE)

    def _detected(self, detection: Detection) -> None:
        tunnel = self._engine.tunnels.get(detection.tunnel)
        if tunnel is None:
            return
        if detection.method is Method.LINK:
            heard = Heard(links=tunnel.link_up is not detection.up, moved=bool(detection.moved))
        else:
            heard = Heard(_event(detection), moved=bool(detection.moved))
        if heard.moved or heard.links or _is_news(tunnel, heard.event):
            self._act(heard)
        if detection.moved:
            self._switched(detection)
        elif detection.up is not False and self._told.get(detection.tunnel, (None,))[0] is detection.method:
            del self._told[detection.tunnel]
        self._hear_of(detection)

    def _hear_of(self, detection: Detection) -> None:
        """All of a tunnel is told in the order of methods; its last one completes it."""
        last = self._engine.tunnels[detection.tunnel].settings.detected_by
        if detection.method.value == (last[-1] if last else Method.LINK.value):
            self._unheard.discard(detection.tunnel)
            if not self._unheard:
                self._heard_all.set()

    def _switched(self, detection: Detection) -> None:
        """Told once, however often the guard repeats where it moved the groups."""
        _, before = self._told.get(detection.tunnel, (None, frozenset[tuple[int, int]]()))
        new = [move for move in detection.moved if move not in before]
        self._told[detection.tunnel] = (detection.method, before | set(detection.moved))
        if not new:
            return
        self._moved += len(new)
        if detection.since is not None:  # of a link the kernel does not say when
            self._switches.observe(max(0.0, detection.at - detection.since))
        late = max(0.0, time.monotonic() - detection.at) * 1000
        groups = "1 nexthop group" if len(new) == 1 else f"{len(new)} nexthop groups"
        text = f"the guard moved {groups} away: {detection.reason}; heard {late:.1f} ms later"
        data = {"groups": len(new), "method": detection.method.value, "heard_ms": round(late, 1)}
        self._note(Log("guard.switched", "warning", detection.tunnel, text, data))

    def _figures(self, status: Status) -> None:
        known = self._engine.tunnels
        self._bfd |= {one.tunnel: one for one in status.bfd}
        self._probes |= {one.tunnel: one for one in status.probes}
        for figures, method in ((self._bfd, "bfd"), (self._probes, "probe")):
            for ident in [
                i for i in figures if i not in known or method not in known[i].settings.detected_by
            ]:
                del figures[ident]


def _event(detection: Detection) -> DetectionChanged:
    return DetectionChanged(
        tunnel=detection.tunnel,
        method="bfd" if detection.method is Method.BFD else "probe",
        up=detection.up,
        reason=detection.reason,
        detection_ms=detection.detection_ms,
        at=detection.at if detection.since is None else detection.since,
    )


def _is_news(tunnel: Tunnel, event: Event | None) -> bool:
    """It differs from what is known; a guard tells everything again now and then."""
    if not isinstance(event, DetectionChanged):
        return False
    said = tunnel.detections.get(event.method)
    return said is None or (said.up, said.reason, said.detection_ms) != (
        event.up,
        event.reason,
        event.detection_ms,
    )


# What to watch ----------------------------------------------------------------------------------


def watch_of(engine: Engine) -> Watch:
    """All tunnels of the engine's intent, and what is configured to watch them."""
    return Watch(tuple(one for c in engine.intent.vpn_connections for one in _watched(engine, c)))


def _watched(engine: Engine, connection: VpnConnection) -> Iterator[Watched]:
    for tunnel in engine.switchboard.tunnels_of(connection.name):
        resource = connection.tunnels[tunnel.settings.number - 1]
        bgp, check = resource.bgp, connection.health_check
        yield Watched(
            tunnel=tunnel.session,
            interface=interface_of(connection.name, tunnel.settings.number, resource),
            bfd=None if bgp is None else _bfd(bgp),
            probe=None if bgp is None else _probe(bgp),
            check=None
            if check is None
            else CheckSettings(str(check.source), str(check.destination), check.interval, check.retries),
            disbelieved=tuple(Method(name) for name in sorted(tunnel.disbelieved)),
        )


def _bfd(bgp: BgpSettings) -> BfdSettings | None:
    asked = bgp.bfd
    if asked is None:
        return None
    return BfdSettings(
        local=str(bgp.local_ip),
        peer=str(bgp.peer_ip),
        interval_ms=asked.interval_ms,
        multiplier=asked.multiplier,
        multihop=asked.multihop,
        key_id=asked.key_id,
        key=None if asked.key is None else asked.key.get_secret_value().encode(),
    )


def _probe(bgp: BgpSettings) -> ProbeSettings | None:
    asked = bgp.probe
    if asked is None:
        return None
    return ProbeSettings(str(bgp.local_ip), str(bgp.peer_ip), asked.interval_ms, asked.multiplier)
