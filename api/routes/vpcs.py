"""VPCs and their route tables."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import NO_QUERY, PageDep, ServiceDep, keyset_page
from api.problems import documented
from api.schemas import Vpc, VpcList
from api.schemas_routes import RouteQuery, TableRouteList

router = APIRouter(prefix="/v1/vpcs", tags=["VPCs"])

VpcName = Annotated[str, Path(description="Name of the VPC.", examples=["vpc1"])]


@router.get("", operation_id="listVpcs", summary="List VPCs", responses=documented(422))
async def list_vpcs(service: ServiceDep, page: PageDep) -> VpcList:
    """All VPCs by name."""
    return VpcList.model_validate(keyset_page(service.vpcs(), lambda v: v.name, page))


@router.get(
    "/{name}",
    operation_id="getVpc",
    summary="Show a VPC",
    responses=documented(404, 422),
    dependencies=[NO_QUERY],
)
async def get_vpc(service: ServiceDep, name: VpcName) -> Vpc:
    """One VPC."""
    return Vpc.model_validate(service.vpc(name))


@router.get(
    "/{name}/routes",
    operation_id="listVpcRoutes",
    summary="List the route table of a VPC",
    responses=documented(404, 422),
)
async def list_vpc_routes(
    service: ServiceDep, name: VpcName, query: Annotated[RouteQuery, Query()]
) -> TableRouteList:
    """The routes that propagation put into the VPC's kernel route table."""
    return TableRouteList.model_validate(
        service.table_routes(name, query.filter(), query.limit, query.cursor)
    )
