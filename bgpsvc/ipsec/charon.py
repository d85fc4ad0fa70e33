"""The charon of one tunnel, with ESP in user space: its configuration and its process.

It outlives the daemon, like the speakers do. Its folder `ipsec/<digest>` in the state directory has what a
later daemon needs to find it again, and everything that charon itself writes; no key is ever in there.

    charon.conf   strongswan.conf of this charon          record.json   process, tunnel, ports, TUN
    charon.vici   its control socket                      charon.err    its last words, 64 KiB at the most

charon writes its pid to /run, so where it can be the folder is bound over the /run that charon sees. The
files are named as AppArmor's usual profile for charon allows them there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from hashlib import blake2s
from pathlib import Path
from typing import Any

from bgpsvc.ipsec.model import Cause
from bgpsvc.ipsec.port import DriverError
from bgpsvc.ipsec.ports import Ports
from bgpsvc.ipsec.vici import LONGEST_PATH
from bgpsvc.model import SessionId
from bgpsvc.processes import Process, last_line, open_recorded, record_of, write_private

PROGRAMS = (
    Path("/usr/lib/ipsec/charon"),
    Path("/usr/libexec/ipsec/charon"),
    Path("/usr/libexec/strongswan/charon"),
    Path("/usr/lib/strongswan/charon"),
)
PACKAGES = "strongswan-charon strongswan-swanctl libstrongswan-standard-plugins libcharon-extra-plugins"
"""Names of Debian's packages that have what is needed."""
TABLE = 0x2FFFFFFF
"""Routing table that charon's policy routes go to: of the service's own range, and used by nothing else."""
PID_FILE = Path("/run/charon.pid")
STOP_TIMEOUT_S = 5.0
_NEVER_SET_MARK = 0x7FFFFFFE
NEEDED_PLUGINS = ("random", "nonce", "hmac", "kernel-libipsec", "kernel-netlink", "socket-default", "vici")
"""Without one of these nothing works."""
_USED = (
    *("aesni", "openssl", "random", "nonce", "aes", "des", "sha1", "sha2", "md5", "hmac", "kdf", "gmp"),
    *("curve25519", "gcm", "ctr", "ccm", "cmac", "chapoly"),
    *("kernel-libipsec", "kernel-netlink", "socket-default", "vici"),
)
"""Of several plugins that have an algorithm charon takes the first. Those that use the processor's own
instructions come before strongSwan's portable ones: twice the throughput, a shorter rekeying."""
_ENVIRONMENT = {"STRONGSWAN_CONF": "charon.conf"}
_ENVIRON = b"STRONGSWAN_CONF=charon.conf"
"""The same as it is in the kernel: by this and its folder a charon of ours is known."""
_DIGEST_SIZE = 5
_SCRIPT = """\
trap '' XFSZ
ulimit -f 128
if [ "$2" ]; then mount --bind "$2" /run && cd /run || exit 125; fi
exec "$1" >>charon.err 2>&1
"""
"""Runs charon; a file that it writes stops growing at 64 KiB (`ulimit -f` counts blocks of 512 bytes)."""


def render(ports: Ports, plugins: Collection[str]) -> str:
    """strongswan.conf of a charon with these ports and plugins; paths are relative to its folder.

    Without the option of the long name charon refuses IKEv1's aggressive mode as responder, also where a
    tunnel is configured for it (and warned about).
    """
    return f"""\
charon {{
  load_modular = no
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  load = {" ".join(plugins)}
  port = {ports.ike}
  port_nat_t = {ports.nat}
  install_routes = no
  install_virtual_ip = no
  process_route = no
  routing_table = {TABLE}
  routing_table_prio = 32765
  filelog {{
    stderr {{
      default = -1
      dmn = 1
      lib = 1
      knl = 0
      net = 0
    }}
  }}
  plugins {{
    kernel-netlink {{
      fwmark = {_NEVER_SET_MARK:#x}
      roam_events = no
    }}
    kernel-libipsec {{
      allow_peer_ts = yes
    }}
    vici {{
      socket = unix://charon.vici
    }}
  }}
}}
"""


def find_program(candidates: Collection[Path] = PROGRAMS) -> Path:
    """charon's program. DriverError that names the packages if there is none."""
    for path in candidates:
        if os.access(path, os.X_OK):
            return path
    raise DriverError(Cause.CHARON_DOWN, f"strongSwan's charon is missing: install {PACKAGES}")


def plugins_of(program: Path) -> tuple[str, ...]:
    """The plugins to load, as far as they are installed. DriverError if one is missing that must be there."""
    folders = [
        program.parent / "plugins",
        *Path("/usr").glob("lib*/strongswan/plugins"),
        *Path("/usr").glob("lib/*/ipsec/plugins"),
    ]
    folder = next((path for path in folders if path.is_dir()), None)
    if folder is None:
        return _USED
    present = [name for name in _USED if (folder / f"libstrongswan-{name}.so").exists()]
    missing = [name for name in NEEDED_PLUGINS if name not in present]
    if missing:
        text = f"strongSwan's plugins {', '.join(missing)} are missing in {folder}: install {PACKAGES}"
        raise DriverError(Cause.CHARON_DOWN, text)
    return tuple(present)


class Home:
    """The folder of a tunnel's charon, and the record in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, base: Path, tunnel: SessionId) -> Home:
        """Of a tunnel. The name is short, whatever the id: it is part of a socket's path."""
        return cls(base / blake2s(tunnel.encode(), digest_size=_DIGEST_SIZE).hexdigest())

    @property
    def socket(self) -> Path:
        return self.path / "charon.vici"

    @property
    def errors(self) -> Path:
        return self.path / "charon.err"

    def read(self) -> dict[str, Any]:
        """The record, empty if there is none that can be understood."""
        try:
            found = json.loads((self.path / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace the record. OSError."""
        write_private(self.path / "record.json", json.dumps(record))

    def check(self) -> None:
        """DriverError if the path is too long for a socket."""
        if len(os.fsencode(self.socket)) > LONGEST_PATH:
            text = (
                f"{self.socket} is too long for a socket ({LONGEST_PATH} bytes): choose a shorter state dir"
            )
            raise DriverError(Cause.CHARON_DOWN, text)

    def prepare(self) -> None:
        """Have the folder. OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    def remove(self) -> None:
        """Remove the folder; that there is none is no error. OSError."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)


class CharonProcess(Process):
    """A running (or just ended) charon. Make one with `start` or `adopt`."""

    def __init__(
        self,
        pid: int,
        pidfd: int,
        child: subprocess.Popen[bytes] | None,
        home: Home,
        record: dict[str, Any],
    ) -> None:
        super().__init__(pid, pidfd, child)
        self.home = home
        self._record = record

    @classmethod
    def start(
        cls, home: Home, tunnel: SessionId, ports: Ports, program: Path, own_run: bool
    ) -> CharonProcess:
        """Start charon; `own_run`: in a mount namespace with a /run of its own. DriverError, OSError."""
        configuration = render(ports, plugins_of(program))
        home.prepare()
        home.socket.unlink(missing_ok=True)
        write_private(home.path / "charon.conf", configuration)
        arguments = ["sh", "-c", _SCRIPT, "sh", str(program), str(home.path) if own_run else ""]
        with open(os.open(home.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as errors:
            child = subprocess.Popen(
                ["unshare", "--mount", *arguments] if own_run else arguments,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd=home.path,
                env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT},
                # A ^C or a closed terminal of the daemon is none of charon's business.
                start_new_session=True,
            )
        try:
            record = record_of(child.pid) | {"tunnel": tunnel, "ports": [ports.ike, ports.nat]}
            home.write(record)
            return cls(child.pid, os.pidfd_open(child.pid), child, home, record)
        except BaseException:
            # Nobody would know of it any more, and it would keep the ports.
            child.kill()
            child.wait()
            raise

    @classmethod
    def adopt(cls, home: Home) -> CharonProcess | None:
        """The charon that an earlier daemon left running, or None."""
        record = home.read()
        try:
            found = open_recorded(record)
        except (KeyError, TypeError, ValueError):
            return None
        return None if found is None else cls(*found, None, home, record)

    @property
    def tun(self) -> str | None:
        """The name that charon knows its TUN by, as far as is known."""
        value = self._record.get("tun")
        return value if isinstance(value, str) else None

    def has_tun(self, name: str) -> None:
        """Record the name. OSError."""
        self._record["tun"] = name
        self.home.write(self._record)

    async def stop(self) -> None:
        """End it: TERM, at which it tells its peers, and KILL if it takes longer than `STOP_TIMEOUT_S`."""
        await self.end(STOP_TIMEOUT_S)

    def exit_reason(self) -> str:
        """How it ended, with the last line that it left behind if it gave up by itself."""
        how, last = self.how_it_ended(), last_line(self.home.errors)
        return f"{how}: {last}" if last and "status" in how else how


async def end_strays(home: Home) -> None:
    """End charons of a folder that no record names: of a daemon that was killed just as it started one.

    Such a one has no connection, but it keeps its ports, and another in its folder from starting.
    """
    for pid in _in_folder(home.path):
        with contextlib.suppress(ProcessLookupError):
            await Process(pid, os.pidfd_open(pid), None).end(STOP_TIMEOUT_S)


def _in_folder(path: Path) -> list[int]:
    found = []
    with contextlib.suppress(FileNotFoundError):
        folder = path.stat()
        for entry in Path("/proc").glob("[0-9]*"):
            # Some are other users', and some end meanwhile.
            with contextlib.suppress(OSError):
                here = os.path.samestat((entry / "cwd").stat(), folder)
                if here and _ENVIRON in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def recorded_tunnel(record: Mapping[str, Any]) -> SessionId | None:
    """Whose charon a record is about."""
    value = record.get("tunnel")
    return SessionId(value) if isinstance(value, str) else None


def recorded_ports(record: Mapping[str, Any]) -> Ports | None:
    """The ports of a record."""
    match record.get("ports"):
        case [int(ike), int(nat)]:
            return Ports(ike, nat)
    return None


async def can_have_own_run(folder: Path) -> bool:
    """Whether we may have mount namespaces with a folder bound over /run: not so in most containers."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", 'mount --bind "$1" /run', "sh", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def free_pid_file(pid: int | None) -> None:
    """Let another charon start beside the one of this pid, where they share a /run.

    charon does not start while the pid file names a process that runs. DriverError if it is another's.
    """
    try:
        text = PID_FILE.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise DriverError(Cause.CHARON_DOWN, f"{PID_FILE} cannot be read: {error.strerror}") from error
    if not text.isdigit() or (pid is not None and int(text) == pid) or not _runs(int(text)):
        with contextlib.suppress(FileNotFoundError):
            PID_FILE.unlink()
    elif pid is None:
        raise DriverError(
            Cause.CHARON_DOWN,
            f"another charon, pid {text}, has {PID_FILE}, and we may have no mount namespace of our own here",
        )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
