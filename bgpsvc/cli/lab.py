"""`bgpsvc lab`: the reference scenario in network namespaces, with nothing left on the host."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from bgpsvc.lab import launch, state
from bgpsvc.lab.build import build_steps, propagation_step
from bgpsvc.lab.client import Rest
from bgpsvc.lab.daemons import MAX_VIA_API, Peer, served_gateways
from bgpsvc.lab.handle import CommandFailed, Lab
from bgpsvc.lab.looking import StepFailed, look_until
from bgpsvc.lab.report import Report
from bgpsvc.lab.topology import (
    GATEWAYS,
    GW1,
    GW2,
    HOSTS,
    MAX_EXTRA_PREFIXES,
    TUNNELS,
    TunnelKind,
)
from bgpsvc.lab.walk import Walk

app = typer.Typer(
    no_args_is_help=True,
    help="Two gateways, two tunnels, one switch: the reference scenario in network namespaces of its own.",
)

START_SECONDS = 30.0
DEFAULT = "default"

PeerOption = Annotated[Peer, typer.Option(help="Daemon of gateway 2; gateway 1 is always bgpsvc.")]
HoldOption = Annotated[int, typer.Option(min=3, max=65535, help="BGP hold time in seconds.")]
PrefixesOption = Annotated[
    int,
    typer.Option(min=0, max=MAX_EXTRA_PREFIXES, help="Prefixes that each side announces beside its VPC's."),
]
ViaApiOption = Annotated[
    bool, typer.Option("--via-api", help="Start the daemons with nothing and make everything over REST.")
]
TunnelsOption = Annotated[
    TunnelKind | None,
    typer.Option(help="What the tunnels are; by default ipsec where it can run.", show_default=False),
]
NameOption = Annotated[str, typer.Option(help="Name of the lab, to have more than one.")]
TunnelArgument = Annotated[
    int, typer.Argument(metavar="TUNNEL", min=1, max=2, help="1: the active tunnel, 2: the standby.")
]


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _errors() -> Iterator[None]:
    """What can go wrong becomes one message: exit status 2 if the lab cannot be, 1 if it broke."""
    try:
        yield
    except (launch.CannotStart, state.StateError) as error:
        _say(f"bgpsvc lab: {error}")
        raise typer.Exit(2) from None
    except (launch.LabFailed, CommandFailed) as error:
        _say(f"bgpsvc lab: {error}")
        raise typer.Exit(1) from None


def _check_size(via_api: bool, prefixes: int) -> None:
    if via_api and prefixes > MAX_VIA_API:
        raise typer.BadParameter(
            f"over REST up to {MAX_VIA_API} fit into one VPN gateway", param_hint="--prefixes with --via-api"
        )


def _named(name: str) -> str:
    """What a command has to say to mean the lab of that name."""
    return "" if name == DEFAULT else f" --name {name}"


def _running(name: str) -> Lab:
    lab = state.load(name)
    if lab is None:
        _say(f"bgpsvc lab: no lab {name!r} is running; start it with: bgpsvc lab up{_named(name)}")
        raise typer.Exit(1)
    return lab


@app.command(short_help="Walk through the scenario and measure it.")
def run(
    peer: PeerOption = Peer.BGPSVC,
    prefixes: PrefixesOption = 0,
    hold_time: HoldOption = 3,
    json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep configurations and logs in a new directory.")] = False,
    tunnels: TunnelsOption = None,
    via_api: ViaApiOption = False,
) -> None:
    """Walk through the scenario: sessions, routes, switchover, failback, propagation. Exit 0 if all held."""
    _check_size(via_api, prefixes)
    took: list[float] = []
    with _errors():
        lab = launch.start(
            peer=peer,
            hold_time=hold_time,
            prefixes=prefixes,
            first_port=0,
            via_api=via_api,
            tunnels=tunnels,
            report=lambda _phase, seconds: took.append(seconds),
            note=_say,
        )
    try:
        report = Walk(lab, _say).run(took[0])
    finally:
        try:
            if keep:
                directory = Path(tempfile.mkdtemp(prefix="bgpsvc-lab-"))
                lab.save(directory)
                _say(f"configurations and logs are in {directory}")
        finally:
            lab.stop()
    typer.echo(report.to_json() if json else report.to_table())
    if not report.ok:
        _explain(report)
        raise typer.Exit(1)


def _explain(report: Report) -> None:
    for step in report.steps:
        if step.outcome == "failed":
            _say(f"\n{step.title}\n  expected: {step.expected}\n  seen:     {step.seen}")
    for name, log in report.logs.items():
        _say(f"\nlast lines of the log of {name}:")
        _say("\n".join(f"  {line}" for line in log.splitlines()) or "  (empty)")


@app.command()
def up(
    peer: PeerOption = Peer.BGPSVC,
    prefixes: PrefixesOption = 0,
    hold_time: HoldOption = 3,
    port: Annotated[
        int, typer.Option(min=1, max=65000, help="First TCP port to try on 127.0.0.1.")
    ] = launch.FIRST_PORT,
    name: NameOption = DEFAULT,
    tunnels: TunnelsOption = None,
    via_api: ViaApiOption = False,
) -> None:
    """Start the lab and let it run in the background."""
    _check_size(via_api, prefixes)
    with _errors(), state.locked(name):
        if state.load(name) is not None:
            _say(f"bgpsvc lab: lab {name!r} is running already; see: bgpsvc lab status{_named(name)}")
            raise typer.Exit(1)
        lab = launch.start(
            peer=peer,
            hold_time=hold_time,
            prefixes=prefixes,
            first_port=port,
            via_api=via_api,
            tunnels=tunnels,
            report=lambda phase, seconds: _say(f"{phase} made ({seconds:.1f} s)"),
            note=_say,
        )
        # Until here the lab ends with this command: one that nobody could find again must not stay.
        state.save(name, lab)
        lab.detach()
        if (trouble := _await_rest(lab) or (_build(lab) if lab.spec.via_api else None)) is not None:
            lab.stop()
            state.forget(name)
            _say(trouble)
            raise typer.Exit(1)
    for gateway in lab.ports:
        typer.echo(f"{gateway}  {lab.url(gateway)}")
    _say(_what_to_try(lab, name))


def _what_to_try(lab: Lab, name: str) -> str:
    named, port = _named(name), lab.ports[GW1.name]
    server = "" if port == launch.FIRST_PORT else f" --server {lab.url(GW1.name)}"
    commands = (
        (f"bgpsvc lab exec{named} {GW1.host} -- ping {GW2.host_address}", "across the active tunnel"),
        (f"bgpsvc lab fail{named} 1", f"meanwhile: drop its packets; bgpsvc lab heal{named} 1 ends that"),
        (f"bgpsvc{server} get tunnels", "which one carries the traffic, and why"),
        (f"bgpsvc{server} diagnose {GW1.connection}", "what is wrong, layer by layer"),
        (f"bgpsvc lab down{named}", "all is gone"),
    )
    width = max(len(command) for command, _ in commands)
    dashboard = f"Open {lab.url(GW1.name)}/ in a browser: the dashboard follows all that happens."
    return "\n".join([dashboard, "Try:", *(f"  {command:{width}}  {what}" for command, what in commands)])


def _await_rest(lab: Lab) -> str | None:
    """Waits until the gateways answer. Returns what went wrong, with the log of the daemon at fault."""
    deadline = time.monotonic() + START_SECONDS + lab.spec.prefixes / 2000
    for gateway in lab.ports:
        rest = Rest(lab.url(gateway))
        while not rest.alive():
            ended = lab.daemons()[gateway]["exit"]
            if ended is not None or time.monotonic() > deadline:
                what = "does not answer" if ended is None else f"ended with status {ended}"
                rest.close()
                return f"bgpsvc lab: {gateway} {what}; the last lines of its log:\n{lab.log_tail(gateway)}"
            time.sleep(0.05)
        rest.close()
    return None


def _build(lab: Lab) -> str | None:
    """Makes everything over REST, each step told when it is done. Returns what went wrong."""
    rest = {gateway: Rest(lab.url(gateway)) for gateway in lab.ports}
    try:
        until = functools.partial(look_until, seconds=START_SECONDS)
        for step in [*build_steps(lab.spec, lab.keys, rest, until), propagation_step(lab.spec, rest, until)]:
            step.run()
            _say(f"ok    {step.title}")
    except (httpx.HTTPError, StepFailed) as error:
        logs = (f"the last lines of the log of {name}:\n{lab.log_tail(name)}" for name in lab.ports)
        return "\n".join([f"bgpsvc lab: {error}", *logs])
    finally:
        for one in rest.values():
            one.close()
    return None


@app.command(short_help="End the lab and everything in it.")
def down(name: NameOption = DEFAULT) -> None:
    """End the lab: all its processes, and with them all of its namespaces."""
    with _errors(), state.locked(name):
        lab = state.load(name)
        if lab is not None:
            lab.stop()
        state.forget(name)
    _say("the lab is gone" if lab else f"no lab {name!r} was running")


@app.command()
def status(name: NameOption = DEFAULT) -> None:
    """Hosts, tunnels, daemons, addresses of the REST surfaces, sessions."""
    with _errors():
        lab = _running(name)
        failed = lab.failed()
        typer.echo("HOSTS    " + "  ".join(HOSTS))
        for gateway in GATEWAYS:
            typer.echo(
                f"         {gateway.host} {gateway.host_address} behind {gateway.name}, {gateway.vpc_cidr}"
            )
        for tunnel in TUNNELS:
            role = ("active", "standby")[tunnel - 1]
            condition = "broken" if tunnel in failed else "passes packets"
            ends = " - ".join(gateway.inside[tunnel - 1] for gateway in GATEWAYS)
            typer.echo(f"TUNNEL   {tunnel} {role:8} {ends}  {lab.spec.tunnels}, {condition}")
        for daemon, about in lab.daemons().items():
            condition = "running" if about["exit"] is None else f"ended with status {about['exit']}"
            typer.echo(f"DAEMON   {daemon} on {about['host']}: {condition}")
        for gateway in served_gateways(lab.spec.peer):
            _status_of(gateway.name, gateway.connection, lab.url(gateway.name))


def _status_of(gateway: str, connection: str, url: str) -> None:
    typer.echo(f"REST     {gateway} {url}")
    rest = Rest(url)
    try:
        for tunnel in rest.tunnels():
            if (ipsec := tunnel["ipsec"]) is not None:
                typer.echo(f"IPSEC    {gateway} {tunnel['id']} {ipsec['status']}: {ipsec['reason']}")
        for session in rest.sessions().values():
            counts = session["prefixes"]
            typer.echo(
                f"SESSION  {gateway} {session['id']} {session['role']} {session['state']}, "
                f"{counts['accepted']} prefixes learned, {counts['advertised']} advertised"
            )
        typer.echo(f"CARRIES  {gateway} {rest.connection(connection)['carrying'] or 'no tunnel'}")
    except httpx.HTTPError as error:
        typer.echo(f"         does not answer: {error}")
    finally:
        rest.close()


@app.command(short_help="Drop a tunnel's packets, silently.")
def fail(tunnel: TunnelArgument, name: NameOption = DEFAULT) -> None:
    """Drop a tunnel's packets between the gateways, silently: no error, no carrier lost."""
    with _errors():
        changed = _running(name).fail(tunnel)
    _say(f"tunnel {tunnel} {'is' if changed else 'was already'} broken")


@app.command()
def heal(tunnel: TunnelArgument, name: NameOption = DEFAULT) -> None:
    """Let a tunnel's packets pass again."""
    with _errors():
        changed = _running(name).heal(tunnel)
    _say(f"tunnel {tunnel} {'passes packets again' if changed else 'was not broken'}")


@app.command("exec")
def execute(
    host: Annotated[str, typer.Argument(metavar="HOST", help=f"One of {', '.join(HOSTS)}.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, after `--`.")],
    name: NameOption = DEFAULT,
) -> None:
    """Run a command in a host of the lab, as root there."""
    with _errors():
        lab = _running(name)
    if host not in HOSTS:
        _say(f"bgpsvc lab: there is no host {host!r}; there are {', '.join(HOSTS)}")
        raise typer.Exit(2)
    sys.stdout.flush()
    argv = lab.command(host, command)
    # An ordinary user's PATH often lacks `ip` and its like, which are what one wants here.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *launch.SBIN])
    os.execve(argv[0], argv, {**os.environ, "PATH": path})


@app.command()
def logs(
    daemon: Annotated[str, typer.Argument(metavar="DAEMON", help="A daemon, as `status` names it.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    name: NameOption = DEFAULT,
) -> None:
    """The last lines of a daemon's log."""
    with _errors():
        lab = _running(name)
        if daemon not in (known := lab.daemons()):
            _say(f"bgpsvc lab: there is no daemon {daemon!r}; there is {', '.join(known)}")
            raise typer.Exit(2)
        typer.echo(lab.log_tail(daemon, lines))


if __name__ == "__main__":
    app()
