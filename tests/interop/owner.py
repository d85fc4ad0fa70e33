"""A daemon of its own process for tests that stop or kill it: runs the speakers, keeps a summary in a file.

`python -m tests.interop.owner STATE_DIR SUMMARY` with the sessions pickled on standard input.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bgpsvc.events import BgpEvent, EndOfRib, MessagesLost, SessionDown, SessionResync, SessionUp
from bgpsvc.exabgp.config import SpeakerSession
from bgpsvc.exabgp.speaker import Speakers
from bgpsvc.processes import write_private
from tests.interop.harness import Recorder
from tests.netns.namespaces import Namespace

COUNTED = (SessionUp, SessionDown, SessionResync, EndOfRib, MessagesLost)


async def own(state_dir: Path, summary: Path, sessions: Sequence[SpeakerSession]) -> None:
    """Until killed."""
    recorder = Recorder()

    def on_events(events: Sequence[BgpEvent]) -> None:
        recorder(events)
        counts: dict[str, int] = {kind.__name__: 0 for kind in COUNTED}
        for event in recorder.events:
            if type(event).__name__ in counts:
                counts[type(event).__name__] += 1
        prefixes = sum(len(table) for table in recorder.routes.values())
        write_private(summary, json.dumps(counts | {"prefixes": prefixes}))

    await Speakers(state_dir, on_events).start(sessions)
    await asyncio.Event().wait()


class Owner:
    """The process, as tests see it."""

    def __init__(self, process: subprocess.Popen[bytes], summary: Path) -> None:
        self.process = process
        self._summary = summary

    def __getitem__(self, name: str) -> int:
        """A count of the summary, 0 before there is one."""
        try:
            summary: dict[str, Any] = json.loads(self._summary.read_text())
        except FileNotFoundError:
            return 0
        return int(summary[name])


@contextmanager
def owner(namespace: Namespace, state_dir: Path, sessions: Sequence[SpeakerSession]) -> Iterator[Owner]:
    """A running owner; killed (not stopped) at the end, so that its speakers go on."""
    summary = state_dir.parent / "summary.json"
    summary.unlink(missing_ok=True)
    process = subprocess.Popen(
        namespace.command(sys.executable, "-m", __name__, str(state_dir), str(summary)), stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(list(sessions)))
    process.stdin.close()
    try:
        yield Owner(process, summary)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    asyncio.run(own(Path(sys.argv[1]), Path(sys.argv[2]), pickle.load(sys.stdin.buffer)))
