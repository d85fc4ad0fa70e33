"""The REST reference: a page for each tag of the OpenAPI document, and one for schemas of several tags."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, cast

from api.app import create_app
from bgpsvc import __version__
from bgpsvc.control import Control
from bgpsvc.port import Service
from sitegen import schemas
from sitegen.markup import anchored, as_json, code, contents, described, fenced, folded, prose, target, terms

Json = Mapping[str, Any]
Operation = tuple[str, str, Json]
"""Method, path, and what the document says of it."""
FOLDER = "reference/rest"
SHARED = "schemas"


def document() -> Json:
    """The application's own OpenAPI document. Making it asks neither service nor store, so there are none."""
    app = create_app(cast(Service, None), cast(Control, None), version=__version__)
    return cast(Json, app.openapi())


def files() -> dict[str, str]:
    """Path to text of all pages, and the document itself."""
    made = document()
    everything = made["components"]["schemas"]
    tagged = {tag["name"]: list(_operations(made, tag["name"])) for tag in made["tags"]}
    needed = {tag: _reachable(made, [one[2] for one in operations]) for tag, operations in tagged.items()}
    uses = Counter(name for names in needed.values() for name in names)
    pages = {}
    for tag in made["tags"]:
        name = tag["name"]
        own = {key: value for key, value in everything.items() if key in needed[name] and uses[key] == 1}
        pages[f"{FOLDER}/{slug(name)}.md"] = _page(tag, tagged[name], own)
    shared = {key: value for key, value in everything.items() if uses[key] != 1}
    pages[f"{FOLDER}/{SHARED}.md"] = _shared(shared)
    pages[f"{FOLDER}/index.md"] = _index(made, tagged)
    pages[f"{FOLDER}/openapi.json"] = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    return pages


def slug(tag: str) -> str:
    """Name of a tag's page."""
    return tag.lower().replace(" ", "-")


def _operations(made: Json, tag: str) -> Iterator[Operation]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            if operation["tags"] == [tag]:
                yield method.upper(), path, operation


def _reachable(made: Json, start: Any) -> set[str]:
    found: set[str] = set()
    waiting = [*schemas.referred(start)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += schemas.referred(made["components"]["schemas"][name])
    return found


def _index(made: Json, tagged: Mapping[str, list[Operation]]) -> str:
    parts = [
        "# REST\n",
        made["info"]["description"].strip() + "\n",
        "How the parts are meant to be used together is told in [REST API](../../api.md). This reference is "
        "made of the [OpenAPI document](openapi.json), which a running daemon has at `/openapi.json`.\n",
    ]
    for tag in made["tags"]:
        parts.append(f"## [{tag['name']}]({slug(tag['name'])}.md)\n")
        parts.append(described(f"tag {tag['name']}", tag.get("description")) + "\n")
        for method, path, one in tagged[tag["name"]]:
            anchor = target("op", one["operationId"])
            parts.append(f"- {code(f'{method} {path}')} [{one['summary']}](#{anchor})")
        parts.append("")
    parts.append(f"## [Schemas]({SHARED}.md)\n\nObjects that several of these pages use.\n")
    parts.append(contents(*(slug(tag["name"]) for tag in made["tags"]), SHARED))
    return "\n".join(parts)


def _shared(shown: Json) -> str:
    parts = ["# Schemas\n", "Objects that operations of several kinds take or return.\n", "## Objects\n"]
    return "\n".join(parts + [schemas.section(name, schema) for name, schema in shown.items()])


def _page(tag: Json, operations: list[Operation], own: Json) -> str:
    parts = [f"# {tag['name']}\n", described(f"tag {tag['name']}", tag.get("description")) + "\n"]
    parts += [_operation(*one) for one in operations]
    if own:
        parts.append("## Schemas\n")
        parts += [schemas.section(name, schema) for name, schema in own.items()]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Json) -> str:
    name = operation["operationId"]
    needs = f"scope {code(operation['x-required-scope'])}" if operation["security"] else "no token"
    parts = [
        anchored("op", name, f"## {described(name, operation.get('summary')).rstrip('.')}"),
        f"{code(f'{method} {path}')} · {needs} · {code(name)}\n",
        prose(described(name, operation.get("description"))) + "\n",
    ]
    if operation.get("parameters"):
        parts += ["**Parameters**\n", terms(_parameter(name, one) for one in operation["parameters"])]
    if "requestBody" in operation:
        parts += ["**Request body**\n", *_contents(operation["requestBody"], "Example of a request")]
    parts += ["**Responses**\n", *_responses(name, operation)]
    return "\n".join(parts)


def _parameter(operation: str, parameter: Json) -> tuple[str, str]:
    marks = (parameter["in"], *(("required",) if parameter.get("required") else ()))
    schema = dict(parameter["schema"])
    if "anyOf" in schema:  # null stands for a parameter that is not given, and nobody can give it
        schema["anyOf"] = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    return schemas.field(parameter["name"], schema, marks=marks, where=operation)


def _contents(holder: Json, title: str) -> Iterator[str]:
    """The forms of a body with their types; of the first one that has an example, that too."""
    forms = holder.get("content", {})
    for form, one in forms.items():
        yield f"- {code(form)}: {schemas.words(one.get('schema', {}))}"
    yield ""
    for form, one in forms.items():
        if "example" in one:
            example = one["example"]
            text = example if isinstance(example, str) else as_json(example)
            yield folded(title, fenced("json" if form.endswith("json") else "text", text))
            return


def _responses(name: str, operation: Json) -> Iterator[str]:
    problems = []
    for status in sorted(operation["responses"]):
        response = operation["responses"][status]
        text = prose(described(f"{name}: response {status}", response.get("description"))).rstrip(".")
        if not status.startswith("2"):
            problems.append(text if status == "default" else f"{code(status)} {text}")
            continue
        phrase = HTTPStatus(int(status)).phrase if text == "Successful Response" else text
        yield f"{code(status)} {phrase}\n"
        yield from _contents(response, "Example of a response") if response.get("content") else ()
        if response.get("headers"):
            yield terms(_header(name, key, one) for key, one in response["headers"].items())
    yield "Problems ([Problem](#schema-problem)): " + ", ".join(problems) + ".\n"


def _header(operation: str, name: str, header: Json) -> tuple[str, str]:
    schema = {**header["schema"], "description": header.get("description")}
    return schemas.field(name, schema, marks=("header",), where=operation)
