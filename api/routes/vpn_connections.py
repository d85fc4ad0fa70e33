"""The operator switch of VPN connections, and their diagnosis."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from api.access import ActorDep, ScopedRoute, needs
from api.bodies import body_of, read_model, read_optional
from api.deps import NO_QUERY, ServiceDep, stored
from api.problems import documented, documented_not_stored
from api.render import Json, plain
from api.schemas import SwitchPlan, SwitchQuery, SwitchRequest
from api.schemas_diagnosis import DiagnoseRequest, Diagnosis
from bgpsvc.control import Scope
from bgpsvc.diagnosis import Diagnosis as DiagnosisView
from bgpsvc.diagnosis import TunnelDiagnosis as TunnelView

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
    """Pins a connection to a tunnel, or gives the choice back. The same request again changes nothing.

    The way to take a tunnel out of use for maintenance: traffic moves to the other one without loss, the peer
    is asked to send there too, and it stays so, over restarts, until the choice is given back."""
    wish = await read_model(request, SwitchRequest)
    reason = (wish.reason or "").strip() or None
    return Json(plain(await stored(service.switch(name, wish.mode, query.dry_run, actor, reason))))


@router.post(
    "/{name}/diagnose",
    operation_id="diagnoseVpnConnection",
    summary="Find out why a VPN connection does not work",
    response_model=Diagnosis,
    responses=documented(401, 403, 404, 415, 422),
    dependencies=[NO_QUERY],
    openapi_extra=needs(Scope.OPERATE, **body_of("DiagnoseRequest", required=False)),
)
async def diagnose_vpn_connection(request: Request, service: ServiceDep, name: ConnectionName) -> Json:
    """Walks the layers of each tunnel and names the first that fails, with evidence and remedy.

    Sends probes and takes some seconds; changes nothing, and disturbs no tunnel. Requests for the same
    connection at the same time share one run."""
    asked = await read_optional(request, DiagnoseRequest)
    return Json(_diagnosis(await service.diagnose(name, asked.tunnel)))


def _diagnosis(found: DiagnosisView) -> dict[str, Any]:
    # Of its two numbers one is a time, as those of all views are, and the other a duration.
    return {
        **plain(found),
        "seconds": round(found.seconds, 3),
        "tunnels": [_tunnel(tunnel) for tunnel in found.tunnels],
    }


def _tunnel(found: TunnelView) -> dict[str, Any]:
    return {**plain(found), "fault": None if found.fault is None else plain(found.fault)}
