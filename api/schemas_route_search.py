"""How route lists are asked for: filters, pages, files."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api import examples
from api.deps import PageQuery
from api.schemas_routes import Route, TableRoute
from bgpsvc.model import Family
from bgpsvc.port import MatchKind, RouteFilter
from bgpsvc.views import RouteState


class RouteFilters(BaseModel):
    """Filters of route lists; they combine with AND."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(
        default=None,
        max_length=256,
        description="Free text in place of the filters below, words that combine with AND: a prefix "
        "(`192.168.0.0/16`, or its beginning, `192.168.`: it and all inside it), an address (all that "
        "contain it), an AS number (`AS65500`), a community (`65500:100`, `65500:1:2`, `no-export`), the id "
        "of a session, `ipv4` or `ipv6`, a state.",
        examples=["192.168. AS65500"],
    )
    prefix: str | None = Field(
        default=None,
        max_length=64,
        description="A prefix, as `10.0.0.0/8`; with `match=best` and `match=covering` also a bare address.",
        examples=["192.168.0.0/16"],
    )
    match: MatchKind | None = Field(
        default=None,
        description="How `prefix` selects. `exact` (the default): that prefix; `longer`: it and all inside "
        "it; `covering`: it and all that contain it; `best`: the longest match of the address.",
        examples=["longer"],
    )
    family: Literal["ipv4", "ipv6"] | None = Field(default=None, description="Address family.")
    session: str | None = Field(
        default=None,
        max_length=256,
        description="Id of a session: prefixes that it announces.",
        examples=["conn1-tunnel1"],
    )
    asn: int | None = Field(
        default=None,
        ge=0,
        le=4294967295,
        description="An AS number: prefixes with a path whose AS path contains it.",
        examples=[65500],
    )
    community: str | None = Field(
        default=None,
        max_length=64,
        description="A community, `65500:100`, a large one, `65500:1:2`, or a well-known name, `no-export`.",
        examples=["65500:100"],
    )
    state: RouteState | None = Field(default=None, description="State of the route.", examples=["installed"])

    @model_validator(mode="after")
    def _match_needs_prefix(self) -> Self:
        if self.match is not None and self.prefix is None:
            raise ValueError("match needs prefix: it says how prefix selects")
        return self

    def filter(self) -> RouteFilter:
        """The filter as the service takes it."""
        return RouteFilter(
            prefix=self.prefix,
            match=self.match or "exact",
            family=self.family,
            session=self.session,
            asn=self.asn,
            community=self.community,
            state=self.state,
            q=self.q,
        )


class RouteQuery(PageQuery, RouteFilters):
    """Which page of a list of routes."""


class RouteExportQuery(RouteFilters):
    """Which routes to export, and how."""

    format: Literal["csv", "ndjson"] = Field(
        description="`csv`: a line for each route, with the columns of `bgpsvc get routes -o csv`; `ndjson`: "
        "a line for each, the JSON object of the list.",
        examples=["csv"],
    )


class RouteDumpQuery(BaseModel):
    """Which routes to write as MRT."""

    model_config = ConfigDict(extra="forbid")

    which: Literal["received", "best"] = Field(
        default="received",
        description="`received`: every path as its peer sent it, before policy, refused and stale ones "
        "included (Adj-RIB-In). `best`: for each prefix the path that the decision chose, as policies made "
        "it (Loc-RIB).",
    )
    family: Literal["ipv4", "ipv6"] | None = Field(
        default=None, description="Address family; both if none is given.", examples=["ipv4"]
    )

    @property
    def families(self) -> tuple[Family, ...]:
        """Those to write, in order."""
        return tuple(family for family in Family if self.family in (None, family.label))


def _file(csv: str, ndjson: BaseModel) -> dict[str, Any]:
    """The response of an export, for the OpenAPI document."""
    text = {"type": "string"}
    return {
        "description": "The file; `Content-Disposition` names it.",
        "content": {
            "text/csv": {"schema": text, "example": csv},
            "application/x-ndjson": {"schema": text, "example": ndjson.model_dump_json() + "\n"},
        },
    }


FILE = _file(
    "prefix,state,tunnel,next_hop,as_path,paths,why_not_installed,interface,local_pref,med,communities,group\n"
    "192.168.0.0/16,installed,conn1-tunnel1,169.254.10.2,65500,2,,conn1-tunnel1,200,,65500:100,671088641\n",
    Route.model_validate(examples.ROUTE),
)
TABLE_FILE = _file(
    "prefix,next_hop,interface,tunnel,backup,metric,source,connection,table,group\n"
    "192.168.0.0/16,169.254.10.2,conn1-tunnel1,conn1-tunnel1,conn1-tunnel2,100,bgp,conn1,1001,671088641\n",
    TableRoute.model_validate(examples.TABLE_ROUTE),
)
