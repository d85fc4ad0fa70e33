"""The benchmarks: this service, BIRD, FRR and the kernel side by side, measured from outside.

    python -m tests.bench                        # --quick: two or three minutes
    python -m tests.bench --full --repeat 3 --state run.jsonl --save
    python -m tests.bench --sections load --prefixes 100k --only kernel,bird,bgpsvc

Every measurement is a process of its own (tests/bench/one.py) with a deadline; the daemons take turns, so
that what else the machine does hits all alike, and figures are medians over the rounds. With --state, a
run that was interrupted goes on where it was. --save writes docs/benchmarks/results.json, which
`python -m tests.bench.charts` draws. It is no test: it asserts no time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.machine import machine
from tests.bench.plan import DAEMONS, KERNEL, SECTIONS, Cell, parse_count, plan
from tests.bench.results import Results, table
from tests.bench.statistic import Sample
from tests.e2e.marked import marked, new_mark

REPOSITORY = Path(__file__).resolve().parents[2]
SAVED = REPOSITORY / "docs" / "benchmarks" / "results.json"
GRACE = 60
"""Seconds that a measurement has for ending what it started."""


def measure(cell: Cell, name: str) -> tuple[Sample | None, str | None]:
    """One measurement: its figures, or why there are none. Nothing that it started is left."""
    variable, _, mark = new_mark().partition("=")
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.one", cell.section, name, json.dumps(cell.options)],
        cwd=REPOSITORY,
        env={**os.environ, variable: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C is for us: we then end the child, which ends what it made.
        start_new_session=True,
    )
    try:
        printed, complaint = child.communicate(timeout=cell.seconds)
        if child.returncode == 0:
            return json.loads(printed), None
        return None, complaint.strip()[-2000:] or f"exit status {child.returncode}"
    except subprocess.TimeoutExpired:
        return None, f"not done after {cell.seconds:g} s"
    finally:
        _end(child, f"{variable}={mark}")


def _end(child: subprocess.Popen[str], mark: str) -> None:
    """Has the measurement end itself; what is left of it after that is ended by force."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    while left := marked(mark):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def run(cells: list[Cell], repeat: int, results: Results) -> None:
    """Round by round, each daemon in turn; a measurement that failed is not tried again in its round."""
    total = repeat * sum(len(cell.names) for cell in cells)
    number = 0
    for turn in range(1, repeat + 1):
        for cell in cells:
            for name in cell.names:
                number += 1
                if results.made(cell, name) >= turn:
                    continue
                began = time.monotonic()
                sample, failure = measure(cell, name)
                results.add(cell, name, sample, failure)
                seconds = time.monotonic() - began
                told = f"{seconds:.0f} s" if failure is None else f"FAILED: {failure}"
                line = f"[{number}/{total}] {cell.section}, {cell.case}, {name}: {told}"
                print(line, file=sys.stderr, flush=True)


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line; `cells` is what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").split("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="two or three minutes (the default)")
    size.add_argument("--full", action="store_true", help="an hour or two")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="comma-separated (default: all)")
    parser.add_argument("--only", default=",".join((KERNEL, *DAEMONS)), help="comma-separated (default: all)")
    parser.add_argument("--prefixes", default="", help="comma-separated, as 1k,100k: instead of the usual")
    parser.add_argument("--repeat", type=int, help="rounds (default: 1, with --full 3)")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep each measurement there; go on from it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--save", action="store_true", help=f"write them to {SAVED.relative_to(REPOSITORY)}")
    arguments = parser.parse_args(words)
    sections, names = arguments.sections.split(","), arguments.only.split(",")
    for option, given, allowed in (
        ("--sections", sections, SECTIONS),
        ("--only", names, (KERNEL, *DAEMONS)),
    ):
        if unknown := set(given) - set(allowed):
            parser.error(f"{option}: {', '.join(sorted(unknown))} is not one of {', '.join(allowed)}")
    try:
        counts = [parse_count(text) for text in arguments.prefixes.split(",") if text]
    except ValueError as error:
        parser.error(f"--prefixes: {error}")
    if arguments.repeat is None:
        arguments.repeat = 3 if arguments.full else 1
    if arguments.repeat < 1:
        parser.error("--repeat: at least 1")
    arguments.cells = plan(arguments.full, sections, names, counts)
    return arguments


def main() -> int:
    """See the module; exit status 1 if a measurement failed and none of its kind succeeded."""
    arguments = parse_arguments()
    if os.geteuid() != 0:
        print("the benchmark makes network namespaces: run it as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cells: list[Cell] = arguments.cells
    results = Results(arguments.state)
    try:
        run(cells, arguments.repeat, results)
    except KeyboardInterrupt:
        print("interrupted; what was measured:", file=sys.stderr)
        print(table(cells, results))
        return 130
    print(table(cells, results))
    text = json.dumps(results.document(cells, machine(REPOSITORY)), indent=1) + "\n"
    for path in (arguments.json, SAVED if arguments.save else None):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(any(not results.made(cell, name) for cell in cells for name in cell.names))


if __name__ == "__main__":
    sys.exit(main())
