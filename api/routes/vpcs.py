"""The route tables of VPCs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.access import ScopedRoute, needs
from api.deps import ServiceDep
from api.problems import documented
from api.render import Json, plain
from api.schemas_routes import RouteQuery, TableRouteList
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
async def list_vpc_routes(service: ServiceDep, name: VpcName, query: Annotated[RouteQuery, Query()]) -> Json:
    """The routes that propagation put into the VPC's kernel route table."""
    return Json(plain(service.table_routes(name, query.filter(), query.limit, query.cursor)))
