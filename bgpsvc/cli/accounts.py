"""`bgpsvc token`, `audit`, `secrets` and `reveal`: who may do what, who did what, and what is kept secret."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, TextIO

import typer

from bgpsvc.cli import complete
from bgpsvc.cli.client import Json, path_to
from bgpsvc.cli.columns import AUDIT, TOKENS
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import stored_kind
from bgpsvc.cli.options import HELP, Output, Server, Watch, make_client, moment
from bgpsvc.cli.output import Column, Format, may_colour, run, write_list, write_object

token = typer.Typer(
    no_args_is_help=True,
    context_settings=HELP,
    help="Tokens for the API: make, list, revoke.\n\n"
    "Examples:\n\n"
    "  (umask 077; bgpsvc token create --name ci --scope admin --expires 90d > ci.token)\n\n"
    "  bgpsvc token list\n\n"
    "  bgpsvc token revoke ab12cd34",
)
secrets = typer.Typer(
    no_args_is_help=True, context_settings=HELP, help="The key that encrypts secrets at rest."
)


class Scope(StrEnum):
    """What a token may do; each includes those before it."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


def expiry(text: str) -> str:
    """RFC 3339 time that `90d`, `12h`, or a time itself, stands for. CliError if it is neither."""
    return moment(text, "mhdw")


@token.command(short_help="Make a token and print it, this once.")
def create(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Who will use it; shown in the audit log.")
    ],
    scope: Annotated[Scope, typer.Option("--scope", help="What it may do.")],
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="30m, 12h, 90d, 8w, or a time. Default: never."),
    ] = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Make a token and print it, this once: the daemon keeps only a hash of it.

    Example: (umask 077; bgpsvc token create --name ci --scope admin --expires 90d > ci.token)
    """
    body: Json = {"name": name, "scope": scope.value}
    if expires is not None:
        body["expires_at"] = expiry(expires)
    made = make_client(ctx, server).send("POST", path_to("tokens"), body)
    if not _written(made, TOKENS, output):
        typer.echo(made["token"])
    until = f", valid until {made['expires_at']}" if made["expires_at"] else ""
    typer.echo(
        f"token {made['id']} for {name}, scope {scope.value}{until}: keep it, nobody can show it again. "
        "Use it with --token-file FILE or BGPSVC_TOKEN.",
        err=True,
    )


@token.command("list")
def list_tokens(
    ctx: typer.Context, output: Output = Format.TABLE, watch: Watch = False, server: Server = None
) -> None:
    """Tokens, without their secrets."""
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        pages = client.pages(path_to("tokens"))
        if not write_list(pages, TOKENS, output, out, colour=may_colour(sys.stdout)):
            typer.echo("nothing found", err=True)

    run(draw, watch)


@token.command()
def revoke(
    ctx: typer.Context,
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the token, as in bgpsvc_ID.SECRET.", autocompletion=complete.tokens
        ),
    ],
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Make a token invalid, at once and for ever."""
    revoked = make_client(ctx, server).send("DELETE", path_to("tokens", id), None)
    if not _written(revoked, TOKENS, output):
        typer.echo(f"token {id} is revoked")


def _written(item: Json, shown: Sequence[Column], form: Format) -> bool:
    """Writes an answer in a form for programs; False if people are to read it."""
    if form in (Format.JSON, Format.YAML):
        write_object(item, form, sys.stdout)
    elif form is Format.CSV:
        write_list([[item]], shown, form, sys.stdout)
    return form not in (Format.TABLE, Format.WIDE)


def audit(
    ctx: typer.Context,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only this kind of resources.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Only resources of this name.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="WHO", help="Only what this one did.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="At most N entries.", show_default=True)
    ] = 100,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """Who changed what, from where, newest first. `-o json` has the old and the new values.

    Examples:

      bgpsvc audit --kind vpn-connection --name conn1

      bgpsvc audit --limit 1 -o json
    """
    client = make_client(ctx, server)
    key = stored_kind(kind).key if kind is not None else None
    params: Json = {"kind": key, "name": name, "actor": actor}

    def draw(out: TextIO) -> None:
        pages = client.pages(path_to("audit"), params, limit)
        if not write_list(pages, AUDIT, output, out, colour=may_colour(sys.stdout)):
            typer.echo("nothing found", err=True)

    run(draw, watch)


@secrets.callback()
def _secrets() -> None:
    """Keeps `secrets` a group although it has one command."""


@secrets.command("rotate-key", short_help="Encrypt all secrets anew with a new key.")
def rotate_key(ctx: typer.Context, output: Output = Format.TABLE, server: Server = None) -> None:
    """Make a new key for the secrets in the store and encrypt all of them anew."""
    done = make_client(ctx, server).send("POST", path_to("secrets", "rotate-key"), None)
    if _written(done, ROTATED, output):
        return
    count = done["rotated"]
    typer.echo(f"{count} secret{'' if count == 1 else 's'} encrypted with a new key")


ROTATED = (Column("ROTATED", "rotated"),)
REVEALED = (Column("PLACE", "pointer"), Column("SECRET", "secret"))


def reveal(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="Kind of the resource, as vpn-connection.", autocompletion=complete.kinds
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", autocompletion=complete.of_kind)],
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Print the secrets of a resource: pre-shared keys and BGP passwords. The audit log remembers that.

    Examples:

      bgpsvc reveal vpn-connection conn1
    """
    found_kind = stored_kind(kind)
    if found_kind.key != "vpn_connections":
        raise CliError(f"a {found_kind.label} has no secrets; a VPN connection has", 2)
    client = make_client(ctx, server)
    found = client.send("POST", path_to(found_kind.path, name, "reveal"), None)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
        return
    rows = [{"pointer": pointer, "secret": secret} for pointer, secret in found["secrets"].items()]
    if not rows:
        typer.echo(f"{name} has no secrets", err=True)
    write_list([rows], REVEALED, output, sys.stdout)
