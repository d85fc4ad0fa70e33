"""The page of the command line: every command as its own help tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from bgpsvc.cli import app
from bgpsvc.cli.manpage import ENVIRONMENT, STATUS
from sitegen.markup import anchored, code, described, fenced, prose, terms

PATH = "reference/cli.md"
NAME = "bgpsvc"


def files() -> dict[str, str]:
    """Path to text."""
    root: Any = typer.main.get_command(app)
    context = root.make_context(NAME, [], resilient_parsing=True)
    parts = [
        "# Commands\n",
        *_help(NAME, root.help),
        "How the commands are meant is told in [Command line](../cli.md); `bgpsvc COMMAND --help` prints the "
        "same as this page.\n",
        "## Options of all commands\n\nThey stand in front of the command.\n",
        _parameters(NAME, root, context),
        *(_section(*one) for one in walk(root, context)),
        "## Environment\n",
        terms((f"**{code(name)}**", prose(described(name, text))) for name, text in ENVIRONMENT),
        "## Exit status\n",
        terms((f"**{code(status)}**", prose(described(status, text))) for status, text in STATUS),
    ]
    return {PATH: "\n".join(parts)}


def walk(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """Every command below a group, groups among them, with its context. `group` is a click group."""
    for name in group.list_commands(context):
        _name, command, _rest = group.resolve_command(context, [name])
        if not command.hidden:
            inner = type(context)(command, info_name=name, parent=context)
            yield command, inner
            if hasattr(command, "list_commands"):
                yield from walk(command, inner)


def _section(command: Any, context: Any) -> str:
    path = str(context.command_path)
    usage = " ".join(re.sub(r"[{}]", "", piece) for piece in command.collect_usage_pieces(context))
    heading = "#" * min(len(path.split()), 4)
    parts = [
        anchored("cli", path, f"{heading} {path}"),
        fenced("text", re.sub(r" {2,}.*$", "", path) + " " + usage),
        *_help(path, command.help),
    ]
    if not hasattr(command, "list_commands"):
        parts.append(_parameters(path, command, context))
    return "\n".join(parts)


def _parameters(path: str, command: Any, context: Any) -> str:
    records = (one.get_help_record(context) for one in command.get_params(context))
    return terms(
        (f"**{code(head)}**", prose(described(f"{path} {head}", _worded(text))))
        for head, text in filter(None, records)
    )


def _worded(text: str) -> str:
    """What click says in brackets at the end, in words of its own; nothing if there is nothing else."""
    told, _, extra = text.partition("  [")
    if not told or told.startswith("["):
        return ""
    return told if not extra else f"{told.rstrip('.')} ({extra.removesuffix(']')})."


def _help(path: str, text: str | None) -> Iterator[str]:
    """Paragraphs; an example is one that is indented, or comes behind its word."""
    described(path, text)
    for paragraph in re.split(r"\n\s*\n", (text or "").replace("\b", "").strip("\n")):
        example = re.fullmatch(r"Example: (.+)", paragraph.strip(), re.DOTALL)
        if example or paragraph.startswith("  "):
            lines = (example[1] if example else paragraph).splitlines()
            yield fenced("sh", "\n".join(line.strip() for line in lines))
        elif paragraph.strip() not in ("Examples:", "Example:"):
            yield prose(" ".join(paragraph.split())) + "\n"
