"""The command line. Each command is loaded when it is called, so that none slows or breaks another."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from bgpsvc import __version__
from bgpsvc.cli.errors import CliError

COMMANDS = {
    "get": ("bgpsvc.cli.get:app", "List sessions, routes, tunnels and other resources."),
    "show": ("bgpsvc.cli.show:app", "Show the BGP summary, the tunnels, a session, or a route."),
    "top": ("bgpsvc.cli.top:top", "Watch tunnels, traffic and events live."),
    "explain": ("bgpsvc.cli.explain:explain", "Tell why a prefix is where it is."),
    "simulate": ("bgpsvc.cli.simulate:simulate", "Tell what would happen, without doing it."),
    "diagnose": ("bgpsvc.cli.diagnose:diagnose", "Tell why a connection does not work."),
    "apply": ("bgpsvc.cli.declare:apply", "Create and update resources from files."),
    "diff": ("bgpsvc.cli.declare:diff", "Show what apply would change."),
    "export": ("bgpsvc.cli.declare:export", "Print all resources as a file."),
    "dump": ("bgpsvc.cli.dump:dump", "Write the routes of a VPN gateway as MRT."),
    "delete": ("bgpsvc.cli.declare:delete", "Delete a resource, or all that files name."),
    "reveal": ("bgpsvc.cli.accounts:reveal", "Print the secrets of a resource."),
    "import": ("bgpsvc.cli.imports:import_", "Turn a cloud's VPN configuration into a file for this side."),
    "peer-config": ("bgpsvc.cli.peer_config:peer_config", "Print the other side's configuration."),
    "propagate": ("bgpsvc.cli.actions:propagate", "Switch the automatic propagation of a VPN gateway."),
    "switch": ("bgpsvc.cli.actions:switch", "Choose the tunnel of a VPN connection."),
    "restart": ("bgpsvc.cli.actions:restart", "Negotiate a tunnel anew."),
    "token": ("bgpsvc.cli.accounts:token", "Make, list and revoke API tokens."),
    "dashboard": ("bgpsvc.cli.dashboard:dashboard", "Print the address of the dashboard, signed in."),
    "audit": ("bgpsvc.cli.accounts:audit", "Show who changed what."),
    "secrets": ("bgpsvc.cli.accounts:secrets", "Change the key that encrypts secrets."),
    "config": ("bgpsvc.cli.config:app", "Check and show configuration files."),
    "doctor": ("bgpsvc.cli.doctor:doctor", "Tell whether this machine has what the daemon needs."),
    "serve": ("bgpsvc.cli.serve:serve", "Run the daemon."),
    "lab": ("bgpsvc.cli.lab:app", "Run two gateways and their hosts in network namespaces."),
    "man": ("bgpsvc.cli.man:man", "Print the manual page."),
}


class LazyGroup(typer.core.TyperGroup):
    """Lists stand-ins with one line of help; the command itself is loaded when it is called."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """The real command in place of the stand-in."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, (_load(name) if name in COMMANDS else command), rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bgpsvc {__version__}")
        raise typer.Exit


@app.callback()
def root(
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            "-s",
            metavar="URL",
            help="Daemon to talk to: http[s]://ADDRESS:PORT or unix:/PATH. Default: $BGPSVC_SERVER, "
            "else the daemon's socket, else http://127.0.0.1:8179.",
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File with the API token. Default: $BGPSVC_TOKEN_FILE, or the token in $BGPSVC_TOKEN.",
        ),
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option(
            "--ca-file",
            metavar="FILE",
            help="Certificates (PEM) to trust for https. Default: $BGPSVC_CA_FILE, else the system's.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A site-to-site VPN gateway with BGP over two tunnels per connection.

    Data goes to standard output, messages to standard error. Exit status: 0 it worked, 1 it did not,
    2 the command was called wrongly. NO_COLOR turns colours off.
    """


def _stand_in() -> None:
    """Never called: `LazyGroup` puts the real command in its place."""


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_stand_in)


def _load(name: str) -> Any:
    """The command behind a name, from its module."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise CliError(f"`bgpsvc {name}` cannot be loaded: {error}") from error
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]}, add_completion=False)
        alone.command(name)(found)
        found = alone
    # Plain text as everywhere else: no boxes, and no time spent on drawing them.
    found.rich_markup_mode = None
    found._add_completion = False
    return typer.main.get_command(found)


def main() -> None:
    """Entry point of the `bgpsvc` command."""
    try:
        typer.main.get_command(app)(prog_name="bgpsvc")
    except CliError as error:
        print(f"bgpsvc: {error}", file=sys.stderr)
        sys.exit(error.status)
