"""`bgpsvc apply`, `diff`, `export` and `delete`: resources as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bgpsvc.cli import complete, files, plan
from bgpsvc.cli.client import BULK_TIMEOUT, Client, Json, Refused, path_to
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.kinds import STORED, stored_kind
from bgpsvc.cli.options import Output, Server, make_client
from bgpsvc.cli.output import Format, may_colour, write_object
from bgpsvc.cli.settle import wait_until_done

TIMEOUT_SECONDS = 60.0
APPLY, DELETE = path_to("configuration", "apply"), path_to("configuration", "delete")

Files = Annotated[
    list[str],
    typer.Option(
        "--file",
        "-f",
        metavar="FILE|DIR|-",
        help="Resources as YAML: a file, all *.yaml of a directory, or standard input; may be repeated.",
    ),
]
OptionalFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE|DIR|-",
        help="Resources as YAML: a file, all *.yaml of a directory, or standard input; may be repeated.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete what the daemon has and the files have not.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until everything is done.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="Longest time to wait.")]


def apply(
    ctx: typer.Context,
    file: Files,
    prune: Prune = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Create and update resources as files describe them, all or none, and wait until they are active.

    Shows the plan and asks first. What the files leave out gets its default; resources that are not in them
    stay, unless --prune. Secrets may stand in files of their own, which are read here.

    Examples:

      bgpsvc apply -f gw1.yaml

      bgpsvc apply -f network/ --prune --yes
    """
    sources = files.read(file)
    client = make_client(ctx, server)
    params = {"prune": "true"} if prune else {}
    change = _Change(client, APPLY, sources.document, params, output, sources)
    change.carry_out(dry_run=dry_run, yes=yes, timeout=0 if no_wait else timeout)


def diff(
    ctx: typer.Context,
    file: Files,
    prune: Prune = False,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """What `apply` would change. Exit status 0: nothing, 1: something, 2: there was a problem.

    Example: bgpsvc diff -f gw1.yaml
    """
    try:
        sources = files.read(file)
        client = make_client(ctx, server)
        params = {"prune": "true"} if prune else {}
        change = _Change(client, APPLY, sources.document, params, output, sources)
        found = change.planned()
    except CliError as error:
        raise CliError(str(error), 2) from None
    change.show(found)
    if not plan.is_empty(found["plan"]):
        raise typer.Exit(1)


def delete(
    ctx: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="Kind of the resource, as vpn-connection.", autocompletion=complete.kinds
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Its name.", autocompletion=complete.of_kind)
    ] = None,
    file: OptionalFiles = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Delete one resource, or all that files name. What others still refer to is not deleted.

    Shows the plan and asks first. Of files only the names count; what is gone already is left out.

    Examples:

      bgpsvc delete vpn-connection conn1

      bgpsvc delete -f gw1.yaml --yes
    """
    if bool(file) == (kind is not None) or (kind is None) != (name is None):
        raise CliError("give KIND and NAME, or -f FILE", 2)
    client = make_client(ctx, server)
    if kind is not None and name is not None:
        found = stored_kind(kind)
        # The bulk operation takes it for done if there is none; who names one wants to know.
        client.get(path_to(found.path, name))
        document: Json = {found.key: [{"name": name}]}
        sources = None
    else:
        sources = files.read(file or [], secrets=False)
        document = {
            key: [{"name": item["name"]} for item in items] for key, items in sources.document.items()
        }
    change = _Change(client, DELETE, document, {}, output, sources)
    change.carry_out(dry_run=dry_run, yes=yes, timeout=0 if no_wait else timeout)


def export(
    ctx: typer.Context,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output.")
    ] = "-",
    server: Server = None,
) -> None:
    """Print all resources as one YAML file that `apply` takes.

    Secrets are masked; where `apply` meets a mask, the daemon keeps the secret that it has.

    Example: bgpsvc export -o all.yaml
    """
    import yaml

    client = make_client(ctx, server)
    found = client.get(path_to("configuration"), timeout=BULK_TIMEOUT)
    document = {kind.key: found[kind.key] for kind in STORED if found.get(kind.key)}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = f"# Exported from {client.server}; secrets are masked, and kept if this is applied there again.\n"
    text += yaml.dump(
        document, Dumper=dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=110
    )
    if output == "-":
        typer.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text)
    except OSError as error:
        raise CliError(f"{output} can't be written: {error.strerror or error}") from None
    count = sum(len(items) for items in document.values())
    typer.echo(f"{output}: {count} resource{'' if count == 1 else 's'}", err=True)


class _Change:
    """A change of many resources at once: its plan, the question, the doing, the wait."""

    def __init__(
        self,
        client: Client,
        path: str,
        document: Json,
        params: Json,
        form: Format,
        sources: files.Sources | None,
    ) -> None:
        if form is Format.CSV:
            raise CliError("a plan is no table: choose -o table, json or yaml", 2)
        self._client = client
        self._path = path
        self._document = document
        self._params = params
        self._form = form
        self._sources = sources
        self._structured = form in (Format.JSON, Format.YAML)

    def planned(self) -> Json:
        """The plan as the daemon sees it; nothing is changed."""
        return self._send({"dry_run": "true"})

    def show(self, found: Json) -> None:
        """Prints a plan in the form wanted."""
        if self._structured:
            write_object(found, self._form, sys.stdout)
            return
        self._print(found["plan"])

    def carry_out(self, *, dry_run: bool, yes: bool, timeout: float) -> None:
        """Shows the plan, asks, does it, and waits `timeout` seconds until it is done (0: does not wait)."""
        # Only what was shown is done: another plan would have to be looked at again.
        seen = None if yes or dry_run else self._client.etag(path_to("configuration"))
        found = self.planned()
        nothing = plan.is_empty(found["plan"])
        if dry_run or (nothing and self._structured):
            self.show(found)
            return
        if not self._structured or not yes:
            self._print(found["plan"])
        if nothing:
            return
        if not yes:
            _ask()
        done = self._send({}, seen)
        if timeout:
            wait_until_done(self._client, done["plan"]["resources"], timeout)
        if self._structured:
            write_object(done, self._form, sys.stdout)

    def _send(self, params: Json, if_match: str | None = None) -> Json:
        given = {**self._params, **params}
        try:
            with files.refused_at(self._sources):
                return self._client.send("POST", self._path, self._document, given, if_match, BULK_TIMEOUT)
        except Refused as refused:
            if refused.http_status != 412:
                raise
            raise CliError("nothing was changed: somebody else changed something since the plan") from None

    def _print(self, found: Json) -> None:
        # Where standard output is for a program, people read the plan on standard error.
        out = sys.stderr if self._structured else sys.stdout
        for line in plan.lines(found, may_colour(out)):
            print(line, file=out)
        print("nothing to change" if plan.is_empty(found) else plan.summary(found), file=out, flush=True)


def _ask() -> None:
    """Ends the command unless the answer is yes."""
    if not sys.stdin.isatty():
        raise CliError("nothing was changed: there is no terminal to ask on; give --yes", 2)
    print("Do it? [y/N]: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliError("nothing was changed")
