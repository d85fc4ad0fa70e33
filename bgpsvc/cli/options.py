"""Options that commands share, and what they mean."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bgpsvc.cli.client import Client, Json, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.output import Format

HELP = {"help_option_names": ["-h", "--help"]}

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        "-s",
        metavar="URL",
        help="Daemon to talk to: http[s]://ADDRESS:PORT or unix:/PATH. Default: $BGPSVC_SERVER, "
        "else the daemon's socket, else http://127.0.0.1:8179.",
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="Form of the output.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Draw again every 2 s, until Ctrl-C.")]
GatewayOption = Annotated[
    str | None,
    typer.Option("--gateway", "-g", metavar="NAME", help="The VPN gateway. Default: the only one."),
]


def make_client(ctx: typer.Context, server: str | None) -> Client:
    """A client for the command's --server, else that of `bgpsvc --server`, else the environment's."""
    given = ctx.find_root().params
    return Client(
        server or given.get("server"),
        token_file=given.get("token_file") or os.environ.get("BGPSVC_TOKEN_FILE") or None,
        ca_file=given.get("ca_file") or os.environ.get("BGPSVC_CA_FILE") or None,
    )


def the_only(client: Client, path: str, kind: str, option: str, given: str | None) -> str:
    """The name given, or that of the only resource there is; CliError if there are several or none."""
    if given is not None:
        return given
    names = [item["name"] for item in client.items(path)]
    if not names:
        raise CliError(f"there is no {kind}")
    if len(names) > 1:
        raise CliError(f"there are {len(names)} {kind}s ({', '.join(names)}): choose one with {option}", 2)
    return str(names[0])


def check_session(client: Client, session: str | None) -> None:
    """CliError if there is no such session: a filter with it would find nothing, and not say why."""
    if session is not None:
        client.get(path_to("bgp-sessions", session))


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, units: str, ago: bool = False) -> str:
    """RFC 3339 time that `90d`, `12h` from now (or `ago`), or a time itself, stands for; a time without an
    offset is one of this machine's zone. CliError if it is neither; `units`: those that are taken."""
    match = re.fullmatch(rf"([0-9]{{1,5}})([{units}])", text)
    try:
        if match is not None:
            span = timedelta(**{UNITS[match[2]]: int(match[1])})
            found = datetime.now(UTC).replace(microsecond=0) + (-span if ago else span)
        else:
            found = datetime.fromisoformat(text)
            found = found.astimezone() if found.tzinfo is None else found
    except (ValueError, OverflowError):
        given = "15m, 12h, 7d" if ago else "30m, 12h, 90d, 8w"
        example = "2025-10-09T08:41:07Z" if ago else "2030-01-31T00:00:00Z"
        raise CliError(f"{text!r} is no time: give {given}, or a time such as {example}", 2) from None
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_asn(text: str | None) -> int | None:
    """An AS number, plain or asdot (`64512` or `1.10`); CliError if it is none."""
    if text is None:
        return None
    parts = text.split(".")
    if re.fullmatch(r"\d{1,10}(\.\d{1,5})?", text, re.ASCII):
        value = int(parts[0]) if len(parts) == 1 else int(parts[0]) * 65536 + int(parts[1])
        if value < 2**32 and all(len(parts) == 1 or int(part) < 65536 for part in parts):
            return value
    raise CliError(f"{text!r} is not an AS number: 0 to 4294967295, or asdot as 1.10", 2)


def route_query(
    prefix: str | None, *, longer: bool = False, covering: bool = False, best: bool = False
) -> Json:
    """Parameters `prefix` and `match` of a route list.

    An address without a length means its best match, or with `longer` and `covering` the host prefix.
    """
    if longer + covering + best > 1:
        raise CliError("--longer, --covering and --best exclude each other", 2)
    if prefix is None:
        if longer or covering or best:
            raise CliError("--longer, --covering and --best need a PREFIX", 2)
        return {}
    if "/" not in prefix:
        if not longer and not covering:
            return {"prefix": prefix, "match": "best"}
        prefix += "/128" if ":" in prefix else "/32"
    return {
        "prefix": prefix,
        "match": "longer" if longer else "covering" if covering else "best" if best else "exact",
    }
