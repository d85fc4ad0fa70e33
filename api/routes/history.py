"""What tunnels carried lately."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.access import ScopedRoute, needs
from api.deps import ServiceDep
from api.problems import documented
from api.render import Json, plain
from api.routes.bgp_sessions import TunnelId
from api.schemas_history import HistoryQuery, TunnelHistory
from bgpsvc.control import Scope

router = APIRouter(prefix="/v1/tunnels", tags=["Tunnels"], route_class=ScopedRoute)


@router.get(
    "/{id}/history",
    operation_id="getTunnelHistory",
    summary="Show what a tunnel carried lately",
    response_model=TunnelHistory,
    responses=documented(401, 403, 404, 422),
    openapi_extra=needs(Scope.READ),
)
async def get_tunnel_history(
    service: ServiceDep, id: TunnelId, query: Annotated[HistoryQuery, Query()]
) -> Json:
    """Traffic, prefixes, and when it carried the connection's traffic, up to the last interval that is over.

    The daemon keeps this in memory: it begins anew when the daemon is started again, and for a tunnel that is
    made. Rates go on over rekeying and over a negotiation anew; where its network interface was replaced,
    the interval has none. Whoever needs more than a day scrapes `/metrics`."""
    return Json(plain(service.tunnel_history(id, query.window)))
