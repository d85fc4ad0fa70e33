"""`bgpsvc get`: lists of resources."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, TextIO

import typer
import typer.core

from bgpsvc.cli import columns, complete
from bgpsvc.cli.client import Client, Json, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import LISTS, Listed, find
from bgpsvc.cli.options import (
    HELP,
    GatewayOption,
    Output,
    Server,
    Watch,
    check_session,
    make_client,
    moment,
    parse_asn,
    route_query,
    the_only,
)
from bgpsvc.cli.output import WATCH_SECONDS, Column, Format, Table, may_colour, run, write_list, write_object


class Plurals(typer.core.TyperGroup):
    """Takes `get session` and `get bgp-sessions` for `get sessions` and so on, as kubectl does."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, of its plural, or of another name of that kind."""
        kind = find(cmd_name)
        name = kind.name if kind is not None else cmd_name
        return super().get_command(ctx, name) or super().get_command(ctx, f"{name}s")

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """As the parent; CliError with all that can be listed for a word that means none of it."""
        if self.get_command(ctx, args[0]) is None:
            raise CliError(f"{args[0]!r} is nothing to list; there is {', '.join(self.commands)}", 2)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Plurals,
    no_args_is_help=True,
    context_settings=HELP,
    help="List resources.\n\n"
    "Examples:\n\n"
    "  bgpsvc get sessions -o wide\n\n"
    "  bgpsvc get routes 192.168.0.0/16 --longer\n\n"
    "  bgpsvc get tunnels conn1-tunnel1 -o json\n\n"
    "  bgpsvc get events --watch",
)

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only this one.", autocompletion=complete.listed)
]
Prefix = Annotated[
    str | None,
    typer.Argument(metavar="PREFIX", help="Only this prefix; for an address, its longest match."),
]
Longer = Annotated[bool, typer.Option("--longer", help="PREFIX and everything inside it.")]
Covering = Annotated[bool, typer.Option("--covering", help="PREFIX and everything that contains it.")]
Best = Annotated[bool, typer.Option("--best", help="The longest match of PREFIX.")]
Session = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="ID",
        help="Prefixes that this session announces.",
        autocompletion=complete.sessions,
    ),
]
Asn = Annotated[str | None, typer.Option("--asn", metavar="ASN", help="AS number in the AS path.")]
Community = Annotated[
    str | None,
    typer.Option("--community", metavar="C", help="Community: 65500:100, 65500:1:2 or a well-known name."),
]
Limit = Annotated[
    int,
    typer.Option("--limit", metavar="N", min=0, show_default=False, help="At most N items. Default: all."),
]


FOLLOWED = {"kind": 26, "subject": 14}
"""Widths that hold what comes later, when rows come one by one."""


class Family(StrEnum):
    """Address families."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Severity(StrEnum):
    """How bad an event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class State(StrEnum):
    """States of a route."""

    INSTALLED = "installed"
    PENDING = "pending"
    NOT_INSTALLED = "not_installed"
    FAILED = "failed"


FamilyOption = Annotated[Family | None, typer.Option("--family", help="Address family.")]
StateOption = Annotated[State | None, typer.Option("--state", help="State of the route.")]


def _list(
    client: Client,
    path: str,
    params: Json,
    shown: Sequence[Column],
    form: Format,
    watch: bool,
    limit: int = 0,
) -> None:
    """Prints a list."""

    def draw(out: TextIO) -> None:
        colour = may_colour(sys.stdout)
        found = write_list(client.pages(path, params, limit), shown, form, out, colour=colour)
        if not found and form in (Format.TABLE, Format.WIDE):
            typer.echo("nothing found", err=True)

    run(draw, watch)


def _command(kind: Listed) -> Callable[..., None]:
    """`get KIND [NAME]`: all resources of a kind, or the one of that name."""

    def command(
        ctx: typer.Context,
        name: Name = None,
        output: Output = Format.TABLE,
        watch: Watch = False,
        server: Server = None,
    ) -> None:
        client = make_client(ctx, server)
        if name is None:
            _list(client, path_to(kind.path), {}, kind.columns, output, watch)
        else:
            run(_one(client, path_to(kind.path, name), kind.columns, output), watch)

    return command


def _one(client: Client, path: str, shown: Sequence[Column], form: Format) -> Callable[[TextIO], None]:
    def draw(out: TextIO) -> None:
        item = client.get(path)
        if form in (Format.JSON, Format.YAML):
            write_object(item, form, out)
        else:
            write_list([[item]], shown, form, out, colour=may_colour(sys.stdout))

    return draw


for _kind in LISTS:
    app.command(_kind.name, help=_kind.help)(_command(_kind))


@app.command(short_help="Routes that a VPN gateway learned, refused ones too.")
def routes(
    ctx: typer.Context,
    prefix: Prefix = None,
    longer: Longer = False,
    covering: Covering = False,
    best: Best = False,
    session: Session = None,
    asn: Asn = None,
    community: Community = None,
    state: StateOption = None,
    family: FamilyOption = None,
    gateway: GatewayOption = None,
    limit: Limit = 0,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """Routes that a VPN gateway learned (its Loc-RIB), refused ones too. Filters combine.

    `bgpsvc show route PREFIX` shows all candidates of one with the reasons.

    Examples:

      bgpsvc get routes --state not_installed

      bgpsvc get routes 192.168.0.0/16 --longer --session conn1-tunnel2
    """
    client = make_client(ctx, server)
    query = route_query(prefix, longer=longer, covering=covering, best=best)
    query |= {
        "session": session,
        "asn": parse_asn(asn),
        "community": community,
        "state": state,
        "family": family,
    }
    name = the_only(client, "/v1/vpn-gateways", "VPN gateway", "--gateway", gateway)
    check_session(client, session)
    _list(client, path_to("vpn-gateways", name, "routes"), query, columns.ROUTES, output, watch, limit)


@app.command(short_help="Route table of a VPC, as the kernel has it.")
def table(
    ctx: typer.Context,
    prefix: Prefix = None,
    longer: Longer = False,
    covering: Covering = False,
    best: Best = False,
    session: Session = None,
    asn: Asn = None,
    community: Community = None,
    family: FamilyOption = None,
    vpc: Annotated[
        str | None, typer.Option("--vpc", metavar="NAME", help="The VPC. Default: the only one.")
    ] = None,
    limit: Limit = 0,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """The route table of a VPC: learned and published routes in the kernel, with their backups.

    Examples:

      bgpsvc get table

      bgpsvc get table 192.168.10.7
    """
    client = make_client(ctx, server)
    query = route_query(prefix, longer=longer, covering=covering, best=best)
    query |= {"session": session, "asn": parse_asn(asn), "community": community, "family": family}
    name = the_only(client, "/v1/vpcs", "VPC", "--vpc", vpc)
    check_session(client, session)
    _list(client, path_to("vpcs", name, "routes"), query, columns.TABLE, output, watch, limit)


@app.command()
def events(
    ctx: typer.Context,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only this kind, as session.down; may be repeated."),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="NAME", help="Only about this connection or tunnel; repeatable."),
    ] = None,
    severity: Annotated[
        list[Severity] | None, typer.Option("--severity", help="Only so bad; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only since then: 15m, 12h, 7d, or a time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only before then: 15m, 12h, or a time.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="ID", min=0, help="Events behind this one, not the latest ones."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1000, help="At most N events.")
    ] = 100,
    output: Output = Format.TABLE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on with new events as they happen, until Ctrl-C.")
    ] = False,
    server: Server = None,
) -> None:
    """The latest events, oldest first.

    Examples:

      bgpsvc get events --kind connection.switchover --kind connection.failback

      bgpsvc get events --subject conn1 --severity warning --severity error --since 1h

      bgpsvc get events --watch
    """
    client = make_client(ctx, server)
    filters: Json = {"kind": kind or [], "subject": subject or [], "severity": severity or []}
    begin, end = (None if text is None else moment(text, "smhdw", ago=True) for text in (since, until))
    params: Json = {**filters, "since": begin, "until": end, "after": after}
    if not watch:
        _list(client, "/v1/events", params, columns.EVENTS, output, False, limit)
        return
    if output not in (Format.TABLE, Format.WIDE):
        raise CliError(
            "events can be watched with -o table or wide; for programs there is /v1/events/stream", 2
        )
    if until is not None:
        raise CliError("--watch has no end: leave out --until", 2)
    try:
        _follow(client, params, filters, limit, output)
    except KeyboardInterrupt:
        typer.echo(err=True)


def _follow(client: Client, params: Json, filters: Json, limit: int, form: Format) -> None:
    """The latest events, then new ones as they happen, over restarts of the daemon too."""
    shown = [
        replace(c, least=FOLLOWED.get(c.key, 0)) for c in columns.EVENTS if form is Format.WIDE or not c.wide
    ]
    rows = Table(shown, sys.stdout, may_colour(sys.stdout))
    # Ids begin with 1, so 0 is "from the start" should nothing have happened yet.
    last = params["after"] or 0
    for page in client.pages("/v1/events", params, limit):
        rows.write(page)
        last = page[-1]["id"] if page else last
    sys.stdout.flush()
    while True:
        try:
            for event in client.events(last, filters):
                rows.write([event])
                sys.stdout.flush()
                last = event["id"]
        except CliError as error:
            typer.echo(f"bgpsvc: {error}; trying again", err=True)
        last = _resume(client, last)


def _resume(client: Client, last: int) -> int:
    """Waits until the daemon answers; the event to go on behind: 0 if its log has begun anew."""
    while True:
        time.sleep(WATCH_SECONDS)
        try:
            newest = client.get("/v1/events", {"limit": 1})["items"]
        except CliError:
            # Said once already; the next round may succeed.
            continue
        return 0 if not newest or newest[0]["id"] < last else last
