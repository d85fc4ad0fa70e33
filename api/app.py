"""The REST application: routes, problems, security headers, and who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.routing import BaseRoute

from api import dashboard, openapi, problems
from api.access import Access, ScopedRoute, needs
from api.deps import NO_QUERY
from api.guards import Guards
from api.limits import Limits
from api.measured import Measured, Requests
from api.observed import Observed
from api.render import Json
from api.routes import (
    accounts,
    bgp_sessions,
    bmp,
    configuration,
    events,
    health,
    history,
    peer_config,
    resources,
    vpcs,
    vpn_connections,
    vpn_gateways,
    whoami,
)
from bgpsvc.control import Control, Scope
from bgpsvc.port import Service
from bgpsvc.tracing import NOT_TRACED, Tracer

KEEP_ALIVE = 15.0
DESCRIPTION = """
Shows and controls a bgpsvc daemon: VPCs, VPN gateways, connections, routes and policies; BGP sessions,
tunnels, and learned routes with the reason for every choice.

Resources are documents: `POST` and `PUT` take one, `PATCH` a merge patch of it, `config` shows it with
defaults filled in and secrets masked. Writes are answered once they are stored; `status` says when they are
in effect. `?dry_run=true` on any write changes nothing and tells the plan.

Lists are pages: `{items, next_cursor}`; give `next_cursor` as `cursor` to get the next one. Times are RFC
3339 in UTC. Every error is a problem document (RFC 9457), `application/problem+json`. `x-required-scope` of
an operation is what a token must have for it: each of read, operate and admin includes those before it.
"""
TAGS = [
    {"name": "VPCs", "description": "Networks, and the route tables that learned prefixes land in."},
    {"name": "VPN gateways", "description": "Automatic propagation, and the Loc-RIB with all candidates."},
    {"name": "Customer gateways", "description": "The other sides."},
    {"name": "VPN connections", "description": "Two tunnels, the switch between them, a diagnosis."},
    {"name": "Routing policies", "description": "What is accepted from peers and announced to them."},
    {"name": "Destination-based routes", "description": "Static routes, longest match first."},
    {"name": "Policy-based routes", "description": "Routes by source and destination, by priority."},
    {"name": "Custom VPC routes", "description": "Routes of your own in a VPC's table."},
    {"name": "Configuration", "description": "All resources as one document."},
    {"name": "BGP sessions", "description": "One session per tunnel."},
    {"name": "Tunnels", "description": "Role, IPsec, liveness, and which one carries traffic."},
    {"name": "Events", "description": "What happened, as list and as stream."},
    {"name": "Tokens", "description": "Who may ask."},
    {"name": "Audit", "description": "Who changed what."},
    {"name": "Secrets", "description": "The key that they are encrypted with."},
    {"name": "Health", "description": "For orchestrators and monitoring."},
]

_document = APIRouter(route_class=ScopedRoute)


@_document.get(
    "/openapi.json", include_in_schema=False, openapi_extra=needs(Scope.READ), dependencies=[NO_QUERY]
)
async def get_openapi(request: Request) -> Json:
    """The OpenAPI document."""
    return Json(request.app.openapi())


def create_app(
    service: Service,
    control: Control,
    *,
    version: str,
    anonymous: Scope | None = None,
    limits: Limits | None = None,
    peer_config_dir: Path | None = None,
    keep_alive: float = KEEP_ALIVE,
    tracer: Tracer = NOT_TRACED,
    log_requests: bool = False,
) -> FastAPI:
    """The application around a running service.

    `anonymous` is what requests without a token may do over TCP (None: nothing); over a unix socket they may
    do everything. Run it with `api.server`, which ends the event streams at shutdown; another server has to
    set `app.state.closing` itself. `keep_alive`: seconds between the comments of an idle event stream, and
    after which it looks whether its token is still good. `peer_config_dir` has templates of the operator's
    own. `log_requests`: the log has a line for each request.
    """
    app = FastAPI(
        title="bgpsvc",
        version=version,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        # The usual pages load their scripts from elsewhere; a gateway often has no way there.
        docs_url=None,
        redoc_url=None,
        # The built-in one asks nobody who they are.
        openapi_url=None,
        # A path has one spelling; a redirect would turn the error of a client into a second request.
        redirect_slashes=False,
        responses=problems.documented_default(),
    )
    app.state.service = service
    app.state.control = control
    app.state.access = Access(control, anonymous, limits or Limits())
    app.state.closing = asyncio.Event()
    app.state.keep_alive = keep_alive
    app.state.requests = Requests()
    app.state.certificate_expiry = None
    app.state.peer_config_dir = peer_config_dir
    problems.install(app)
    app.add_middleware(Guards, anonymous=anonymous is not None)
    if tracer.on or log_requests:
        app.add_middleware(Observed, tracer=tracer, logged=log_requests)
    app.add_middleware(Measured, requests=app.state.requests)  # the outermost: what others refuse counts too
    routers = _routers()
    app.state.routes = [route for router in routers for route in guarded(router.routes)]
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


def warm_up(app: FastAPI) -> None:
    """Build what all routes need, which FastAPI does when the first request comes.

    It takes a tenth of a second or more, in which the event loop would do nothing else; this may run in a
    thread.
    """
    nowhere = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    for route in app.router.routes:
        route.matches(nowhere)


def _routers() -> list[APIRouter]:
    # A path with a fixed end goes before one that takes any name there.
    return [
        vpn_gateways.router,
        vpcs.router,
        vpn_connections.router,
        peer_config.router,
        *resources.routers(),
        configuration.router,
        bgp_sessions.sessions,
        bgp_sessions.tunnels,
        bmp.router,
        history.router,
        events.router,
        whoami.router,
        accounts.tokens,
        accounts.audit,
        accounts.secrets,
        health.router,
        _document,
        dashboard.router(),
    ]


def guarded(routes: list[BaseRoute]) -> Iterator[ScopedRoute]:
    """The routes, if each declares the scope it needs: an operation that nobody guards is not served."""
    for route in routes:
        if not isinstance(route, ScopedRoute):
            raise TypeError(
                f"{route} does not say which scope it needs: its router must have route_class=ScopedRoute"
            )
        yield route
