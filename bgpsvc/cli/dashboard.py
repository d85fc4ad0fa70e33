"""`bgpsvc dashboard`: the address at which the dashboard opens signed in.

The address has a token in its fragment, the part behind `#`, which a browser sends to nobody (RFC 9110 4.2.5)
and the page takes out of the address bar before it does anything else. So the token is in no request, in no
log, and in no process's arguments; it is as good as a password until it expires.
"""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bgpsvc.cli.accounts import Scope, expiry
from bgpsvc.cli.client import DEFAULT_SERVER, Json, is_loopback, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import Server, make_client

URL = "BGPSVC_DASHBOARD_URL"


def dashboard(
    ctx: typer.Context,
    scope: Annotated[Scope, typer.Option("--scope", help="What one may do there.")] = Scope.OPERATE,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="When the token ends: 30m, 12h, 8w, or a time.")
    ] = "12h",
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Who will use it; shown in the audit log.")
    ] = "dashboard",
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help=f"Where the browser reaches the daemon. Default: ${URL}, else the server that is asked, "
            f"else {DEFAULT_SERVER}.",
        ),
    ] = None,
    server: Server = None,
) -> None:
    """Make a token and print the address at which the dashboard opens signed in with it.

    Whoever has the address has the token: do not pass it on. `bgpsvc token revoke` ends it at once.

    Examples:

      bgpsvc dashboard

      bgpsvc dashboard --scope admin --expires 30m

      bgpsvc dashboard --url https://gw1.example:8179
    """
    client = make_client(ctx, server)
    base = base_url(url, client.server)
    body: Json = {"name": name, "scope": scope.value, "expires_at": expiry(expires)}
    made = client.send("POST", path_to("tokens"), body)
    typer.echo(f"{base}#token={made['token']}")
    ident = made["id"]
    typer.echo(
        f"token {ident} for {name}, scope {scope.value}, valid until {made['expires_at']}: open the address "
        f"in a browser, and pass it on to nobody. `bgpsvc token revoke {ident}` ends it.",
        err=True,
    )


def base_url(given: str | None, server: str) -> str:
    """Where a browser reaches the daemon, ending in a slash: as it was said, else where the command asked.

    CliError if that is no address of a page, which has neither a query nor a fragment nor a user's name, or
    if the token would cross the network in clear.
    """
    source, text = ("--url", given) if given is not None else (URL, os.environ.get(URL) or None)
    if text is None:
        asked = server if "://" in server else f"http://{server}"
        source, text = "--server", DEFAULT_SERVER if server.startswith("unix:") else asked
    refused = f"{source}: {text!r} is no address of a dashboard: give http[s]://HOST[:PORT][/PATH]"
    try:
        parts = urlsplit(text)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        raise CliError(refused, 2) from None
    plain = not re.search(r"[\s?#@\\]", text) and text.isprintable()
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise CliError(refused, 2)
    if parts.scheme == "http" and not is_loopback(host):
        raise CliError(
            f"{source}: the token would cross the network to {host} readable for all: use https://{host}", 2
        )
    return text if parts.path.endswith("/") else f"{text}/"
