"""A machine for a page: its file system, network, processes and host name are its own, and go with it.

The machine's own file system lies below as it is and is not written to: what the page writes anywhere, in
`/etc`, `/var/lib`, its home or the checkout, stays in memory. So default paths and default ports are private,
and a page may do as root whatever its reader does as root.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.docs.places.shell import DRIVER, ROOT, Shell

HOME = "/home/reader"
SHARED = "/run/docs"
"""Where the sandbox sees `Sandbox.shared`; what is in its `bin` comes first on the path."""
LOG = f"{SHARED}/daemon.log"
"""What the place's daemon says: the end of it is shown if a command fails."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _mounts() -> str:
    """Lay a file system in memory over the machine's own, and move into it."""
    lines = [
        "mount -t tmpfs -o mode=755 sandbox /mnt",
        "overlay() {",
        "  local at=/mnt/over$1",
        "  mkdir -p $at/upper $at/work",
        '  mount -t overlay -o "lowerdir=$2,upperdir=$at/upper,workdir=$at/work" overlay "$3"',
        "}",
        "mkdir /mnt/root",
        "overlay 0 / /mnt/root",
    ]
    lines += [
        "mkdir -p /mnt/root/proc /mnt/root/sys /mnt/root/dev /mnt/root/run /mnt/root/tmp",
        "mount -t proc proc /mnt/root/proc",
        "mount -t sysfs sys /mnt/root/sys",
        "mount --rbind /dev /mnt/root/dev",
        "mount -t tmpfs -o mode=755 run /mnt/root/run",
        "mount -t tmpfs -o mode=1777 tmp /mnt/root/tmp",
        *_layers(),
        f"mkdir -p /mnt/root{SHARED} /mnt/root{HOME}",
        f'mount --bind "$1" /mnt/root{SHARED}',
        "cd /mnt/root",
        "pivot_root . mnt",
        "umount -l /mnt",
        f"cd {HOME}",
    ]
    return "\n".join(lines)


def _layers() -> Iterator[str]:
    """What the tests run from, where the layer over `/` does not show it: on another disk, or below /tmp."""
    disk = {path: path.stat().st_dev for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix))}
    host = os.stat("/").st_dev
    hidden = {path for path in disk if path.is_relative_to("/tmp") or disk[path] != host}
    shown = {
        path for path in hidden if any(disk[path] == disk[above] for above in hidden & set(path.parents))
    }
    for number, path in enumerate(sorted(hidden - shown), 1):
        at = shlex.quote(f"/mnt/root{path}")
        yield f"mkdir -p {at}; overlay {number} {shlex.quote(str(path))} {at}"


class Sandbox(Shell):
    """The machine, with a shell on it. Needs root."""

    def __init__(self, name: str = "gateway") -> None:
        shared = Path(tempfile.mkdtemp(prefix="bgpsvc-docs-"))
        (shared / "bin").mkdir()
        (shared / "driver.bash").write_bytes(DRIVER.read_bytes())
        shell = f"bash {SHARED}/driver.bash 3<&0 4>&1 || exit $?"
        prepare = "\n".join(["set -e", _mounts(), f"hostname {name}", "ip link set lo up", shell])
        kinds = ("--mount", "--net", "--pid", "--uts", "--ipc")
        own = ["unshare", *kinds, "--fork", "--kill-child", "--propagation", "private"]
        argv = [*own, "bash", "-c", prepare, "bash", str(shared)]
        super().__init__(argv, shared, seen=SHARED, environment=environment(SHARED, HOME))
        self.script("sudo", 'exec "$@"\n')
        self.script("curl", 'exec /usr/bin/curl --fail-with-body "$@"\n')  # a refusal is a failure

    def __enter__(self) -> Sandbox:
        return self

    def close(self) -> None:
        """End everything in it; its files go with it."""
        super().close()
        shutil.rmtree(self.shared)

    def script(self, name: str, text: str) -> None:
        """A command that is first on the path; `text` is bash, or begins with its own `#!`."""
        path = self.shared / "bin" / name
        path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}")
        path.chmod(0o755)


def environment(shared: str, home: str) -> dict[str, str]:
    """What a reader's shell has; commands of the tests' own are in `bin` of the shared folder."""
    return {
        "PATH": f"{shared}/bin:{Path(sys.prefix) / 'bin'}:{SYSTEM_PATH}",
        "HOME": home,
        "CHECKOUT": str(ROOT),
        "USER": "root",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def machine(name: str = "gateway") -> Iterator[Sandbox]:
    """A sandbox whose shell answers."""
    with Sandbox(name) as sandbox:
        sandbox.run("true")
        yield sandbox
