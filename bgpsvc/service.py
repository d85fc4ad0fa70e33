"""The answers to the API's questions (`port.Service`), read from the running gateway."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from prometheus_client.registry import Collector

from bgpsvc.bmp.stations import Stations
from bgpsvc.choices import Choices
from bgpsvc.control import SYSTEM, Actor
from bgpsvc.daemon_metrics import DaemonCollector, DaemonFigures
from bgpsvc.diagnosing.collect import TunnelGone
from bgpsvc.diagnosing.diagnoser import Diagnoser
from bgpsvc.diagnosis import Diagnosis
from bgpsvc.engine import Engine
from bgpsvc.events import PropagationSet
from bgpsvc.gateway import Gateway
from bgpsvc.guard_metrics import GuardCollector
from bgpsvc.history import History
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec_metrics import IpsecCollector
from bgpsvc.measuring.lag import LoopLag
from bgpsvc.measuring.sampler import Sampler
from bgpsvc.metrics import EngineCollector, exposed
from bgpsvc.model import Family, Role, SessionId, SwitchMode, session_id
from bgpsvc.mrt.dump import dump
from bgpsvc.mrt.streaming import Dumps
from bgpsvc.operator_plan import restart_plan, switch_plan
from bgpsvc.port import EventFilter, NotFound, NotMade, PreconditionFailed, RouteFilter
from bgpsvc.queries import RouteQueries
from bgpsvc.report import Beside, connection_view, gateway_view, session_view, tunnel_view, vpc_view
from bgpsvc.resources import Intent
from bgpsvc.runtime import Runtime
from bgpsvc.searching import Searches
from bgpsvc.tunnel_metrics import TunnelCollector
from bgpsvc.views import (
    BmpStationView,
    ConnectionView,
    EventView,
    GatewayView,
    HistoryView,
    HistoryWindow,
    Page,
    ReadyView,
    RestartPlan,
    SessionView,
    SwitchPlan,
    TunnelView,
    VpcView,
)

NAMED = 20
"""Names that an error lists at most."""


class BgpService:
    """Questions, and the two choices that operators make at run time."""

    def __init__(
        self, runtime: Runtime, choices: Choices, history: History, sampler: Sampler, stations: Stations
    ) -> None:
        self._stations = stations
        self._history = history
        self._sampler = sampler
        self._runtime = runtime
        self._choices = choices
        self._queries = RouteQueries(runtime.engine, time.perf_counter)
        self._searches = Searches(self._queries)
        self._dumps = Dumps()
        self.collectors: list[Collector] = []
        """Of more metrics."""
        self._lag = LoopLag()
        self._sorted: dict[str, tuple[Intent, list[str]]] = {}
        self._diagnoser = Diagnoser(
            runtime.engine,
            runtime.wall,
            lambda ident: self.tunnel(ident).ipsec,
            self._speaker_problem,
            runtime.guardian,
        )

    def start(self) -> None:
        """In the running loop: hear what diagnoses need to know, and see how late the loop is."""
        self._diagnoser.start()
        self._lag.start()

    def stop(self) -> None:
        """The opposite."""
        self._diagnoser.stop()
        self._searches.stop()
        self._lag.stop()

    @property
    def engine(self) -> Engine:
        """The decision core."""
        return self._runtime.engine

    def sessions(self) -> tuple[SessionView, ...]:
        """All BGP sessions."""
        return tuple(session_view(s, self._runtime.wall) for s in self.engine.sessions.values())

    def session(self, session: str) -> SessionView:
        """One BGP session."""
        found = self.engine.sessions.get(SessionId(session))
        if found is None:
            raise NotFound("BGP session", session, tuple(self.engine.sessions)[:NAMED])
        return session_view(found, self._runtime.wall)

    def session_page(self, after: str | None, limit: int) -> Page:
        """BGP sessions by id, those behind `after`."""
        sessions = self.engine.sessions
        ids, more = self._page([*sessions], "sessions", after, limit)
        items = tuple(session_view(sessions[SessionId(i)], self._runtime.wall) for i in ids)
        return Page(items, ids[-1] if more else None)

    def tunnel_page(self, after: str | None, limit: int) -> Page:
        """Tunnels by id, those behind `after`."""
        ids, more = self._page([*self.engine.tunnels], "tunnels", after, limit)
        return Page(tuple(self.tunnel(i) for i in ids), ids[-1] if more else None)

    def tunnel(self, tunnel: str) -> TunnelView:
        """One tunnel."""
        found = self.engine.tunnels.get(SessionId(tunnel))
        if found is None:
            raise NotFound("tunnel", tunnel, tuple(self.engine.tunnels)[:NAMED])
        return tunnel_view(self.engine, found, self._beside())

    def tunnel_history(self, tunnel: str, window: HistoryWindow) -> HistoryView:
        """What one tunnel carried lately."""
        self.tunnel(tunnel)
        return self._sampler.view(SessionId(tunnel), window)

    def _beside(self) -> Beside:
        runtime = self._runtime
        return Beside(time.monotonic(), runtime.wall, runtime.tunnelling.state, runtime.guardian.seen)

    def _page(self, keys: Sequence[str], kind: str, after: str | None, limit: int) -> tuple[list[str], bool]:
        """Ids of a page in order, and whether there are more. They are sorted once for each intent."""
        known = self._sorted.get(kind)
        if known is None or known[0] is not self.engine.intent or len(known[1]) != len(keys):
            known = self._sorted[kind] = (self.engine.intent, sorted(keys))
        names = known[1]
        start = 0 if after is None else bisect_right(names, after)
        return names[start : start + limit], start + limit < len(names)

    def connections(self) -> tuple[ConnectionView, ...]:
        """All VPN connections."""
        return tuple(self._connection(name) for name in self._connections())

    def connection(self, name: str) -> ConnectionView:
        """One VPN connection."""
        self._check_connection(name)
        return self._connection(name)

    def _connection(self, name: str) -> ConnectionView:
        return replace(connection_view(self.engine, name, self._beside()), choice=self._choices.choice(name))

    def _connections(self) -> tuple[str, ...]:
        return tuple(self.engine.switchboard.switches)

    def _check_connection(self, name: str) -> None:
        if name not in self.engine.switchboard.switches:
            raise NotFound("VPN connection", name, self._connections()[:NAMED])

    def gateways(self) -> tuple[GatewayView, ...]:
        """All VPN gateways."""
        return tuple(gateway_view(self.engine, g) for g in self.engine.gateways.values())

    def gateway(self, name: str) -> GatewayView:
        """One VPN gateway."""
        return gateway_view(self.engine, self._gateway(name))

    def _gateway(self, name: str) -> Gateway:
        found = self.engine.gateways.get(name)
        if found is None:
            raise NotFound("VPN gateway", name, tuple(self.engine.gateways)[:NAMED])
        return found

    def vpcs(self) -> tuple[VpcView, ...]:
        """All VPCs."""
        return tuple(vpc_view(self.engine, vpc.name) for vpc in self.engine.intent.vpcs)

    def vpc(self, name: str) -> VpcView:
        """One VPC."""
        if self.engine.intent.find("vpcs", name) is None:
            names = tuple(vpc.name for vpc in self.engine.intent.vpcs[:NAMED])
            raise NotFound("VPC", name, names)
        return vpc_view(self.engine, name)

    async def routes(
        self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """A page of the Loc-RIB."""
        found = self._queries.routes(self._gateway(gateway), filter, limit, cursor)
        return await self._searches.page(found, actor.name)

    async def table_routes(
        self, vpc: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """A page of a VPC's kernel table."""
        self.vpc(vpc)
        gateway = self.engine.intent.gateway_of_vpc(vpc)
        if gateway is None:
            return Page((), None, 0)
        found = self._queries.table_routes(self._gateway(gateway.name), filter, limit, cursor)
        return await self._searches.page(found, actor.name)

    def dump(
        self, gateway: str, which: Literal["received", "best"], families: tuple[Family, ...]
    ) -> AsyncGenerator[bytes, None]:
        """The routes of a gateway in MRT."""
        found = self._gateway(gateway)
        work = dump(self.engine, found, which, families, time.monotonic(), self._runtime.wall)
        return self._dumps.written(work)

    async def set_auto_propagate(
        self, gateway: str, on: bool, if_match: str | None, actor: Actor = SYSTEM
    ) -> GatewayView:
        """Switch automatic propagation of a gateway that a file describes; stored before it takes effect."""
        view = self.gateway(gateway)
        if if_match is not None and if_match != view.etag:
            raise PreconditionFailed(f"the VPN gateway {gateway!r} changed meanwhile")
        if on != view.auto_propagate:
            await self._choices.set_propagate(gateway, on, actor)
            self._runtime.operator(PropagationSet(gateway, on))
        return self.gateway(gateway)

    async def switch(
        self,
        connection: str,
        mode: SwitchMode,
        dry_run: bool,
        actor: Actor = SYSTEM,
        reason: str | None = None,
    ) -> SwitchPlan:
        """Choose the tunnel of a connection, or say what that would move."""
        self._check_connection(connection)
        plan = switch_plan(self.engine, connection, mode, self._chosen_before(connection, mode, reason))
        if plan.changed and not dry_run:
            await self._choices.set_mode(connection, mode, actor, reason)
            if connection not in self.engine.switchboard.switches:
                # Deleted meanwhile: another one of that name is to begin without a choice.
                await self._choices.forget_switch(connection, actor)
                self._check_connection(connection)
            self._runtime.set_mode(connection, mode, reason, actor.name)
        return plan

    def _chosen_before(self, connection: str, mode: SwitchMode, reason: str | None) -> bool:
        """The same is in force already: the mode, and the reason if one is given for it."""
        if self.engine.modes.get(connection, SwitchMode.AUTO) is not mode:
            return False
        choice = self._choices.choice(connection)
        return reason is None or choice is None or choice.reason == reason

    def _made(self, tunnel: str) -> SessionId:
        """The id of a tunnel that the service makes. NotFound, NotMade."""
        view = self.tunnel(tunnel)
        if view.ipsec is None:
            raise NotMade(f"the tunnel {tunnel} is external: somebody else makes {view.interface}")
        return SessionId(tunnel)

    def restart_plan(self, tunnel: str) -> RestartPlan:
        """What negotiating a tunnel anew would move now."""
        return restart_plan(self.engine, self._made(tunnel))

    async def restart_tunnel(self, tunnel: str) -> TunnelView:
        """Negotiate a tunnel anew."""
        ident = self._made(tunnel)
        try:
            await self._runtime.tunnelling.restart(ident)
        except KeyError:
            raise NotMade(f"the tunnel {tunnel} is not made yet") from None
        except DriverError as error:
            raise NotMade(str(error)) from error
        return self.tunnel(tunnel)

    async def event_page(self, after: int, limit: int, filter: EventFilter) -> tuple[EventView, ...]:
        """Entries of the event log, also those that only the database has."""
        return await self._history.page(after, limit, filter)

    async def latest_events(
        self, before: int | None, limit: int, filter: EventFilter, after: int = 0
    ) -> tuple[EventView, ...]:
        """The same from the other end."""
        return await self._history.latest(before, limit, filter, after)

    async def diagnose(self, connection: str, tunnel: int | None = None) -> Diagnosis:
        """What fails first in the tunnels of a connection, or in one of them."""
        self._check_connection(connection)
        if tunnel is not None:
            self.tunnel(session_id(connection, tunnel))
        try:
            return await self._diagnoser.diagnose(connection, tunnel)
        except TunnelGone:
            raise NotFound("VPN connection", connection, self._connections()[:NAMED]) from None

    def _speaker_problem(self, role: Role) -> tuple[str, int | None] | None:
        status = self._runtime.speakers.status()[role]
        if status.running and status.connected:
            return None
        why = "its relay is not connected" if status.running else status.last_exit or "it was not started"
        return why, status.pid

    def bmp_stations(self) -> tuple[BmpStationView, ...]:
        """The BMP stations that `serve --bmp` named."""
        return self._stations.views()

    def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        """Stream of events."""
        return self._runtime.journal.subscribe(after)

    def ready(self) -> ReadyView:
        """Ready: the kernel takes what it is given, the speakers run."""
        checks: dict[str, tuple[bool, str]] = {}
        failed = sum(len(t.failed) for t in self.engine.fib.tables.values()) + len(self.engine.fib.failed_ids)
        checks["kernel"] = (failed == 0, f"{failed} operations refused" if failed else "in sync")
        needed = {session.settings.role for session in self.engine.sessions.values()}
        for role, status in self._runtime.speakers.status().items():
            if role not in needed:
                continue
            detail = f"running, pid {status.pid}" if status.running else "not running"
            if status.last_exit is not None:
                detail += f"; restarts: {status.restarts} ({status.last_exit})"
            checks[f"speaker-{role.value}"] = (status.running and status.connected, detail)
        checks["guard"] = self._runtime.guardian.ready()
        checks["ipsec"] = self._runtime.tunnelling.ready(self.engine.intent)
        problem = self._history.problem
        checks["database"] = (problem is None, problem or "answers")
        checks["engine"] = (self._runtime.pumping, f"{self.engine.fib.queued} routes waiting")
        return ReadyView(all(ok for ok, _ in checks.values()), checks)

    async def metrics(self) -> bytes:
        """Prometheus text exposition."""
        return await exposed(self._collectors())

    def _collectors(self) -> Iterator[Collector]:
        """Each as of the moment at which it is asked for: counters that depend on the time never go back."""
        runtime = self._runtime
        restarts = {role.value: status.restarts for role, status in runtime.speakers.status().items()}
        yield EngineCollector(self.engine, runtime.fib_counters, restarts, time.monotonic())
        yield TunnelCollector(
            *(self.engine, self._sampler.traffic, self._chosen_at, time.monotonic(), runtime.wall)
        )
        yield IpsecCollector(self.engine, runtime.tunnelling.states(), runtime.tunnelling.choice.name)
        yield GuardCollector(self.engine, runtime.guardian.figures)
        yield DaemonCollector(self._figures())
        yield from self.collectors
        yield self._stations.collector()

    def _chosen_at(self, connection: str) -> float | None:
        choice = self._choices.choice(connection)
        return None if choice is None else choice.at

    def _figures(self) -> DaemonFigures:
        runtime = self._runtime
        return DaemonFigures(
            checks={name: ok for name, (ok, _) in self.ready().checks.items()},
            database_problem=self._history.problem,
            unsettled=runtime.problem,
            waiting=self._history.waiting,
            events=runtime.journal.counts,
            lag=self._lag.histogram,
            processes=self._processes(),
        )

    def _processes(self) -> dict[str, int]:
        """Pids of the daemon and of what runs beside it."""
        guard = self._runtime.guardian.figures.status
        pids = {"daemon": os.getpid(), "guard": guard.pid, "guard-keeper": guard.keeper}
        for role, status in self._runtime.speakers.status().items():
            pids[f"speaker-{role.value}"] = status.pid if status.running else None
        for tunnel, pid in self._runtime.tunnelling.charons().items():
            pids[f"charon-{tunnel}"] = pid
        return {name: pid for name, pid in pids.items() if pid is not None}
