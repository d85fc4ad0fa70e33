"""`bgpsvc propagate`, `bgpsvc switch` and `bgpsvc restart`: what an operator does at run time."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from bgpsvc.cli import complete
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
    """Choice of a tunnel, by role or by number."""

    AUTO = "auto"
    ACTIVE = "active"
    STANDBY = "standby"
    ONE = "1"
    TWO = "2"


ROLES = {Mode.ONE: Mode.ACTIVE, Mode.TWO: Mode.STANDBY}


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
        "drained",
    )
)


def propagate(
    ctx: typer.Context,
    state: Annotated[OnOff, typer.Argument(metavar="on|off", help="State of the switch.")],
    gateway: Annotated[
        str,
        typer.Argument(metavar="GATEWAY", help="Name of the VPN gateway.", autocompletion=complete.gateways),
    ],
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
        learned = found["routes_learned"]
        typer.echo(
            f"{gateway}: propagation {on_off(found['auto_propagate'])}{updating}: "
            f"{learned} {'prefix' if learned == 1 else 'prefixes'} learned, "
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
    connection: Annotated[
        str,
        typer.Argument(
            metavar="CONNECTION", help="Name of the VPN connection.", autocompletion=complete.connections
        ),
    ],
    mode: Annotated[
        Mode | None,
        typer.Argument(
            metavar="auto|active|standby", help="The tunnel to use; auto leaves it to role and health."
        ),
    ] = None,
    to: Annotated[
        Mode | None,
        typer.Option("--to", metavar="auto|1|2", help="The same, by the tunnel's number."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="What for: shown as long as the choice is in force."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would move.")] = False,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Choose the tunnel of a VPN connection, for maintenance of the other one.

    Traffic moves without loss, also that of the peer if it heeds MED or GRACEFUL_SHUTDOWN (RFC 8326), and
    stays there, over restarts too, until the choice is given back (auto).

    Examples:

      bgpsvc switch conn1 standby --dry-run

      bgpsvc switch conn1 --to 2 --reason "provider works on tunnel 1"

      bgpsvc switch conn1 auto
    """
    wanted = _wanted(mode, to)
    client = make_client(ctx, server)
    params = {"dry_run": "true"} if dry_run else {}
    body = {"mode": wanted.value} if reason is None else {"mode": wanted.value, "reason": reason}
    plan = client.send("POST", path_to("vpn-connections", connection, "switch"), body, params)
    if output in (Format.JSON, Format.YAML):
        write_object(plan, output, sys.stdout)
    elif output is Format.CSV:
        write_list([[plan]], PLAN, output, sys.stdout)
    else:
        typer.echo(_plan(plan, dry_run))


def _wanted(mode: Mode | None, to: Mode | None) -> Mode:
    """The choice, said in one of two ways."""
    given = mode or to
    if given is None:
        raise typer.BadParameter("Missing argument: auto, active or standby, or --to auto, 1 or 2")
    if mode is not None and to is not None:
        raise typer.BadParameter(f"{mode.value} and --to {to.value} say it twice: give one")
    return ROLES.get(given, given)


def _plan(plan: Json, dry_run: bool) -> str:
    """A plan as a line: the mode, the outcome, and what it moves."""
    moved = plan["prefixes_moved"]
    verb = "would move" if dry_run else "moved"
    size = f" ({moved} prefix{'' if moved == 1 else 'es'} {verb})" if moved else ""
    head = "dry run: " if dry_run else ""
    same = "" if plan["changed"] else " already"
    drained = plan["drained"]
    asked = f"; the peer {'would be' if dry_run else 'is'} asked to leave {drained} too" if drained else ""
    return f"{head}{plan['connection']}: mode {plan['mode']}{same}: {plan['note']}{size}{asked}"


RESTART = tuple(
    Column(key.replace("_", " ").upper(), key)
    for key in ("tunnel", "connection", "carrying", "to_tunnel", "prefixes_moved", "prefixes_lost", "note")
)


def _size(plan: Json) -> str:
    """How many prefixes it is about; nothing for none."""
    parts = [
        f"{plan[key]} prefix{'' if plan[key] == 1 else 'es'} {what}"
        for key, what in (("prefixes_moved", "would move"), ("prefixes_lost", "would lead nowhere"))
        if plan[key]
    ]
    return f" ({', '.join(parts)})" if parts else ""


class Restartable(StrEnum):
    """What can be restarted."""

    TUNNEL = "tunnel"


def restart(
    ctx: typer.Context,
    kind: Annotated[Restartable, typer.Argument(metavar="tunnel", help="What to restart: a tunnel.")],
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the tunnel, as conn1-tunnel1.", autocompletion=complete.tunnels
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would move.")] = False,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """End the IKE and IPsec SAs of a tunnel and negotiate them anew; its traffic moves away meanwhile.

    Example: bgpsvc restart tunnel conn1-tunnel1
    """
    params = {"dry_run": "true"} if dry_run else {}
    found = make_client(ctx, server).send("POST", path_to("tunnels", id, "restart"), None, params)
    if output in (Format.JSON, Format.YAML):
        write_object(found, output, sys.stdout)
    elif output is Format.CSV:
        write_list([[found]], RESTART if dry_run else TUNNELS, output, sys.stdout)
    elif dry_run:
        typer.echo(f"dry run: {id}: {found['note']}{_size(found)}")
    else:
        typer.echo(f"{id}: negotiated anew; `bgpsvc show tunnel {id}` says how far it is")
