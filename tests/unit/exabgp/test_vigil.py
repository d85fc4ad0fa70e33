"""When a speaker counts as hung: by table, time passed in."""

from __future__ import annotations

import pytest

from bgpsvc.exabgp.vigil import ANSWER, AT_WORK, LAST_ANSWER, QUIET, TURN, Step, Vigil

HOLD_TIME = 30.0


def steps(
    vigil: Vigil, seconds: float, working: bool = False, turn: float = TURN
) -> list[tuple[float, Step]]:
    """What it says to do, and after how many seconds, if nothing is heard meanwhile."""
    found: list[tuple[float, Step]] = []
    passed = 0.0
    while passed < seconds:
        passed += turn
        step = vigil.passed(turn, working)
        if step is not Step.NOTHING:
            found.append((passed, step))
    return found


def first(found: list[tuple[float, Step]], step: Step) -> float:
    """After how many seconds it came for the first time."""
    return next(at for at, which in found if which is step)


def test_a_silent_one_is_asked_then_its_relay_goes_then_it_itself() -> None:
    found = steps(Vigil(), 20)
    assert first(found, Step.ASK) == QUIET
    assert first(found, Step.END_RELAY) == QUIET + ANSWER
    assert first(found, Step.END_SPEAKER) == QUIET + ANSWER + LAST_ANSWER
    assert QUIET + ANSWER + LAST_ANSWER + 3 * TURN <= HOLD_TIME * 2 / 3, "before the peer gives it up"


def test_it_is_asked_again() -> None:
    asked = [at for at, step in steps(Vigil(), QUIET + ANSWER) if step is Step.ASK]
    assert len(asked) == 2


def test_one_that_answers_is_left_alone() -> None:
    vigil = Vigil()
    for _ in range(10):
        assert [step for _, step in steps(vigil, QUIET)] == [Step.ASK]
        assert steps(vigil, QUIET - TURN) == []
        vigil.heard()
        assert vigil.silent == 0


def test_a_new_relay_that_answers_clears_the_speaker() -> None:
    vigil = Vigil()
    steps(vigil, QUIET + ANSWER)
    vigil.heard()
    found = steps(vigil, 20)
    assert first(found, Step.END_RELAY) == QUIET + ANSWER, "from the beginning"


def test_one_at_work_without_a_word_gets_far_more_time() -> None:
    found = steps(Vigil(), 3 * AT_WORK, working=True)
    assert first(found, Step.END_RELAY) == QUIET + AT_WORK
    assert first(found, Step.END_SPEAKER) == QUIET + 2 * AT_WORK


def test_what_was_heard_but_not_worked_on_yet_is_no_silence() -> None:
    vigil = Vigil()
    vigil.listening = False
    assert steps(vigil, 600) == []
    vigil.listening = True
    assert steps(vigil, QUIET - TURN) == []


@pytest.fixture
def waiting() -> Vigil:
    """One that was just asked."""
    vigil = Vigil()
    steps(vigil, QUIET)
    return vigil


def test_a_machine_that_slept_is_no_hung_speaker(waiting: Vigil) -> None:
    assert waiting.passed(8 * 3600, working=False) is Step.NOTHING


def test_a_daemon_whose_turns_are_slow_waits_longer(waiting: Vigil) -> None:
    found = steps(waiting, 600, turn=10 * TURN)
    assert first(found, Step.END_RELAY) >= 5 * ANSWER * TURN
