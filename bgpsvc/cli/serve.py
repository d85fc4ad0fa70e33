"""`bgpsvc serve`: the command line of the daemon."""

from __future__ import annotations

import gc
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc import logs
from bgpsvc import watchdog as watching
from bgpsvc.cli.amounts import mrt_options
from bgpsvc.cli.serving import Options
from bgpsvc.control import Scope


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
    peer_config_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="Directory with templates (NAME.j2) of your own for `peer-config`: in place of ours, or for "
            "more platforms. Default: peer-config beside the configuration file (without one: in the state "
            "directory), if it exists.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
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
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error.", envvar="BGPSVC_LOG_LEVEL")
    ] = "info",
    log_format: Annotated[
        str,
        typer.Option(
            help="console, journal (priorities, no time), json (an object for each line), or auto: journal "
            "where standard error leads to it, console elsewhere.",
            envvar="BGPSVC_LOG_FORMAT",
        ),
    ] = "auto",
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log each request: method, path, status, time, who.")
    ] = False,
    otlp_endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Send OpenTelemetry traces to this collector by OTLP over HTTP. Needs the extra `otel`.",
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
    ] = None,
    bmp: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS:PORT",
            help="Tell this BMP monitoring station (RFC 7854) of sessions and routes. May be given several "
            "times; in the variable, spaces are between them.",
            envvar="BGPSVC_BMP",
        ),
    ] = None,
    bmp_ribs: Annotated[
        str,
        typer.Option(
            help="What BMP stations are told, with commas: pre-policy, post-policy, loc-rib, adj-rib-out.",
            envvar="BGPSVC_BMP_RIBS",
        ),
    ] = "pre-policy,loc-rib",
    bmp_statistics: Annotated[
        float,
        typer.Option(
            min=0, max=86400, metavar="SECONDS", help="How often BMP stations get statistics. 0: never."
        ),
    ] = 60.0,
    mrt_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="Record what peers send, and sessions that come and go, in files of MRT (RFC 6396) there.",
        ),
    ] = None,
    mrt_interval: Annotated[
        str, typer.Option(metavar="TIME", help="Time that a file of the recording has: 10s, 15m, 1h.")
    ] = "15m",
    mrt_keep: Annotated[int, typer.Option(min=1, help="Files of the recording that are kept.")] = 96,
    mrt_max_bytes: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Bytes that the recording takes at most: 64M, 2G; 16M or more."),
    ] = "2G",
) -> None:
    """Run the daemon: BGP speakers, route programming and the REST API.

    It needs CAP_NET_ADMIN. SIGTERM stops it within seconds: it takes its tunnels down and leaves the routes
    in the kernel. SIGHUP reads the configuration and the certificate again and keeps the running ones if they
    are bad. REST also listens on api.sock in the state directory, where no token is needed.

    Example: bgpsvc serve --config gw1.yaml --state-dir /var/lib/bgpsvc --listen 127.0.0.1:8179
    """
    mrt = None if mrt_dir is None else mrt_options(mrt_dir, mrt_interval, mrt_keep, mrt_max_bytes)
    try:
        logs.configure(log_level, log_format)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--log-level or --log-format") from None
    if watchdog is not None and not watching.is_watched():
        watching.become(watchdog, log_format)
    # Not before: a watchdog needs nothing of it. It stays, so looking for garbage in it is in vain.
    gc.disable()
    from bgpsvc.cli.running import run

    gc.freeze()
    gc.enable()
    run(
        Options(
            *(config, state_dir, database, listen, tls_cert, tls_key, anonymous, rate_limit, netns),
            *(ipsec.value, charon_socket, peer_config_dir, keep_speakers, log_requests),
            *(otlp_endpoint, mrt, tuple(bmp or ()), bmp_ribs, bmp_statistics),
        )
    )
