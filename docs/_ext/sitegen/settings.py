"""The page of settings: every key of the resources, and every environment variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

import bgpsvc
from bgpsvc.cli import app
from bgpsvc.cli.manpage import ENVIRONMENT
from bgpsvc.resources.descriptions import DESCRIPTIONS
from bgpsvc.resources.models import Intent, Resource
from bgpsvc.resources.schema import FieldPlan, plan_of
from sitegen import constants
from sitegen.commands import NAME, walk
from sitegen.markup import anchored, code, described, prose, target, terms

PATH = "reference/settings.md"


def files() -> dict[str, str]:
    """Path to text."""
    models = list(dict.fromkeys(_models(Intent)))
    parts = [
        "# Settings\n",
        "## Resources\n",
        "The keys of a configuration file and of the documents that REST takes. How values are read, and "
        "what is checked beyond a single key, is told in [Configuration](../configuration.md).\n",
        *(_section(model) for model in models),
        "## Daemon\n",
        "The options of `bgpsvc serve` are in [its section](#cli-bgpsvc-serve) of the command line. These "
        "have an environment variable:\n",
        terms((f"**{code(name)}**", prose(text)) for name, text in _options().items()),
        "## Environment\n",
        "Of the other commands:\n",
        terms((f"**{code(name)}**", prose(described(name, text))) for name, text in ENVIRONMENT),
        "Set by the daemon for its own processes, and of no use elsewhere:\n",
        terms((f"**{code(name)}**", prose(text)) for name, text in internal().items()),
    ]
    return {PATH: "\n".join(parts)}


def _models(model: type[Resource]) -> Iterator[type[Resource]]:
    yield model
    for plan in plan_of(model).values():
        if isinstance(plan.of, type):
            yield from _models(plan.of)


def _section(model: type[Resource]) -> str:
    name = "File" if model is Intent else model.__name__
    about = " ".join((model.__doc__ or "").split()).partition(". ")[0]  # the rest is about single keys
    told = DESCRIPTIONS.get(model, {})
    return "\n".join(
        [
            anchored("settings", model.__name__, f"### {name}"),
            prose(described(f"{name}", about)) + "\n",
            terms(_key(name, key, plan, told.get(key)) for key, plan in plan_of(model).items()),
        ]
    )


def _key(section: str, key: str, plan: FieldPlan, told: str | None) -> tuple[str, str]:
    if isinstance(plan.of, type):
        kind = f"[{plan.of.__name__}](#{target('settings', plan.of.__name__)})"
    else:
        kind = prose(plan.of.allowed)
    marks = ["required"] if plan.required else [f"default {code(_value(plan.default))}"]
    marks += ["secret"] if plan.secret else []
    head = " · ".join([f"**{code(key)}**", *marks])
    allowed = f"{'A list of' if plan.many else 'Allowed'}: {kind}."
    return head, f"{prose(described(f'{section}: {key}', told))}\n\n{allowed}"


def _value(default: object) -> str:
    if default is None:
        return "none"
    if default == ():
        return "[]"
    return str(default).lower() if isinstance(default, bool) else str(default)


def _options() -> dict[str, str]:
    """Environment variables of the daemon's options."""
    root: Any = typer.main.get_command(app)
    context = root.make_context(NAME, [], resilient_parsing=True)
    serve = next(command for command, inner in walk(root, context) if inner.command_path == f"{NAME} serve")
    return {
        one.envvar: described(one.envvar, f"As {code(one.opts[0])}: {one.help}")
        for one in serve.params
        if getattr(one, "envvar", None)
    }


def internal() -> Mapping[str, str]:
    """Variables that our processes give each other. Undescribed for one that is told of nowhere."""
    known = {*dict(ENVIRONMENT), *_options()}
    found = constants.variables(Path(bgpsvc.__file__).parent)
    return {name: described(name, text) for name, text in sorted(found.items()) if name not in known}
