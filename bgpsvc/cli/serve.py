"""`bgpsvc serve`: the command line of the daemon."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import logging
import os
import stat
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.limits import Limits
from api.server import bind, parse_listen
from api.tls import Tls
from bgpsvc.cli.daemon import SOCKET, Daemon, Door, TunnelOptions
from bgpsvc.cli.watched import BadEnvironment, Watched, become_watchdog, is_watched
from bgpsvc.configfile import load_file
from bgpsvc.control import InvalidDocument, Scope, StoreUnavailable
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import StateDirInUse
from bgpsvc.ipsec.choose import CannotChoose
from bgpsvc.netns import enter
from bgpsvc.resources import ConfigError
from bgpsvc.store.errors import StoreError

NO_LIMIT = 10**9
"""Requests per second that no machine reaches."""


class Driver(StrEnum):
    """Who makes the tunnels."""

    AUTO = "auto"
    XFRM = "xfrm"
    USERSPACE = "userspace"
    EXTERNAL = "external"


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            help="Configuration file (YAML), read again on SIGHUP. Resources are then read-only over REST; "
            "without it they are kept in the database."
        ),
    ] = None,
    state_dir: Annotated[
        Path, typer.Option(help="Directory for database, keys, sockets and speaker files; mode 0700.")
    ] = Path("/var/lib/bgpsvc"),
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER@HOST/NAME; by default SQLite in the state directory. "
            "Give the password in PGPASSFILE.",
            envvar="BGPSVC_DATABASE",
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Where REST listens: ADDRESS:PORT, [ADDRESS]:PORT, unix:/PATH or fd:N.")
    ] = "127.0.0.1:8179",
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="Certificate chain (PEM) for REST over TCP; read again on SIGHUP.", dir_okay=False),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key (PEM), mode 0600 or 0640.", dir_okay=False)
    ] = None,
    anonymous: Annotated[
        Scope | None,
        typer.Option(help="What requests without a token may do over TCP. On loopback only."),
    ] = None,
    rate_limit: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Requests per second of a token, or of an address without one, over TCP; five times as many "
            "at once. 0: no limit, not even of failed authentications.",
        ),
    ] = 100,
    netns: Annotated[
        str | None,
        typer.Option(
            help="Named network namespace of the gateway. REST stays in the namespace you start in."
        ),
    ] = None,
    ipsec: Annotated[
        Driver,
        typer.Option(
            help="Who makes the tunnels: the kernel, with the charon of --charon-socket (xfrm), a charon of "
            "our own for each tunnel (userspace), somebody else (external), or what works here (auto)."
        ),
    ] = Driver.AUTO,
    charon_socket: Annotated[
        Path, typer.Option(help="vici socket of the strongSwan that makes the tunnels with --ipsec xfrm.")
    ] = Path("/run/charon.vici"),
    keep_speakers: Annotated[
        bool,
        typer.Option(
            "--keep-speakers",
            help="On SIGTERM leave BGP sessions and tunnels running for the next start (upgrade).",
        ),
    ] = False,
    watchdog: Annotated[
        float | None,
        typer.Option(
            min=5,
            metavar="SECONDS",
            help="Run under a watchdog: a small process that starts the daemon again when it has crashed or "
            "gave no sign of life for so long (30 is a good value). Not needed under systemd.",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the daemon: BGP speakers, route programming and the REST API.

    It needs CAP_NET_ADMIN. SIGTERM stops it within seconds: it takes its tunnels down and leaves the routes
    in the kernel. SIGHUP reads the configuration and the certificate again and keeps the running ones if they
    are bad. REST also listens on api.sock in the state directory, where no token is needed.

    Example: bgpsvc serve --config gw1.yaml --state-dir /var/lib/bgpsvc --listen 127.0.0.1:8179
    """
    levels = ("debug", "info", "warning", "error")
    if log_level not in levels:
        raise typer.BadParameter(f"{log_level!r}; allowed: {', '.join(levels)}", param_hint="--log-level")
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.DEBUG if log_level == "debug" else logging.WARNING)
    if (tls_cert is None) is not (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together", param_hint="--tls-cert")
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)
    secure, open_door = tls is not None, anonymous is not None
    try:
        where = parse_listen(listen, tls=secure, anonymous=open_door)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    if watchdog is not None and not is_watched(os.environ):
        become_watchdog(watchdog)
    # A hung daemon is ended with SIGABRT, by the watchdog as by systemd: its log then says where it hangs.
    faulthandler.enable()
    try:
        # Who watches is reached from where we were started, too.
        watched = Watched.of_environment(os.environ)
        loaded = None if config is None else load_file(config)
        _make_state_dir(state_dir)
        # Bound before the namespace is entered: REST is reached from where the daemon was started.
        sock = bind(where, tls=secure, anonymous=open_door)
        door = Door(where, sock, tls, state_dir / SOCKET)
        if netns is not None:
            enter(netns)
        tunnels = TunnelOptions(ipsec.value, charon_socket)
        limits = _limits(rate_limit)
        asyncio.run(
            Daemon(
                *(config, loaded, state_dir, database, door, anonymous, limits),
                *(tunnels, keep_speakers, watched),
            ).run()
        )
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"bgpsvc serve: {_said(error)}", err=True)
        raise typer.Exit(1) from None
    except (
        BadEnvironment,
        StateDirInUse,
        ReloadFailed,
        CannotChoose,
        StoreError,
        StoreUnavailable,
        InvalidDocument,
    ) as error:
        typer.echo(f"bgpsvc serve: {error}", err=True)
        raise typer.Exit(1) from None


def _limits(rate: int) -> Limits:
    if rate:
        return Limits(rate=rate, burst=5 * rate)
    return Limits(rate=NO_LIMIT, burst=NO_LIMIT, failure_rate=NO_LIMIT, failure_burst=NO_LIMIT)


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
