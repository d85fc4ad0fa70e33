"""A plan as people read it: what happens to resources, sessions, the kernel, and what peers hear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bgpsvc.cli.client import Json
from bgpsvc.cli.kinds import label_of
from bgpsvc.cli.output import GREEN, RED, YELLOW

SIGNS = {"create": ("+", GREEN), "update": ("~", YELLOW), "delete": ("-", RED)}
EFFECTS = (("tunnels", "Tunnels"), ("sessions", "BGP sessions"), ("kernel", "Kernel"), ("peers", "Peers"))
COLOURS = {
    "add": GREEN,
    "announce": GREEN,
    "remove": RED,
    "withdraw": RED,
    "reset": RED,
    "update": YELLOW,
    "move": YELLOW,
    "change": YELLOW,
}
RESET = "\x1b[0m"


def is_empty(plan: Json) -> bool:
    """True if a plan changes nothing; it may still warn."""
    return not any(plan[part] for part in ("resources", *(part for part, _ in EFFECTS)))


def lines(plan: Json, colour: bool) -> Iterator[str]:
    """A plan line by line: resources with their changed fields, then effects by where they happen."""
    for resource in plan["resources"]:
        sign, shade = SIGNS[resource["action"]]
        yield _painted(f"{sign} {label_of(resource['kind'])} {resource['name']}", shade, colour)
        if resource["action"] == "update":
            yield from (f"    {_field(change)}" for change in resource["fields"])
    for part, title in EFFECTS:
        if not plan[part]:
            continue
        yield f"{title}:"
        width = max(len(effect["action"]) for effect in plan[part])
        for effect in plan[part]:
            action = _painted(effect["action"].ljust(width), COLOURS[effect["action"]], colour)
            yield f"  {action}  {_effect(effect)}"
    for warning in plan["warnings"]:
        yield f"{_painted('warning', YELLOW, colour)}: {warning}"


def summary(plan: Json) -> str:
    """How much of each: `1 to create, 2 to update, 0 to delete`."""
    actions = [resource["action"] for resource in plan["resources"]]
    return ", ".join(f"{actions.count(action)} to {action}" for action in SIGNS)


def _effect(effect: Json) -> str:
    detail = f": {effect['detail']}" if effect["detail"] else ""
    times = f" ({effect['count']})" if effect["count"] > 1 else ""
    return f"{effect['subject']}{times}{detail}"


def _field(change: Json) -> str:
    """`tunnels.0.bgp.hold_time: 30 -> 9`; what was or becomes absent is `(none)`."""
    place = change["pointer"].lstrip("#").strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    return f"{place}: {_value(change['old'])} -> {_value(change['new'])}"


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _painted(text: str, shade: str, colour: bool) -> str:
    return f"{shade}{text}{RESET}" if colour else text
