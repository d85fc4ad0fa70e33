"""`bgpsvc doctor`: what this machine has of what the daemon needs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc.cli.client import DEFAULT_SOCKET, Client, Json
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
_NARROWEST = 20
"""Columns; in fewer lines are not folded."""
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

    Run it as the user that the daemon runs as and where it runs (in its container, its network namespace),
    before the first start or when something is odd. Changes nothing: what has to be tried is tried in a
    network namespace that goes with it. A daemon that runs is asked how it does.

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
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        sys.stdout.writelines(line + "\n" for line in story(findings, output is Format.WIDE, colour, width))
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
    yield from _running(make_client(ctx, server or _own_socket(ctx, state_dir)))


def _own_socket(ctx: typer.Context, state_dir: Path) -> str | None:
    """Where the daemon of that directory listens, if no other server is meant."""
    if ctx.find_root().params.get("server") or os.environ.get("BGPSVC_SERVER"):
        return None
    socket = state_dir / DEFAULT_SOCKET.name
    return f"unix:{socket}" if os.access(socket, os.R_OK | os.W_OK) else None


def _tried() -> Iterator[Finding]:
    command = [sys.executable, "-m", "bgpsvc.doctor.trial"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        yield Finding("kernel", "trial", "failed", f"trying things out took longer than {_SECONDS:.0f} s")
        return
    except OSError as error:
        yield Finding("kernel", "trial", "skipped", f"nothing could be tried: {error.strerror}")
        return
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        yield Finding("kernel", "trial", "skipped", f"nothing could be tried: {why}", "Run it as root.")
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


def story(findings: tuple[Finding, ...], wide: bool, colour: bool, width: int = 0) -> Iterator[str]:
    """The findings by area, with remedies; with `wide` their names for programs. `width` of lines, 0: any."""
    area, margin = "", " " * (_WIDEST + 4)
    for finding, following in zip_longest(findings, findings[1:]):
        if finding.area != area:
            area = finding.area
            yield TITLES[area]
        mark = MARKS[finding.outcome].ljust(_WIDEST)
        if colour and finding.outcome != "skipped":
            mark = mark.replace(MARKS[finding.outcome], paint(MARKS[finding.outcome], ("ok",)))
        first, *more = _folded(finding.summary + (f" [{finding.check}]" if wide else ""), width - len(margin))
        yield f"  {mark}  {first}"
        for line in more:
            yield margin + line
        if following is not None and following.remedy == finding.remedy:
            continue  # it helps both, and is said once
        for remedy in finding.remedy.splitlines():
            for number, line in enumerate(_folded(remedy, width - len(margin) - 3)):
                yield margin + ("   " if number else "-> ") + line
    counted = {kind: sum(f.outcome == kind for f in findings) for kind in MARKS}
    warnings = f"{counted['warning']} warning{'' if counted['warning'] == 1 else 's'}"
    skipped = f", {counted['skipped']} not looked at" if counted["skipped"] else ""
    yield ""
    yield f"{counted['ok']} ok, {warnings}, {counted['failed']} failed{skipped}"


def _folded(text: str, width: int) -> list[str]:
    if width < _NARROWEST:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [text]
