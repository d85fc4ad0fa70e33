"""The running service: composes engine, kernel and speakers, and answers the API (`views.Service`).

One asyncio task, the pump, does everything that takes time: background work of the engine and
batches for the kernel, a few milliseconds at a time, so that REST and new events get their turn.
What moves traffic does not wait for it: an event that can switch a tunnel is followed by one plan
at once, whose first operations are the nexthop groups.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from bgpsvc import repair
from bgpsvc.effects import Advertise, Effect, Log, Refresh, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import (
    Announced,
    ConnectedChanged,
    Event,
    LinkChanged,
    OperatorSwitch,
    PropagationSet,
    Withdrawn,
)
from bgpsvc.exabgp.channel import ChannelClosed
from bgpsvc.exabgp.config import sessions_of
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.fib.lookup import set_guards, set_rules
from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.ops import (
    METRIC_GUARD,
    DeleteRoutes,
    Op,
    OpError,
    SetRoutes,
)
from bgpsvc.fib.port import KernelPort
from bgpsvc.fib.prepare import prepare
from bgpsvc.gateway import Gateway
from bgpsvc.journal import Journal
from bgpsvc.metrics import EngineCollector, FibCounters, exposition
from bgpsvc.model import Prefix, SessionId, SwitchMode, format_prefix
from bgpsvc.netns import claim_namespace
from bgpsvc.overrides import Overrides
from bgpsvc.queries import RouteQueries
from bgpsvc.report import connection_view, gateway_view, session_view, vpc_view
from bgpsvc.resources import Intent
from bgpsvc.views import (
    ConnectionView,
    EventView,
    GatewayView,
    NotFound,
    Page,
    PreconditionFailed,
    ReadyView,
    RouteFilter,
    SessionView,
    SwitchPlan,
    VpcView,
)

ROUTES_PER_BATCH = 2000
"""Routes that one plan may touch: 5 to 8 ms of the kernel's time. An event waits for one of them."""
TURNS_BETWEEN_BATCHES = 3
"""Turns of the loop that a line of a speaker needs from its socket to the engine."""
RETRY_INTERVAL = 5.0
"""Seconds between attempts at operations that the kernel refused."""

log = logging.getLogger("bgpsvc")


class BgpService:
    """The service of one network namespace. Construct it inside that namespace."""

    def __init__(self, intent: Intent, state_dir: Path) -> None:
        self._file_intent = intent
        self._overrides = Overrides(state_dir)
        kernel = Kernel()
        self._monitor = kernel.monitor
        self._close_kernel = kernel.close
        self._kernel: KernelPort = kernel
        now = time.monotonic()
        self._wall = time.time() - now
        self.engine = Engine(self._overrides.apply(intent), now)
        self._queries = RouteQueries(self.engine, time.perf_counter)
        self._journal = Journal(first_id=int(time.time() * 1000))
        self._fib_counters = FibCounters()
        self._speakers = Speakers(state_dir, self._on_bgp_events)
        self._wake = asyncio.Event()
        self._retry_at: float | None = None
        self._resync_at: float | None = None
        """When to read the kernel's state again after it could not be reached."""
        self._namespace: socket.socket | None = None
        self._connected_stale = False
        self._pump_task: asyncio.Task[None] | None = None
        self._speaking: frozenset[SessionId] = frozenset()
        """Sessions that the speakers know."""
        self._commands: set[asyncio.Task[None]] = set()

    # Life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take over the kernel's state, start or adopt the speakers. OSError or StateDirInUse if it cannot.

        May be cancelled; `stop` afterwards.
        """
        self._speakers.claim()  # before anything of the daemon that runs there is touched
        self._namespace = claim_namespace()
        for name, value in prepare().items():
            log.info("set %s to %s", name, value)
        self._monitor.watch(self._tables())
        loop = asyncio.get_running_loop()
        loop.add_reader(self._monitor.fileno(), self._on_notices)
        self._read_links()
        self.engine.handle(ConnectedChanged(tuple(self._kernel.connected())), time.monotonic())
        await self._take_over_kernel()
        self._apply_modes()
        self._name_missing_interfaces()
        sessions = sessions_of(self.engine.intent)
        await self._speakers.start(sessions)
        self._speaking = frozenset(session.id for session in sessions)
        self.engine.advertise_all()
        self._drain()
        self._pump_task = asyncio.create_task(self._pump(), name="pump")

    async def stop(self, keep_speakers: bool) -> None:
        """Stop. Routes stay in the kernel: forwarding survives a restart."""
        await self._speakers.stop(keep_running=keep_speakers)
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
        for task in list(self._commands):
            task.cancel()
        asyncio.get_running_loop().remove_reader(self._monitor.fileno())
        self._close_kernel()
        if self._namespace is not None:
            self._namespace.close()

    async def failed(self) -> None:
        """Raises what ended the pump or a speaker's conversation; never returns in a healthy service."""
        assert self._pump_task is not None, "started"
        speakers = asyncio.create_task(self._speakers.failed())
        try:
            done, _ = await asyncio.wait({self._pump_task, speakers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            speakers.cancel()
            await asyncio.gather(speakers, return_exceptions=True)

    async def reload(self, intent: Intent) -> None:
        """Take over a valid configuration; sessions that it does not change stay as they are.

        ReloadFailed if a speaker did not take its part; the rest is in force, and the speaker is asked
        again in the background.
        """
        self._file_intent = intent
        made_anew = self.engine.reconfigure(self._overrides.apply(intent), time.monotonic())
        self._apply_modes()
        self._monitor.watch(self._tables())
        await self._take_over_kernel()
        self._name_missing_interfaces()
        sessions = sessions_of(self.engine.intent)
        try:
            await self._speakers.apply(sessions)
        finally:
            self._speaking = frozenset(session.id for session in sessions)
            self.engine.advertise_all()
            self._drain()
            self._wake.set()
            # ExaBGP keeps a session whose record here was made anew: let it say again that it is up.
            await self._speakers.forget(made_anew)
        self._note(Log("config.reloaded", "info", "configuration", "the configuration was reloaded"))

    def _name_missing_interfaces(self) -> None:
        """A mistyped interface is no error (it may come later), but nobody should have to search for it."""
        for tunnel in self.engine.tunnels.values():
            if not tunnel.link_up:
                text = f"the interface {tunnel.interface} is down or missing"
                self._note(Log("tunnel.down", "warning", tunnel.session, text))

    def _apply_modes(self) -> None:
        for name, mode in self._overrides.modes().items():
            if name in self.engine.switchboard.switches and self.engine.modes.get(name) is not mode:
                self.engine.handle(OperatorSwitch(name, mode), time.monotonic())

    def reject_reload(self, problems: Sequence[str]) -> None:
        """Note that a configuration was refused and the running one stays."""
        text = f"the configuration was refused, the running one stays: {problems[0]}"
        self._note(Log("config.rejected", "error", "configuration", text, {"problems": list(problems)}))

    def incomplete_reload(self, problem: str) -> None:
        """Note that a configuration is in force but for a part that did not take it yet."""
        text = f"the configuration is in force, but a part did not take it yet: {problem}"
        self._note(Log("config.reloaded", "error", "configuration", text, {"problem": problem}))

    async def _take_over_kernel(self) -> None:
        """Lookup order and guards first, then what the kernel holds of ours."""
        await self._set_rules()
        tables = self._load_kernel_state()
        await self._set_guards(
            {n: [p for p, metric in routes if metric == METRIC_GUARD] for n, routes in tables.items()}
        )
        self.engine.takeover.loaded()

    async def _set_rules(self) -> None:
        endpoints = {customer.address.packed for customer in self.engine.intent.customer_gateways}
        added, deleted = await set_rules(self._tables(), endpoints)
        if added or deleted:
            log.info("policy rules: %d added, %d deleted", len(added), len(deleted))

    async def _set_guards(self, present: Mapping[int, Collection[Prefix]]) -> None:
        """`present`: the guards that each table has; none named means that all are set again."""
        wanted = {g.vpc.route_table: g.vpc_prefixes for g in self.engine.gateways.values()}
        for number in self.engine.fib.tables:
            await set_guards(number, wanted.get(number, ()), present.get(number, ()))

    def _tables(self) -> list[int]:
        return [gateway.vpc.route_table for gateway in self.engine.gateways.values()]

    def _read_links(self) -> None:
        now = time.monotonic()
        links = {link.name: link for link in self._kernel.links()}
        for name in [name for name in self.engine.links if name not in links]:
            self.engine.handle(LinkChanged(name, None, False), now)
        for link in links.values():
            if self.engine.links.get(link.name) != (link.ifindex, link.up):
                self.engine.handle(LinkChanged(link.name, link.ifindex, link.up), now)

    def _load_kernel_state(self) -> dict[int, dict[tuple[Prefix, int], int]]:
        tables = {number: self._kernel.routes(number) for number in self.engine.fib.tables}
        self.engine.fib.load(self._kernel.nexthops(), tables)
        return tables

    # Events in --------------------------------------------------------------------------------

    def _on_bgp_events(self, events: Sequence[Event]) -> None:
        now = time.monotonic()
        urgent = False
        for event in events:
            self.engine.handle(event, now)
            urgent = urgent or not isinstance(event, Announced | Withdrawn)
        if urgent:
            self._program()
        self._drain()
        self._wake.set()

    def _on_notices(self) -> None:
        seen = repair.take(self.engine, self._monitor.read(), time.monotonic())
        if seen.links:
            seen.routes += self.engine.fib.verify(self._kernel.nexthops())
        if seen.overrun:
            self._read_links()
            self._connected_stale = True
            self._load_kernel_state()
            self._repaired(0, "notifications of the kernel were lost; its state was read again")
        if seen.routes or seen.nexthops:
            self._repaired(
                seen.routes,
                f"{seen.nexthops} nexthops and {seen.routes} routes were removed by somebody else",
            )
        self._connected_stale = self._connected_stale or seen.addresses
        self._program()
        self._drain()
        self._wake.set()

    def _repaired(self, routes: int, text: str) -> None:
        self._fib_counters.repairs += routes
        self._note(Log("fib.repair", "warning", "fib", text, {"routes": routes}))

    # Work -------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            if self._retry_at is not None and now >= self._retry_at:
                self._retry_at = None
                self.engine.fib.retry()
            if self._resync_at is not None and now >= self._resync_at:
                self._resync_at = None
                self._load_kernel_state()
            if self._connected_stale:
                self._connected_stale = False
                self.engine.handle(ConnectedChanged(tuple(self._kernel.connected())), now)
            self.engine.tick(now)
            worked = self.engine.work()
            programmed = self._program()
            self._drain()
            if worked or programmed:
                for _ in range(TURNS_BETWEEN_BATCHES):
                    await asyncio.sleep(0)
                continue
            due = (self.engine.deadline(), self._retry_at, self._resync_at)
            times = [t for t in due if t is not None]
            timeout = max(0.0, min(times) - time.monotonic()) if times else None
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue  # a deadline of the engine is due

    def _program(self) -> bool:
        """Send one batch to the kernel; False if there was nothing to send."""
        fib = self.engine.fib
        if self._resync_at is not None:
            return False
        ops = fib.plan(ROUTES_PER_BATCH)
        if not ops:
            return fib.queued > 0
        try:
            errors = self._kernel.apply(ops)
        except OSError as error:
            # Nothing is known of what arrived: look at all of it again, after what the kernel holds.
            fib.failed_to_send(ops)
            self._note(Log("fib.error", "error", "fib", f"the kernel could not be reached: {error}"))
            self._resync_at = time.monotonic() + RETRY_INTERVAL
            return False
        fib.applied(ops, errors)
        if any(error.errno in (errno.ENOENT, errno.EINVAL) for error in errors):
            # Something that the mirror believed in is gone, and its notification still on its way.
            self._repaired(fib.verify(self._kernel.nexthops()), "nexthops went with a device")
        for op in ops:
            self._fib_counters.count(_kind(op), _size(op))
        if errors:
            self._on_errors(errors)
        return True

    def _on_errors(self, errors: Sequence[OpError]) -> None:
        for error in errors:
            self._fib_counters.fail(_kind(error.op))
        first = errors[0]
        what = format_prefix(first.prefix) if first.prefix is not None else _kind(first.op)
        text = f"the kernel refused {len(errors)} operations, the first ({what}): {first.text}"
        self._note(Log("fib.error", "error", "fib", text, {"errors": len(errors), "errno": first.errno}))
        if self._retry_at is None:
            self._retry_at = time.monotonic() + RETRY_INTERVAL

    def _drain(self) -> None:
        outbox = self.engine.outbox
        if not outbox:
            return
        effects: list[Effect] = outbox.copy()
        outbox.clear()
        for effect in effects:
            match effect:
                case Log():
                    self._note(effect)
                case Advertise():
                    self._advertise(effect)
                case Refresh() | Reset():
                    self._spawn(self._command(effect))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    def _advertise(self, effect: Advertise) -> None:
        if effect.session in self._speaking:
            self._speakers.advertise(effect.session, effect.routes)

    async def _command(self, effect: Refresh | Reset) -> None:
        try:
            if isinstance(effect, Refresh):
                await self._speakers.refresh(effect.session)
            else:
                await self._speakers.reset(effect.session, effect.reason, effect.subcode)
        except ChannelClosed as error:
            # The speaker is gone, and its sessions with it: what they know is asked for when it is back.
            log.warning("%s: %s", effect.session, error)

    def _note(self, entry: Log) -> None:
        event = self._journal.add(
            time.time(), entry.kind, entry.severity, entry.subject, entry.message, entry.data
        )
        level = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[event.severity]
        log.log(level, "%s %s: %s", event.kind, event.subject, event.message)

    # The API's port (views.Service) -----------------------------------------------------------

    def sessions(self) -> tuple[SessionView, ...]:
        """All BGP sessions."""
        return tuple(session_view(s, self._wall) for s in self.engine.sessions.values())

    def session(self, session: str) -> SessionView:
        """One BGP session."""
        found = self.engine.sessions.get(SessionId(session))
        if found is None:
            raise NotFound("BGP session", session, tuple(self.engine.sessions))
        return session_view(found, self._wall)

    def connections(self) -> tuple[ConnectionView, ...]:
        """All VPN connections."""
        return tuple(connection_view(self.engine, name, self._wall) for name in self._connections())

    def connection(self, name: str) -> ConnectionView:
        """One VPN connection."""
        self._check_connection(name)
        return connection_view(self.engine, name, self._wall)

    def _connections(self) -> tuple[str, ...]:
        return tuple(self.engine.switchboard.switches)

    def _check_connection(self, name: str) -> None:
        if name not in self.engine.switchboard.switches:
            raise NotFound("VPN connection", name, self._connections())

    def gateways(self) -> tuple[GatewayView, ...]:
        """All VPN gateways."""
        return tuple(gateway_view(self.engine, g) for g in self.engine.gateways.values())

    def gateway(self, name: str) -> GatewayView:
        """One VPN gateway."""
        return gateway_view(self.engine, self._gateway(name))

    def _gateway(self, name: str) -> Gateway:
        found = self.engine.gateways.get(name)
        if found is None:
            raise NotFound("VPN gateway", name, tuple(self.engine.gateways))
        return found

    def vpcs(self) -> tuple[VpcView, ...]:
        """All VPCs."""
        return tuple(vpc_view(self.engine, vpc.name) for vpc in self.engine.intent.vpcs)

    def vpc(self, name: str) -> VpcView:
        """One VPC."""
        names = tuple(vpc.name for vpc in self.engine.intent.vpcs)
        if name not in names:
            raise NotFound("VPC", name, names)
        return vpc_view(self.engine, name)

    def routes(self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None) -> Page:
        """A page of the Loc-RIB."""
        return self._queries.routes(self._gateway(gateway), filter, limit, cursor)

    def table_routes(self, vpc: str, filter: RouteFilter, limit: int, cursor: str | None) -> Page:
        """A page of a VPC's kernel table."""
        self.vpc(vpc)
        gateway = self.engine.intent.gateway_of_vpc(vpc)
        if gateway is None:
            return Page((), None)
        return self._queries.table_routes(self._gateway(gateway.name), filter, limit, cursor)

    async def set_auto_propagate(self, gateway: str, on: bool, if_match: str | None) -> GatewayView:
        """Switch automatic propagation; stored before it takes effect."""
        view = self.gateway(gateway)
        if if_match is not None and if_match != view.etag:
            raise PreconditionFailed(f"the VPN gateway {gateway!r} changed meanwhile")
        self._overrides.set_propagate(gateway, on, self._file_intent.gateway(gateway).auto_propagate)
        self._operator(PropagationSet(gateway, on))
        return self.gateway(gateway)

    async def switch(self, connection: str, mode: SwitchMode, dry_run: bool) -> SwitchPlan:
        """Choose the tunnel of a connection, or say what that would move."""
        self._check_connection(connection)
        plan = self._switch_plan(connection, mode)
        if plan.changed and not dry_run:
            self._overrides.set_mode(connection, mode)
            self._operator(OperatorSwitch(connection, mode))
        return plan

    def _operator(self, event: Event) -> None:
        self.engine.handle(event, time.monotonic())
        self._program()
        self._drain()
        self._wake.set()

    def _switch_plan(self, connection: str, mode: SwitchMode) -> SwitchPlan:
        engine = self.engine
        board = engine.switchboard
        wished = {**engine.modes, connection: mode}
        before = board.switches[connection].carrying
        after = board.carrying(connection, wished)
        gateway = self._gateway(engine.intent.connection(connection).vpn_gateway)
        prefixes, groups = gateway.moved_by(connection, wished)
        return SwitchPlan(
            connection=connection,
            mode=mode,
            from_tunnel=before,
            to_tunnel=after,
            prefixes_moved=prefixes,
            groups_replaced=groups,
            changed=engine.modes.get(connection, SwitchMode.AUTO) is not mode,
            note=self._switch_note(connection, mode, before, after),
        )

    def _switch_note(
        self, connection: str, mode: SwitchMode, before: SessionId | None, after: SessionId | None
    ) -> str:
        if after is None:
            return "no tunnel is live: the choice takes effect when one comes back"
        role = self.engine.tunnels[after].role
        if mode is not SwitchMode.AUTO and role.value != mode.value:
            return f"the {mode.value} tunnel is not usable: traffic stays on {after} until it is"
        if before == after:
            return f"traffic stays on {after}"
        return f"traffic moves from {before or 'no tunnel'} to {after}"

    def events(self, after: int | None, limit: int, kinds: frozenset[str] | None) -> tuple[EventView, ...]:
        """Entries of the event log."""
        return self._journal.entries(after, limit, kinds)

    def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        """Stream of events."""
        return self._journal.subscribe(after)

    def ready(self) -> ReadyView:
        """Ready: the kernel takes what it is given, the speakers run."""
        checks: dict[str, tuple[bool, str]] = {}
        failed = sum(len(t.failed) for t in self.engine.fib.tables.values()) + len(self.engine.fib.failed_ids)
        checks["kernel"] = (failed == 0, f"{failed} operations refused" if failed else "in sync")
        needed = {session.settings.role for session in self.engine.sessions.values()}
        for role, status in self._speakers.status().items():
            if role not in needed:
                continue
            detail = f"running, pid {status.pid}" if status.running else status.last_exit or "not running"
            checks[f"speaker-{role.value}"] = (status.running and status.connected, detail)
        pump = self._pump_task is not None and not self._pump_task.done()
        checks["engine"] = (pump, f"{self.engine.fib.queued} routes waiting")
        return ReadyView(all(ok for ok, _ in checks.values()), checks)

    def metrics(self) -> bytes:
        """Prometheus text exposition."""
        restarts = {role.value: status.restarts for role, status in self._speakers.status().items()}
        return exposition(EngineCollector(self.engine, self._fib_counters, restarts, time.monotonic()))


def _kind(op: Op) -> str:
    return {
        "SetNexthop": "set_nexthop",
        "SetGroup": "set_group",
        "DeleteNexthop": "delete_nexthop",
        "SetRoutes": "set_route",
        "DeleteRoutes": "delete_route",
    }[type(op).__name__]


def _size(op: Op) -> int:
    if isinstance(op, SetRoutes):
        return len(op.routes)
    return len(op.prefixes) if isinstance(op, DeleteRoutes) else 1
