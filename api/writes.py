"""What operations that write have in common: their parameters, and the form of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.bodies import fingerprint
from api.deps import ControlDep, check_if_match, quote_etag
from api.render import Json, plain
from api.shapes import Shape
from bgpsvc.control import Control, ResourceView, WriteOptions, Written
from bgpsvc.port import NotFound, PreconditionFailed, Service

REPLAYED = "Idempotency-Replayed"
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="ETags that the resource may have for the request to be carried out (RFC 9110 13.1.1); "
        "`*` or no header: any.",
        examples=['"3"'],
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Any text that was not used before: however often the request arrives, it is carried out "
        "once, and answered the same (with the header Idempotency-Replayed).",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]


class WriteQuery(BaseModel):
    """Parameters of a write; a mistyped `dry_run` must not become the real thing."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(
        default=False,
        description="Change nothing; check everything and say what would change.",
        examples=[True],
    )


class ApplyQuery(WriteQuery):
    """Parameters of applying a configuration."""

    prune: bool = Field(
        default=False, description="Delete the resources that the document does not have.", examples=[False]
    )


WriteParameters = Annotated[WriteQuery, Query()]
ApplyParameters = Annotated[ApplyQuery, Query()]
HEADERS: dict[str, Any] = {
    "ETag": {
        "description": "Version of the resource; give it as If-Match.",
        "schema": {"type": "string"},
        "example": '"3"',
    }
}
REPLAY_HEADER: dict[str, Any] = {
    REPLAYED: {
        "description": "`true` if the Idempotency-Key was used before and nothing was done now.",
        "schema": {"type": "string", "enum": ["true"]},
        "required": False,
    }
}
LOCATION: dict[str, Any] = {
    "Location": {"description": "Path of the resource.", "schema": {"type": "string"}}
}


async def options(
    request: Request, dry_run: bool, key: str | None = None, etag: str | None = None
) -> WriteOptions:
    """How to write. A dry run is not remembered: nothing came of it."""
    remembered = None if dry_run else key
    return WriteOptions(
        dry_run=dry_run,
        etag=etag,
        idempotency_key=remembered,
        fingerprint="" if remembered is None else await fingerprint(request),
    )


def expected_etag(if_match: str | None, current: Callable[[], str]) -> str | None:
    """The ETag for the write to insist on, None for any.

    A header that does not name the current one becomes nobody's ETag (they have no quotes): the write is
    refused then, unless it repeats one that was carried out and changed the ETag itself (`Idempotency-Key`).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    try:
        return check_if_match(if_match, current())
    except (PreconditionFailed, NotFound):
        return quote_etag(if_match)


def headers_of(written: Written) -> dict[str, str]:
    """Headers of every write."""
    return {REPLAYED: "true"} if written.replayed else {}


def answer_planned(written: Written) -> Json:
    """A dry run, or a write that leaves no single resource to show."""
    return Json({"dry_run": written.dry_run, "plan": plain(written.plan)}, headers=headers_of(written))


def answer_written(
    service: Service,
    control: ControlDep,
    shape: Shape,
    written: Written,
    status: int,
    headers: dict[str, str] | None = None,
) -> Json:
    """The resource as it is now, with the plan of what changes."""
    if written.dry_run or written.resource is None:
        return answer_planned(written)
    body = shape.show(service, control, written.resource)
    body["plan"] = plain(written.plan)
    found = {"ETag": quote_etag(body["etag"]), **headers_of(written), **(headers or {})}
    return Json(body, status, found)


def answer_resource(service: Service, control: Control, shape: Shape, view: ResourceView) -> Json:
    """One resource with its ETag."""
    body = shape.show(service, control, view)
    return Json(body, headers={"ETag": quote_etag(body["etag"])})
