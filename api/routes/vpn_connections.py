"""VPN connections, their operator switch, and their tunnels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import NO_QUERY, PageDep, ServiceDep, keyset_page, stored
from api.problems import documented, documented_not_stored
from api.schemas import (
    SwitchPlan,
    SwitchQuery,
    SwitchRequest,
    Tunnel,
    TunnelList,
    VpnConnection,
    VpnConnectionList,
)
from bgpsvc.views import NotFound

connections = APIRouter(prefix="/v1/vpn-connections", tags=["VPN connections"])
tunnels = APIRouter(prefix="/v1/tunnels", tags=["Tunnels"])

ConnectionName = Annotated[str, Path(description="Name of the VPN connection.", examples=["conn1"])]


@connections.get(
    "", operation_id="listVpnConnections", summary="List VPN connections", responses=documented(422)
)
async def list_vpn_connections(service: ServiceDep, page: PageDep) -> VpnConnectionList:
    """All connections by name, each with both tunnels and the one that carries traffic."""
    return VpnConnectionList.model_validate(keyset_page(service.connections(), lambda c: c.name, page))


@connections.get(
    "/{name}",
    operation_id="getVpnConnection",
    summary="Show a VPN connection",
    responses=documented(404, 422),
    dependencies=[NO_QUERY],
)
async def get_vpn_connection(service: ServiceDep, name: ConnectionName) -> VpnConnection:
    """One connection."""
    return VpnConnection.model_validate(service.connection(name))


@connections.post(
    "/{name}/switch",
    operation_id="switchVpnConnection",
    summary="Choose the tunnel of a VPN connection",
    responses={**documented(404, 422), **documented_not_stored()},
)
async def switch_vpn_connection(
    service: ServiceDep,
    name: ConnectionName,
    request: SwitchRequest,
    query: Annotated[SwitchQuery, Query()],
) -> SwitchPlan:
    """Pins a connection to a tunnel, or gives the choice back. The same request again changes nothing."""
    return SwitchPlan.model_validate(await stored(service.switch(name, request.mode, query.dry_run)))


@tunnels.get("", operation_id="listTunnels", summary="List tunnels", responses=documented(422))
async def list_tunnels(service: ServiceDep, page: PageDep) -> TunnelList:
    """The tunnels of all connections, by id."""
    known = [tunnel for connection in service.connections() for tunnel in connection.tunnels]
    return TunnelList.model_validate(keyset_page(known, lambda t: t.id, page))


@tunnels.get(
    "/{id}",
    operation_id="getTunnel",
    summary="Show a tunnel",
    responses=documented(404, 422),
    dependencies=[NO_QUERY],
)
async def get_tunnel(
    service: ServiceDep, id: Annotated[str, Path(description="Id of the tunnel.", examples=["conn1-tunnel1"])]
) -> Tunnel:
    """One tunnel."""
    known = {tunnel.id: tunnel for connection in service.connections() for tunnel in connection.tunnels}
    if id not in known:
        raise NotFound("tunnel", id, tuple(known))
    return Tunnel.model_validate(known[id])
