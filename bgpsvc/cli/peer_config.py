"""`bgpsvc peer-config`: the configuration of a VPN connection's other side, for the device that is there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc.cli import complete
from bgpsvc.cli.client import Client, Unreachable, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import Server, make_client
from bgpsvc.peerconfig.files import split

PRIVATE, PRIVATE_SCRIPT, PRIVATE_DIRECTORY = 0o600, 0o700, 0o700
STANDARD_OUTPUT = "-"
_PLATFORMS = "/v1/peer-config-platforms"


def peer_config(
    ctx: typer.Context,
    connection: Annotated[
        str | None,
        typer.Argument(metavar="CONNECTION", help="The VPN connection.", autocompletion=complete.connections),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            "-p",
            metavar="NAME",
            help="What the device is; --list names them.",
            autocompletion=complete.platforms,
        ),
    ] = None,
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets",
            help="Keys and passwords in clear, not placeholders. Needs the scope admin; the audit "
            "log remembers it.",
        ),
    ] = False,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            "-n",
            metavar="PREFIX",
            help="What lies behind the device and is to be announced; several times.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it, with mode 0600."),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            metavar="DIR",
            help="Where to write it in parts: each `# file: NAME` becomes a file of its own below.",
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print the names of the platforms.")] = False,
    server: Server = None,
) -> None:
    """The configuration of a connection's other side, for the device that is there.

    Lines with EDIT name what only you can know.

    Examples:

      bgpsvc peer-config --list

      bgpsvc peer-config conn1 --platform strongswan-frr --network 192.168.0.0/16 --output-dir device

      bgpsvc peer-config conn1 --platform bgpsvc --secrets -o peer.yaml
    """
    client = make_client(ctx, server)
    if listing:
        if connection is not None or platform is not None:
            raise CliError("--list goes alone", 2)
        for name in _platforms(client):
            typer.echo(name)
        return
    if connection is None:
        raise CliError("which connection? `bgpsvc get connections` lists them", 2)
    if platform is None:
        names = ", ".join(_platforms(client))
        raise CliError(f"which device is at the other side? --platform takes {names}", 2)
    if file is not None and directory is not None:
        raise CliError("give --output or --output-dir, not both", 2)
    params = {"platform": platform, "secrets": "true" if secrets else None, "network": network or None}
    got = client.download(path_to("vpn-connections", connection, "peer-config"), params)
    if directory is not None:
        _write_parts(got.text, got.filename or "configuration", directory)
    elif file is None or file == STANDARD_OUTPUT:
        sys.stdout.write(got.text)
    else:
        _write(Path(file), got.text, PRIVATE)
    _tell(got.text, secrets)


def _platforms(client: Client) -> list[str]:
    try:
        return [str(item["name"]) for item in client.items(_PLATFORMS)]
    except Unreachable as error:
        # Not imported before: a command that does not need it starts in half the time.
        from bgpsvc.peerconfig.platforms import PLATFORMS

        typer.echo(f"bgpsvc: {error}\nbgpsvc: these are the platforms of this version", err=True)
        return list(PLATFORMS)


def _write_parts(text: str, filename: str, directory: Path) -> None:
    try:
        files = split(text, filename)
    except ValueError as error:
        raise CliError(f"the configuration is not written: {error}") from None
    for file in files:
        path = directory / file.name
        try:
            for folder in reversed([folder for folder in path.parents if not folder.exists()]):
                folder.mkdir(mode=PRIVATE_DIRECTORY)
        except OSError as error:
            raise CliError(f"{error.filename} cannot be made: {error.strerror}") from None
        _write(path, file.text, PRIVATE_SCRIPT if file.script else PRIVATE)
        typer.echo(str(path))


def _write(path: Path, text: str, mode: int) -> None:
    """A file that only its owner can read, also where there was one that others could."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
        with open(handle, "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                os.fchmod(handle, mode)
                os.ftruncate(handle, 0)
            file.write(text)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from None


def _tell(text: str, secrets: bool) -> None:
    for message in _messages(text, secrets):
        typer.echo(message, err=True)


def _messages(text: str, secrets: bool) -> Iterator[str]:
    edits = sum("EDIT" in line for line in text.splitlines()) - 1
    if edits > 0:
        yield f"{edits} line{' has' if edits == 1 else 's have'} EDIT: look at each of them"
    if not secrets:
        yield "keys and passwords are left out; --secrets puts them in"
