"""`bgpsvc show bmp`: the monitoring stations, and what they were told."""

from __future__ import annotations

import sys
from typing import TextIO

import typer

from bgpsvc.cli.client import Json
from bgpsvc.cli.options import Output, Server, Watch, make_client
from bgpsvc.cli.output import Column, Format, Table, duration, may_colour, run, write_list


def _for(station: Json) -> str:
    return duration(station["since"])


def _trouble(station: Json) -> str | None:
    """The last error, marked if it is over."""
    error = station["last_error"]
    return f"before: {error}" if error and station["state"] == "connected" else error


STATIONS = (
    Column("STATION", "station"),
    Column("STATE", "state", good=("connected",)),
    Column("FOR", "since", right=True, of=_for),
    Column("PEERS", "peers", right=True),
    Column("DUMPING", "dumping", right=True),
    Column("PENDING", "pending", right=True),
    Column("MESSAGES", "messages", right=True),
    Column("BYTES", "bytes", right=True),
    Column("LAST ERROR", "last_error", of=_trouble),
    Column("RIBS", "ribs", wide=True, of=lambda station: ",".join(station["ribs"])),
    Column("CONNECTIONS", "connections", right=True, wide=True),
    Column("LAST ERROR AT", "last_error_at", wide=True),
)


def bmp(
    ctx: typer.Context, output: Output = Format.TABLE, watch: Watch = False, server: Server = None
) -> None:
    """One line per BMP monitoring station: state, peers that it knows of, what waits.

    DUMPING are peers whose tables are on their way for the first time. PENDING are prefixes that changed and
    that the station was not told of yet.

    Example: bgpsvc show bmp --watch
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        if output not in (Format.TABLE, Format.WIDE):
            write_list(client.pages("/v1/bmp-stations"), STATIONS, output, out)
            return
        found = client.items("/v1/bmp-stations")
        if not found:
            out.write("No BMP stations: `bgpsvc serve --bmp ADDRESS:PORT` names them.\n")
            return
        wide = output is Format.WIDE
        Table([c for c in STATIONS if wide or not c.wide], out, may_colour(sys.stdout)).write(found)

    run(draw, watch)
