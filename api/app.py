"""The REST application: routes, problems, security headers, and the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import problems, schemas, schemas_routes
from api.guards import Guards
from api.routes import bgp_sessions, events, health, vpcs, vpn_connections, vpn_gateways
from bgpsvc.views import Service

KEEP_ALIVE = 15.0
DESCRIPTION = """
Shows and controls a bgpsvc daemon: BGP sessions, tunnels, routes with the reason for every choice, and the
two switches an operator has, automatic propagation and the tunnel of a connection.

Lists are pages: `{items, next_cursor}`; give `next_cursor` as `cursor` to get the next one. Times are RFC
3339 in UTC. Every error is a problem document (RFC 9457), `application/problem+json`.
"""
TAGS = [
    {"name": "BGP sessions", "description": "One session per tunnel."},
    {"name": "VPN connections", "description": "Two tunnels and the switch between them."},
    {"name": "Tunnels", "description": "Role, liveness, and which one carries traffic."},
    {"name": "VPN gateways", "description": "Automatic propagation, and the Loc-RIB with all candidates."},
    {"name": "VPCs", "description": "The route tables that learned prefixes land in."},
    {"name": "Events", "description": "What happened, as list and as stream."},
    {"name": "Health", "description": "For orchestrators and monitoring."},
]


def create_app(service: Service, *, version: str, keep_alive: float = KEEP_ALIVE) -> FastAPI:
    """The application around a running service.

    Run it with `api.server.ApiServer`, which ends the event streams at shutdown; another server has to set
    `app.state.closing` itself. `keep_alive`: seconds between the comments of an idle event stream.
    """
    app = FastAPI(
        title="bgpsvc",
        version=version,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        # The usual pages load their scripts from elsewhere; a gateway often has no way there.
        docs_url=None,
        redoc_url=None,
        # A path has one spelling; a redirect would turn the error of a client into a second request.
        redirect_slashes=False,
        responses=problems.documented_default(),
    )
    app.state.service = service
    app.state.closing = asyncio.Event()
    app.state.keep_alive = keep_alive
    problems.install(app)
    app.add_middleware(Guards)
    for router in (
        bgp_sessions.router,
        vpn_connections.connections,
        vpn_connections.tunnels,
        vpn_gateways.router,
        vpcs.router,
        events.router,
        health.router,
    ):
        app.include_router(router)
    app.openapi = _documenter(app)  # type: ignore[method-assign]
    return app


def _documenter(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with what FastAPI leaves out: problem schemas, examples, patch types."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            _add_problem_schemas(made)
            _restore_nulls(made)
            _add_examples(made)
            app.openapi_schema = made
        return app.openapi_schema

    return document


def _add_problem_schemas(made: dict[str, Any]) -> None:
    _, schema = models_json_schema(
        [(problems.Problem, "serialization"), (problems.FieldProblem, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    components = made["components"]["schemas"]
    components.update(schema["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)


def _restore_nulls(made: dict[str, Any]) -> None:
    """FastAPI drops every null of the document, also inside examples, where it means something."""
    components = made["components"]["schemas"]
    for name, model in {**vars(schemas), **vars(schemas_routes)}.items():
        if name in components and isinstance(model, type) and issubclass(model, BaseModel):
            extra = model.model_config["json_schema_extra"]
            assert isinstance(extra, dict), f"{name} has no examples"
            components[name]["examples"] = extra["examples"]


def _add_examples(made: dict[str, Any]) -> None:
    """Gives each JSON body the example of its schema, and a merge patch both of its media types."""
    components = made["components"]["schemas"]
    for path in made["paths"].values():
        for operation in path.values():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for holder in [*operation["responses"].values(), *bodies]:
                for content in holder.get("content", {}).values():
                    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                    if name and "example" not in content:
                        content["example"] = components[name]["examples"][0]
            for body in bodies:
                if vpn_gateways.MERGE_PATCH in body["content"]:
                    body["content"]["application/json"] = body["content"][vpn_gateways.MERGE_PATCH]
