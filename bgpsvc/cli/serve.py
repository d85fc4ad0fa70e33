"""`bgpsvc serve`: the daemon."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from api.app import create_app
from api.server import ApiServer, Listen, bind, parse_listen
from bgpsvc import __version__
from bgpsvc.choices import Choices
from bgpsvc.configfile import load_file
from bgpsvc.effects import Log
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import StateDirInUse
from bgpsvc.journal import Journal
from bgpsvc.netns import enter
from bgpsvc.resources import ConfigError, Loaded
from bgpsvc.runtime import Runtime
from bgpsvc.service import BgpService

log = logging.getLogger("bgpsvc")


def serve(
    config: Annotated[Path, typer.Option(help="Configuration file (YAML). Read again on SIGHUP.")],
    state_dir: Annotated[
        Path, typer.Option(help="Directory for sockets, speaker files and operators' choices; mode 0700.")
    ] = Path("/var/lib/bgpsvc"),
    listen: Annotated[
        str, typer.Option(help="Where REST listens: 127.0.0.1:PORT, [::1]:PORT, unix:/PATH or fd:N.")
    ] = "127.0.0.1:8179",
    netns: Annotated[
        str | None,
        typer.Option(
            help="Named network namespace of the gateway. REST stays in the namespace you start in."
        ),
    ] = None,
    keep_speakers: Annotated[
        bool,
        typer.Option(
            "--keep-speakers", help="On SIGTERM leave the BGP sessions running for the next start (upgrade)."
        ),
    ] = False,
    anonymous: Annotated[
        str | None,
        typer.Option(help="Scope of requests without a token: read, operate or admin. On loopback only."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon: BGP speakers, route programming and the REST API.

    It needs CAP_NET_ADMIN. SIGTERM stops it within 5 s and leaves the routes in the kernel; SIGHUP reads
    the configuration again and keeps the running one if the file is bad.

    Example: bgpsvc serve --config gw1.yaml --state-dir /var/lib/bgpsvc --listen 127.0.0.1:8179
    """
    levels = ("debug", "info", "warning", "error")
    if log_level not in levels:
        raise typer.BadParameter(f"{log_level!r}; allowed: {', '.join(levels)}", param_hint="--log-level")
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        where = parse_listen(listen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    try:
        loaded = load_file(config)
        _make_state_dir(state_dir)
        # Bound before the namespace is entered: REST is reached from where the daemon was started.
        sock = bind(where)
        if netns is not None:
            enter(netns)
        asyncio.run(_serve(loaded, config, state_dir, where, sock, keep_speakers))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"bgpsvc serve: {_said(error)}", err=True)
        raise typer.Exit(1) from None
    except (StateDirInUse, ReloadFailed) as error:
        typer.echo(f"bgpsvc serve: {error}", err=True)
        raise typer.Exit(1) from None


def _make_state_dir(path: Path) -> None:
    """Keys and control sockets live here. OSError if a directory that exists is open to others."""
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
        return
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        # Not ours to change: it may be a directory that others use.
        raise OSError(errno.EACCES, f"{path} must be a directory of this user with mode 0700")


def _said(error: OSError) -> str:
    """An error in words, without its number."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename is not None else text


async def _serve(
    loaded: Loaded, config: Path, state_dir: Path, where: Listen, sock: socket.socket, keep_speakers: bool
) -> None:
    for warning in loaded.warnings:
        log.warning("%s", warning)
    choices = Choices(_Unstored(), {}, loaded.intent)
    journal = Journal(first_id=int(time.time() * 1000))
    runtime = Runtime(choices.apply(loaded.intent), choices.modes(), state_dir, journal)
    service = BgpService(runtime, choices)
    server = ApiServer(create_app(service, version=__version__), where, sock)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()
    one_at_a_time = asyncio.Lock()

    async def reload_in_turn() -> None:
        async with one_at_a_time:
            await _reload(runtime, choices, config)

    def reload() -> None:
        task = asyncio.create_task(reload_in_turn())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)

    async def start_in_turn() -> None:
        async with one_at_a_time:
            await runtime.start()

    stopped = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(start_in_turn())
    running: list[asyncio.Task[None]] = []
    try:
        # Adopting speakers may take longer than a stop may: whichever comes first.
        await _first(starting, stopped)
        if starting.done():
            running = [asyncio.create_task(server.serve()), asyncio.create_task(runtime.failed())]
            log.info("REST at %s", server.address)
            await _first(*running, stopped)
    finally:
        server.should_exit = True
        await _cancel(starting, *reloads)
        stopping = asyncio.create_task(runtime.stop(keep_speakers))
        await asyncio.wait([stopping, *running[:1]])
        await _cancel(stopped, *running)
        stopping.result()
    log.info("stopped; the routes stay in the kernel")


async def _first(*tasks: asyncio.Task[Any]) -> None:
    """Until one of the tasks is done. A crash among them ends the daemon, with its traceback."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _reload(runtime: Runtime, choices: Choices, config: Path) -> None:
    try:
        loaded = load_file(config)
    except ConfigError as error:
        _reject(runtime, [str(problem) for problem in error.problems])
        return
    except OSError as error:
        _reject(runtime, [_said(error)])
        return
    for warning in loaded.warnings:
        log.warning("%s", warning)
    try:
        await runtime.reload(choices.apply(loaded.intent))
    except (OSError, ReloadFailed) as error:
        text = f"the configuration is in force, but a part did not take it yet: {error}"
        runtime.note(Log("config.reloaded", "error", "configuration", text, {"problem": str(error)}))
        return
    runtime.note(Log("config.reloaded", "info", "configuration", "the configuration was reloaded"))


def _reject(runtime: Runtime, problems: list[str]) -> None:
    text = f"the configuration was refused, the running one stays: {problems[0]}"
    runtime.note(Log("config.rejected", "error", "configuration", text, {"problems": problems}))


class _Unstored:
    async def set_choice(self, kind: str, name: str, value: Any, audit: Any) -> None:
        log.info("%s %s", kind, name)
