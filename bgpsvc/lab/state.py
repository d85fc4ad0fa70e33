"""Where a lab that keeps running is found again: one small file per lab and user.

The file names process 1 of the lab by its number and its start time, so that a number that was given to
another process since (or a reboot) is not mistaken for a lab.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bgpsvc.lab.daemons import LabSpec
from bgpsvc.lab.handle import Lab

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class StateError(Exception):
    """The state directory is not ours alone, a state file is damaged, or a name cannot be a lab's."""


def directory(*, make: bool = True) -> Path:
    """The user's directory of labs, mode 0700. Raises StateError if somebody else could write it.

    Without `make` it need not exist: who only looks leaves nothing behind.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(base, "bgpsvc-lab") if base else Path(tempfile.gettempdir(), f"bgpsvc-lab-{os.getuid()}")
    try:
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
        elif not os.path.lexists(path):
            return path
        found = path.lstat()
    except OSError as error:
        raise StateError(f"no directory for the state of labs: {error}") from None
    # In a directory that all may write to, somebody else may have been here first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StateError(f"{path} must be a directory of this user with mode 0700")
    return path


def path_of(name: str, *, make: bool = True) -> Path:
    """The state file of a lab, in a `directory`. Raises StateError for a name that is no file name."""
    if not _NAME.fullmatch(name):
        raise StateError(f"{name!r} cannot name a lab: letters, digits, `.`, `_` and `-` can, up to 63")
    return directory(make=make) / f"{name}.json"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keeps other commands from starting or ending the lab of that name meanwhile."""
    while True:
        try:
            lock = open(path_of(name).with_suffix(".lock"), "w")  # noqa: SIM115
        except FileNotFoundError:
            # `forget` has removed the directory since it was made.
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Who held the lock before may have removed the file: then it keeps nobody out any more.
            if _is_still(lock.fileno(), lock.name):
                try:
                    yield
                finally:
                    # A lab that could not start, or was none, leaves nothing behind.
                    if not path_of(name).exists():
                        forget(name)
                return


def _is_still(descriptor: int, path: str) -> bool:
    """True if the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none (or only its remains)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, in parentheses, is the only one that may contain spaces (proc(5)).
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def save(name: str, lab: Lab) -> None:
    """Writes the lab's state file."""
    path = path_of(name)
    record = {
        "pid": lab.pid,
        "start_time": start_time(lab.pid),
        "rootless": lab.rootless,
        "ports": lab.ports,
        "spec": dataclasses.asdict(lab.spec),
    }
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(record))
    os.replace(temporary, path)


def load(name: str) -> Lab | None:
    """The running lab of that name, None if there is none (any more). StateError if its file is damaged."""
    path = path_of(name, make=False)
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if start_time(record["pid"]) != record["start_time"]:
            return None
        spec = LabSpec(**record["spec"])
        return Lab(pid=record["pid"], rootless=record["rootless"], spec=spec, ports=record["ports"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StateError(
            f"the state file {path} cannot be read ({error}); remove it if no lab {name!r} is running"
        ) from None


def forget(name: str) -> None:
    """Removes the state file; the directory too if it was the last lab of the user."""
    path = path_of(name, make=False)
    path.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)
    # Another command may put a file of its own there meanwhile, or have removed the directory already.
    with suppress(OSError):
        path.parent.rmdir()
