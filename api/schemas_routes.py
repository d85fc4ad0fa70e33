"""What the API answers about routes and events, and the filters it takes for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from api import examples
from api.deps import MAX_ID, PageQuery
from api.schemas import Listing, Timestamp, described
from bgpsvc.model import Reason, Role
from bgpsvc.port import EventFilter
from bgpsvc.views import EventKind, RouteSource, RouteState, Severity

T = TypeVar("T")


class Candidate(BaseModel):
    """One path of a prefix, as one session announced it, and why it is not in use."""

    model_config = described(examples.CANDIDATE, examples.CANDIDATE_2)

    rank: int | None = Field(description="1 is the best; null: the import policy refused the path.")
    session: str = Field(description="Id of the session (and tunnel) that announced it.")
    role: Role = Field(description="Role of that tunnel.")
    next_hop: str = Field(description="Next hop address.")
    as_path: str = Field(description="AS path, nearest AS first; an AS_SET in braces: `65500 {65501,65502}`.")
    origin: Literal["igp", "egp", "incomplete"] = Field(description="ORIGIN attribute.")
    med: int | None = Field(description="MULTI_EXIT_DISC; null: not sent. Lower is preferred.")
    local_pref: int = Field(description="Local preference that the import policy set. Higher is preferred.")
    communities: list[str] = Field(description="Standard communities, as `65500:100` or a well-known name.")
    large_communities: list[str] = Field(description="Large communities (RFC 8092), as `65500:1:2`.")
    extended_communities: list[str] = Field(description="Extended communities (RFC 4360).")
    stale: bool = Field(description="Kept over a restart of the session, not announced again yet.")
    in_use: bool = Field(description="Traffic takes this path (if the route is installed).")
    reason: Reason | None = Field(description="Why it is not in use; null for the one that is.")
    reason_text: str | None = Field(description="The reason as a sentence.")


class Route(BaseModel):
    """One prefix of a gateway's Loc-RIB with every candidate: best first, refused ones last."""

    model_config = described(examples.ROUTE)

    prefix: str = Field(description="The prefix, as `192.168.0.0/16`.")
    family: Literal["ipv4", "ipv6"] = Field(description="Address family.")
    gateway: str = Field(description="Name of the VPN gateway.")
    vpc: str = Field(description="Name of the VPC.")
    state: RouteState = Field(
        description="`installed`: in the VPC's route table; `pending`: on its way there; `not_installed`: "
        "does not belong there; `failed`: the kernel refused it."
    )
    reason: Reason | None = Field(description="Why it is not installed; null if it is.")
    reason_text: str | None = Field(description="The reason as a sentence.")
    session: str | None = Field(description="Id of the session whose path traffic takes.")
    interface: str | None = Field(description="Network interface that traffic takes.")
    nexthop_group: int | None = Field(description="Id of the kernel nexthop group of its forwarding class.")
    candidates: list[Candidate] = Field(description="All paths.")


class RouteListing(Listing[T], Generic[T]):
    """A page of routes."""

    matching: int | None = Field(
        description="How many routes match, on all pages; null: only a look at each would tell."
    )


class RouteList(RouteListing[Route]):
    """A page of a Loc-RIB in address order, IPv4 first."""

    model_config = described(examples.listing(examples.ROUTE) | {"matching": 1})


class TableRoute(BaseModel):
    """One route of ours in a VPC's kernel route table."""

    model_config = described(examples.TABLE_ROUTE)

    prefix: str = Field(description="The prefix.")
    family: Literal["ipv4", "ipv6"] = Field(description="Address family.")
    vpc: str = Field(description="Name of the VPC.")
    table: int = Field(description="Number of the kernel route table.")
    metric: int = Field(description="Metric of the route; lower is used first.")
    nexthop_group: int = Field(description="Id of the kernel nexthop group that it names.")
    connection: str = Field(description="VPN connection that traffic takes.")
    session: str = Field(description="Id of the session (and tunnel) that traffic takes.")
    interface: str = Field(description="Network interface that traffic takes.")
    next_hop: str = Field(description="Next hop address.")
    backup_session: str | None = Field(
        description="Id of the session of the floating backup route (worse metric, for when none of our "
        "processes runs); null: there is none."
    )
    source: RouteSource = Field(
        description="`bgp`: learned; `destination_based` or `policy_based`: a static route that is published."
    )


class TableRouteList(RouteListing[TableRoute]):
    """A page of a VPC's route table in address order, IPv4 first."""

    model_config = described(examples.listing(examples.TABLE_ROUTE) | {"matching": 1})


class Event(BaseModel):
    """One entry of the event log."""

    model_config = described(examples.EVENT)

    id: int = Field(description="Rises with every event.")
    time: Timestamp = Field(description="When it happened (RFC 3339, UTC).")
    kind: EventKind = Field(description="What happened, for programs.")
    severity: Severity = Field(description="How bad it is.")
    subject: str = Field(description="Name of the resource that it is about.")
    message: str = Field(description="What happened, in a sentence.")
    data: dict[str, Any] = Field(description="Details; the members depend on `kind`.")


class EventList(Listing[Event]):
    """A page of events, oldest first."""

    model_config = described(examples.listing(examples.EVENT))


_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def _moment(given: Any) -> Any:
    """What is no RFC 3339 is refused: a bare number would be taken for seconds, or for milliseconds."""
    if isinstance(given, str) and _RFC3339.fullmatch(given) is None:
        raise ValueError("is no time with its offset from UTC, as 2025-10-09T08:41:07Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Names = Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=100)]


class EventQuery(PageQuery):
    """Filters of the event list; they combine with AND."""

    cursor: str | None = Field(
        default=None,
        max_length=20,
        pattern=r"^[0-9]+$",
        description="`next_cursor` of the page before; for events it is the id that the page goes on behind.",
    )
    order: Literal["oldest", "newest"] = Field(
        default="oldest",
        description="`newest`: the newest first, and pages go back in time. `oldest`: the oldest first; with "
        "neither `after` nor `cursor` that is one page, which ends with the newest event.",
        examples=["newest"],
    )
    after: int | None = Field(
        default=None,
        ge=0,
        le=MAX_ID,
        description="Only events with an id above this one. Without it: the latest `limit` events.",
        examples=[41],
    )
    kind: list[EventKind] | None = Field(
        default=None, description="Only events of these kinds; may be repeated.", examples=[["session.down"]]
    )
    subject: Names | None = Field(
        default=None,
        description="Only events about these: names of connections, ids of tunnels; may be repeated.",
        examples=[["conn1", "conn1-tunnel1"]],
    )
    severity: list[Severity] | None = Field(
        default=None, description="Only events so bad; may be repeated.", examples=[["warning", "error"]]
    )
    since: Moment | None = Field(
        default=None,
        description="Only events at this time or later (RFC 3339 with an offset).",
        examples=["2025-10-09T08:41:07Z"],
    )
    until: Moment | None = Field(
        default=None,
        description="Only events before this time (RFC 3339 with an offset).",
        examples=["2025-10-09T08:42:00Z"],
    )

    @field_validator("cursor")
    @classmethod
    def _cursor_is_an_id(cls, cursor: str | None) -> str | None:
        if cursor is not None and int(cursor) > MAX_ID:
            raise ValueError("is not a cursor of this list")
        return cursor

    @model_validator(mode="after")
    def _times_have_something_between(self) -> Self:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until must be later than since: nothing is between them")
        return self

    def filter(self) -> EventFilter:
        """The filter as the service takes it."""
        return EventFilter(
            kinds=_set(self.kind),
            subjects=_set(self.subject),
            severities=_set(self.severity),
            since=None if self.since is None else self.since.timestamp(),
            until=None if self.until is None else self.until.timestamp(),
        )


def _set(given: Sequence[str] | None) -> frozenset[str] | None:
    return frozenset(given) if given else None


class StreamQuery(BaseModel):
    """Parameters of the event stream."""

    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(
        default=None,
        ge=0,
        le=MAX_ID,
        description="Begin behind the event with this id, not now.",
        examples=[41],
    )
    kind: list[EventKind] | None = Field(default=None, description="Only these kinds; may be repeated.")
    subject: Names | None = Field(
        default=None, description="Only events about these; may be repeated.", examples=[["conn1"]]
    )
    severity: list[Severity] | None = Field(
        default=None, description="Only events so bad; may be repeated.", examples=[["warning", "error"]]
    )

    def filter(self) -> EventFilter:
        """The filter as the service takes it."""
        return EventFilter(kinds=_set(self.kind), subjects=_set(self.subject), severities=_set(self.severity))
