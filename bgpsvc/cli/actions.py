"""`bgpsvc propagate`, `bgpsvc switch` and `bgpsvc restart`: what an operator does at run time."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from bgpsvc.cli.client import Client, Json, path_to
from bgpsvc.cli.columns import GATEWAYS, TUNNELS, on_off
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import Output, Server, make_client
from bgpsvc.cli.output import Column, Format, listed, write_list, write_object

POLL_SECONDS = 0.2


class OnOff(StrEnum):
    """State of a switch."""

    ON = "on"
    OFF = "off"


class Mode(StrEnum):
    """Choice of a tunnel."""

    AUTO = "auto"
    ACTIVE = "active"
    STANDBY = "standby"


PLAN = tuple(
    Column(key.replace("_", " ").upper(), key)
    for key in (
        "connection",
        "mode",
        "from_tunnel",
        "to_tunnel",
        "prefixes_moved",
        "groups_replaced",
        "changed",
        "note",
    )
)


def propagate(
    ctx: typer.Context,
    state: Annotated[OnOff, typer.Argument(metavar="on|off", help="State of the switch.")],
    gateway: Annotated[str, typer.Argument(metavar="GATEWAY", help="Name of the VPN gateway.")],
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="Wait that long until it is done; 0: do not."),
    ] = 0,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Switch the automatic propagation of a VPN gateway, without resetting a session.

    On: learned prefixes go into the VPC's route table and the VPC's address ranges are advertised. Off:
    neither.

    Examples:

      bgpsvc propagate on gw1

      bgpsvc propagate off gw1 --wait 10
    """
    client = make_client(ctx, server)
    path = path_to("vpn-gateways", gateway)
    found = client.send("PATCH", path, {"auto_propagate": state is OnOff.ON})
    if wait:
        found = _wait_until_active(client, path, wait)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
    elif output is Format.CSV:
        write_list([[found]], GATEWAYS, output, sys.stdout)
    else:
        updating = ", still updating" if found["status"] == "updating" else ""
        typer.echo(
            f"{gateway}: propagation {on_off(found['auto_propagate'])}{updating}: "
            f"{found['routes_learned']} prefixes learned, "
            f"{found['routes_installed']} in the VPC's route table, "
            f"advertising {listed(found['advertised']) or 'nothing'}"
        )


def _wait_until_active(client: Client, path: str, seconds: float) -> Json:
    end = time.monotonic() + seconds
    while True:
        found = client.get(path)
        if found["status"] == "active":
            return found
        if time.monotonic() >= end:
            raise CliError(f"{found['name']} is still updating after {seconds:g} s")
        time.sleep(POLL_SECONDS)


def switch(
    ctx: typer.Context,
    connection: Annotated[str, typer.Argument(metavar="CONNECTION", help="Name of the VPN connection.")],
    mode: Annotated[
        Mode,
        typer.Argument(
            metavar="auto|active|standby", help="The tunnel to use; auto leaves it to role and health."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would move.")] = False,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Choose the tunnel of a VPN connection, for maintenance of the other one.

    Examples:

      bgpsvc switch conn1 standby --dry-run

      bgpsvc switch conn1 auto
    """
    client = make_client(ctx, server)
    params = {"dry_run": "true"} if dry_run else {}
    plan = client.send("POST", path_to("vpn-connections", connection, "switch"), {"mode": mode.value}, params)
    if output in (Format.JSON, Format.YAML):
        write_object(plan, output, sys.stdout)
    elif output is Format.CSV:
        write_list([[plan]], PLAN, output, sys.stdout)
    else:
        typer.echo(_plan(plan, dry_run))


def _plan(plan: Json, dry_run: bool) -> str:
    """A plan as a line: the mode, the outcome, and what it moves."""
    moved = plan["prefixes_moved"]
    verb = "would move" if dry_run else "moved"
    size = f" ({moved} prefix{'' if moved == 1 else 'es'} {verb})" if moved else ""
    head = "dry run: " if dry_run else ""
    same = "" if plan["changed"] else " already"
    return f"{head}{plan['connection']}: mode {plan['mode']}{same}: {plan['note']}{size}"


class Restartable(StrEnum):
    """What can be restarted."""

    TUNNEL = "tunnel"


def restart(
    ctx: typer.Context,
    kind: Annotated[Restartable, typer.Argument(metavar="tunnel", help="What to restart: a tunnel.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the tunnel, as conn1-tunnel1.")],
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """End the IKE and IPsec SAs of a tunnel and negotiate them anew; its traffic moves away meanwhile.

    Example: bgpsvc restart tunnel conn1-tunnel1
    """
    found = make_client(ctx, server).send("POST", path_to("tunnels", id, "restart"), None)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
    elif output is Format.CSV:
        write_list([[found]], TUNNELS, output, sys.stdout)
    else:
        typer.echo(f"{id}: negotiated anew; `bgpsvc show tunnel {id}` says how far it is")
