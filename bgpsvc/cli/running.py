"""Running the daemon: from its options to its end, with what it says if it cannot start."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import os
import socket
import stat
from pathlib import Path

import typer

from api.limits import Limits
from api.server import bind, parse_listen
from api.tls import Tls
from bgpsvc import __version__
from bgpsvc.bmp.options import BmpOptions, bmp_options
from bgpsvc.cli.daemon import SOCKET, Daemon, Door, TunnelOptions
from bgpsvc.cli.serving import Options
from bgpsvc.cli.watched import BadEnvironment, Watched
from bgpsvc.configfile import load_file
from bgpsvc.control import InvalidDocument, StoreUnavailable
from bgpsvc.exabgp.reloader import ReloadFailed
from bgpsvc.exabgp.speaker import StateDirInUse
from bgpsvc.ipsec.choose import CannotChoose
from bgpsvc.mrt.files import CannotRecord
from bgpsvc.netns import enter
from bgpsvc.resources import ConfigError
from bgpsvc.store.errors import StoreError
from bgpsvc.tracing import NOT_TRACED, Tracer

PEER_CONFIG_DIR = "peer-config"
NO_LIMIT = 10**9
"""Requests per second that no machine reaches."""


def run(options: Options) -> None:
    """Until it is stopped. typer.BadParameter if options do not fit, typer.Exit if it cannot run."""
    tls = _tls(options)
    secure, open_door = tls is not None, options.anonymous is not None
    try:
        where = parse_listen(options.listen, tls=secure, anonymous=open_door)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    stations = _bmp(options)
    # Before the namespace is entered: the collector is reached from where we were started, as the watcher is.
    tracer = _tracer(options)
    # A hung daemon is ended with SIGABRT, by the watchdog as by systemd: its log then says where it hangs.
    faulthandler.enable()
    try:
        watched = Watched.of_environment(os.environ)
        config, state_dir = options.config, options.state_dir
        loaded = None if config is None else load_file(config)
        _make_state_dir(state_dir)
        # Bound before the namespace is entered: REST is reached from where the daemon was started.
        sock = bind(where, tls=secure, anonymous=open_door)
        door = Door(where, sock, tls, state_dir / SOCKET)
        if options.netns is not None:
            enter(options.netns)
        tunnels = TunnelOptions(options.ipsec, options.charon_socket)
        limits = _limits(options.rate_limit)
        asyncio.run(
            Daemon(
                *(config, loaded, state_dir, options.database, door, options.anonymous, limits),
                *(tunnels, options.keep_speakers, watched, peer_config_dir(options)),
                *(tracer, options.log_requests, options.mrt, stations),
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
        CannotRecord,
        StateDirInUse,
        ReloadFailed,
        CannotChoose,
        StoreError,
        StoreUnavailable,
        InvalidDocument,
    ) as error:
        typer.echo(f"bgpsvc serve: {error}", err=True)
        raise typer.Exit(1) from None
    finally:
        tracer.close()


def _tracer(options: Options) -> Tracer:
    endpoint = options.otlp_endpoint
    if not endpoint:
        return NOT_TRACED
    try:
        from bgpsvc.otel import OtelTracer
    except ModuleNotFoundError as error:
        text = f"traces need the packages of the extra `otel` (pip install 'bgpsvc[otel]'): {error}"
        raise typer.BadParameter(text, param_hint="--otlp-endpoint") from None
    try:
        return OtelTracer(endpoint, __version__, socket.gethostname())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--otlp-endpoint") from None


def _bmp(options: Options) -> BmpOptions:
    try:
        return bmp_options(options.bmp, options.bmp_ribs, options.bmp_statistics)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bmp or --bmp-ribs") from None


def _tls(options: Options) -> Tls | None:
    certificate, key = options.tls_cert, options.tls_key
    if (certificate is None) is not (key is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together", param_hint="--tls-cert")
    return None if certificate is None or key is None else Tls(certificate, key)


def _limits(rate: int) -> Limits:
    if rate:
        return Limits(rate=rate, burst=5 * rate)
    return Limits(rate=NO_LIMIT, burst=NO_LIMIT, failure_rate=NO_LIMIT, failure_burst=NO_LIMIT)


def peer_config_dir(options: Options) -> Path | None:
    """The operator's templates: where they were said to be, else where they usually are."""
    if options.peer_config_dir is not None:
        return options.peer_config_dir.absolute()
    beside = options.state_dir if options.config is None else options.config.absolute().parent
    usual = beside.absolute() / PEER_CONFIG_DIR
    return usual if usual.is_dir() else None


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
