"""A machine with a full kernel: what it is given, and what its checks came to.

`../shared/tools/kernel-vm` boots it under software emulation. It gets the project's folders and the packages
of the locks, runs the checks of `tests/vm/guest` there with pytest, and hands their report back.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUEST = Path("tests/vm/guest")
FOLDERS = ("bgpsvc", "api", "exabgp-conf", "tests")
PACKAGES = "bird2 frr"
"""Debian packages that the checks need beside those that the tool installs anyway."""
TEST_PACKAGES = ("iniconfig", "packaging", "pluggy", "pygments", "pytest", "pytest-timeout")
LIMIT_S = 1800
"""The checks themselves end sooner; a machine that is busy with other things takes longer."""

PREFERRED = ("nice", "-n", "-5")
"""What runs beside it mostly waits; emulated processors without a share of real ones miss IKE's timers."""

TIME_OVER = 124
BUILDS = 3
"""The first time the tool downloads a whole base system; one lost package must not decide on a change."""


def tool() -> Path:
    """The command that boots the machine; BGPSVC_KERNEL_VM names another."""
    return Path(os.environ.get("BGPSVC_KERNEL_VM") or ROOT / "../shared/tools/kernel-vm").resolve()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to: None if it passed, else why not; and what it printed."""

    failure: str | None
    printed: str


def names(file: str) -> list[str]:
    """The checks in a file of the guest's folder, in order."""
    tree = ast.parse((ROOT / GUEST / file).read_text(encoding="utf-8"))
    return [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def run(directory: Path) -> dict[str, Outcome]:
    """Boot, run all checks, and read their report; AssertionError with what it said if there is none."""
    requirements, work, out = directory / "requirements.txt", directory / "work", directory / "out"
    requirements.write_text("".join(_requirements()))
    work.mkdir()
    for folder in FOLDERS:
        # What Python compiles in a test beside this one has such a name for a moment.
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "pyproject.toml", work)
    command = [str(tool()), "-r", str(requirements), "-d", str(work), "-o", str(out), "-t", str(LIMIT_S)]
    if PACKAGES:
        command += ["-p", PACKAGES]
    report = out / "report.xml"
    for _ in range(BUILDS):
        done = subprocess.run(
            [*PREFERRED, *command, "--", "bash", str(GUEST / "run")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        print(done.stdout)
        if report.exists() or done.returncode == TIME_OVER:
            break
    assert report.exists(), f"{tool()} ended with {done.returncode} and no report:\n{done.stdout[-8000:]}"
    return dict(_outcomes(report))


def _outcomes(report: Path) -> Iterator[tuple[str, Outcome]]:
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        failures = [child for child in case if child.tag in ("failure", "error", "skipped")]
        printed = "".join(child.text or "" for child in case if child.tag == "system-out")
        text = "\n".join(f"{child.get('message')}\n{child.text or ''}" for child in failures)
        yield str(case.get("name")), Outcome(text if failures else None, printed)


def _requirements() -> Iterator[str]:
    """What the service runs with, and pytest; as the locks pin them."""
    runtime = (ROOT / "containers/runtime.lock").read_text(encoding="utf-8")
    yield runtime
    present = {name for name, _ in _pins(runtime)}
    for name, text in _pins((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if name in TEST_PACKAGES and name not in present:
            yield text


def _pins(lock: str) -> Iterator[tuple[str, str]]:
    """The entries of a lock file: name, and the lines with version and hashes."""
    starts = [match.start() for match in re.finditer(r"^[a-z0-9]", lock, flags=re.MULTILINE)]
    for start, end in zip(starts, [*starts[1:], len(lock)], strict=True):
        text = lock[start:end]
        yield text.partition("==")[0], text
