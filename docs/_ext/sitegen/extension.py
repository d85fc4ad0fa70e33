"""What the site needs of Sphinx beyond its settings: plain languages, a search without a server."""

from __future__ import annotations

from html import escape
from typing import Any

from pygments.lexers.special import TextLexer  # type: ignore[import-untyped]
from sphinx.addnodes import toctree
from sphinx.application import Sphinx

PLAIN = ("ios", "iosxe", "junos", "vyos", "routeros", "fortios", "panos", "cli", "opnsense", "pfsense", "hcl")
"""Languages of devices that Pygments does not know, or colours wrongly: shown as they are."""


class Navigation:
    """The sidebar's tree of pages. Sphinx would resolve the whole tree anew for each page of it."""

    def __init__(self, app: Sphinx) -> None:
        self._app = app

    def on_page(self, _app: Sphinx, name: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
        """Gives a page's template the tree as seen from there, in the theme's words."""
        context["toctree"] = lambda **_options: self.html(name)

    def html(self, seen_from: str) -> str:
        """The tree with relative links; the page and those above it are `current`."""
        env = self._app.env
        made = []
        for node in env.tocs[env.config.root_doc].findall(toctree):
            if node["caption"]:
                caption = f'<span class="caption-text">{escape(node["caption"])}</span>'
                made.append(f'<p class="caption" role="heading">{caption}</p>')
            made.append(self._level(node["includefiles"], seen_from, 1)[0])
        return "\n".join(made)

    def _level(self, names: list[str], seen_from: str, depth: int) -> tuple[str, bool]:
        """A list of pages with what is below them; whether the page from which it is seen is among them."""
        items, inside = [], False
        for name in names:
            below = self._app.env.toctree_includes.get(name, [])
            inner, current = self._level(below, seen_from, depth + 1) if below else ("", False)
            current = current or name == seen_from
            inside = inside or current
            mark = " current" if current else ""
            href = "#" if name == seen_from else self._app.builder.get_relative_uri(seen_from, name)
            title = escape(self._app.env.titles[name].astext())
            here = "current " if name == seen_from else ""
            link = f'<a class="{here}reference internal" href="{href}">{title}</a>'
            items.append(f'<li class="toctree-l{depth}{mark}">{link}{inner}</li>')
        start = '<ul class="current">' if inside else "<ul>"
        return "\n".join([start, *items, "</ul>"]), inside


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers all of it."""
    app.connect("html-page-context", Navigation(app).on_page, priority=400)  # the theme reads it at 500
    for name in PLAIN:
        app.add_lexer(name, TextLexer)
    app.add_css_file("site.css")
    app.add_js_file("offline.js")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
