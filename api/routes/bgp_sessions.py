"""BGP sessions: one per tunnel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import NO_QUERY, PageDep, ServiceDep, keyset_page
from api.problems import documented
from api.schemas import BgpSession, BgpSessionList

router = APIRouter(prefix="/v1/bgp-sessions", tags=["BGP sessions"])


@router.get("", operation_id="listBgpSessions", summary="List BGP sessions", responses=documented(422))
async def list_bgp_sessions(service: ServiceDep, page: PageDep) -> BgpSessionList:
    """All sessions of all gateways, by id, with state, negotiated values, counters and last error."""
    return BgpSessionList.model_validate(keyset_page(service.sessions(), lambda s: s.id, page))


@router.get(
    "/{id}",
    operation_id="getBgpSession",
    summary="Show a BGP session",
    responses=documented(404, 422),
    dependencies=[NO_QUERY],
)
async def get_bgp_session(
    service: ServiceDep,
    id: Annotated[str, Path(description="Id of the session.", examples=["conn1-tunnel1"])],
) -> BgpSession:
    """One session."""
    return BgpSession.model_validate(service.session(id))
