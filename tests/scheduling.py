"""Which tests run side by side, and in which order they begin.

Most of the time goes into waiting: for timers, sessions, processes. So several workers (`-n`, see the
Makefile) share the tests. A worker takes one unit after another: a whole file, or a single test where each
test makes all that it needs. What takes longest begins first; the quick tests fill the rest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
ALONE = ("tests/e2e/", "tests/interop/", "tests/netns/", "tests/property/")
"""Folders whose tests take seconds each: a test is a unit of its own, unless its file shares something."""
FIRST = ("tests/vm/", "tests/e2e/test_compose.py", *ALONE, "tests/store/")
"""What begins first, in this order; everything else comes after it."""


def rank(item: pytest.Item) -> int:
    """The place of a test in the order of beginning."""
    return next((place for place, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))


@cache
def _shares(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text(encoding="utf-8")


class Scheduling(LoadScopeScheduling):
    """Hands units out in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return nodeid if file.startswith(ALONE) and not _shares(file) else file
