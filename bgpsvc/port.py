"""The port through which the API asks the running service: filters, refusals, `Service`.

`Service` is implemented by `bgpsvc.service`; the tests of the API use a fake. What it answers with are views
(`bgpsvc.views`). All its methods are synchronous and quick (bounded work per call) unless they are `async`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bgpsvc.control import SYSTEM, Actor
from bgpsvc.diagnosis import Diagnosis
from bgpsvc.model import Family, SwitchMode
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
    RouteState,
    SessionView,
    SwitchPlan,
    TunnelView,
    VpcView,
)

MatchKind = Literal["exact", "longer", "covering", "best"]


@dataclass(frozen=True, slots=True)
class RouteFilter:
    """Filters combine with AND.

    `prefix` is text. exact: that prefix; longer: it and everything inside it; covering: it and everything
    that contains it; best: longest match of the address (prefix is then an address or a prefix).
    """

    prefix: str | None = None
    match: MatchKind = "exact"
    family: Literal["ipv4", "ipv6"] | None = None
    session: str | None = None
    """Prefixes that have a path of this session."""
    asn: int | None = None
    """Prefixes with a path whose AS path contains this ASN."""
    community: str | None = None
    """`65000:100` or `65000:1:2` (large), or a well-known name such as `no-export`."""
    state: RouteState | None = None
    q: str | None = None
    """Free text: words that stand for the filters above (`bgpsvc.route_search`)."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filters combine with AND; None leaves a choice open.

    Times are Unix seconds: `since` <= time < `until`."""

    kinds: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    severities: frozenset[str] | None = None
    since: float | None = None
    until: float | None = None

    def takes(self, event: EventView) -> bool:
        """The event is one of those."""
        return (
            (self.kinds is None or event.kind in self.kinds)
            and (self.severities is None or event.severity in self.severities)
            and (self.subjects is None or event.subject in self.subjects)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )


EVERY_EVENT = EventFilter()


class NotFound(LookupError):
    """A resource of that name does not exist. `kind` and `name` say which."""

    def __init__(self, kind: str, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(f"there is no {kind} {name!r}" + (f"; there is {', '.join(known)}" if known else ""))
        self.kind = kind
        self.name = name


class InvalidQuery(ValueError):
    """A filter or cursor cannot be understood. `field` names the parameter."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class NotMade(Exception):
    """What is asked of a tunnel cannot be: the service does not make it, here or yet. The text says why."""


class TooManyDumps(Exception):
    """So many dumps are being read that no other can be begun. The text says it."""


class PreconditionFailed(Exception):
    """The ETag given is not the current one."""


class Service(Protocol):
    """Everything that the API, and the command line over it, can ask of the running service."""

    def sessions(self) -> tuple[SessionView, ...]: ...

    def session(self, session: str) -> SessionView:
        """Raises NotFound."""

    def session_page(self, after: str | None, limit: int) -> Page:
        """`SessionView`s by id, those behind `after`; `next_cursor` is the last one's id if there are more.

        Costs what the page costs, not what all sessions do; so do `tunnel_page`, and `tunnel`, `session`,
        `connection`, `gateway` and `vpc`, which lists of resources ask for each item of their page."""

    def tunnel_page(self, after: str | None, limit: int) -> Page:
        """`TunnelView`s by id, as `session_page`."""

    def tunnel(self, tunnel: str) -> TunnelView:
        """Raises NotFound."""

    def tunnel_history(self, tunnel: str, window: HistoryWindow) -> HistoryView:
        """What a tunnel carried lately, up to the last interval that is over. Raises NotFound."""

    def connections(self) -> tuple[ConnectionView, ...]: ...

    def connection(self, name: str) -> ConnectionView:
        """Raises NotFound."""

    def gateways(self) -> tuple[GatewayView, ...]: ...

    def gateway(self, name: str) -> GatewayView:
        """Raises NotFound."""

    def vpcs(self) -> tuple[VpcView, ...]: ...

    def vpc(self, name: str) -> VpcView:
        """Raises NotFound."""

    async def routes(
        self, gateway: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """Loc-RIB of a gateway: a page of RouteView in address order. Raises NotFound, InvalidQuery.

        What takes long waits its turn among other callers, and behind what the same one asked before."""

    async def table_routes(
        self, vpc: str, filter: RouteFilter, limit: int, cursor: str | None, actor: Actor = SYSTEM
    ) -> Page:
        """VPC route table: a page of TableRouteView in address order, as `routes`."""

    def dump(
        self, gateway: str, which: Literal["received", "best"], families: tuple[Family, ...]
    ) -> AsyncGenerator[bytes, None]:
        """The routes of a gateway in MRT (`bgpsvc/mrt/dump.py`), written as it is read.

        Raises NotFound, TooManyDumps; and what ends it early while it is read."""

    async def set_auto_propagate(
        self, gateway: str, on: bool, if_match: str | None, actor: Actor = SYSTEM
    ) -> GatewayView:
        """Switches propagation of a gateway that a file describes; returns at once, see `status`.

        Raises NotFound, PreconditionFailed.
        """

    async def switch(
        self,
        connection: str,
        mode: SwitchMode,
        dry_run: bool,
        actor: Actor = SYSTEM,
        reason: str | None = None,
    ) -> SwitchPlan:
        """Chooses the tunnel of a connection, or says what that would move. Raises NotFound.

        `reason` says what for: it is shown as long as the choice is in force. The same choice without one
        leaves it as it is."""

    def restart_plan(self, tunnel: str) -> RestartPlan:
        """What `restart_tunnel` would move now. NotFound, NotMade."""

    async def restart_tunnel(self, tunnel: str) -> TunnelView:
        """Ends the SAs of a tunnel and negotiates anew; returns when they are ended. NotFound, NotMade."""

    async def event_page(self, after: int, limit: int, filter: EventFilter) -> tuple[EventView, ...]:
        """The first `limit` events with an id above `after`, oldest first, those that only the database has
        included.

        Raises control.StoreUnavailable if these are needed and it does not answer.
        """

    async def latest_events(
        self, before: int | None, limit: int, filter: EventFilter, after: int = 0
    ) -> tuple[EventView, ...]:
        """The last `limit` events with an id below `before` (None: of all) and above `after`, oldest first.

        Raises as `event_page`.
        """

    async def diagnose(self, connection: str, tunnel: int | None = None) -> Diagnosis:
        """Walks the layers of a connection's tunnels, or of one (1 or 2), and names the first that fails.

        Takes seconds: it sends probes. Raises NotFound.
        """

    def bmp_stations(self) -> tuple[BmpStationView, ...]:
        """BMP monitoring stations, in the order in which the daemon was told of them."""

    def subscribe(self, after: int | None) -> AsyncIterator[EventView]:
        """Endless stream, beginning behind event `after` (with what is still kept) or now."""

    def ready(self) -> ReadyView: ...

    async def metrics(self) -> bytes:
        """Prometheus text exposition."""
