"""When a speaker hangs, and what is done about it: first its relay is ended, then the speaker.

A relay that hangs stops ExaBGP too, which writes to it through a blocking pipe. From outside both look the
same: nothing is heard. Without its relay ExaBGP starts a new one and keeps its sessions, so the relay goes
first; ExaBGP only if that did not help.

A busy speaker is no hung one: it is heard, for what keeps it busy are messages that it passes on, or, if it
is silent meanwhile, it is seen to work. And time in which we did not listen ourselves is not counted:
a suspended machine, a starved process, our own long turn.
"""

from __future__ import annotations

from enum import Enum

TURN = 1.0
"""Seconds between two looks."""
QUIET = 5.0
"""Silence after which the speaker is asked to say something; again as often, as long as it does not."""
ANSWER = 8.0
"""Within which it has to. Its relay is ended after `QUIET + ANSWER` of silence ..."""
LAST_ANSWER = 4.0
"""... and it itself so much later, which is less than a hold time of 30 s."""
AT_WORK = 60.0
"""What takes the place of either for one that works without a word."""


class Step(Enum):
    """What to do now."""

    NOTHING = "nothing"
    ASK = "ask"
    END_RELAY = "end the relay"
    END_SPEAKER = "end the speaker"


class Vigil:
    """One speaker, from its start or adoption to its end. Times are seconds."""

    def __init__(self) -> None:
        self.silent = 0.0
        self.listening = True
        """False while what was heard is being worked on: it is we who are slow."""
        self._asked_at: float | None = None
        self._waited = 0.0
        self._worked = 0.0
        self._without_relay = False

    def heard(self) -> None:
        """Something came from the speaker; whatever was suspected is forgotten."""
        self.silent = 0.0
        self._asked_at = None
        self._waited = self._worked = 0.0
        self._without_relay = False

    @property
    def waiting(self) -> bool:
        """It was asked, and has not answered."""
        return self._asked_at is not None

    def passed(self, seconds: float, working: bool) -> Step:
        """A turn is over. `working`: speaker or relay were seen to work, though not heard."""
        if not self.listening:
            return Step.NOTHING
        # Far more than a turn, and it was we who did not run.
        counted = min(seconds, 2 * TURN)
        self.silent += counted
        if self._asked_at is None:
            return self._ask() if self.silent >= QUIET else Step.NOTHING
        if working:
            self._worked += counted
        else:
            self._waited += counted
        if self._waited >= (LAST_ANSWER if self._without_relay else ANSWER) or self._worked >= AT_WORK:
            return self._end()
        return self._ask() if self.silent - self._asked_at >= QUIET else Step.NOTHING

    def _ask(self) -> Step:
        self._asked_at = self.silent
        return Step.ASK

    def _end(self) -> Step:
        self._waited = self._worked = 0.0
        if self._without_relay:
            return Step.END_SPEAKER
        self._without_relay = True
        return Step.END_RELAY
