"""Finding a lab again."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from typing import IO

import pytest

from bgpsvc.lab import state
from bgpsvc.lab.daemons import LabSpec, Peer
from bgpsvc.lab.handle import Lab

SPEC = LabSpec("/python", {"ip": "/sbin/ip"}, {"gw1": 3}, Peer.BIRD)


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_running_lab_is_found_with_all_that_is_known_of_it() -> None:
    lab = Lab(os.getpid(), True, SPEC, {"gw1": 8179})
    state.save("default", lab)
    assert state.load("default") == lab
    assert state.load("other") is None
    assert state.directory().stat().st_mode & 0o777 == 0o700


def test_a_lab_whose_process_has_ended_is_not_found() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        state.save("default", Lab(process.pid, False, SPEC, {}))
        assert state.load("default") is not None
        process.kill()
    assert state.load("default") is None


def test_a_process_that_was_given_the_same_number_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    state.save("default", Lab(os.getpid(), False, SPEC, {}))
    began = state.start_time(os.getpid())
    assert began is not None
    monkeypatch.setattr(state, "start_time", lambda pid: began + 1)
    assert state.load("default") is None


def test_a_killed_process_that_nobody_waited_for_has_ended() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert state.start_time(process.pid) is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert state.start_time(process.pid) is None
    process.wait()


def test_forgetting_the_last_lab_leaves_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with state.locked(name):
            state.save(name, Lab(os.getpid(), False, SPEC, {}))
    state.forget("one")
    assert state.load("two") is not None
    state.forget("two")
    assert list(tmp_path.iterdir()) == []


def test_a_lab_that_could_not_start_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), state.locked("default"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_looking_makes_no_directory(tmp_path: Path) -> None:
    assert state.load("default") is None
    state.forget("default")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1', '{"pid": "x", "start_time": null}', "\0"])
def test_a_damaged_state_file_is_told(text: str) -> None:
    state.path_of("default").write_text(text)
    with pytest.raises(state.StateError, match="cannot be read"):
        state.load("default")


def test_a_lock_that_was_removed_while_one_waited_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """`down` removes the file that a second command waits for; a third one makes a new file."""
    real, waits = fcntl.flock, []

    def flock(file: IO[str], how: int) -> None:
        waits.append(file.name)
        if len(waits) == 1:
            state.forget("default")
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with state.locked("default"):
        path = state.path_of("default").with_suffix(".lock")
        assert len(waits) == 2
        with path.open("w") as other, pytest.raises(BlockingIOError):
            real(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 64])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(state.StateError, match="cannot name a lab"):
        state.path_of(name)


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bgpsvc-lab").mkdir()
    (tmp_path / "bgpsvc-lab").chmod(0o777)
    with pytest.raises(state.StateError, match="mode 0700"):
        state.directory()


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "bgpsvc-lab").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(state.StateError, match="mode 0700"):
        state.directory()
