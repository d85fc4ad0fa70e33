"""VPN gateways, their propagation switch, and their Loc-RIB."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from api.deps import NO_QUERY, IfMatch, PageDep, ServiceDep, check_if_match, keyset_page, quote_etag, stored
from api.problems import documented, documented_not_stored
from api.schemas import VpnGateway, VpnGatewayList, VpnGatewayPatch
from api.schemas_routes import RouteList, RouteQuery

router = APIRouter(prefix="/v1/vpn-gateways", tags=["VPN gateways"])

MERGE_PATCH = "application/merge-patch+json"
GatewayName = Annotated[str, Path(description="Name of the VPN gateway.", examples=["gw1"])]
ETAG_HEADER: dict[str, Any] = {
    "ETag": {
        "description": "Version of what PATCH can change; give it as If-Match.",
        "schema": {"type": "string", "examples": ['"3"']},
    }
}


async def patch_media_type(request: Request) -> None:
    """Only the two forms of a merge patch are taken: 415 for others, with Accept-Patch (RFC 5789 2.2)."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in (MERGE_PATCH, "application/json"):
        raise HTTPException(
            415,
            f"the body must be {MERGE_PATCH} or application/json, not {given or 'without Content-Type'}",
            headers={"Accept-Patch": f"{MERGE_PATCH}, application/json"},
        )


@router.get("", operation_id="listVpnGateways", summary="List VPN gateways", responses=documented(422))
async def list_vpn_gateways(service: ServiceDep, page: PageDep) -> VpnGatewayList:
    """All gateways by name."""
    return VpnGatewayList.model_validate(keyset_page(service.gateways(), lambda g: g.name, page))


@router.get(
    "/{name}",
    operation_id="getVpnGateway",
    summary="Show a VPN gateway",
    responses={200: {"headers": ETAG_HEADER}, **documented(404, 422)},
    dependencies=[NO_QUERY],
)
async def get_vpn_gateway(service: ServiceDep, response: Response, name: GatewayName) -> VpnGateway:
    """One gateway, with its ETag."""
    view = service.gateway(name)
    response.headers["ETag"] = quote_etag(view.etag)
    return VpnGateway.model_validate(view)


@router.patch(
    "/{name}",
    operation_id="updateVpnGateway",
    summary="Switch automatic propagation",
    dependencies=[NO_QUERY, Depends(patch_media_type)],
    responses={200: {"headers": ETAG_HEADER}, **documented(404, 412, 415, 422), **documented_not_stored()},
)
async def update_vpn_gateway(
    service: ServiceDep,
    response: Response,
    name: GatewayName,
    patch: Annotated[VpnGatewayPatch, Body(media_type=MERGE_PATCH)],
    if_match: IfMatch = None,
) -> VpnGateway:
    """A merge patch (RFC 7396); only `auto_propagate` can change.

    The answer comes at once, with `status` `updating` until routes and advertisements are in place.
    """
    view = service.gateway(name)
    etag = check_if_match(if_match, view.etag)
    if "auto_propagate" in patch.model_fields_set:
        view = await stored(service.set_auto_propagate(name, patch.auto_propagate, etag))
    response.headers["ETag"] = quote_etag(view.etag)
    return VpnGateway.model_validate(view)


@router.get(
    "/{name}/routes",
    operation_id="listRoutes",
    summary="List the routes of a VPN gateway",
    responses=documented(404, 422),
)
async def list_routes(
    service: ServiceDep, name: GatewayName, query: Annotated[RouteQuery, Query()]
) -> RouteList:
    """The Loc-RIB: every prefix with all its candidates, and for each loser the reason."""
    return RouteList.model_validate(service.routes(name, query.filter(), query.limit, query.cursor))
