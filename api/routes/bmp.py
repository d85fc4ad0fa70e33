"""BMP monitoring stations: how they do."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import ScopedRoute, needs
from api.deps import PageDep, ServiceDep, decode_cursor, encode_cursor
from api.problems import documented
from api.render import Json, plain
from api.schemas_bmp import BmpStationList
from bgpsvc.control import Scope

router = APIRouter(prefix="/v1/bmp-stations", tags=["BGP sessions"], route_class=ScopedRoute)


@router.get(
    "",
    operation_id="listBmpStations",
    summary="List BMP stations",
    response_model=BmpStationList,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_bmp_stations(service: ServiceDep, page: PageDep) -> Json:
    """The monitoring stations that `serve --bmp` named, by name, with state, counters and last error."""
    views = sorted(service.bmp_stations(), key=lambda view: view.station)
    after = None if page.cursor is None else decode_cursor(page.cursor)
    left = [view for view in views if after is None or view.station > after]
    items, more = left[: page.limit], len(left) > page.limit
    return Json(
        {"items": plain(tuple(items)), "next_cursor": encode_cursor(items[-1].station) if more else None}
    )
