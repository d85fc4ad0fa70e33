"""Which tests run side by side, and in which order they begin.

Most of the time goes into waiting: for timers, sessions, processes. So several workers (`-n`, see the
Makefile) share the tests. A worker takes one unit after another: a whole file, a single test where each test
makes all that it needs, or a folder whose tests share what takes long to make. What takes longest begins
first; the quick tests fill the rest.

The machine of tests/vm does not wait, it calculates: its processors are emulated, and beside two busy workers
its daemons miss their timers. As long as it runs only one worker goes on beside it, with tests that mostly
wait; the rest begin after it. Browsers, which calculate as well, come behind those.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ROOT = Path(__file__).resolve().parents[1]
WAITING = ("tests/package/", "tests/docs/test_commands.py", "tests/e2e/")
"""What takes longest, and mostly waits, except for ..."""
MEASURING = ("tests/e2e/test_bench.py", "tests/e2e/test_service_load.py")
"""... these."""
ALONE = (*WAITING, "tests/interop/", "tests/netns/", "tests/property/")
"""Tests that take seconds each: a test is a unit of its own, unless its file shares something."""
TOGETHER = "tests/browser/"
"""Each folder in it is one unit: its tests share a lab and a browser."""
DEMANDING = "tests/vm/"
"""While tests of this folder run ..."""
BESIDE = 1
"""... so many other workers run tests."""
FIRST = (
    DEMANDING,
    *WAITING,
    TOGETHER,
    *MEASURING,
    *ALONE[len(WAITING) :],
    "tests/monitoring/",
    "tests/store/",
)
"""What begins first, in this order; everything else comes after it."""


def rank(item: pytest.Item) -> int:
    """The place of a test in the order of beginning."""
    starts = [start for start in FIRST if item.nodeid.startswith(start)]
    return FIRST.index(max(starts, key=len)) if starts else len(FIRST)


@cache
def _shares(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text(encoding="utf-8")


class Scheduling(LoadScopeScheduling):
    """Hands units out in the order of the tests, to as many workers as may run now."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        if file.startswith(TOGETHER):
            return file.rpartition("/")[0]
        return nodeid if file.startswith(ALONE) and not _shares(file) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._held_back(node):
            super()._assign_work_unit(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        held = [other for other in self.nodes if self._held_back(other)]
        super().mark_test_complete(node, item_index, duration)
        for other in held:
            if not self._held_back(other):
                # Twice: a worker begins a test when it knows which one is next.
                self._reschedule(other)
                self._reschedule(other)

    def _held_back(self, node: WorkerController) -> bool:
        """The machine runs, and enough run beside it."""
        beside = [other for other in self.nodes if not self._is_demanding(other)]
        return len(beside) < len(self.nodes) and node in beside[BESIDE:]

    def _is_demanding(self, node: WorkerController) -> bool:
        units = self.assigned_work[node].items()
        return any(scope.startswith(DEMANDING) and not all(unit.values()) for scope, unit in units)
