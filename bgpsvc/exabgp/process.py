"""The process of a speaker: started by us, or found running and adopted.

Speakers outlive the daemon. What a later daemon needs to find one again is in `speaker-ROLE.json`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgpsvc.exabgp import launcher, relay
from bgpsvc.model import Role
from bgpsvc.processes import Process, last_line, open_recorded, record_of, write_private

STOP_TIMEOUT = 2.0
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


class SpeakerProcess(Process):
    """A running (or just ended) speaker. Make one with `start` or `adopt`."""

    def __init__(
        self,
        pid: int,
        pidfd: int,
        child: subprocess.Popen[bytes] | None,
        paths: Paths,
        record: dict[str, Any],
    ) -> None:
        super().__init__(pid, pidfd, child)
        self._record = record
        self._paths = paths

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
            record = record_of(child.pid) | {"relay": relay.PROTOCOL, "configuration": taken}
            write_private(paths.record, json.dumps(record))
            return cls(child.pid, os.pidfd_open(child.pid), child, paths, record)
        except BaseException:
            # Nobody would know of it any more, and it would keep the port.
            child.kill()
            child.wait()
            raise

    @classmethod
    def adopt(cls, paths: Paths) -> SpeakerProcess | None:
        """The speaker that an earlier daemon left running, or None."""
        try:
            record = json.loads(paths.record.read_text(encoding="utf-8"))
            found = open_recorded(record)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if found is None:
            return None
        return cls(*found, None, paths, record)

    @property
    def understood(self) -> bool:
        """We can talk to its relay. With one of another version we can't; it has to be replaced."""
        return self._record.get("relay") == relay.PROTOCOL

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

    async def stop(self) -> None:
        """End it: TERM, and KILL if it takes longer than `STOP_TIMEOUT`."""
        await self.end(STOP_TIMEOUT)

    def exit_reason(self) -> str:
        """How it ended, with the last line that it left behind."""
        how, last = self.how_it_ended(), last_line(self._paths.errors)
        return f"{how}: {last}" if last else how


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
