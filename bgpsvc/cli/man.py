"""`bgpsvc man`: the manual page, also where no man page is installed."""

from __future__ import annotations

import typer
import typer.main

from bgpsvc import __version__
from bgpsvc.cli.manpage import page


def man() -> None:
    """Print the manual page, with every command and option.

    Example: bgpsvc man | man -l -
    """
    from bgpsvc.cli import app

    typer.echo(page(typer.main.get_command(app), "bgpsvc", __version__), nl=False)
