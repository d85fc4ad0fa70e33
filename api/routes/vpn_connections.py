"""The operator switch of VPN connections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.access import ActorDep, ScopedRoute, needs
from api.bodies import body_of, read_model
from api.deps import ServiceDep, stored
from api.problems import documented, documented_not_stored
from api.render import Json, plain
from api.schemas import SwitchPlan, SwitchQuery, SwitchRequest
from bgpsvc.control import Scope

router = APIRouter(prefix="/v1/vpn-connections", tags=["VPN connections"], route_class=ScopedRoute)

ConnectionName = Annotated[
    str, Path(description="Name of the VPN connection.", examples=["conn1"], max_length=256)
]


@router.post(
    "/{name}/switch",
    operation_id="switchVpnConnection",
    summary="Choose the tunnel of a VPN connection",
    response_model=SwitchPlan,
    responses={**documented(401, 403, 404, 415, 422), **documented_not_stored()},
    openapi_extra=needs(Scope.OPERATE, **body_of("SwitchRequest")),
)
async def switch_vpn_connection(
    request: Request,
    service: ServiceDep,
    actor: ActorDep,
    name: ConnectionName,
    query: Annotated[SwitchQuery, Query()],
) -> Json:
    """Pins a connection to a tunnel, or gives the choice back. The same request again changes nothing."""
    wish = await read_model(request, SwitchRequest)
    return Json(plain(await stored(service.switch(name, wish.mode, query.dry_run, actor))))
