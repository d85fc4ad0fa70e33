"""Runs the daemon as its child, and starts it again when it has crashed or hangs: `bgpsvc serve --watchdog`.

For where no systemd does it. The daemon's restart harms nothing: routes, BGP sessions, tunnels and guard
stay, and the new daemon takes them over. So a daemon that gives no sign of life is better ended than left.

    python -I -S watchdog.py SECONDS COMMAND ...

- The child gets a NOTIFY_SOCKET (sd_notify(3)) and must say something at least every SECONDS. One that does
  not gets SIGABRT, for a traceback in its log, and soon after SIGKILL.
- SIGTERM, SIGINT and SIGHUP go to the child; the last one when it is ready, for before it would end it.
  After one of the first two its end is ours, with its status.
- One that ends by itself is started again, later each time. But not if it ended well (0), does not
  understand its command line (2), or ended with a status before any child was ready: who started us looks on.
- As process 1 of a container it is also who takes note of the ends of orphans.
- Time in which we ourselves did not run (a suspended machine, a starved one) counts against nobody.
- Should we be watched too (NOTIFY_SOCKET), what the child says is passed on. But not that it stops, unless
  it was told to: the one that takes its place does not.

Small on purpose, for it has to outlive everything else: of bgpsvc only `logs` is loaded, which has nothing
but the standard library, and not asyncio.
"""

import contextlib
import importlib.util
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

TURN = 0.5
"""Seconds between looks at the clock."""
START_SECONDS = 60.0
"""For signs of life until a child is ready: an interpreter has to start, and a million routes to be read."""
ABORT_SECONDS = 2.0
"""From SIGABRT to SIGKILL: the time for a traceback."""
STOP_SECONDS = 30.0
"""How long a wanted stop may take."""
BACKOFF_FIRST, BACKOFF_MOST = 0.1, 30.0
HEALTHY_AFTER = 60.0
FAILED, MISUSED = 1, 2
SO_PASSCRED = 16
WATCHED_BY = "BGPSVC_WATCHED_BY"
"""To the child: our pid. It is the daemon itself then, and ends when we are killed."""
LOG_FORMAT = "BGPSVC_LOG_FORMAT"
"""How our lines are written: as the daemon's."""
RESTARTED = "BGPSVC_RESTARTED"
"""To the child: why there is a new one."""

log = logging.getLogger("bgpsvc.watchdog")


class Silence:
    """How long nothing was heard, in time in which we listened. Seconds."""

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.lasted = 0.0

    def heard(self, allowed: float) -> None:
        """A sign of life; how long the next one may take."""
        self.allowed = allowed
        self.lasted = 0.0

    def passed(self, seconds: float) -> None:
        """A turn took that long. Far more than a turn: we were asleep, and so perhaps was the child."""
        self.lasted += min(seconds, 2 * TURN)

    @property
    def too_long(self) -> bool:
        return self.lasted > self.allowed


class Watchdog:
    """One run, over all children. `patience`: seconds that a child may be silent."""

    def __init__(self, patience: float, command: list[str]) -> None:
        self.patience = patience
        self.command = command
        self.stopping_since: float | None = None
        self.ready = self.ever_ready = False
        self.reload_due = False
        self.hung = ""
        self.child: subprocess.Popen[bytes] | None = None
        self.outer = outer_socket()
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # The kernel chooses a name; it vanishes with us. And it says who speaks: any process could.
        self.ear.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
        self.ear.bind("")
        self.ear.setblocking(False)
        self.signalled, waker = socket.socketpair()
        for end in (self.signalled, waker):
            end.setblocking(False)
        self.waker = waker
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the wakeup descriptor has its number

    def run(self) -> int:
        """Until a child's end is the end; its status, or 128 and the number of the signal that ended it."""
        backoff, reason = BACKOFF_FIRST, ""
        while True:
            started = time.monotonic()
            status = self.one_child(reason)
            if self.is_last(status):
                return status if status >= 0 else 128 - status
            if time.monotonic() - started > HEALTHY_AFTER:
                backoff = BACKOFF_FIRST
            how = f"was killed by {name_of(-status)}" if status < 0 else f"ended with status {status}"
            reason = f"it {self.hung or how}"
            log.error("the daemon %s; a new one is started in %.1f s", how, backoff)
            if self.stopped_within(backoff):
                return 0
            backoff = min(backoff * 2, BACKOFF_MOST)

    def is_last(self, status: int) -> bool:
        if self.stopping_since is not None or status in (0, MISUSED):
            return True
        return status > 0 and not self.ever_ready

    def one_child(self, reason: str) -> int:
        """Start one, and watch until it has ended; its status as subprocess gives it."""
        self.hung = ""
        self.ready = self.reload_due = False
        try:
            # Whatever descriptors we were given for it (a listening socket) it gets; ours close themselves.
            self.child = subprocess.Popen(self.command, env=self.environment(reason), close_fds=False)
        except OSError as error:  # no memory, too many processes, or no interpreter during an upgrade
            log.error("the daemon cannot be started: %s", error)
            return FAILED
        pidfd = os.pidfd_open(self.child.pid)
        try:
            self.watch(self.child, pidfd)
            return self.child.wait()
        finally:
            os.close(pidfd)
            self.child = None

    def environment(self, reason: str) -> dict[str, str]:
        allowed = self.patience * 1e6
        outer = os.environ.get("WATCHDOG_USEC", "")
        if self.outer is not None and outer.isdigit():
            allowed = min(allowed, int(outer))
        kept = {key: value for key, value in os.environ.items() if key != "WATCHDOG_PID"}
        name = self.ear.getsockname()[1:].decode("ascii")
        return kept | {
            "NOTIFY_SOCKET": f"@{name}",
            "WATCHDOG_USEC": str(int(allowed)),
            WATCHED_BY: str(os.getpid()),
            RESTARTED: reason,
        }

    def watch(self, child: "subprocess.Popen[bytes]", pidfd: int) -> None:
        silence = Silence(START_SECONDS)
        poll = select.poll()
        for fd in (pidfd, self.ear.fileno(), self.signalled.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            before = time.monotonic()
            ready = {fd for fd, _ in poll.poll(TURN * 1000)}
            silence.passed(time.monotonic() - before)
            reap_orphans(child.pid)
            if self.hear(child.pid):
                silence.heard(self.patience if self.ready else max(self.patience, START_SECONDS))
            self.pass_signals(child)
            if self.reload_due and self.ready:
                self.reload_due = False
                child.send_signal(signal.SIGHUP)
            if pidfd in ready:
                return
            if self.stopping_since is not None:
                if time.monotonic() - self.stopping_since > STOP_SECONDS:
                    self.abort(child, pidfd, f"did not stop within {STOP_SECONDS:g} s")
                    return
            elif silence.too_long:
                self.hung = f"gave no sign of life for {silence.allowed:g} s"
                self.abort(child, pidfd, self.hung)
                return

    def abort(self, child: "subprocess.Popen[bytes]", pidfd: int, why: str) -> None:
        """End a child that hangs: with a traceback in the log, or without."""
        log.error("the daemon, pid %d, %s: it is ended", child.pid, why)
        child.send_signal(signal.SIGABRT)
        if not select.select([pidfd], [], [], ABORT_SECONDS)[0]:
            child.kill()

    def hear(self, pid: int) -> bool:
        """Take in what was said; True if the child said anything."""
        heard = False
        while True:
            try:
                data, ancillary, _, _ = self.ear.recvmsg(4096, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return heard
            if [struct.unpack("=iII", item[2])[0] for item in ancillary] != [pid]:
                continue
            heard = True
            states = data.split(b"\n")
            self.ready = self.ready or b"READY=1" in states
            self.ever_ready = self.ever_ready or self.ready
            if self.outer is not None and (b"STOPPING=1" not in states or self.stopping_since is not None):
                # Who watches us may be gone, or slow; that is no reason to end.
                with contextlib.suppress(OSError):
                    self.outer.send(data)

    def pass_signals(self, child: "subprocess.Popen[bytes] | None") -> None:
        try:
            numbers = self.signalled.recv(4096)
        except BlockingIOError:
            return
        for number in numbers:
            if number == signal.SIGHUP:
                self.reload_due = True
                continue
            if self.stopping_since is None:
                self.stopping_since = time.monotonic()
            if child is not None:
                child.send_signal(number)  # one that ended is not signalled: Popen knows

    def stopped_within(self, seconds: float) -> bool:
        """Wait; True as soon as we are told to stop."""
        until = time.monotonic() + seconds
        while self.stopping_since is None and (left := until - time.monotonic()) > 0:
            select.select([self.signalled], [], [], left)
            self.pass_signals(None)
        return self.stopping_since is not None


def name_of(number: int) -> str:
    """SIGKILL, or `signal 40` of a real-time signal that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reap_orphans(child: int) -> None:
    """What the daemon left behind becomes ours if we are process 1; its end is noted, not that of `child`."""
    flags = os.WEXITED | os.WNOHANG
    while (ended := os.waitid(os.P_ALL, 0, flags | os.WNOWAIT)) is not None and ended.si_pid != child:
        os.waitid(os.P_PID, ended.si_pid, flags)


def outer_socket() -> "socket.socket | None":
    """To who watches over us, None if nobody does. OSError if nobody listens there."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    outer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    outer.setblocking(False)
    try:
        outer.connect("\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        raise OSError(error.errno, f"NOTIFY_SOCKET {address}: {error.strerror}") from None
    return outer


def is_watched() -> bool:
    """We are the child of a watchdog, not yet one ourselves."""
    return WATCHED_BY in os.environ


def become(seconds: float, log_format: str) -> "NoReturn":
    """Go on as the watchdog of this very command line, in a much smaller process with the same pid."""
    os.environ[LOG_FORMAT] = log_format
    own = (sys.executable, "-I", "-S", __file__, f"{seconds:g}")
    os.execv(sys.executable, [*own, sys.executable, *sys.orig_argv[1:]])


def log_as(form: str) -> None:
    """As `logs.configure`; by its file, for in this process there is no package around us."""
    spec = importlib.util.spec_from_file_location("logs", f"{os.path.dirname(__file__)}/logs.py")
    assert spec is not None, "a file beside this one"
    assert spec.loader is not None, "a module"
    logs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(logs)
    logs.configure("info", form)


def main() -> int:
    log_as(os.environ.get(LOG_FORMAT, "auto"))
    try:
        watchdog = Watchdog(float(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        log.error("%s", error.strerror)
        return FAILED
    return watchdog.run()


if __name__ == "__main__":
    sys.exit(main())
