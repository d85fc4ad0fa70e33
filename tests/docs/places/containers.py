"""`compose`: the containers of compose.yaml, all healthy. `package`: a Debian with systemd and our package.

Both are made as their own tests make them (tests/e2e/compose_lab.py, tests/package/machine.py). The shell of
`compose` is on the machine itself, as `docker` is; that of `package` is in the container.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.docs.places.sandbox import environment
from tests.docs.places.shell import DRIVER, ROOT, Shell
from tests.e2e.compose_lab import ComposeLab, compose_lab
from tests.package.machine import installed, machine

GW1, GW2 = "http://127.0.0.1:8179", "http://127.0.0.1:8180"
HOME = "/root"
SEEN = "/var/lib/docs"
INSTALL = "apt-get install"
"""A page that has this command itself gets a machine on which the package only lies."""


@contextmanager
def compose(_commands: Sequence[str]) -> Iterator[Shell]:
    """A lab of its own: to try one page. The tests share one (tests/browser/compose)."""
    with compose_lab() as lab, beside(lab) as shell:
        yield shell


@contextmanager
def beside(lab: ComposeLab) -> Iterator[Shell]:
    """A shell whose `docker compose` is for a lab."""
    with tempfile.TemporaryDirectory(prefix="bgpsvc-docs-") as folder:
        shared = Path(folder)
        (shared / "bin").mkdir()
        lab.shim(shared / "bin")
        argv = ["bash", "-c", f"exec bash {DRIVER} 3<&0 4>&1"]
        with _Beside(argv, shared, environment=environment(folder, folder), folder=ROOT) as shell:
            shell.ports = {lab.urls["gw1"]: GW1, lab.urls["gw2"]: GW2}
            yield shell


class _Beside(Shell):
    """Beside a lab with ports of its own, in whose place a page has the usual ones."""

    ports: Mapping[str, str] = {}

    def __enter__(self) -> _Beside:
        return self

    def output(self, name: str) -> str:
        text = super().output(name)
        for url, usual in self.ports.items():
            text = text.replace(url, usual)
        return text


class _Inside(Shell):
    """In a container: its files are its own."""

    def __init__(self, container: str, shared: Path) -> None:
        self._container = container
        words = ["docker", "exec", "--interactive", "--workdir", HOME, container]
        driver = f"exec bash {SEEN}/driver.bash 3<&0 4>&1"
        super().__init__([*words, "bash", "-c", driver], shared, seen=SEEN)

    def put(self, name: str, content: str) -> None:
        words = ["docker", "exec", "--interactive", self._container, "sh", "-c", f"cat > {SEEN}/{name}"]
        subprocess.run(words, input=content, text=True, check=True, timeout=60)

    def output(self, name: str) -> str:
        words = ["docker", "exec", self._container, "sh", "-c", f"cat {SEEN}/{name} 2>/dev/null"]
        return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60).stdout


@contextmanager
def package(commands: Sequence[str]) -> Iterator[Shell]:
    """The package installed and its service running, unless the page installs it."""
    made = machine if any(INSTALL in command for command in commands) else installed
    with made() as found, tempfile.TemporaryDirectory(prefix="bgpsvc-docs-") as folder:
        found.output(f"mkdir -p {SEEN}")
        found.put(DRIVER.read_text(encoding="utf-8"), f"{SEEN}/driver.bash")
        with _Inside(found.name, Path(folder)) as shell:
            yield shell
