"""The Loc-RIB of VPN gateways: its routes, the story of one prefix, and what would happen if."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse

from api import export
from api.access import BULK, ActorDep, ScopedRoute, needs
from api.bodies import body_of, read_model
from api.deps import NO_QUERY, ControlDep, ServiceDep
from api.dumps import FILE as FILE_MRT
from api.dumps import DumpResponse
from api.problems import BadPath, documented
from api.render import Json, plain, plain_page
from api.schemas_insight import Explanation, Question, SimulationOutcome
from api.schemas_route_search import FILE, RouteDumpQuery, RouteExportQuery, RouteQuery
from api.schemas_routes import RouteList
from api.waiting import while_connected
from bgpsvc import insight
from bgpsvc.control import InvalidDocument, Mistake, Scope
from bgpsvc.model import parse_address, parse_prefix

router = APIRouter(prefix="/v1/vpn-gateways", tags=["VPN gateways"], route_class=ScopedRoute)

GatewayName = Annotated[str, Path(description="Name of the VPN gateway.", examples=["gw1"], max_length=256)]
Prefix = Annotated[
    str,
    Path(
        description="A prefix, as `192.168.0.0/16` (the slash may be written `%2F`), or an address, which is "
        "answered with its longest match.",
        examples=["192.168.0.0/16"],
        max_length=64,
    ),
]


@router.get(
    "/{name}/routes",
    operation_id="listRoutes",
    summary="List the routes of a VPN gateway",
    response_model=RouteList,
    responses=documented(401, 403, 404, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_routes(
    request: Request,
    service: ServiceDep,
    actor: ActorDep,
    name: GatewayName,
    query: Annotated[RouteQuery, Query()],
) -> Json:
    """The Loc-RIB: every prefix with all its candidates, and for each loser the reason."""
    search = service.routes(name, query.filter(), query.limit, query.cursor, actor)
    return Json(await plain_page(await while_connected(request, search)))


@router.get(
    "/{name}/routes/export",
    operation_id="exportRoutes",
    summary="Export the routes of a VPN gateway",
    response_class=StreamingResponse,
    responses={200: FILE, **documented(401, 403, 404, 422)},
    openapi_extra=needs(Scope.READ),
)
async def export_routes(
    request: Request,
    service: ServiceDep,
    actor: ActorDep,
    name: GatewayName,
    query: Annotated[RouteExportQuery, Query()],
) -> StreamingResponse:
    """All routes that match, as a file. It is written while it is sent, page by page: each page shows the
    routes as they are then. A file that ends early is not whole: the connection breaks then."""
    wanted = query.filter()
    first = await while_connected(request, service.routes(name, wanted, export.PAGE, None, actor))
    return export.exported(
        f"routes-{name}",
        query.format,
        export.ROUTES,
        first,
        lambda cursor: service.routes(name, wanted, export.PAGE, cursor, actor),
        lambda: request.app.state.access.still(request.scope, Scope.READ),
    )


@router.get(
    "/{name}/routes/mrt",
    operation_id="dumpRoutes",
    summary="Dump the routes of a VPN gateway as MRT",
    response_class=StreamingResponse,
    responses={200: FILE_MRT, **documented(401, 403, 404, 422, 429)},
    openapi_extra=needs(Scope.READ),
)
async def dump_routes(
    request: Request, service: ServiceDep, name: GatewayName, query: Annotated[RouteDumpQuery, Query()]
) -> StreamingResponse:
    """All routes as a file of TABLE_DUMP_V2 (RFC 6396), as route collectors publish theirs. It holds the
    prefixes that there are when it begins, in address order, with their paths as they are when they are
    written. A file that ends early is not whole: the connection breaks then. Few are written at a time, 429
    is the answer to others."""
    dump = service.dump(name, query.which, query.families)

    async def first() -> bytes:
        return await anext(dump)

    return DumpResponse(
        f"rib-{name}-{query.which}",
        await while_connected(request, first()),
        dump,
        lambda: request.app.state.access.still(request.scope, Scope.READ),
    )


@router.get(
    "/{name}/routes/{prefix:path}/explain",
    operation_id="explainRoute",
    summary="Explain a route",
    response_model=Explanation,
    responses=documented(401, 403, 404, 422),
    dependencies=[NO_QUERY],
    openapi_extra=needs(Scope.READ),
)
async def explain_route(control: ControlDep, name: GatewayName, prefix: Prefix) -> Json:
    """The story of a prefix: who announced it, what policy said, who won at which step, which group and
    interface it uses, and why it is not in the table if it is not."""
    try:
        if "/" in prefix:
            parse_prefix(prefix)
        else:
            parse_address(prefix)
    except ValueError as error:
        raise BadPath("prefix", str(error)) from None
    return Json(plain(await control.explain(name, prefix)))


@router.post(
    "/{name}/simulate",
    operation_id="simulateVpnGateway",
    summary="Ask what would happen",
    response_model=SimulationOutcome,
    responses=documented(401, 403, 404, 415, 422),
    dependencies=[NO_QUERY],
    openapi_extra=needs(Scope.READ, body=BULK, **body_of("Question")),
)
async def simulate_vpn_gateway(request: Request, control: ControlDep, name: GatewayName) -> Json:
    """Routes that would be gained, lost or moved if tunnels failed or recovered, if propagation were
    switched, or if resources were different, all of that together. Changes nothing."""
    question = await read_model(request, Question)
    asked = insight.Question(
        fail_tunnels=tuple(question.fail_tunnels),
        recover_tunnels=tuple(question.recover_tunnels),
        auto_propagate=question.auto_propagate,
        documents=question.documents,
        samples=question.samples,
    )
    try:
        outcome = await while_connected(request, control.simulate(name, asked))
    except InvalidDocument as error:
        raise InvalidDocument([_inside(mistake) for mistake in error.mistakes]) from None
    return Json(plain(outcome))


def _inside(mistake: Mistake) -> Mistake:
    """Of a document that is a member of the body."""
    pointer = mistake.pointer
    if not pointer.startswith(("/fail_tunnels", "/recover_tunnels")):
        pointer = "/documents" + pointer
    return Mistake(pointer, mistake.value, mistake.message, mistake.allowed)
