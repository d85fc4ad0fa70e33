"""Process 1 of a lab's PID namespace: builds the network, starts the daemons, reaps, ends everything.

The lab has no name on the host. When this process ends, for whatever reason, the kernel kills every
other process of the PID namespace, and with the last of them go the network and mount namespaces.
Inside, the hosts are named network namespaces under /run/netns, on a tmpfs that nobody else sees.

Standard output carries one JSON object per line until the lab is ready: `{"event": "init", "pid": N}`,
`{"event": "topology"}`, `{"event": "ready"}`, or `{"event": "failed", "message": ...}`. Standard input is its
lifeline: its end means that the command which wanted the lab is gone. A line `detach` cuts it: from then
on the lab lives until SIGTERM.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bgpsvc.lab.daemons import DETACH, LOG_DIR, RUN_DIR, Daemon, LabSpec, Peer, daemons
from bgpsvc.lab.topology import HOSTS, batches

START_SECONDS = 10.0
STOP_SECONDS = 5.0
STATE_FILE = RUN_DIR / "daemons.json"
SYSCTLS = (
    "net/ipv4/ip_forward=1",
    # A container engine may have switched IPv6 off for new namespaces.
    "net/ipv6/conf/all/disable_ipv6=0",
    "net/ipv6/conf/default/disable_ipv6=0",
    "net/ipv6/conf/all/forwarding=1",
    # A path that changes sides for a moment during a switchover must not be dropped for that.
    "net/ipv4/conf/all/rp_filter=0",
    "net/ipv4/conf/default/rp_filter=0",
    "net/ipv4/conf/all/send_redirects=0",
    "net/ipv4/conf/default/send_redirects=0",
)


class LabError(Exception):
    """The lab could not be built; the text says which command failed and what it said."""


def run(program: str, *argv: str, text: str | None = None) -> None:
    """Runs a command to its end. Raises LabError with its output if it fails."""
    done = subprocess.run(
        [program, *argv], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise LabError(
            f"{' '.join([os.path.basename(program), *argv])}: {done.stdout.strip()}\n{text or ''}".strip()
        )


def in_host(spec: LabSpec, host: str, *argv: str) -> list[str]:
    """The command that runs `argv` in a host's network namespace (from inside the lab)."""
    return [spec.programs["nsenter"], f"--net=/run/netns/{host}", "--", *argv]


def mount_private(spec: LabSpec) -> None:
    """Own /proc and /run; for FRR also what it insists on (see below)."""
    mount = spec.programs["mount"]
    run(mount, "-t", "proc", "proc", "/proc")
    run(mount, "-t", "tmpfs", "-o", "mode=755", "lab", "/run")
    for directory in (RUN_DIR, LOG_DIR, *(RUN_DIR / name for name in ("gw1", "gw2"))):
        Path(directory).mkdir(parents=True, exist_ok=True)
    if spec.peer is Peer.FRR:
        # FRR demands that its user be in group `frrvty`, and calls setgroups() unless that is the only one.
        # A user namespace forbids setgroups() (user_namespaces(7)), so let the name mean group 0 here.
        lines = Path("/etc/group").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("frrvty:")]
        group = RUN_DIR / "group"
        Path(group).write_text("\n".join([*kept, "frrvty:x:0:root", ""]))
        run(mount, "--bind", str(group), "/etc/group")
        run(mount, "-t", "tmpfs", "-o", "mode=1777", "lab", "/var/tmp")


def build_network(spec: LabSpec) -> None:
    """Makes the hosts, then runs the topology's batches in them."""
    ip = spec.programs["ip"]
    for host in HOSTS:
        run(ip, "netns", "add", host)
        # Written in the namespace: /proc/sys/net shows that of the process which looks.
        script = "".join(
            f"echo {value} > /proc/sys/{key}\n" for key, value in (s.split("=") for s in SYSCTLS)
        )
        run(*in_host(spec, host, "/bin/sh", "-e"), text=script)
    for host, lines in batches(spec.tunnels):
        run(*in_host(spec, host, ip, "-batch", "-"), text="\n".join(lines) + "\n")


class Supervisor:
    """The daemons: starts them, notes their end, passes the end of the lab on to them."""

    def __init__(self, spec: LabSpec) -> None:
        self._spec = spec
        self._state: dict[str, dict[str, Any]] = {}
        self._names: dict[int, str] = {}

    def start(self, daemon: Daemon) -> None:
        """Writes the daemon's files and starts it in its host."""
        for path, text in daemon.files.items():
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text(text)
        env = {**os.environ, "HOME": str(RUN_DIR)}
        with open(daemon.log, "ab") as log:
            process = subprocess.Popen(
                in_host(self._spec, daemon.host, *daemon.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=str(RUN_DIR),
                env=env,
                pass_fds=daemon.fds,
                start_new_session=True,
            )
        for fd in daemon.fds:
            os.close(fd)
        self._names[process.pid] = daemon.name
        self._state[daemon.name] = {"pid": process.pid, "host": daemon.host, "log": daemon.log, "exit": None}
        self._write()
        # Reaped in `reap`, with the orphans; Popen need not wait for it too.
        process.returncode = 0
        if daemon.ready is not None:
            self._await(daemon, Path(daemon.ready))
        for command in daemon.after:
            run(*in_host(self._spec, daemon.host, *command))

    def reap(self) -> None:
        """Collects every process that has ended."""
        changed = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if name := self._names.pop(pid, None):
                    self._state[name]["exit"] = os.waitstatus_to_exitcode(status)
                    changed = True
        if changed:
            self._write()

    def stop(self) -> None:
        """SIGTERM to all, then waits at most `STOP_SECONDS`; what is left dies with this process."""
        for pid in self._names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._names and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
            self.reap()

    def _await(self, daemon: Daemon, path: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            self.reap()
            if self._state[daemon.name]["exit"] is not None or time.monotonic() > deadline:
                raise LabError(f"{daemon.name} did not start: {Path(daemon.log).read_text(errors='replace')}")
            time.sleep(0.01)

    def _write(self) -> None:
        temporary = f"{STATE_FILE}.new"
        Path(temporary).write_text(json.dumps(self._state))
        os.replace(temporary, STATE_FILE)


def supervise(supervisor: Supervisor) -> None:
    """Runs until SIGTERM (clean stop) or the end of the lifeline (immediate stop)."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    with selectors.DefaultSelector() as selector:
        selector.register(read_end, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        supervisor.reap()
        while not stopping:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    if os.read(0, len(DETACH)) != DETACH:
                        return
                    selector.unregister(sys.stdin)
            with contextlib.suppress(BlockingIOError):
                os.read(read_end, 4096)
            supervisor.reap()
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    supervisor.stop()


def say(**event: object) -> None:
    """One event to whoever started the lab."""
    print(json.dumps(event), flush=True)


def go_silent() -> None:
    """Nobody listens after `ready`: output goes to a log inside the lab from here on."""
    with open(LOG_DIR / "init.log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def first_process(spec: LabSpec) -> int:
    """The life of process 1; its exit status."""
    # The /proc of the outside is still mounted, so this is our number there.
    say(event="init", pid=int(os.readlink("/proc/self")))
    supervisor = Supervisor(spec)
    try:
        mount_private(spec)
        build_network(spec)
        say(event="topology")
        for daemon in daemons(spec):
            supervisor.start(daemon)
    except (LabError, OSError) as error:
        say(event="failed", message=str(error))
        return 1
    say(event="ready")
    go_silent()
    supervise(supervisor)
    return 0


def main(argv: list[str]) -> int:
    """`init SPEC_JSON`, run by `unshare`: its first child is process 1 of the lab; it waits for that."""
    spec = LabSpec(**json.loads(argv[0]))
    child = os.fork()
    if not child:
        return first_process(spec)
    # Another holder of a listening socket would leave clients hanging after its daemon has ended.
    for fd in spec.sockets.values():
        os.close(fd)
    return 1 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
