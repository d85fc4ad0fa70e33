"""The documentation's site: it builds strictly, needs no other host, searches as a file, tells everything.

What the reference has to tell is asked of the product here too, by other ways than the generator's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from bgpsvc.cli import COMMANDS, app
from bgpsvc.diagnosing.codes import COMMON, FAULTS
from bgpsvc.ipsec.model import Cause
from bgpsvc.model import Reason
from bgpsvc.resources.models import Resource
from bgpsvc.resources.schema import plan_of
from bgpsvc.views import EventKind
from tests.browser.chromium import chromium

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "docs" / "_ext"
sys.path.insert(0, str(EXTENSION))

from sitegen import codes, markup, reference, rest, settings, sources  # noqa: E402

ASSET = re.compile(r"""<(?:script|link|img|source|iframe|video|audio)\b[^>]*?(?:src|href|srcset)="([^"]+)""")
BUILD = """
import sys, pathlib
from sitegen.__main__ import build
docs, out, tree = map(pathlib.Path, sys.argv[1:])
sys.exit(build(docs, {}, out, tree))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, with other hashes than ours; it finds the generator."""
    environment = os.environ | {"PYTHONPATH": f"{EXTENSION}:{ROOT}", "PYTHONHASHSEED": "7"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, cwd=ROOT
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    out = tmp_path_factory.mktemp("docs") / "site"
    done = python("-m", "sitegen", str(out))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The generated pages, made in this process."""
    return reference.files()


def terms_of(html: str) -> list[str]:
    """The first word of code of each term, in order."""
    return [unescape(word) for word in re.findall(r'<dt>.*?class="pre">([^<]+)<', html)]


def test_nothing_comes_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assets = {asset for page in pages for asset in ASSET.findall(page.read_text())}
    assert len(pages) > 50
    assert assets
    assert not [asset for asset in assets if re.match(r"\w+://|//", asset)]
    sheets = "".join(sheet.read_text() for sheet in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:\w+:)?//[^)\s]*", sheets)


def test_no_page_shows_what_is_for_the_runner_of_its_commands(site: Path) -> None:
    assert not [page for page in site.rglob("*.html") if "&lt;!--" in page.read_text()]


def test_search_works_as_a_file(site: Path) -> None:
    with chromium() as browser:
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: wrong.append(request.url) if request.url[:5] != "file:" else None)
        page.goto((site / "index.html").as_uri())
        page.fill("input[name=q]", "failback_hold_down")
        page.keyboard.press("Enter")
        page.click("#search-results a >> text=Settings")
        page.wait_for_url("**/reference/settings.html*")
        assert page.inner_text("h1").startswith("Settings")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not wrong
        page.close()


def test_the_sources_are_the_same_each_time(site: Path, generated: dict[str, str]) -> None:
    for path, text in generated.items():
        if path.endswith(".md") and path != reference.HOME:
            assert (site / "_sources" / f"{path}.txt").read_text() == text, path


def test_every_operation_has_its_section(site: Path) -> None:
    pages = {page.stem: page.read_text() for page in (site / "reference" / "rest").glob("*.html")}
    document = rest.document()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            page = pages[rest.slug(operation["tags"][0])]
            name = operation["operationId"]
            anchor = markup.target("op", name)
            assert f'id="{anchor}"' in page, name
            section = page.split(f'id="{anchor}"', 1)[1].split("<h2>", 2)[1]
            assert f"{method.upper()} {path}" in unescape(re.sub(r"<[^>]+>", "", section)), name
            assert [one for one in operation.get("parameters", ()) if one["name"] not in section] == [], name
    everything = "".join(pages.values())
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{markup.target("schema", name)}"' in everything, name
        shown = everything.split(f'id="{markup.target("schema", name)}"', 1)[1].split("<h3>", 2)[1]
        assert [key for key in schema.get("properties", ()) if f">{key}<" not in shown] == [], name


def test_every_command_has_its_section(site: Path) -> None:
    page = (site / "reference" / "cli.html").read_text()
    root: Any = typer.main.get_command(app)
    context = root.make_context("bgpsvc", [], resilient_parsing=True)
    waiting = [(["bgpsvc", name], root.resolve_command(context, [name])[1]) for name in COMMANDS]
    while waiting:
        words, command = waiting.pop()
        anchor = f'id="{markup.target("cli", " ".join(words))}"'
        assert anchor in page, words
        waiting += [([*words, name], below) for name, below in getattr(command, "commands", {}).items()]
        if not hasattr(command, "commands"):
            section = unescape(re.sub(r"<[^>]+>", "", page.split(anchor, 1)[1].split("</section>", 1)[0]))
            names = [name for parameter in command.params for name in parameter.opts if name[0] == "-"]
            assert [name for name in names if name not in section] == [], words


def test_every_setting_has_its_meaning(site: Path) -> None:
    page = (site / "reference" / "settings.html").read_text()
    for model in Resource.__subclasses__():
        anchor = f'id="{markup.target("settings", model.__name__)}"'
        section = page.split(anchor, 1)[1].split("</section>", 1)[0]
        assert terms_of(section) == list(plan_of(model)), model
    assert {"BGPSVC_DATABASE", "BGPSVC_SERVER", "BGPSVC_GUARD_STATE_DIR"} <= set(terms_of(page))


def test_every_code_has_its_meaning(site: Path) -> None:
    told = set(terms_of((site / "reference" / "codes.html").read_text()))
    words = {*get_args(EventKind), *(one.value for one in (*Reason, *Cause)), *COMMON}
    assert words | {code for layer in FAULTS.values() for code in layer} <= told


def test_what_has_no_description_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {key: text for key, text in codes.EVENTS.items() if key != "tunnel.down"}
    monkeypatch.setattr(codes, "EVENTS", told)
    with pytest.raises(markup.Undescribed, match=r"event tunnel\.down has no description"):
        codes.files()
    monkeypatch.setattr(settings, "DESCRIPTIONS", {})
    with pytest.raises(markup.Undescribed, match="File: vpcs has no description"):
        settings.files()
    document: Any = rest.document()
    document["paths"]["/v1/vpcs"]["get"]["parameters"][0]["schema"]["description"] = ""
    monkeypatch.setattr(rest, "document", lambda: document)
    with pytest.raises(markup.Undescribed, match=r"listVpcs: \w+ has no description"):
        rest.files()


def test_a_broken_link_and_a_page_in_no_list_stop_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "README.md").write_text("# Home\n\n## Pages\n\n- [One](one.md)\n")
    (docs / "one.md").write_text("# One\n\n[home](README.md), [nothing](README.md#nothing)\n")
    (docs / "two.md").write_text("# Two\n")
    done = python("-c", BUILD, str(docs), str(tmp_path / "out"), str(tmp_path / "tree"))
    assert done.returncode == 1
    first, second = sorted(done.stderr.splitlines())
    assert "one.md:3: WARNING: local id not found" in first
    assert "two.md: WARNING: document isn't included in any toctree" in second


def test_pages_of_a_code_host_become_pages_of_the_site() -> None:
    picture = (
        '<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="images/a-dark.png">\n'
        '  <img alt="A" src="images/a-light.png">\n</picture>\n'
    )
    assert sources.page("x.md", picture) == (
        "![A](images/a-light.png){.only-light}\n![A](images/a-dark.png){.only-dark}\n"
    )
    quoted = f"```text\n{picture}[home](README.md)\n```\n"
    assert sources.page("x.md", quoted) == quoted
    assert sources.page("a/x.md", "[home](../README.md#start)") == "[home](../index.md#start)"
    assert sources.page("a/x.md", "[top](../../README.md)") == "[top](../readme.md)"
    top = "[a](docs/a.md#b) [l](LICENSE) [h](https://x.test/) [here](#there)"
    assert sources.lowered(top, "docs") == "[a](a.md#b) [l](../LICENSE) [h](https://x.test/) [here](#there)"
    listed = sources.contents(
        "README.md", "# A\n\n## B\n\n[c](c.md#d), [e](e/README.md), [f](f.png), [c](c.md)\n"
    )
    assert re.findall(r"^(?:[a-z/A-Z]+|:caption: .*)$", listed, re.MULTILINE) == [
        ":caption: B",
        "c",
        "e/README",
    ]
