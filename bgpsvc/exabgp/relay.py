"""The helper that ExaBGP spawns: drains its pipe and forwards, so that no session waits for the daemon.

ExaBGP is single-threaded and writes to a *blocking* pipe. Whoever reads it slowly freezes every
session of the speaker. So this program does one thing: it empties stdin at once into memory and
hands whole lines to the daemon over a unix socket as fast as that takes them, and hands the daemon's
commands to ExaBGP over stdout. It parses nothing and keeps no routing state.

- Until the first daemon connects lines are kept for it. Once a daemon has gone they are dropped: the
  next one knows nothing anyway; it asks ExaBGP for the state of every session and the peers for
  their routes (see `supervise`).
- Daemon connected but not reading (stopped, busy): lines are kept up to `limit` bytes. Beyond that
  the newest are dropped, and once there is room again a line `#lost BYTES LINES` stands where they were.
- A second daemon takes the place of the first.
- On end of file (ExaBGP is gone) it hands over what it still has, for at most two seconds, and ends.

It is run as `python -S -E relay.py` with its settings in the environment (`BGPSVC_RELAY_*`), imports
a few small modules of the standard library and nothing of bgpsvc.
"""

import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time
from collections import deque

PROTOCOL = 3
READ_SIZE = 1 << 20
PIPE_SIZE = 1 << 20
DEFAULT_LIMIT = 1 << 30
COMMAND_LIMIT = 64 << 20
LINGER = 2.0

ENV_SOCKET = "BGPSVC_RELAY_SOCKET"
"""To the relay: the socket on which the daemon hears it."""
ENV_LIMIT = "BGPSVC_RELAY_LIMIT"
"""To the relay: how many bytes it keeps while the daemon is away."""


class Client:
    """The connected (or first expected) daemon: what it has not read yet, a command that is not whole yet."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self.offset = 0
        self.lost_bytes = 0
        self.lost_lines = 0
        self.partial = b""

    def push(self, data: bytes) -> None:
        self.queue.append(data)
        self.queued += len(data)


class Relay:
    """The event loop. All descriptors are non-blocking; every step does what it can and returns."""

    def __init__(self, stdin: int, stdout: int, path: str, limit: int = DEFAULT_LIMIT) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.limit = limit
        self.sock: socket.socket | None = None
        self.client: Client | None = Client()
        self.partial = b""
        self.commands: deque[bytes] = deque()
        self.commands_size = 0
        self.commands_offset = 0
        self.eof_at: float | None = None
        os.set_blocking(stdin, False)
        os.set_blocking(stdout, False)
        self.listener = listen(path)
        self.poll = select.poll()
        self.interest: dict[int, int] = {}

    def run(self) -> None:
        """Until ExaBGP is gone and the daemon has what there was, or can't take it."""
        while not self.finished():
            self.watch()
            timeout = None if self.eof_at is None else 100
            for fd, _ in self.poll.poll(timeout):
                if fd == self.stdin:
                    self.read_speaker()
                elif fd == self.listener.fileno():
                    self.accept()
                elif fd == self.stdout:
                    self.write_commands()
                elif self.sock is not None and self.client is not None and fd == self.sock.fileno():
                    self.serve_client(self.sock, self.client)
            if self.sock is not None and self.client is not None and self.client.queue:
                self.write_client(self.sock, self.client)

    def finished(self) -> bool:
        if self.eof_at is None:
            return False
        drained = self.client is None or not self.client.queue
        return drained or time.monotonic() - self.eof_at > LINGER

    def watch(self) -> None:
        """Registers with poll what is wanted now; only differences cost a call."""
        wanted = {self.listener.fileno(): select.POLLIN}
        if self.eof_at is None:
            wanted[self.stdin] = select.POLLIN
        if self.commands:
            wanted[self.stdout] = select.POLLOUT
        if self.sock is not None and self.client is not None:
            events = select.POLLOUT if self.client.queue else 0
            if self.commands_size < COMMAND_LIMIT:
                events |= select.POLLIN
            wanted[self.sock.fileno()] = events
        for fd in self.interest.keys() - wanted.keys():
            self.poll.unregister(fd)
        for fd, events in wanted.items():
            if self.interest.get(fd) != events:
                self.poll.register(fd, events)
        self.interest = wanted

    # ExaBGP to daemon ---------------------------------------------------------------------

    def read_speaker(self) -> None:
        try:
            data = os.read(self.stdin, READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self.eof_at = time.monotonic()
            return
        end = data.rfind(b"\n") + 1
        if not end:
            # Longer than the buffer and no end of line: not something ExaBGP writes; don't grow with it.
            self.partial = (self.partial + data)[-self.limit :]
            return
        lines = self.partial + data[:end]
        self.partial = data[end:]
        if self.client is not None:
            self.deliver(self.client, lines)

    def deliver(self, client: Client, lines: bytes) -> None:
        if client.queued + len(lines) > self.limit:
            client.lost_bytes += len(lines)
            client.lost_lines += lines.count(b"\n")
            return
        self.report_loss(client)
        client.push(lines)

    def report_loss(self, client: Client) -> None:
        if client.lost_lines:
            client.push(b"#lost %d %d\n" % (client.lost_bytes, client.lost_lines))
            client.lost_bytes = client.lost_lines = 0

    def write_client(self, sock: socket.socket, client: Client) -> None:
        try:
            while client.queue:
                head = client.queue[0]
                sent = sock.send(memoryview(head)[client.offset :])
                client.queued -= sent
                client.offset += sent
                if client.offset == len(head):
                    client.queue.popleft()
                    client.offset = 0
            self.report_loss(client)
        except BlockingIOError:
            return
        except OSError:
            self.drop_client()

    # Daemon to ExaBGP ---------------------------------------------------------------------

    def accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        if self.sock is not None:
            self.drop_client()
        first, self.client, self.sock = self.client, Client(), sock
        self.client.push(b"#relay %d %d %d\n" % (PROTOCOL, os.getpid(), os.getppid()))
        if first is not None:
            self.client.queue += first.queue
            self.client.queued += first.queued
            self.client.lost_bytes, self.client.lost_lines = first.lost_bytes, first.lost_lines

    def drop_client(self) -> None:
        if self.sock is None:
            return
        # The number of a closed descriptor may come back as another one: forget it before.
        fd = self.sock.fileno()
        if self.interest.pop(fd, None) is not None:
            self.poll.unregister(fd)
        self.sock.close()
        self.sock = self.client = None

    def serve_client(self, sock: socket.socket, client: Client) -> None:
        try:
            data = sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop_client()
            return
        # Only whole commands go on: half a command of a daemon that died must not meet its successor's first.
        end = data.rfind(b"\n") + 1
        if not end:
            client.partial += data
            return
        commands = client.partial + data[:end]
        client.partial = data[end:]
        self.commands.append(commands)
        self.commands_size += len(commands)
        self.write_commands()

    def write_commands(self) -> None:
        try:
            while self.commands:
                head = self.commands[0]
                sent = os.write(self.stdout, memoryview(head)[self.commands_offset :])
                self.commands_offset += sent
                if self.commands_offset == len(head):
                    self.commands.popleft()
                    self.commands_size -= len(head)
                    self.commands_offset = 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            # ExaBGP is ending; end of file on stdin follows and decides.
            self.commands.clear()
            self.commands_size = self.commands_offset = 0


def listen(path: str) -> socket.socket:
    """Listen on a unix socket that only our user may use; one left behind by a predecessor is replaced."""
    # Unix socket paths end after 107 bytes, state directories need not: bind relative to the directory.
    directory, name = os.path.split(path)
    os.chdir(directory or "/")
    # Under its name it appears only once it listens: nobody who sees it is refused.
    unready = f"{name}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(unready)
    finally:
        os.umask(previous)
    listener.listen(4)
    os.rename(unready, name)
    listener.setblocking(False)
    return listener


def main() -> int:
    path = os.environ.get(ENV_SOCKET, "")
    if not path:
        print(f"{ENV_SOCKET} is not set", file=sys.stderr)
        return 2
    limit = int(os.environ.get(ENV_LIMIT) or DEFAULT_LIMIT)
    # ExaBGP ends us by closing the pipe; ^C in the daemon's terminal is not meant for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for fd in (0, 1):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError as error:
            # Users without CAP_SYS_RESOURCE may be over their pipe quota; the default size works too.
            if error.errno not in (errno.EPERM, errno.EBUSY, errno.EBADF):
                raise
    Relay(0, 1, path, limit).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
