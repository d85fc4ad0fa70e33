"""Shows at once, on the console, what a check came to: a machine that is stopped leaves no report."""

from __future__ import annotations

import sys

import pytest


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed or report.when != "teardown":
        said = f"\n[{report.when} {report.duration:.1f} s]\n{report.longreprtext}"
        print(said.rstrip(), file=sys.__stderr__, flush=True)
