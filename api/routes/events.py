"""The event log, as a list and as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from api import examples, sse
from api.deps import MAX_ID, ServiceDep
from api.problems import documented
from api.schemas_routes import Event, EventList, EventQuery, StreamQuery
from bgpsvc.views import Page

router = APIRouter(prefix="/v1/events", tags=["Events"])

STREAM_EXAMPLE = "retry: 2000\n\nid: 42\ndata: " + Event(**examples.EVENT).model_dump_json() + "\n\n"


@router.get("", operation_id="listEvents", summary="List events", responses=documented(422))
async def list_events(service: ServiceDep, query: Annotated[EventQuery, Query()]) -> EventList:
    """What happened, oldest first: behind the event `after`, or the latest ones."""
    after = int(query.cursor) if query.cursor is not None else query.after
    kinds = frozenset(query.kind) if query.kind else None
    if after is None:
        return EventList.model_validate(Page(service.events(None, query.limit, kinds), None))
    found = service.events(after, query.limit + 1, kinds)
    page = found[: query.limit]
    return EventList.model_validate(Page(page, str(page[-1].id) if len(found) > len(page) else None))


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
        **documented(422),
    },
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
    """Events as they happen (WHATWG server-sent events). Resumes behind `Last-Event-ID`."""
    begin = last_event_id if last_event_id is not None else query.after
    state = request.app.state
    kinds = frozenset(query.kind) if query.kind else None
    body = sse.stream(service, begin, kinds, state.closing, state.keep_alive)
    return StreamingResponse(body, media_type="text/event-stream")
