"""Whole lists of routes as files: CSV, and NDJSON (one JSON object a line), page by page as they are made.

The columns are those of `bgpsvc get routes -o csv` and `bgpsvc get table -o csv`. A cell that a spreadsheet
would take for a formula is marked as text with an apostrophe: what peers announce must not run there.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi.responses import StreamingResponse

from api.render import plain
from bgpsvc.views import CandidateView, Page, RouteView, TableRouteView

Columns = Sequence[tuple[str, Callable[[Any], Any]]]
Next = Callable[[str], Awaitable[Page]]
"""The page behind a cursor."""
Allowed = Callable[[], Awaitable[bool]]
"""Whoever asked may go on."""

PAGE = 1000
"""Routes that are asked for at once."""
AT_ONCE = 100
"""Routes that are written before others have their turn."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def _of_best(member: str) -> Callable[[RouteView], Any]:
    """A member of the first candidate, if there is one."""

    def value(route: RouteView) -> Any:
        best: CandidateView | None = route.candidates[0] if route.candidates else None
        return None if best is None else getattr(best, member)

    return value


ROUTES: Columns = (
    ("prefix", lambda route: route.prefix),
    ("state", lambda route: route.state),
    ("tunnel", lambda route: route.session),
    ("next_hop", _of_best("next_hop")),
    ("as_path", _of_best("as_path")),
    ("paths", lambda route: len(route.candidates)),
    ("why_not_installed", lambda route: route.reason_text),
    ("interface", lambda route: route.interface),
    ("local_pref", _of_best("local_pref")),
    ("med", _of_best("med")),
    ("communities", _of_best("communities")),
    ("group", lambda route: route.nexthop_group),
)
TABLE: Columns = (
    ("prefix", lambda route: route.prefix),
    ("next_hop", lambda route: route.next_hop),
    ("interface", lambda route: route.interface),
    ("tunnel", lambda route: route.session),
    ("backup", lambda route: route.backup_session),
    ("metric", lambda route: route.metric),
    ("source", lambda route: route.source),
    ("connection", lambda route: route.connection),
    ("table", lambda route: route.table),
    ("group", lambda route: route.nexthop_group),
)


class NotAllowedAnyMore(Exception):
    """The token was revoked, or expired, while its file was sent: the connection breaks."""


def exported(
    name: str, form: str, columns: Columns, first: Page, following: Next, allowed: Allowed
) -> StreamingResponse:
    """The pages from the first one on as a file in the form `csv` or `ndjson`, called `name` and the time.

    Who reads slowly may do so for hours: before each page `allowed` is asked.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"Content-Disposition": f'attachment; filename="{name}-{moment}.{form}"'}
    write = _lines if form == "ndjson" else _rows(columns)
    head = b"" if form == "ndjson" else _csv([[title for title, _ in columns]])
    body = _body(head, write, first, following, allowed)
    return StreamingResponse(body, media_type=MEDIA_TYPES[form], headers=headers)


async def _body(
    head: bytes, write: Callable[[Sequence[Any]], bytes], page: Page, following: Next, allowed: Allowed
) -> AsyncIterator[bytes]:
    yield head
    while True:
        for portion in _portions(page.items):
            yield write(portion)
            # What goes into a socket's buffer waits for nobody.
            await asyncio.sleep(0)
        if page.next_cursor is None:
            return
        if not await allowed():
            raise NotAllowedAnyMore
        page = await following(page.next_cursor)


def _portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _lines(routes: Sequence[RouteView | TableRouteView]) -> bytes:
    return b"".join(orjson.dumps(plain(route), option=orjson.OPT_APPEND_NEWLINE) for route in routes)


def _rows(columns: Columns) -> Callable[[Sequence[Any]], bytes]:
    return lambda routes: _csv([[cell(value(route)) for _, value in columns] for route in routes])


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def cell(value: Any) -> str:
    """A value of a CSV file: nothing is empty, several have spaces between them."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return str(value)
