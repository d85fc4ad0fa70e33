"""Liveness, readiness and metrics, at the paths where orchestrators and Prometheus look for them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from api.access import ScopedRoute, needs
from api.deps import NO_QUERY, ControlDep, ServiceDep
from api.measured import HttpCollector
from api.problems import documented, problem
from api.schemas import Check, Health, Ready
from bgpsvc.control import Scope

router = APIRouter(tags=["Health"], dependencies=[NO_QUERY], route_class=ScopedRoute)

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
METRICS_EXAMPLE = '# TYPE bgpsvc_session_up gauge\nbgpsvc_session_up{session="conn1-tunnel1"} 1.0\n'


@router.get(
    "/healthz",
    operation_id="getHealth",
    summary="Is the process alive",
    responses=documented(422),
    # An orchestrator that is refused would kill a daemon whose only fault is that a token has expired.
    openapi_extra=needs(None),
)
async def get_health(request: Request) -> Health:
    """Answers as long as the event loop runs."""
    return Health(status="ok", version=request.app.version)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Is the service ready",
    response_model=Ready,
    responses=documented(401, 403, 422, 503),
    openapi_extra=needs(Scope.READ),
)
async def get_readiness(request: Request, service: ServiceDep) -> Response | Ready:
    """200 if every check passes; else 503 with the same checks in the problem's member `checks`."""
    view = service.ready()
    checks = {name: Check(ok=ok, detail=detail) for name, (ok, detail) in view.checks.items()}
    if view.ready:
        return Ready(ready=True, checks=checks)
    failed = [name for name, check in checks.items() if not check.ok]
    return problem(
        request,
        503,
        "not ready: " + ", ".join(failed),
        checks={name: check.model_dump() for name, check in checks.items()},
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "Prometheus text exposition format 0.0.4.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": METRICS_EXAMPLE}},
        },
        **documented(401, 403, 422),
    },
    openapi_extra=needs(Scope.READ),
)
async def get_metrics(request: Request, service: ServiceDep, control: ControlDep) -> Response:
    """All metrics of the service, and those of its REST surface."""
    state = request.app.state
    http = HttpCollector(state.requests, state.certificate_expiry, control.token_expiries())
    return Response(await service.metrics() + http.exposition(), headers={"Content-Type": PROMETHEUS})
