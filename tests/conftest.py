"""What every test run shares: under CI a skipped test is a failure.

A test that is skipped where it should have run says nothing and looks like success. A developer's machine
may lack a container engine; the machine that decides on a change may not lack anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes.postgresql import postgresql, store_url  # noqa: F401  # fixtures for every test

# An example takes as long as the machine lets it: no time limit says anything about the code.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason given for a skip; pytest keeps it as (file, line, reason)."""
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure is reported as skipped too, and is none.
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed under CI: {_skip_reason(report)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


NEED_ROOT = (
    "tests/netns",
    "tests/interop",
    "tests/e2e",
    "tests/browser",
    "tests/docs/test_commands",
    "tests/docs/test_runner",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say once what is missing, instead of hundreds of times that a namespace cannot be made."""
    if os.geteuid() and any(item.nodeid.startswith(NEED_ROOT) for item in items):
        text = "tests in network namespaces need root: sudo make test, or make test TEST_ARGS=tests/unit"
        pytest.exit(text, returncode=2)
    if hasattr(config, "workerinput"):  # one worker of several
        from tests.scheduling import rank

        items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Only where several workers run: a machine that is made for a test has no pytest-xdist."""
    from tests.scheduling import Scheduling

    return Scheduling(config, log)


def _of_ours_on_the_host() -> list[str]:
    """Policy rules and routes of our protocol, and the setting that only the daemon changes."""
    found = []
    for command in ("rule show", "-6 rule show", "route show table all", "-6 route show table all"):
        told = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        found += [line.strip() for line in told.stdout.splitlines() if "proto 201" in line]
    mode = Path("/proc/sys/net/ipv4/nexthop_compat_mode")
    return [*found, mode.read_text().strip() if mode.exists() else ""]


@pytest.fixture(scope="session", autouse=True)
def host_is_left_alone() -> Iterator[None]:
    """No test may program the machine that it runs on."""
    if shutil.which("ip") is None:
        yield
        return
    before = _of_ours_on_the_host()
    yield
    assert _of_ours_on_the_host() == before
