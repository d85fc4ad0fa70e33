"""`bgpsvc dump`: the routes of a VPN gateway as a file in MRT."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from bgpsvc.cli.client import path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import GatewayOption, Server, make_client, the_only

COMPRESSION = 6


class Which(StrEnum):
    """Which paths are written."""

    RECEIVED = "received"
    BEST = "best"


class FamilyName(StrEnum):
    """Address families."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


def dump(
    ctx: typer.Context,
    gateway: GatewayOption = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write; compressed if the name ends in .gz. - is standard output.",
        ),
    ] = "-",
    which: Annotated[
        Which,
        typer.Option(
            "--which",
            help="received: every path as its peer sent it, before policy, refused ones included. "
            "best: for each prefix the path that was chosen, as policies made it.",
        ),
    ] = Which.RECEIVED,
    family: Annotated[
        FamilyName | None, typer.Option("--family", help="One address family. Default: both.")
    ] = None,
    server: Server = None,
) -> None:
    """Write the routes of a VPN gateway as MRT (RFC 6396, TABLE_DUMP_V2), for bgpdump and the like.

    A file gets its name when it is whole; until then the name ends in .part.

    Examples:

      bgpsvc dump -o rib.mrt.gz

      bgpsvc dump --gateway gw1 --which best | bgpdump -m -
    """
    if output == "-" and sys.stdout.isatty():
        raise CliError("MRT is nothing to read on a terminal: give -o FILE, or pipe it into bgpdump", 2)
    client = make_client(ctx, server)
    name = the_only(client, path_to("vpn-gateways"), "VPN gateway", "--gateway", gateway)
    chunks = client.chunks(
        path_to("vpn-gateways", name) + "/routes/mrt",
        {"which": which.value, "family": None if family is None else family.value},
    )
    if output == "-":
        _to_stdout(chunks)
        return
    size = _to_file(Path(output), chunks)
    typer.echo(f"{output}: {size} bytes of MRT", err=True)


def _to_stdout(chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        try:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Whoever reads has seen enough; what is left in the buffer must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None


def _to_file(path: Path, chunks: Iterable[bytes]) -> int:
    """Writes beside it and renames at the end: what has the name is whole. The size before compression."""
    if path.exists() and not path.is_file():
        raise CliError(f"{path} is no regular file: give another name, or -o - and a redirection")
    part = path.with_name(path.name + ".part")
    size = 0
    try:
        with open(part, "wb") as raw:
            file = cast(BinaryIO, gzip.GzipFile("", "wb", COMPRESSION, raw)) if path.suffix == ".gz" else raw
            for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
            if file is not raw:
                file.close()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(part, path)
    except OSError as error:
        raise CliError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return size
