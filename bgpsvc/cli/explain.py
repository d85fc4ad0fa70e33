"""`bgpsvc explain`: the story of one prefix, from what the peers said to what the kernel does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any, TextIO
from urllib.parse import quote

import typer

from bgpsvc.cli.client import Json, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import GatewayOption, Output, Server, Watch, make_client, the_only
from bgpsvc.cli.output import Format, may_colour, paint, plain, run, write_object

LOOKUP = {
    "connected_or_system": "connected and system routes",
    "policy_based": "policy-based routes",
    "destination_based": "destination-based routes",
    "vpc_table": "VPC table (BGP, published, custom)",
}


def explain(
    ctx: typer.Context,
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="A prefix, or an address: its longest match.")
    ],
    gateway: GatewayOption = None,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """Why a prefix is where it is: who announced it, what policy said, who won at which step, what forwards.

    Examples:

      bgpsvc explain 192.168.0.0/16

      bgpsvc explain 192.168.10.7 --gateway gw1
    """
    if output is Format.CSV:
        raise CliError("an explanation is no table: choose -o table, json or yaml", 2)
    if not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]+)?", prefix):
        raise CliError(f"{prefix!r} is neither a prefix nor an address", 2)
    client = make_client(ctx, server)
    name = the_only(client, "/v1/vpn-gateways", "VPN gateway", "--gateway", gateway)
    path = f"{path_to('vpn-gateways', name, 'routes')}/{quote(prefix, safe='')}/explain"

    def draw(out: TextIO) -> None:
        found = client.get(path)
        if output in (Format.JSON, Format.YAML):
            write_object(found, output, out)
        else:
            out.writelines(line.rstrip() + "\n" for line in story(found, may_colour(sys.stdout)))

    run(draw, watch)


def story(e: Json, colour: bool) -> Iterator[str]:
    """An explanation in paragraphs."""
    host = e["prefix"].partition("/")[0]
    asked = f" (longest match of {e['asked']})" if e["asked"] not in (e["prefix"], host) else ""
    yield f"{e['prefix']}{asked} at VPN gateway {e['gateway']}, VPC {e['vpc']}"
    yield f"  {e['summary']}"
    state = paint(e["state"], ("installed",)) if colour else e["state"]
    yield f"  State: {state}" + (f" ({e['reason']})" if e["reason"] else "")
    yield ""
    yield from _announcements(e["paths"])
    if e["decision"]:
        yield ""
        yield from _decision(e["decision"])
    yield ""
    yield from _forwarding(e)
    yield ""
    yield from _lookup(e["lookup"])


def _announcements(paths: list[Json]) -> Iterator[str]:
    if not paths:
        yield "Announced by nobody"
        return
    yield f"Announced by {len(paths)} session{'' if len(paths) == 1 else 's'}"
    for path in paths:
        yield f"  {path['session']} ({path['role']})"
        given = [
            f"{key.replace('_', ' ')} {plain(value)}"
            for key, value in path["received"].items()
            # A MED of 0 was announced, too.
            if value not in (None, "", [])
        ]
        yield f"    received: {', '.join(given)}"
        for verdict in path["verdicts"]:
            yield f"    {_verdict(verdict)}"


def _verdict(v: Json) -> str:
    where = v["policy"] or v["stage"].replace("_", " ")
    rule = f" rule {v['rule']}" if v["rule"] is not None else ""
    word = "accepted" if v["accepted"] else "refused"
    said = v["text"] if v["text"].startswith(word) else f"{word}: {v['text']}"
    changes = f" ({', '.join(v['changes'])})" if v["changes"] else ""
    return f"{where}{rule}: {said}{changes}"


def _decision(steps: list[Json]) -> Iterator[str]:
    """The steps as a table: a column for each session, `-` where it was out already."""
    sessions = list(dict.fromkeys(session for step in steps for session in step["compared"]))
    rows = [["", "STEP", *sessions, ""]]
    for step in steps:
        out = step["eliminated"]
        values = [
            f"{step['compared'][session]}{' *' if session in out else ''}"
            if session in step["compared"]
            else "-"
            for session in sessions
        ]
        left = step["remaining"]
        ends = f"{left[0]} wins" if len(left) == 1 and out else ""
        rows.append([str(step["number"]), step["name"], *values, ends])
    yield "Decision (* out at this step)"
    yield from _aligned(rows)


def _forwarding(e: Json) -> Iterator[str]:
    group = f", nexthop group {e['nexthop_group']}" if e["nexthop_group"] is not None else ""
    yield f"Forwarding over {e['interface'] or 'nothing'}{group}"
    if e.get("kernel"):
        yield f"  Kernel: {e['kernel']}"
    rows = [["", "SESSION", "INTERFACE", "NEXT HOP", "TUNNEL", "WHY"]] if e["hops"] else []
    rows += [
        [">" if hop["chosen"] else "", *(str(hop[key]) for key in _HOP), hop["tunnel_reason"]]
        for hop in e["hops"]
    ]
    yield from _aligned(rows)
    if e["less_specific"]:
        yield f"  Meanwhile packets use {e['less_specific']}"


_HOP = ("session", "interface", "next_hop", "tunnel_state")


def _lookup(steps: list[Json]) -> Iterator[str]:
    yield "Lookup in the kernel, in this order"
    for step in steps:
        mark = ">" if step["wins"] else " "
        yield f"  {mark} {LOOKUP.get(step['stage'], step['stage'])}: {step['route'] or 'none'}"
        yield f"      {step['text']}"


def _aligned(rows: list[list[Any]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
