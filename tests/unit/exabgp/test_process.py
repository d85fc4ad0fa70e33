"""A speaker whose record can't be written must not be left behind: nobody would find it again."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.exabgp import launcher, process
from bgpsvc.exabgp.process import Paths, SpeakerProcess
from bgpsvc.model import Role


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path, Role.ACTIVE)
    made.configuration.write_text("nothing")
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were started: something harmless in place of ExaBGP."""
    children: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(_: list[str], **options: Any) -> subprocess.Popen[bytes]:
        children.append(real(["sleep", "60"], **options))
        return children[-1]

    monkeypatch.setattr(process.subprocess, "Popen", popen)
    return children


def test_a_child_without_a_record_is_ended(
    paths: Paths, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = process.write_private

    def full(path: Path, text: str) -> None:
        if path == paths.record:
            raise OSError(28, "No space left on device")
        write(path, text)

    monkeypatch.setattr(process, "write_private", full)

    async def scenario() -> None:
        with pytest.raises(OSError, match="No space left"):
            SpeakerProcess.start(paths, 1 << 20)

    asyncio.run(scenario())
    assert [child.returncode for child in started] == [-9]


def test_what_it_took_is_recorded(
    paths: Paths, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        first = SpeakerProcess.start(paths, 1 << 20)
        try:
            assert first.taken == launcher.digest(b"nothing")
            first.took("another")
            adopted = SpeakerProcess.adopt(paths)
            assert adopted is not None
            assert adopted.taken == "another"
            # A record that says nothing of it: not known, so it has to be loaded.
            record = json.loads(paths.record.read_text())
            del record["configuration"]
            paths.record.write_text(json.dumps(record))
            unknown = SpeakerProcess.adopt(paths)
            assert unknown is not None
            assert unknown.taken is None
            adopted.release()
            unknown.release()
        finally:
            await first.stop()
            first.release()

    asyncio.run(scenario())
    assert len(started) == 1
