"""The guard's processes: `python -m bgpsvc.guard`, started by the daemon (`launch`)."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from bgpsvc.guard.descriptors import allow_all
from bgpsvc.guard.keeper import Base, Ended, Keeper, Role
from bgpsvc.guard.memory import Memory
from bgpsvc.guard.server import ENV_STATE_DIR, SOCKET, listen
from bgpsvc.guard.worker import Worker

_START_ALLOWANCE = 10.0


def main() -> str | None:
    """Be the keeper, whose first worker is forked; or, later, whatever this process became."""
    try:
        base = prepare(os.environ[ENV_STATE_DIR])
    except (OSError, KeyError) as error:
        return f"the guard cannot start: {error}"
    role = Role.KEEPER
    while True:
        try:
            role = Keeper(base).run() if role is Role.KEEPER else Worker(base).run()
        except Ended:
            return None


def prepare(state_dir: str) -> Base:
    """What all processes of a guard have in common. OSError if the socket can't be had."""
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):
        os.setsid()  # refused to who leads a session already, which is as well
    allow_all()
    memory = Memory()
    memory.keeper, memory.patience = os.getpid(), 1.0
    memory.promise = memory.keeper_promise = time.monotonic() + _START_ALLOWANCE
    listener = listen(directory, SOCKET)
    os.close(directory)
    return Base(memory, listener)


if __name__ == "__main__":
    sys.exit(main())
