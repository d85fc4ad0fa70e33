"""From the frozen views of the service to JSON, without judging again what the service made itself.

Every `float` of a view is a time in Unix seconds and becomes RFC 3339 in UTC; the rest stays as it is, a
`Span` too.
The tests check each answer against the OpenAPI document, which comes from the models in `schemas`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import orjson
from fastapi import Response

from bgpsvc.views import Page

Convert = Callable[[Any], Any]


class Json(Response):
    """A JSON response of what `orjson` can write, and of mappings."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_mapping)


@functools.lru_cache(maxsize=4096)
def rfc3339(seconds: float) -> str:
    """Unix seconds to `2025-10-09T08:41:07.120Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def plain(view: Any) -> Any:
    """What JSON has words for: a view as a dict, tuples of views as lists."""
    if isinstance(view, tuple):
        return [plain(item) for item in view]
    if isinstance(view, type) or not dataclasses.is_dataclass(view):
        return view
    made: dict[str, Any] = {}
    for name, convert in _members(type(view)):  # type: ignore[arg-type]
        value = getattr(view, name)
        made[name] = value if convert is None or value is None else convert(value)
    return made


AT_ONCE = 100


async def plain_page(page: Page) -> dict[str, Any]:
    """A page for JSON. A large one takes tens of milliseconds, so others have their turn in between."""
    items: list[Any] = []
    for start in range(0, len(page.items), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        items += plain(page.items[start : start + AT_ONCE])
    return {"items": items, "next_cursor": page.next_cursor, "matching": page.matching}


@functools.cache
def _members(view: Any) -> tuple[tuple[str, Convert | None], ...]:
    hints = get_type_hints(view)
    return tuple((member.name, _conversion(hints[member.name])) for member in dataclasses.fields(view))


def _conversion(hint: Any) -> Convert | None:
    parts = {hint, *get_args(hint)}
    if float in parts:
        return rfc3339
    if Any in parts or any(dataclasses.is_dataclass(part) for part in parts):
        return plain
    return None


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
