"""`bgpsvc import`: a cloud's configuration of a VPN connection as our YAML. Talks to no daemon."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bgpsvc.cli.errors import CliError
from bgpsvc.configfile import decode, secret_reader
from bgpsvc.importing import Choices, Imported, Refused, translate
from bgpsvc.resources import ConfigError

_LARGEST = 32 * 1024 * 1024
"""Bytes that are read of a file; what is larger is refused by the number of its characters anyway."""


class CloudName(StrEnum):
    """The clouds, as they are called on the command line."""

    AWS = "aws"
    AZURE = "azure"
    GCP = "gcp"
    ALIBABA = "alibaba"


def _many(option: str, metavar: str, text: str) -> Any:
    return typer.Option(option, metavar=metavar, help=text)


Cloud = Annotated[CloudName, typer.Argument(metavar="CLOUD", help="aws, azure, gcp or alibaba.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="What the cloud gave; - for standard input.")]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the VPN connection. Default: as in the cloud."),
]
VpcName = Annotated[
    str, typer.Option("--vpc", metavar="NAME", help="Name of the VPC, which is this side's networks.")
]
Gateway = Annotated[
    str, typer.Option("--gateway", metavar="NAME", help="Name of the VPN gateway, which is this side.")
]
VpcCidrs = Annotated[
    list[str] | None,
    _many("--vpc-cidr", "CIDR", "A network of this side; again for more. Needed if the file has none."),
]
RemoteCidrs = Annotated[
    list[str] | None,
    _many("--remote-cidr", "CIDR", "Without BGP: a network in the cloud to route there; again for more."),
]
LocalAddresses = Annotated[
    list[str] | None,
    _many(
        "--local-address",
        "ADDRESS",
        "Address of this side, once, or for each tunnel in order: behind a NAT, or if the file has none.",
    ),
]
Connections = Annotated[
    list[str] | None,
    _many("--connection", "NAME", "Take only this connection of the file; again for more."),
]
Tunnels = Annotated[
    list[str] | None,
    _many("--tunnel", "NAME", "Take this tunnel, by name or cloud address; the first is the active one."),
]
KeyFiles = Annotated[
    list[str] | None,
    _many("--key-file", "FILE", "File with the pre-shared key, if the cloud hides it; once, or for each."),
]
PasswordFiles = Annotated[
    list[str] | None,
    _many("--password-file", "FILE", "File with the TCP MD5 key, if the cloud hides it; as --key-file."),
]
OutputFile = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write, readable by you alone; - stdout."),
]


def import_(
    cloud: Cloud,
    file: File,
    name: Name = None,
    vpc: VpcName = "on-premises",
    gateway: Gateway = "on-premises",
    vpc_cidr: VpcCidrs = None,
    remote_cidr: RemoteCidrs = None,
    local_address: LocalAddresses = None,
    connection: Connections = None,
    tunnel: Tunnels = None,
    key_file: KeyFiles = None,
    password_file: PasswordFiles = None,
    output: OutputFile = "-",
) -> None:
    """Turn a cloud's VPN configuration into a file for this side.

    The result is what `apply -f` and `serve --config` take, with the keys in clear. What was assumed or left
    out is said on standard error; what cannot be done ends the command without a result.

    Examples:

      bgpsvc import aws vpn-0123456789abcdef0.xml --vpc-cidr 192.168.0.0/16 -o aws.yaml

      bgpsvc import gcp tunnels.yaml --vpc-cidr 192.168.0.0/16 --key-file key1 --key-file key2 -o gcp.yaml
    """
    choices = Choices(
        name=name,
        vpc=vpc,
        gateway=gateway,
        vpc_cidrs=tuple(vpc_cidr or ()),
        remote_cidrs=tuple(remote_cidr or ()),
        local_addresses=tuple(local_address or ()),
        connections=tuple(connection or ()),
        tunnels=tuple(tunnel or ()),
        # The result may be read from another folder than this command is called in.
        key_files=tuple(os.path.abspath(path) for path in key_file or ()),
        password_files=tuple(os.path.abspath(path) for path in password_file or ()),
    )
    shown = "<stdin>" if file == "-" else file
    found = _translated(cloud, _read(file, shown), shown, choices)
    for warning in found.warnings:
        typer.echo(f"warning: {shown}: {warning}", err=True)
    _write(found, output)


def _read(file: str, shown: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_LARGEST)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(_LARGEST)
    except OSError as error:
        raise CliError(f"{shown} can't be read: {error.strerror or error}") from None
    try:
        return decode(content, shown)
    except ConfigError as error:
        raise CliError(str(error)) from None


def _translated(cloud: CloudName, text: str, shown: str, choices: Choices) -> Imported:
    try:
        return translate(cloud.value, text, choices, secret_reader(Path()))
    except Refused as error:
        for note in error.notes:
            typer.echo(f"{shown}: {note}", err=True)
        count = len(error.notes)
        called_wrongly = all(note.where.startswith("--") for note in error.notes)
        text = f"nothing was written: {count} problem{'' if count == 1 else 's'}"
        raise CliError(text, 2 if called_wrongly else 1) from None


def _write(found: Imported, output: str) -> None:
    if output == "-":
        typer.echo(found.text, nl=False)
        return
    try:
        write_private(Path(output), found.text)
    except OSError as error:
        raise CliError(f"{output} can't be written: {error.strerror or error}") from None
    count = len(found.intent.vpn_connections)
    tunnels = sum(len(connection.tunnels) for connection in found.intent.vpn_connections)
    what = f"{count} VPN connection{'' if count == 1 else 's'}, {tunnels} tunnel{'' if tunnels == 1 else 's'}"
    typer.echo(f"{output}: {what}{'; it has the keys in clear' if found.in_clear else ''}", err=True)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, whole or not at all, whatever was there before.

    Into a device or a pipe (/dev/null, /dev/stdout) it writes: those are not to be replaced.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()  # what a symbolic link leads to is written, not the link
    # mkstemp makes it 0600; a file that was there with other rights is replaced, not written into.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
