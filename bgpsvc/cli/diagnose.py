"""`bgpsvc diagnose`: why a connection does not work, layer by layer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from bgpsvc.cli import complete
from bgpsvc.cli.client import BULK_TIMEOUT, Json, path_to
from bgpsvc.cli.options import Output, Server, make_client
from bgpsvc.cli.output import Column, Format, may_colour, paint, write_list, write_object

NAMES = {
    "address": "address",
    "udp": "UDP",
    "phase1": "phase 1 (IKE)",
    "phase2": "phase 2 (ESP)",
    "interface": "interface",
    "bgp": "BGP",
    "routes": "routes",
    "data_path": "data path",
    "mtu": "MTU",
    "detection": "detection",
}
MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "-", "unknown": "?"}
_WIDEST_NAME = max(map(len, NAMES.values()))
_WIDEST_MARK = max(map(len, MARKS.values()))
CHECKS = (
    Column("TUNNEL", "tunnel"),
    Column("LAYER", "layer"),
    Column("OUTCOME", "outcome"),
    Column("CODE", "code"),
    Column("SUMMARY", "summary"),
    Column("REMEDY", "remedy"),
)


def diagnose(
    ctx: typer.Context,
    connection: Annotated[
        str,
        typer.Argument(
            metavar="CONNECTION", help="Name of the VPN connection.", autocompletion=complete.connections
        ),
    ],
    tunnel: Annotated[
        int | None,
        typer.Option("--tunnel", metavar="1|2", min=1, max=2, help="Only this tunnel. Default: all."),
    ] = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Why a connection does not work: the first layer that fails, with the evidence and what to do.

    Sends probes and takes some seconds; disturbs no tunnel. `-o wide` shows the evidence of what works too.

    Exit status: 0 no fault was found, 1 one was found (or it could not be asked), 2 the command was called
    wrongly. Warnings are no faults.

    Examples:

      bgpsvc diagnose conn1

      bgpsvc diagnose conn1 --tunnel 1 -o json
    """
    client = make_client(ctx, server)
    body = {} if tunnel is None else {"tunnel": tunnel}
    path = path_to("vpn-connections", connection, "diagnose")
    found = client.send("POST", path, body, timeout=BULK_TIMEOUT)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
    elif output is Format.CSV:
        rows = [{"tunnel": t["tunnel"], **check} for t in found["tunnels"] for check in t["checks"]]
        write_list([rows], CHECKS, output, sys.stdout)
    else:
        lines = story(found, output is Format.WIDE, may_colour(sys.stdout))
        sys.stdout.writelines(line.rstrip() + "\n" for line in lines)
    if any(t["fault"] for t in found["tunnels"]):
        raise typer.Exit(1)


def story(found: Json, wide: bool, colour: bool) -> Iterator[str]:
    """A diagnosis, layer by layer; with `wide` the evidence of what works as well."""
    yield f"{found['connection']}: {found['summary']}"
    for tunnel in found["tunnels"]:
        yield ""
        yield f"{tunnel['tunnel']} ({tunnel['role']})"
        for check in tunnel["checks"]:
            yield from _check(check, wide, colour)
    yield ""
    yield f"Took {found['seconds']:.1f} s"


def _check(check: Json, wide: bool, colour: bool) -> Iterator[str]:
    outcome = check["outcome"]
    mark = MARKS[outcome].ljust(_WIDEST_MARK)
    if colour and outcome in ("ok", "warning", "failed"):
        mark = mark.replace(MARKS[outcome], _painted(outcome))
    code = f" [{check['code']}]" if outcome in ("warning", "failed") else ""
    yield f"  {NAMES[check['layer']].ljust(_WIDEST_NAME)}  {mark}  {check['summary']}{code}"
    indent = " " * (_WIDEST_NAME + _WIDEST_MARK + 6)
    if wide or outcome in ("warning", "failed", "unknown"):
        for fact in check["evidence"]:
            yield f"{indent}{_fact(fact)}"
    if check["remedy"]:
        yield f"{indent}-> {check['remedy']}"


def _painted(outcome: str) -> str:
    return paint(MARKS[outcome], ("ok",))


def _fact(fact: Json) -> str:
    if fact["local"] is None and fact["remote"] is None:
        return f"{fact['label']}: {fact['value']}"
    value = "" if fact["value"] is None else f"{fact['value']}, "
    return f"{fact['label']}: {value}local {fact['local'] or 'unknown'}, remote {fact['remote'] or 'unknown'}"
