"""A fresh Debian with systemd as process 1, in a container, and the package that is installed there.

    with installed() as machine:
        print(machine.run("systemctl is-active bgpsvc").stdout)

It needs a container engine, but not its privileged mode. The container has no network: what the package
depends on is in the image. It goes with the `with` block.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.netns.namespaces import wait_until

ROOT = Path(__file__).parents[2]
IMAGE = "bgpsvc-package-test"
INPUTS = (
    "bgpsvc",
    "api",
    "exabgp-conf",
    "packaging",
    "scripts/deb",
    "containers/runtime.lock",
    "pyproject.toml",
)
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_NICE", "IPC_LOCK")
"""The first for systemd, which makes mount namespaces; the others for the gateway."""

Result = subprocess.CompletedProcess[str]


class Machine:
    """A running container. `name`: of the container; `deb`: where the package lies in it."""

    def __init__(self, name: str, deb: str) -> None:
        self.name = name
        self.deb = deb

    def run(self, script: str, seconds: float = 120) -> Result:
        """Result of a script of sh, run as root in /root; it may be a failure."""
        command = ["docker", "exec", "--workdir", "/root", self.name, "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)

    def output(self, script: str, seconds: float = 120) -> str:
        """Output of a script that must succeed."""
        result = self.run(script, seconds)
        assert result.returncode == 0, f"{script}: {result.stdout}{result.stderr}{self.log()}"
        return result.stdout

    def put(self, text: str, path: str) -> None:
        """Write a file in the container."""
        command = ["docker", "exec", "--interactive", self.name, "sh", "-c", 'cat > "$1"', "sh", path]
        subprocess.run(command, input=text, text=True, check=True, timeout=60)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Polls until the condition holds; fails with `what` and the journal after `seconds`."""
        wait_until(condition, lambda: f"{what}\n{self.log()}", seconds)

    def logged(self, text: str) -> bool:
        """Whether the service's journal has a text anywhere."""
        return self.run(f"journalctl --quiet --unit 'bgpsvc*' --grep '{text}'").returncode == 0

    def log(self) -> str:
        """The end of the service's journal."""
        return self.run("journalctl --no-pager --unit 'bgpsvc*' | tail -n 100").stdout


def engine() -> bool:
    """Whether there is a container engine that answers."""
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], capture_output=True).returncode
    )


def built() -> Path:
    """The package: that of BGPSVC_DEB, else one that is built now if anything that goes into it is newer."""
    if "BGPSVC_DEB" in os.environ:
        return Path(os.environ["BGPSVC_DEB"])
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build/.deb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several processes want it at the same time
        found = max((ROOT / "build").glob("bgpsvc_*.deb"), key=_changed, default=None)
        if found is None or _changed(found) < max(map(_changed, _inputs())):
            environment = os.environ | {"DEB_COMPRESSION": "gzip 1"}
            subprocess.run(["scripts/deb"], cwd=ROOT, env=environment, check=True, timeout=900)
            found = max((ROOT / "build").glob("bgpsvc_*.deb"), key=_changed)
        return found


def _inputs() -> Iterator[Path]:
    for name in INPUTS:
        path = ROOT / name
        yield from (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        if path.is_file():
            yield path


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _needed() -> str:
    """Names of the packages that ours depends on."""
    control = (ROOT / "packaging/debian/control").read_text()
    found = re.search(r"^Depends: (.*)$", control, flags=re.MULTILINE)
    assert found is not None
    return " ".join(dict.fromkeys(entry.split()[0] for entry in found[1].split(", ")))


@contextlib.contextmanager
def machine(deb: Path | None = None) -> Iterator[Machine]:
    """A fresh one, with the package in /root, not installed yet."""
    deb = built() if deb is None else deb
    folder = str(Path(__file__).parent)
    command = ["docker", "build", "--quiet", "--tag", IMAGE, "--build-arg", f"PACKAGES={_needed()}", folder]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    name = f"{IMAGE}-{os.getpid()}-{time.monotonic_ns()}"
    words = ["docker", "run", "--detach", "--name", name, "--hostname", "gw1", "--network", "none"]
    words += [word for capability in CAPABILITIES for word in ("--cap-add", capability)]
    words += ["--security-opt", "apparmor=unconfined", "--cgroupns", "private", "--device", "/dev/net/tun"]
    words += [word for path in ("/run", "/run/lock", "/tmp") for word in ("--tmpfs", path)]
    try:
        subprocess.run([*words, IMAGE], check=True, capture_output=True, timeout=120)
        subprocess.run(
            ["docker", "cp", str(deb), f"{name}:/root/"], check=True, capture_output=True, timeout=60
        )
        found = Machine(name, f"/root/{deb.name}")
        found.until(lambda: _booted(found), 60, "systemd comes up")
        yield found
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, timeout=60)


def _booted(machine: Machine) -> bool:
    return machine.run("systemctl is-system-running").stdout.strip() in ("running", "degraded")


@contextlib.contextmanager
def installed() -> Iterator[Machine]:
    """One in which the package is installed and its service runs."""
    with machine() as fresh:
        fresh.output(f"apt-get install --yes --no-install-recommends {fresh.deb}", seconds=300)
        yield fresh
