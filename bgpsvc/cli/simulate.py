"""`bgpsvc simulate`: what would happen to routes, without doing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from bgpsvc.cli import files as documents
from bgpsvc.cli.actions import OnOff
from bgpsvc.cli.client import BULK_TIMEOUT, Json, path_to
from bgpsvc.cli.declare import OptionalFiles
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import GatewayOption, Output, Server, make_client, the_only
from bgpsvc.cli.output import Column, Format, Table, may_colour, write_list, write_object

CHANGES = (("lost", "Lost"), ("gained", "Gained"), ("moved", "Moved"))

SAMPLES = (
    Column("PREFIX", "prefix"),
    Column("FROM", "from_session"),
    Column("TO", "to_session"),
    Column("WHY", "reason"),
)
ALL_SAMPLES = (Column("CHANGE", "change"), *SAMPLES)


def simulate(
    ctx: typer.Context,
    fail_tunnel: Annotated[
        list[str] | None,
        typer.Option("--fail-tunnel", metavar="ID", help="As if this tunnel were down; may be repeated."),
    ] = None,
    recover_tunnel: Annotated[
        list[str] | None,
        typer.Option("--recover-tunnel", metavar="ID", help="As if this tunnel were live; may be repeated."),
    ] = None,
    auto_propagate: Annotated[
        OnOff | None, typer.Option("--auto-propagate", help="As if propagation were switched so.")
    ] = None,
    file: OptionalFiles = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", min=0, max=1000, help="Prefixes to name of each outcome.")
    ] = 20,
    gateway: GatewayOption = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """What would happen if tunnels failed, propagation were switched, or resources were changed. Nothing is.

    All that is given is taken together; -f takes resources as `apply` does.

    Examples:

      bgpsvc simulate --fail-tunnel conn1-tunnel1

      bgpsvc simulate --auto-propagate off --gateway gw1
    """
    if not (fail_tunnel or recover_tunnel or auto_propagate or file):
        raise CliError("ask something: --fail-tunnel, --recover-tunnel, --auto-propagate or -f", 2)
    client = make_client(ctx, server)
    given = documents.read(file) if file else None
    name = the_only(client, "/v1/vpn-gateways", "VPN gateway", "--gateway", gateway)
    question: Json = {
        "fail_tunnels": fail_tunnel or [],
        "recover_tunnels": recover_tunnel or [],
        "auto_propagate": None if auto_propagate is None else auto_propagate is OnOff.ON,
        "documents": given.document if given else {},
        "samples": samples,
    }
    with documents.refused_at(given, under="/documents"):
        found = client.send("POST", path_to("vpn-gateways", name, "simulate"), question, timeout=BULK_TIMEOUT)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
    elif output is Format.CSV:
        rows = [{"change": key, **row} for key, _ in CHANGES for row in found[key]["samples"]]
        write_list([rows], ALL_SAMPLES, output, sys.stdout)
    else:
        _write(found)


def _write(found: Json) -> None:
    out = sys.stdout
    out.writelines(line + "\n" for line in _head(found))
    for key, title in CHANGES:
        change = found[key]
        if not change["count"]:
            continue
        out.write(f"\n{title}\n")
        Table(SAMPLES, out, may_colour(out)).write(change["samples"])
        if (more := change["count"] - len(change["samples"])) > 0:
            out.write(f"and {more} more (--samples)\n")


def _head(found: Json) -> Iterator[str]:
    counts = ", ".join(f"{found[key]['count']} {key}" for key, _ in CHANGES)
    yield f"VPN gateway {found['gateway']}: {counts}, {found['unchanged']} unchanged"
    for key, verb in (("advertised_gained", "newly hear"), ("advertised_lost", "no longer hear")):
        for session, count in found[key].items():
            yield f"The peer of {session} would {verb} {count} prefix{'' if count == 1 else 'es'}"
    yield from (f"Note: {note}" for note in found["notes"])
