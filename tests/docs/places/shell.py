"""The shell of a page: commands go in one after the other, and each one's status and output comes back.

It is `driver.bash`, in whatever place; `Shell` speaks with it. What runs in it ends with the place.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DRIVER = ROOT / "tests/docs/driver.bash"
SECONDS = 300.0
"""Longest time for a command: it is for what hangs, on a machine that is busy."""


class ShellError(Exception):
    """A command of the shell did not end as it should; the text says how."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command: exit status, and output of both streams."""

    status: int
    output: str


class Shell:
    """A place's shell. A context manager, which ends it."""

    def __init__(
        self,
        argv: Sequence[str],
        shared: Path,
        *,
        seen: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`argv` runs the driver; `shared` is a folder of ours that the shell knows as `seen`."""
        self.shared, self.seen = shared, seen or str(shared)
        self._number = 0
        self._answers = b""
        self._errors = (shared / "errors").open("wb")
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            cwd=folder,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def run(
        self, text: str, *, may_fail: bool = False, kind: str | None = None, after: str = "", typed: str = ""
    ) -> Done:
        """Run a command. ShellError if it does not end in time, or failed where it should not.

        `kind`, `after` and `typed` are the driver's.
        """
        self._number += 1
        name = f"out{self._number}"
        words = (kind or ("may-fail" if may_fail else "run"), text, f"{self.seen}/{name}", after, typed)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(b"".join(word.encode() + b"\0" for word in words))
            self._process.stdin.flush()
        done = Done(self._status(name), self.output(name))
        if words[0] == "run" and done.status:
            raise ShellError(f"exit status {done.status}; it said:\n{done.output}{self.log()}")
        return done

    def until(self, text: str) -> None:
        """Ask until a command succeeds. ShellError with its last output if it does not."""
        self.run(text, kind="until")

    def write(self, name: str, content: str) -> None:
        """A file, where the shell is now."""
        self.put("file", content)
        self.run(f'mkdir -p "$(dirname {shlex.quote(name)})"; cp {self.seen}/file {shlex.quote(name)}')

    def put(self, name: str, content: str) -> None:
        """A file in the shared folder."""
        (self.shared / name).write_text(content)

    def output(self, name: str) -> str:
        """What a file of the shared folder has; empty if there is none."""
        path = self.shared / name
        return path.read_text(errors="replace") if path.exists() else ""

    def log(self) -> str:
        """The end of what the place's daemon said; empty without one."""
        return "\n".join(self.output("daemon.log").splitlines()[-15:])

    def _status(self, name: str) -> int:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._answers:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                said = f"{self.output(name)[-2000:]}\n{self.log()}"
                raise ShellError(f"not over in {SECONDS:.0f} s; so far it said:\n{said}")
            data = os.read(descriptor, 4096)
            if not data:
                said = (self.shared / "errors").read_text(errors="replace")
                raise ShellError(f"the shell is gone: {said}{self.output(name)}")
            self._answers += data
        status, _, self._answers = self._answers.partition(b"\0")
        return int(status)
