"""`bgpsvc doctor`: what this machine has of what the daemon needs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc.cli.client import Client, Json
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import Output, Server, make_client
from bgpsvc.cli.output import Column, Format, may_colour, paint, write_list, write_object
from bgpsvc.doctor import daemon, machine, network
from bgpsvc.doctor.report import Finding, in_order, verdict
from bgpsvc.ipsec.probe import answers
from bgpsvc.ipsec.vici import Charon

TITLES = {
    "system": "System",
    "kernel": "Kernel",
    "strongswan": "strongSwan",
    "network": "Network",
    "time": "Time",
    "daemon": "bgpsvc",
}
MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED", "skipped": "-"}
_WIDEST = max(map(len, MARKS.values()))
COLUMNS = (
    Column("AREA", "area"),
    Column("CHECK", "check"),
    Column("OUTCOME", "outcome"),
    Column("SUMMARY", "summary"),
    Column("REMEDY", "remedy"),
)
_SECONDS = 60.0
"""How long things may be tried; charons and netlink answer within seconds or never."""


def doctor(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="Also check this configuration file.", dir_okay=False)
    ] = None,
    state_dir: Annotated[
        Path, typer.Option("--state-dir", help="The daemon's directory (of `serve`).")
    ] = Path("/var/lib/bgpsvc"),
    charon_socket: Annotated[
        Path, typer.Option("--charon-socket", help="vici socket of strongSwan's service (of `serve`).")
    ] = Path("/run/charon.vici"),
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Whether this machine can do what the daemon needs: kernel, rights, ports, strongSwan, clock, firewall.

    Run it as the user that the daemon runs as, before the first start or when something is odd. Changes
    nothing: what has to be tried is tried in a network namespace that goes with it. With a daemon running it
    also asks that how it does.

    Exit status: 0 nothing failed (warnings are no failures), 1 something did, 2 the command was called
    wrongly.

    Examples:

      bgpsvc doctor

      bgpsvc doctor --config /etc/bgpsvc/gw1.yaml -o json
    """
    findings = in_order(_look(ctx, server, config, state_dir, charon_socket))
    outcome = verdict(findings)
    shown = [dataclasses.asdict(finding) for finding in findings]
    if output in (Format.JSON, Format.YAML):
        write_object({"outcome": outcome, "findings": shown}, output, sys.stdout)
    elif output is Format.CSV:
        write_list([shown], COLUMNS, output, sys.stdout)
    else:
        colour = may_colour(sys.stdout)
        sys.stdout.writelines(line + "\n" for line in story(findings, output is Format.WIDE, colour))
    if outcome == "failed":
        raise typer.Exit(1)


def _look(
    ctx: typer.Context, server: str | None, config: Path | None, state_dir: Path, charon_socket: Path
) -> Iterator[Finding]:
    yield from machine.look()
    tried = list(_tried())
    yield from tried
    if any(finding.check == "driver" and "(xfrm)" in finding.summary for finding in tried):
        yield asyncio.run(_charon(charon_socket))
    yield from network.look()
    yield from daemon.look(state_dir, config)
    yield from _running(make_client(ctx, server))


def _tried() -> Iterator[Finding]:
    command = [sys.executable, "-m", "bgpsvc.doctor.trial"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        yield Finding("kernel", "trial", "failed", f"trying things out took longer than {_SECONDS:.0f} s")
        return
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        remedy = "" if os.geteuid() == 0 else "Run it as root."
        yield Finding("kernel", "trial", "skipped", f"nothing could be tried: {why}", remedy)
        return
    for item in json.loads(done.stdout):
        yield Finding(**item)


async def _charon(socket: Path) -> Finding:
    charon = Charon(socket)
    try:
        found = await answers(charon)
    finally:
        await charon.close()
    return Finding("strongswan", "service", "ok" if found.ok else "warning", found.text)


def _running(client: Client) -> Iterator[Finding]:
    """How a daemon does that runs. That none answers is no fault."""
    try:
        health = client.get("/healthz")
    except CliError as error:
        yield Finding("daemon", "running", "skipped", f"no daemon was asked: {str(error).splitlines()[0]}")
        return
    yield Finding("daemon", "running", "ok", f"a daemon answers: version {health['version']}")
    yield from _ready(client)


def _ready(client: Client) -> Iterator[Finding]:
    try:
        ready = client.get("/readyz")
    except CliError as error:
        yield Finding("daemon", "ready", "warning", str(error).splitlines()[0], "`bgpsvc show tunnels`")
        return
    yield from ready_findings(ready)


def ready_findings(ready: Json) -> Iterator[Finding]:
    """The checks of /readyz."""
    for name, check in ready["checks"].items():
        text = f"{name.replace('_', ' ')}: {check['detail'] or ('well' if check['ok'] else 'not well')}"
        yield Finding("daemon", f"ready_{name}", "ok" if check["ok"] else "warning", text)


def story(findings: tuple[Finding, ...], wide: bool, colour: bool) -> Iterator[str]:
    """The findings by area, with remedies; with `wide` their names for programs."""
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            yield TITLES[area]
        mark = MARKS[finding.outcome].ljust(_WIDEST)
        if colour and finding.outcome != "skipped":
            mark = mark.replace(MARKS[finding.outcome], paint(MARKS[finding.outcome], ("ok",)))
        name = f" [{finding.check}]" if wide else ""
        yield f"  {mark}  {finding.summary}{name}"
        for line in finding.remedy.splitlines():
            yield f"  {' ' * _WIDEST}  -> {line}"
    counted = {kind: sum(f.outcome == kind for f in findings) for kind in MARKS}
    yield ""
    yield f"{counted['ok']} ok, warnings {counted['warning']}, failed {counted['failed']}"
