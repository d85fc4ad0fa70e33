"""Bar charts as SVG: panels one below the other, each with a scale of its own that begins at 0.

The picture brings its background, light or dark as its reader prefers, so that it can be read on any page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, MARGIN, LABEL, VALUE = 760, 20, 150, 190
BAR, GAP, TITLE = 18, 6, 30
_BAR_ROOM = WIDTH - 2 * MARGIN - LABEL - VALUE

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .panel { font-weight: 600 }
  .page { fill: #ffffff; stroke: #d1d9e0 }
  .bgpsvc { fill: #0969da } .bird { fill: #8c959f } .frr { fill: #afb8c1 } .kernel { fill: #bf8700 }
  .share { fill: #1f2328; fill-opacity: 0.35 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #3d444d }
    .bgpsvc { fill: #4493f8 } .bird { fill: #656c76 } .frr { fill: #4c535d } .kernel { fill: #d29922 }
    .share { fill: #f0f6fc; fill-opacity: 0.35 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: `kind` gives its colour (bgpsvc, bird, frr, kernel), `text` stands behind it.

    `share`: the part of it that is shaded, from its beginning.
    """

    label: str
    value: float
    text: str
    kind: str
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share a scale."""

    title: str
    bars: Sequence[Bar]


def chart(title: str, note: str, panels: Sequence[Panel]) -> str:
    """The picture. ValueError of a panel without bars, or of a negative value."""
    body: list[str] = []
    y = MARGIN + 16
    body.append(_text(MARGIN, y, title, "title"))
    y += 20
    body.append(_text(MARGIN, y, note, "note"))
    y += 8
    for panel in panels:
        y = _panel(body, panel, y)
    height = y + MARGIN
    described = "; ".join(
        f"{panel.title}: " + ", ".join(f"{bar.label} {bar.text}" for bar in panel.bars) for panel in panels
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label={quoteattr(f"{title}. {described}")}>'
    )
    page = f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", page, *body, "</svg>"]) + "\n"


def _panel(body: list[str], panel: Panel, y: int) -> int:
    """Draws a panel from `y` on; where the next one begins."""
    if not panel.bars or min(bar.value for bar in panel.bars) < 0:
        raise ValueError(f"{panel.title}: no bars, or a negative one")
    most = max(bar.value for bar in panel.bars) or 1.0
    y += TITLE
    body.append(_text(MARGIN, y - 8, panel.title, "panel"))
    for bar in panel.bars:
        left = MARGIN + LABEL
        # However small a value is, there is something to see.
        width = max(2.0, bar.value / most * _BAR_ROOM)
        body.append(_text(left - 8, y + BAR - 5, bar.label, "", "end"))
        body.append(_rectangle(left, y, width, bar.kind))
        if bar.share > 0:
            body.append(_rectangle(left, y, min(width, bar.share / most * _BAR_ROOM), "share"))
        body.append(_text(left + width + 8, y + BAR - 5, bar.text, ""))
        y += BAR + GAP
    return y


def _rectangle(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{BAR}" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
