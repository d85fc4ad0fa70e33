"""`bgpsvc config`: judge a configuration file, or print it with defaults filled in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc.configfile import load_bytes, load_file
from bgpsvc.resources import ConfigError, Intent, Loaded, dump
from bgpsvc.resources.kinds import KINDS

ALWAYS_COUNTED = ("vpcs", "vpn_gateways", "customer_gateways", "vpn_connections")
"""Kinds that a summary names even if there are none of them."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Check and show configuration files.",
)

File = Annotated[str, typer.Argument(metavar="FILE", help="The configuration file, - for standard input.")]


@app.command(short_help="Say whether a file is valid, and where it is not.")
def check(file: File) -> None:
    """Say whether a file is valid; print every problem with its line if it is not."""
    loaded = _load(file)
    typer.echo(f"{_shown_name(file)}: valid: {_summary(loaded.intent)}")


@app.command()
def show(
    file: File,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print secrets instead of masking them.")] = False,
) -> None:
    """Print a valid file with defaults filled in."""
    typer.echo(dump(_load(file).intent, reveal=reveal), nl=False)


def _shown_name(file: str) -> str:
    return "<stdin>" if file == "-" else file


def _load(file: str) -> Loaded:
    """The configuration. Warnings and problems go to standard error; problems end the command with 1."""
    try:
        if file == "-":
            loaded = load_bytes(sys.stdin.buffer.read(), _shown_name(file), Path())
        else:
            loaded = load_file(Path(file))
    except OSError as error:
        typer.echo(f"{_shown_name(file)}: can't be read: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    except ConfigError as error:
        typer.echo(str(error), err=True)
        count = len(error.problems)
        typer.echo(f"{_shown_name(file)}: {count} problem{'s' if count != 1 else ''}", err=True)
        raise typer.Exit(1) from None
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return loaded


def _summary(intent: Intent) -> str:
    counts = [(len(intent.of_kind(kind.key)), kind) for kind in KINDS]
    shown = [(count, kind) for count, kind in counts if count or kind.key in ALWAYS_COUNTED]
    return ", ".join(f"{count} {_plural(kind.label) if count != 1 else kind.label}" for count, kind in shown)


def _plural(label: str) -> str:
    return f"{label[:-1]}ies" if label.endswith("y") and label[-2] not in "aeiou" else f"{label}s"
