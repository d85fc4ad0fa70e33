"""Who asks: what a client needs to know of itself before it offers anything."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import ANONYMOUS, ActorDep, ScopedRoute, needs
from api.deps import NO_QUERY, ControlDep
from api.problems import documented
from api.render import Json
from api.schemas_control import shown
from bgpsvc.control import Actor, Scope

router = APIRouter(prefix="/v1/whoami", tags=["Tokens"], route_class=ScopedRoute)

Kind = Literal["token", "unix_socket", "anonymous"]
EXAMPLE: dict[str, Any] = {
    "name": "token 4f7c2a (dashboard)",
    "kind": "token",
    "scope": "read",
    "read_only": True,
    "read_only_reason": "the resources come from /etc/bgpsvc/bgpsvc.yaml",
}


class Caller(BaseModel):
    """Who asks, and what they may do."""

    model_config = shown(EXAMPLE)

    name: str = Field(description="As the audit log names them.")
    kind: Kind = Field(
        description="`unix_socket`: who may open the daemon's socket; `anonymous`: without a token, which "
        "is served on loopback only."
    )
    scope: Scope = Field(description="What they may do; each scope includes those before it.")
    read_only: bool = Field(description="Nobody can change resources through the API.")
    read_only_reason: str | None = Field(description="Why not; null if they can be changed.")


@router.get(
    "",
    operation_id="getCaller",
    summary="Say who asks",
    response_model=Caller,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
    dependencies=[NO_QUERY],
)
async def get_caller(control: ControlDep, actor: ActorDep) -> Json:
    """Whose token this is, what it may do, and whether resources can be changed here at all."""
    reason = control.read_only
    caller = Caller(
        name=actor.name,
        kind=_kind(actor),
        scope=actor.scope,
        read_only=reason is not None,
        read_only_reason=reason,
    )
    return Json(caller.model_dump(mode="json"))


def _kind(actor: Actor) -> Kind:
    if actor.token is not None:
        return "token"
    return "anonymous" if actor.name == ANONYMOUS else "unix_socket"
