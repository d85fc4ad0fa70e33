"""What the shell offers behind a command: names of what the daemon has.

A completion has no messages and nobody waits for it: where the daemon cannot be asked at once, nothing is
offered. Shells show what comes behind a tab of a name as its description, if they show any.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from bgpsvc.cli.client import Json
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import STORED, find, singular
from bgpsvc.cli.options import make_client

SECONDS = 2.0
MOST = 200
"""Names that are asked for: more are no help to anybody who types."""

Offered = list[tuple[str, str]]
"""Words, and what each is."""


def offered(ctx: typer.Context, path: str, incomplete: str, key: str = "name") -> Offered:
    """Names of the list at a path that begin so."""
    try:
        client = make_client(ctx, ctx.params.get("server"))
        items = client.get(path, {"limit": MOST}, timeout=SECONDS)["items"]
        found = [(str(item[key]), _what(item)) for item in items]
    except (CliError, LookupError, TypeError):  # whoever answers there may be no daemon of ours
        return []
    return [(name, what) for name, what in found if name.startswith(incomplete)]


def _what(item: Json) -> str:
    words = (item.get("title"), item.get("state"), item.get("status"), item.get("role"))
    return next((str(word) for word in words if word), "")


def _of(path: str, key: str = "name") -> Callable[[typer.Context, str], Offered]:
    def complete(ctx: typer.Context, incomplete: str) -> Offered:
        return offered(ctx, path, incomplete, key)

    return complete


connections = _of("/v1/vpn-connections")
gateways = _of("/v1/vpn-gateways")
tunnels = _of("/v1/tunnels", "id")
sessions = _of("/v1/bgp-sessions", "id")
tokens = _of("/v1/tokens", "id")
platforms = _of("/v1/peer-config-platforms")


def listed(ctx: typer.Context, incomplete: str) -> Offered:
    """Names of the kind that the command `get KIND` is for."""
    kind = find(ctx.info_name or "")
    if kind is None:
        return []
    return offered(ctx, f"/v1/{kind.path}", incomplete, "name" if kind.stored else "id")


def kinds(incomplete: str) -> Offered:
    """Kinds that an operator writes."""
    words = ((singular(kind.path), kind.help) for kind in STORED)
    return [(word, help) for word, help in words if word.startswith(incomplete)]


def of_kind(ctx: typer.Context, incomplete: str) -> Offered:
    """Names of the kind that the argument before this one says."""
    kind = find(str(ctx.params.get("kind") or ""))
    return [] if kind is None or not kind.stored else offered(ctx, f"/v1/{kind.path}", incomplete)
