"""The route tables of VPCs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse

from api import export
from api.access import ActorDep, ScopedRoute, needs
from api.deps import ServiceDep
from api.problems import documented
from api.render import Json, plain_page
from api.schemas_route_search import TABLE_FILE, RouteExportQuery, RouteQuery
from api.schemas_routes import TableRouteList
from api.waiting import while_connected
from bgpsvc.control import Scope

router = APIRouter(prefix="/v1/vpcs", tags=["VPCs"], route_class=ScopedRoute)

VpcName = Annotated[str, Path(description="Name of the VPC.", examples=["vpc1"], max_length=256)]


@router.get(
    "/{name}/routes",
    operation_id="listVpcRoutes",
    summary="List the route table of a VPC",
    response_model=TableRouteList,
    responses=documented(401, 403, 404, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_vpc_routes(
    request: Request,
    service: ServiceDep,
    actor: ActorDep,
    name: VpcName,
    query: Annotated[RouteQuery, Query()],
) -> Json:
    """The routes that propagation put into the VPC's kernel route table."""
    search = service.table_routes(name, query.filter(), query.limit, query.cursor, actor)
    return Json(await plain_page(await while_connected(request, search)))


@router.get(
    "/{name}/routes/export",
    operation_id="exportVpcRoutes",
    summary="Export the route table of a VPC",
    response_class=StreamingResponse,
    responses={200: TABLE_FILE, **documented(401, 403, 404, 422)},
    openapi_extra=needs(Scope.READ),
)
async def export_vpc_routes(
    request: Request,
    service: ServiceDep,
    actor: ActorDep,
    name: VpcName,
    query: Annotated[RouteExportQuery, Query()],
) -> StreamingResponse:
    """All routes that match, as a file, as `exportRoutes` does it."""
    wanted = query.filter()
    first = await while_connected(request, service.table_routes(name, wanted, export.PAGE, None, actor))
    return export.exported(
        f"table-{name}",
        query.format,
        export.TABLE,
        first,
        lambda cursor: service.table_routes(name, wanted, export.PAGE, cursor, actor),
        lambda: request.app.state.access.still(request.scope, Scope.READ),
    )
