"""A plain strongSwan, configured by hand: one charon on ports 500 and 4500 that `swanctl` tells what to do.

Its ESP is in user space (kernel-libipsec), so that it runs on every kernel. Nothing here knows of our code.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.netns.namespaces import Namespace, wait_until

CHARON = "/usr/lib/ipsec/charon"
SWANCTL = "/usr/sbin/swanctl"
LONG = 120.0

# The TUN takes what is routed to it. charon's own routes go to a table that no packet is looked up in:
# BGP and the tunnel's /30 say what the peer reaches through it, as with any route-based VPN.
_SETTINGS = """
charon {
  load_modular = no
  load = random nonce aes des sha1 sha2 md5 hmac kdf pem pkcs1 x509 constraints pubkey gmp curve25519 \
openssl kernel-libipsec kernel-netlink socket-default vici updown
  install_virtual_ip = no
  process_route = no
  routing_table = 4000000
  routing_table_prio = 32765
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  plugins {
    kernel-netlink { fwmark = 0x7ffffffe }
    kernel-libipsec { allow_peer_ts = yes }
    vici { socket = unix://HOME/charon.vici }
  }
  filelog { stderr { default = 1
    time_format = %H:%M:%S } }
}
"""


class StrongSwan:
    """A VPN device. Use as a context manager; its tunnel interface is `ipsec0`."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._home = Path(tempfile.mkdtemp(prefix="bgpsvc-peer-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> StrongSwan:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End charon and forget its files."""
        self.kill(signal.SIGTERM)
        shutil.rmtree(self._home)

    def start(self) -> None:
        """Run charon until it takes commands. Its pid file is its own: /run is a directory of ours."""
        (self._home / "run").mkdir(exist_ok=True)
        (self._home / "charon.vici").unlink(missing_ok=True)
        settings = self._home / "strongswan.conf"
        settings.write_text(_SETTINGS.replace("HOME", str(self._home)))
        script = f"mount --bind {self._home}/run /run; STRONGSWAN_CONF={settings} exec {CHARON}"
        with (self._home / "charon.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._namespace.command("unshare", "-m", "sh", "-c", script),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._listens, "charon takes commands", LONG)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"charon ended: {self.log()}"
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self._home / "charon.vici")) == 0

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End charon, without a goodbye unless another signal is given."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log(self, lines: int = 40) -> str:
        """The end of charon's log."""
        path = self._home / "charon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def load(self, text: str) -> None:
        """Have charon take a swanctl.conf. AssertionError with what it says against it."""
        path = self._home / "swanctl.conf"
        path.write_text(text)
        self.swanctl("--load-all", "--clear", "--file", str(path))

    def swanctl(self, *words: str, check: bool = True) -> str:
        """A command to charon; its output."""
        uri = f"unix://{self._home}/charon.vici"
        environment = f"STRONGSWAN_CONF={self._home}/strongswan.conf"
        return self._namespace.run("env", environment, SWANCTL, *words, "--uri", uri, check=check)

    def sas(self) -> str:
        """`swanctl --list-sas`."""
        return self.swanctl("--list-sas", check=False)

    def until_up(self) -> None:
        """Until both SAs are there; AssertionError with the end of the log if they never are."""
        try:
            wait_until(self.is_up, "IKE and child SA", LONG)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.sas()}\n{self.log()}") from None

    def is_up(self) -> bool:
        """True if it has an IKE SA and a child SA."""
        text = self.sas()
        return "ESTABLISHED" in text and "INSTALLED" in text
