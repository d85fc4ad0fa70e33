"""The process of a speaker: started by us, or found running and adopted.

Speakers outlive the daemon. What a later daemon needs to find one again is in `speaker-ROLE.json`:
pid, start time and boot id, which together name a process without doubt. From then on a pidfd
says when it ends, whether it is our child or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgpsvc.exabgp import launcher, relay
from bgpsvc.model import Role

STOP_TIMEOUT = 2.0
ERROR_TAIL = 2000
log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of a speaker in the state directory."""

    state_dir: Path
    role: Role

    def _file(self, suffix: str) -> Path:
        return self.state_dir / f"speaker-{self.role.value}.{suffix}"

    @property
    def configuration(self) -> Path:
        return self._file("conf")

    @property
    def record(self) -> Path:
        return self._file("json")

    @property
    def log(self) -> Path:
        """ExaBGP's log: rotated by itself at 1 MiB, three old files are kept."""
        return self._file("log")

    @property
    def errors(self) -> Path:
        """Standard output and error of the process: tracebacks."""
        return self._file("err")

    @property
    def environment(self) -> Path:
        return self._file("env")

    @property
    def socket(self) -> Path:
        return self._file("sock")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only our user can read it."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(text)
    temporary.replace(path)


class SpeakerProcess:
    """A running (or just ended) speaker. Make one with `start` or `adopt`."""

    def __init__(
        self,
        pid: int,
        pidfd: int,
        child: subprocess.Popen[bytes] | None,
        paths: Paths,
        record: dict[str, Any],
    ) -> None:
        self.pid = pid
        self.child = child
        self._record = record
        self._pidfd = pidfd
        self._paths = paths
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._on_end)

    @classmethod
    def start(cls, paths: Paths, relay_limit: int) -> SpeakerProcess:
        """Start ExaBGP on the configuration that is there. OSError if that is impossible."""
        taken = launcher.digest(paths.configuration.read_bytes())
        write_private(paths.environment, "")
        os.close(os.open(paths.log, os.O_WRONLY | os.O_CREAT, 0o600))
        with open(os.open(paths.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", launcher.__name__, str(paths.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd="/",
                env=_environment(paths, relay_limit),
                # A ^C or a closed terminal of the daemon is none of the speaker's business.
                start_new_session=True,
            )
        try:
            record = {
                "pid": child.pid,
                "start": _start_time(child.pid),
                "boot": _boot_id(),
                "relay": relay.PROTOCOL,
                "configuration": taken,
            }
            write_private(paths.record, json.dumps(record))
            return cls(child.pid, os.pidfd_open(child.pid), child, paths, record)
        except BaseException:
            # Nobody would know of it any more, and it would keep the port.
            child.kill()
            child.wait()
            raise

    @classmethod
    def adopt(cls, paths: Paths) -> SpeakerProcess | None:
        """The speaker that an earlier daemon left running, or None. One that we can't talk to is ended."""
        try:
            record = json.loads(paths.record.read_text(encoding="utf-8"))
            pid, started, boot = int(record["pid"]), int(record["start"]), str(record["boot"])
            protocol = record.get("relay")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        # Compared with the pidfd in hand: the pid can't pass to another process unnoticed any more.
        if boot != _boot_id() or started != _start_time(pid):
            os.close(pidfd)
            return None
        if protocol != relay.PROTOCOL:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return None
        return cls(pid, pidfd, None, paths, record)

    @property
    def taken(self) -> str | None:
        """Digest of the configuration that it runs on, as far as is known."""
        value = self._record.get("configuration")
        return value if isinstance(value, str) else None

    def took(self, digest: str) -> None:
        """It runs on another configuration now. Recorded, so that a later daemon need not load it again."""
        self._record["configuration"] = digest
        try:
            write_private(self._paths.record, json.dumps(self._record))
        except OSError as error:
            log.warning("%s can't be written, so the next daemon reloads: %s", self._paths.record, error)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; that it has ended already is no error."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> None:
        """Until it has ended."""
        await self._ended.wait()

    async def stop(self) -> None:
        """End it: TERM, and KILL if it takes longer than `STOP_TIMEOUT`."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()

    def exit_reason(self) -> str:
        """How it ended, with the last line that it left behind."""
        how = "ended"
        if self.child is not None and (code := self.child.poll()) is not None:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        last = _last_line(self._paths.errors)
        return f"{how}: {last}" if last else how

    def release(self) -> None:
        """Stop watching it; it goes on. Closes the pidfd."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self.child is not None and self.child.returncode is None and self.child.poll() is None:
            # It is meant to outlive us: keep Popen from warning about that.
            self.child.returncode = 0

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if self.child is not None:
            self.child.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        self._ended.set()


def _environment(paths: Paths, relay_limit: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.lower().startswith("exabgp")}
    search = [str(_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {
        "PYTHONPATH": os.pathsep.join(search),
        "EXABGP_ENVFILE": str(paths.environment),
        "exabgp_daemon_daemonize": "false",
        "exabgp_daemon_umask": "0177",
        "exabgp_log_level": "WARNING",
        "exabgp_log_destination": str(paths.log),
        "exabgp_log_short": "false",
        "exabgp_tcp_bind": "",
        "exabgp_bgp_openwait": "60",
        "exabgp_cache_attributes": "true",
        "exabgp_api_ack": "false",
        "exabgp_api_cli": "false",
        "exabgp_api_compact": "true",
        "exabgp_api_respawn": "true",
        relay.ENV_SOCKET: str(paths.socket),
        relay.ENV_LIMIT: str(relay_limit),
    }


def _start_time(pid: int) -> int:
    """Start of a process in clock ticks since boot (proc(5), field 22); -1 if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return -1
    # The command name is in parentheses and may contain any character.
    return int(stat.rpartition(")")[2].split()[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - ERROR_TAIL))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
