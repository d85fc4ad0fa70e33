"""BGP sessions (one per tunnel) and tunnels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.access import ActorDep, ScopedRoute, needs
from api.deps import NO_QUERY, ControlDep, PageDep, ServiceDep, decode_cursor, encode_cursor
from api.problems import documented, documented_not_made, documented_write
from api.render import Json, plain
from api.schemas import BgpSession, BgpSessionList, RestartPlan, Tunnel, TunnelList
from api.writes import WriteParameters
from bgpsvc.control import Scope
from bgpsvc.views import Page

sessions = APIRouter(prefix="/v1/bgp-sessions", tags=["BGP sessions"], route_class=ScopedRoute)
tunnels = APIRouter(prefix="/v1/tunnels", tags=["Tunnels"], route_class=ScopedRoute)

SessionId = Annotated[str, Path(description="Id of the session.", examples=["conn1-tunnel1"], max_length=256)]
TunnelId = Annotated[str, Path(description="Id of the tunnel.", examples=["conn1-tunnel1"], max_length=256)]


def _after(cursor: str | None) -> str | None:
    return None if cursor is None else decode_cursor(cursor)


def _answer(page: Page) -> Json:
    last = None if page.next_cursor is None else encode_cursor(page.next_cursor)
    return Json({"items": plain(page.items), "next_cursor": last})


@sessions.get(
    "",
    operation_id="listBgpSessions",
    summary="List BGP sessions",
    response_model=BgpSessionList,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_bgp_sessions(service: ServiceDep, page: PageDep) -> Json:
    """All sessions of all gateways, by id, with state, negotiated values, counters and last error."""
    return _answer(service.session_page(_after(page.cursor), page.limit))


@sessions.get(
    "/{id}",
    operation_id="getBgpSession",
    summary="Show a BGP session",
    response_model=BgpSession,
    responses=documented(401, 403, 404, 422),
    dependencies=[NO_QUERY],
    openapi_extra=needs(Scope.READ),
)
async def get_bgp_session(service: ServiceDep, id: SessionId) -> Json:
    """One session."""
    return Json(plain(service.session(id)))


@tunnels.get(
    "",
    operation_id="listTunnels",
    summary="List tunnels",
    response_model=TunnelList,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_tunnels(service: ServiceDep, page: PageDep) -> Json:
    """The tunnels of all connections, by id."""
    return _answer(service.tunnel_page(_after(page.cursor), page.limit))


@tunnels.get(
    "/{id}",
    operation_id="getTunnel",
    summary="Show a tunnel",
    response_model=Tunnel,
    responses=documented(401, 403, 404, 422),
    dependencies=[NO_QUERY],
    openapi_extra=needs(Scope.READ),
)
async def get_tunnel(service: ServiceDep, id: TunnelId) -> Json:
    """One tunnel."""
    return Json(plain(service.tunnel(id)))


@tunnels.post(
    "/{id}/restart",
    operation_id="restartTunnel",
    summary="Negotiate a tunnel anew",
    response_model=Tunnel | RestartPlan,
    responses={**documented(401, 403, 404, 422), **documented_not_made(), **documented_write()},
    openapi_extra=needs(Scope.OPERATE),
)
async def restart_tunnel(
    service: ServiceDep, control: ControlDep, actor: ActorDep, id: TunnelId, query: WriteParameters
) -> Json:
    """Ends the IKE and IPsec SAs of a tunnel and negotiates new ones; its traffic moves away meanwhile.

    A dry run answers what would move (`RestartPlan`)."""
    if query.dry_run:
        return Json(plain(service.restart_plan(id)))
    if service.tunnel(id).ipsec is not None:
        await control.record("restart", "tunnels", id, None, None, actor)
    return Json(plain(await service.restart_tunnel(id)))
