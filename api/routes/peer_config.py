"""Configurations for the other side of a VPN connection, to be downloaded, and the platforms there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from api import examples_peer_config as examples
from api.access import ActorDep, ScopedRoute, forbidden, needs
from api.deps import ControlDep, PageDep, decode_cursor, encode_cursor
from api.problems import documented, documented_write
from api.render import Json
from api.routes.vpn_connections import ConnectionName
from api.schemas_peer_config import PeerConfigPlatforms, PeerConfigQuery
from bgpsvc.control import Scope
from bgpsvc.peerconfig.facts import IPNetwork
from bgpsvc.peerconfig.platforms import Platform
from bgpsvc.peerconfig.render import BrokenTemplate, UnknownPlatform, platforms, render
from bgpsvc.peerconfig.words import Unsupported
from bgpsvc.port import InvalidQuery
from bgpsvc.resources.fields import AdvertisedPrefix

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", tags=["VPN connections"], route_class=ScopedRoute)
_NETWORK: TypeAdapter[IPNetwork] = TypeAdapter(AdvertisedPrefix)


@router.get(
    "/vpn-connections/{name}/peer-config",
    operation_id="getPeerConfiguration",
    summary="The configuration of a VPN connection's other side",
    response_class=Response,
    responses={
        200: {
            "description": "For a device of that platform. Content-Disposition proposes a file name.",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": examples.TEXT},
                "application/json": {
                    "schema": {"type": "object", "additionalProperties": True},
                    "example": {"connection": "conn1"},
                },
            },
        },
        **documented_write(401, 403, 404, 422),
    },
    openapi_extra=needs(Scope.READ),
)
async def get_peer_configuration(
    request: Request,
    control: ControlDep,
    actor: ActorDep,
    name: ConnectionName,
    query: Annotated[PeerConfigQuery, Query()],
) -> Response:
    """Both tunnels with IKE, IPsec, addresses, BGP and BFD, in the words of the platform.

    Lines with `EDIT` name what only the operator of that device knows. A platform that cannot do what the
    connection asks for is refused with the reason, and what it can do instead."""
    if query.secrets and not actor.scope.includes(Scope.ADMIN):
        raise forbidden(actor, Scope.ADMIN)
    networks = [*_networks(query.network)]
    directory: Path | None = request.app.state.peer_config_dir
    try:
        # In a thread: templates are files, and the operator's may be on a slow disk.
        known = await asyncio.to_thread(platforms, directory)
        if query.platform not in known:
            raise UnknownPlatform(query.platform, tuple(known))
        facts = await control.peer_facts(name, query.platform, networks, query.secrets, actor)
        made = await asyncio.to_thread(render, facts, query.platform, directory)
    except UnknownPlatform as error:
        raise InvalidQuery(
            "platform", f"{error.name!r} is no platform; allowed: {', '.join(error.names)}"
        ) from None
    except Unsupported as error:
        raise InvalidQuery("platform", f"{query.platform} cannot be the other side: {error}") from None
    except BrokenTemplate as error:
        raise _broken(error) from None
    return Response(
        made.text,
        media_type=made.media_type,
        headers={"Content-Disposition": f'attachment; filename="{made.filename}"'},
    )


@router.get(
    "/peer-config-platforms",
    operation_id="listPeerConfigurationPlatforms",
    summary="List platforms for the other side's configuration",
    response_model=PeerConfigPlatforms,
    responses=documented(401, 403, 422),
    openapi_extra=needs(Scope.READ),
)
async def list_peer_configuration_platforms(request: Request, page: PageDep) -> Json:
    """What `peer-config` can be asked for: ours, and those of the operator's directory."""
    try:
        known = await asyncio.to_thread(platforms, request.app.state.peer_config_dir)
    except BrokenTemplate as error:
        raise _broken(error) from None
    names = list(known)
    after = None if page.cursor is None else decode_cursor(page.cursor)
    if after is not None and after not in known:
        raise InvalidQuery("cursor", "is not a cursor of this list")
    rest = names if after is None else names[names.index(after) + 1 :]
    shown = rest[: page.limit]
    return Json(
        {
            "items": [_shown(known[name]) for name in shown],
            "next_cursor": encode_cursor(shown[-1]) if len(rest) > len(shown) else None,
        }
    )


def _shown(platform: Platform) -> dict[str, Any]:
    return {
        "name": platform.name,
        "title": platform.title,
        "extension": platform.extension,
        "notes": platform.notes,
        "media_type": platform.media_type,
        "built_in": platform.built_in,
    }


def _networks(given: Iterable[str]) -> Iterable[IPNetwork]:
    for text in given:
        try:
            yield _NETWORK.validate_python(text)
        except ValidationError as error:
            raise InvalidQuery("network", f"{text[:80]!r}: {error.errors()[0]['msg']}") from None


def _broken(error: BrokenTemplate) -> HTTPException:
    # A mistake of the operator's own: whoever asks is told where, and so is the log.
    log.error("a template of a peer configuration is broken: %s", error)
    return HTTPException(500, f"the template is broken: {error}")
