"""The manual page, made of the commands themselves: their help, arguments and options. man(7) macros only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

FOREWORD = "A site-to-site VPN gateway with BGP over two tunnels per connection"
ENVIRONMENT = (
    ("BGPSVC_SERVER", "The daemon to talk to, as --server."),
    ("BGPSVC_TOKEN_FILE", "File with the API token, as --token-file."),
    ("BGPSVC_TOKEN", "The API token itself."),
    ("BGPSVC_CA_FILE", "Certificates to trust for https, as --ca-file."),
    ("BGPSVC_DASHBOARD_URL", "Where a browser reaches the daemon, as --url of dashboard."),
    ("BGPSVC_DATABASE", "The daemon's database, as --database of serve: there a password is no argument."),
    ("NO_COLOR", "Colours are off if it is set."),
)
STATUS = (
    ("0", "It worked."),
    ("1", "It did not, and standard error says why."),
    ("2", "The command was called wrongly."),
)


def page(root: Any, name: str, version: str) -> str:
    """The page of a command with all that is below it. `root` is a click command."""
    lines = [
        f'.TH {name.upper()} 1 "" "{name} {version}" "User Commands"',
        ".nh",  # commands and paths are not to be hyphenated
        ".ad l",
        ".SH NAME",
        rf"{name} \- {_text(FOREWORD)}",
        ".SH SYNOPSIS",
        f".B {name}",
        r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        ".SH DESCRIPTION",
        *_help(root.help or ""),
    ]
    context = root.make_context(name, [], resilient_parsing=True)
    lines += [".SH OPTIONS", *_parameters(root, context)]
    lines.append(".SH COMMANDS")
    for words, command, inner in _commands(root, context):
        lines += [f'.SS "{_text(" ".join(words))}"', *_synopsis(words, command, inner)]
        lines += [*_help(command.help or ""), *_parameters(command, inner, but="--help")]
    lines += [".SH ENVIRONMENT", *_tagged(ENVIRONMENT), ".SH EXIT STATUS", *_tagged(STATUS)]
    return "\n".join(lines) + "\n"


def _commands(group: Any, context: Any) -> Iterator[tuple[list[str], Any, Any]]:
    """Every command below a group that does something itself: its words, it, and its context."""
    for name in group.list_commands(context):
        _name, command, _rest = group.resolve_command(context, [name])
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context)
        words = [*_words(context), name]
        if hasattr(command, "list_commands"):
            yield from _commands(command, inner)
        else:
            yield words, command, inner


def _words(context: Any) -> list[str]:
    return str(context.command_path).split()


def _synopsis(words: list[str], command: Any, context: Any) -> list[str]:
    usage = [re.sub(r"[{}]", "", piece) for piece in command.collect_usage_pieces(context)]
    return [rf"\fB{_text(' '.join(words))}\fR {_text(' '.join(usage))}", ".PP"]


def _parameters(command: Any, context: Any, but: str = "") -> list[str]:
    """Arguments and options with what they mean; without one that every command has."""
    shown = (one for one in command.get_params(context) if but not in one.opts)
    records = (parameter.get_help_record(context) for parameter in shown)
    return list(_tagged((head, text) for head, text in filter(None, records)))


def _tagged(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for head, text in items:
        yield from (".TP", rf"\fB{_text(head)}\fR", _text(text) or r"\&")


def _help(text: str) -> Iterator[str]:
    """Help as it is written in the code: paragraphs, and examples that are indented."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.replace("\b", "").strip("\n")) if part.strip()]
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        if paragraph.startswith("  "):
            yield ".RS 4"
            yield ".nf"
            yield from (_text(line.strip()) for line in paragraph.splitlines())
            yield ".fi"
            yield ".RE"
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    r"""Text that means itself: no macro, no escape; `-` is the one that can be typed.

    A line that begins with `.` or `'` would be a macro, so `\&` stands before it.
    """
    plain = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-").replace("…", "...")
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain
