"""strongSwan as a distribution runs it: one charon of the system, with the packages' own configuration."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

from vici import Session

from tests.netns.namespaces import Namespace, wait_until

CHARON = "/usr/lib/ipsec/charon"
SWANCTL = "/usr/sbin/swanctl"
LONG = 200.0


class SystemCharon:
    """charon of a namespace, with a /run of its own as it would have on a machine of its own."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        self.socket = directory / "run" / "charon.vici"
        self.log_path = directory / "charon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as `systemctl start strongswan` does; until it takes commands."""
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        command = f"mount --bind {self.socket.parent} /run; exec {CHARON}"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.namespace.command("unshare", "-m", "sh", "-c", command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "charon takes commands", LONG)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(LONG)
            self._process = None

    def swanctl(self, *words: str, check: bool = True) -> str:
        """What swanctl prints."""
        return self.namespace.run(SWANCTL, *words, "--uri", f"unix://{self.socket}", check=check)

    def keys(self) -> set[str]:
        """Ids of the keys that were given to it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            return {key.decode() for key in Session(connection).get_shared()["keys"]}

    def log(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "charon ended"
        return self.socket.exists() and "strongSwan" in self.swanctl("--version", check=False)
