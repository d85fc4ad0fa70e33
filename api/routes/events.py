"""The event log, as a list and as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from api import examples, sse
from api.access import ScopedRoute, needs
from api.deps import MAX_ID, ServiceDep
from api.problems import documented
from api.render import Json, plain
from api.schemas_routes import Event, EventList, EventQuery, StreamQuery
from bgpsvc.control import Scope
from bgpsvc.views import EventView

router = APIRouter(prefix="/v1/events", tags=["Events"], route_class=ScopedRoute)

STREAM_EXAMPLE = "retry: 2000\n\nid: 42\ndata: " + Event(**examples.EVENT).model_dump_json() + "\n\n"


@router.get(
    "",
    operation_id="listEvents",
    summary="List events",
    response_model=EventList,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_events(service: ServiceDep, query: Annotated[EventQuery, Query()]) -> Json:
    """What happened: behind the event `after`, or the latest, oldest first; all of it with `order=newest`.

    `after=0` begins with the oldest that is kept.
    """
    behind = None if query.cursor is None else int(query.cursor)
    if query.order == "newest":
        found = await service.latest_events(behind, query.limit + 1, query.filter(), query.after or 0)
        return _page(found[::-1], query.limit)
    after = query.after if behind is None else behind
    if after is None:
        return _page(await service.latest_events(None, query.limit, query.filter()), query.limit)
    return _page(await service.event_page(after, query.limit + 1, query.filter()), query.limit)


def _page(found: tuple[EventView, ...], limit: int) -> Json:
    page = found[:limit]
    return Json({"items": plain(page), "next_cursor": str(page[-1].id) if len(found) > limit else None})


@router.get(
    "/stream",
    operation_id="streamEvents",
    summary="Follow events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `id` is the event's id, `data` an Event as JSON. "
            "Comment lines keep the connection open.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM_EXAMPLE}},
        },
        **documented(401, 403, 422),
    },
    openapi_extra=needs(Scope.READ),
)
async def stream_events(
    request: Request,
    service: ServiceDep,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[
        int | None,
        Header(
            alias="Last-Event-ID",
            ge=0,
            le=MAX_ID,
            description="The last event seen; browsers send it when they reconnect. Goes before `after`.",
            examples=[41],
        ),
    ] = None,
) -> StreamingResponse:
    """Events as they happen (WHATWG server-sent events). Resumes behind `Last-Event-ID`. Ends within seconds
    when the token expires or is revoked."""
    begin = last_event_id if last_event_id is not None else query.after
    state = request.app.state

    async def allowed() -> bool:
        may: bool = await state.access.still(request.scope, Scope.READ)
        return may

    body = sse.stream(service, begin, query.filter(), state.closing, state.keep_alive, allowed)
    return StreamingResponse(body, media_type="text/event-stream")
