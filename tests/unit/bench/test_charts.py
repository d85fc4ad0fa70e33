"""Charts: well-formed, to scale, and only of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench import charts
from tests.bench.plan import plan
from tests.bench.results import Results
from tests.bench.svg import Bar, Panel, chart
from tests.unit.bench.test_plan import SAMPLES

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {"processors": 2, "kernel": "6.1.0", "bird": "2.0", "frr": "8.4", "commit": "abc1234"}


def widths(text: str, kind: str) -> list[float]:
    found = ElementTree.fromstring(text).iter(f"{SVG}rect")
    return [float(rect.attrib["width"]) for rect in found if rect.attrib["class"] == kind]


def test_bars_are_to_scale_and_text_is_escaped() -> None:
    panel = Panel(
        "a < b", [Bar("one & two", 10.0, "10", "bird", share=2.5), Bar("ours", 5.0, '"5"', "bgpsvc")]
    )
    text = chart("title", "note", [panel])
    (whole,), (half,), (share,) = widths(text, "bird"), widths(text, "bgpsvc"), widths(text, "share")
    assert half == pytest.approx(whole / 2)
    assert share == pytest.approx(whole / 4)
    root = ElementTree.fromstring(text)
    assert {"a < b", "one & two", '"5"'} <= {item.text for item in root.iter(f"{SVG}text")}
    assert "one & two 10" in root.attrib["aria-label"]


def test_every_panel_has_a_scale_of_its_own_and_nothing_vanishes() -> None:
    tiny, large = Bar("a", 0.001, "", "bird"), Bar("b", 1000.0, "", "bird")
    text = chart("title", "note", [Panel("one", [tiny]), Panel("two", [large, tiny])])
    first, second, third = widths(text, "bird")
    assert first == second
    assert third == 2.0


def test_everything_lies_within_the_picture() -> None:
    text = chart("title", "note", [Panel("one", [Bar("a", 1.0, "1", "frr")] * 9)] * 3)
    root = ElementTree.fromstring(text)
    height = float(root.attrib["height"])
    assert max(float(item.attrib["y"]) for item in root.iter(f"{SVG}text")) < height
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("panel", [Panel("none", []), Panel("negative", [Bar("a", -1.0, "", "bird")])])
def test_panels_that_cannot_be_drawn_are_refused(panel: Panel) -> None:
    with pytest.raises(ValueError, match=panel.title):
        chart("title", "note", [panel])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4.2 ms"), (0.0123, "12 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (16.24, "16.2 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert charts.duration(seconds) == text


@pytest.mark.parametrize("full", [False, True])
def test_every_section_has_its_chart(full: bool, tmp_path: Path) -> None:
    results = Results()
    cells = plan(full)
    for cell in cells:
        for name in cell.names:
            results.add(cell, name, SAMPLES[cell.section], None)
    written = charts.draw(results.document(cells, MACHINE), tmp_path)
    assert {path.name for path in written} == {f"{name}.svg" for name in charts.CHARTS}
    for path in written:
        text = path.read_text()
        assert widths(text, "bgpsvc")
        assert "abc1234" in text


def test_a_chart_without_figures_is_not_drawn(tmp_path: Path) -> None:
    results = Results()
    cells = plan(False)
    for cell in cells:
        if cell.section == "load":
            results.add(cell, "bird", SAMPLES["load"], None)
    document: dict[str, Any] = results.document(cells, MACHINE)
    assert [path.name for path in charts.draw(document, tmp_path)] == ["load.svg"]
    assert not widths((tmp_path / "load.svg").read_text(), "bgpsvc")
