"""Switching automatic propagation where resources come from a file: the one field that can change there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.deps import check_if_match, stored
from bgpsvc.control import (
    Actor,
    Control,
    FieldChange,
    InvalidDocument,
    Mistake,
    Plan,
    PlannedResource,
    ReadOnly,
    Written,
)
from bgpsvc.port import Service

FIELD = "auto_propagate"
KIND = "vpn_gateways"


async def patch_read_only(
    service: Service,
    control: Control,
    name: str,
    patch: Mapping[str, Any],
    if_match: str | None,
    dry_run: bool,
    actor: Actor,
) -> Written:
    """A patch of a VPN gateway. ReadOnly for any other field, and as `Service.set_auto_propagate`."""
    view = service.gateway(name)
    etag = check_if_match(if_match, view.etag)
    others = sorted(patch.keys() - {FIELD})
    if others:
        raise ReadOnly(
            f"{control.read_only}, and are changed there: only {FIELD} can change here, not {others[0]}"
        )
    wish = patch.get(FIELD, view.auto_propagate)
    if not isinstance(wish, bool):
        raise InvalidDocument(
            [Mistake(f"/{FIELD}", str(wish)[:80], "is neither true nor false", "true or false")]
        )
    changes = (FieldChange(f"/{FIELD}", view.auto_propagate, wish),) if wish != view.auto_propagate else ()
    plan = Plan(resources=(PlannedResource("update", KIND, name, changes),) if changes else ())
    if not dry_run:
        await stored(service.set_auto_propagate(name, wish, etag, actor))
    return Written(plan, control.resource(KIND, name), dry_run=dry_run)
