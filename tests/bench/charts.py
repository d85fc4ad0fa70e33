"""Draws docs/benchmarks/*.svg out of docs/benchmarks/results.json.

    python -m tests.bench.charts [--results FILE] [--directory DIRECTORY]

A chart whose figures are not among the results is not drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.svg import Bar, Panel, chart

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
NAMES = {"bgpsvc": "bgpsvc", "bird": "BIRD", "frr": "FRR", "kernel": "kernel alone"}
WAYS = {
    "silent": "tunnel 1 goes silent, BFD 50 ms x 3 (shaded: until it is detected)",
    "closed": "the session is closed",
    "link": "the link drops",
}
Document = dict[str, Any]


def note(document: Document) -> str:
    """What the figures were measured on, in a line."""
    machine = document["machine"]
    return (
        f"{machine['processors']} processors, Linux {machine['kernel']}, BIRD {machine['bird']}, "
        f"FRR {machine['frr']}, bgpsvc {machine['commit']}; medians"
    )


def cells(document: Document, section: str, **options: Any) -> Iterator[tuple[dict[str, Any], Document]]:
    """Options and medians by daemon of the section's cells that have these options, measured ones only."""
    for cell in document["cells"]:
        if cell["section"] == section and options.items() <= cell["options"].items():
            found = {name: one["median"] for name, one in cell["results"].items() if one["median"]}
            if found:
                yield cell["options"], found


def duration(seconds: float) -> str:
    """Three digits or so, in the unit that suits them."""
    if seconds >= 0.9995:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"


def megabytes(size: float) -> str:
    """Bytes as megabytes."""
    return f"{size / 1e6:,.0f} MB"


def bars(found: Document, figure: str, form: Callable[[float], str], share: str = "") -> list[Bar]:
    """A bar for each daemon that has the figure, ours first; `share`: the figure that is shaded of it."""
    order = [name for name in ("bgpsvc", "bird", "frr", "kernel") if figure in found.get(name, {})]
    return [
        Bar(
            NAMES[name],
            found[name][figure],
            form(found[name][figure]),
            name,
            found[name].get(share, 0.0),
        )
        for name in order
    ]


def load(document: Document) -> list[Panel]:
    """Panels by number of prefixes, packed first, IPv4 first."""
    return [
        Panel(
            f"{options['count']:,} IPv{options['family'][-1]} prefixes, {options['per_update']} per UPDATE",
            bars(found, "seconds", duration),
        )
        for options, found in cells(document, "load")
        if options["count"] >= 100_000 or options["per_update"] > 5
    ]


def memory(document: Document) -> list[Panel]:
    """Panels by number of prefixes."""
    return [
        Panel(f"{options['count']:,} prefixes x 2 sessions", bars(found, "resident", megabytes))
        for options, found in cells(document, "memory")
    ]


def switchover(document: Document) -> list[Panel]:
    """Panels by way and number of prefixes: the longest outage."""
    return [
        Panel(
            f"{options['count']:,} prefixes; {text}",
            bars(found, "longest", duration, "detection"),
        )
        for way, text in WAYS.items()
        for options, found in cells(document, "switchover", way=way)
    ]


def latency(document: Document) -> list[Panel]:
    """A panel for each request, loading and idle."""
    panels = []
    for options, found in cells(document, "latency"):
        ours = found["bgpsvc"]
        for request, title in (
            ("sessions", "list of BGP sessions"),
            ("route", "route of one prefix"),
            ("switch", "switch, dry run"),
        ):
            made = [
                Bar(f"{when}, {word}", value, duration(value), "bgpsvc")
                for when in ("loading", "idle")
                for word in ("p50", "p99", "max")
                for value in (ours[f"{when}_{request}_{word}"],)
            ]
            panels.append(Panel(f"{title}; {options['count']:,} prefixes x 2 sessions", made))
    return panels


def sessions(document: Document) -> list[Panel]:
    """Time, idle processor time and memory."""
    figures = (
        ("time until all are Established", "established_seconds", duration),
        ("processor time when idle, of one processor", "idle_cpu", "{:.1%}".format),
        ("resident memory", "resident", megabytes),
    )
    return [
        Panel(f"{options['count']:,} sessions: {title}", bars(found, figure, form))
        for options, found in cells(document, "sessions")
        for title, figure, form in figures
    ]


CHARTS = {
    "load": ("From session start until all prefixes are in the kernel", load),
    "memory": ("Memory of all processes", memory),
    "switchover": ("Longest outage of 64 sampled prefixes", switchover),
    "latency": ("REST while prefixes load, and idle", latency),
    "sessions": ("Many sessions on one node", sessions),
}


def draw(document: Document, directory: Path) -> list[Path]:
    """Writes the charts that there are figures for; their files."""
    written = []
    for name, (title, panels) in CHARTS.items():
        if made := panels(document):
            path = directory / f"{name}.svg"
            path.write_text(chart(title, note(document), made))
            written.append(path)
    return written


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.charts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--results", type=Path, default=DIRECTORY / "results.json")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the pictures go")
    arguments = parser.parse_args()
    for path in draw(json.loads(arguments.results.read_text()), arguments.directory):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
