"""When to negotiate: one attempt at a time, the next after a back-off. Pure; time is an argument."""

from __future__ import annotations

YIELD_S = 2.0
"""How long the side with the higher address waits for the other one to begin."""
BACKOFF_FIRST_S, BACKOFF_MOST_S = 1.0, 10.0
"""From the beginning of an attempt to that of the next: doubled each time."""
ANSWER_S = 10.0
"""How long an attempt may hear nothing from the peer."""
APPEARS_S = 1.0
"""How long it may take until the SA of an attempt is seen."""
ATTEMPT_MOST_S = 60.0
"""How long an attempt may take, whatever is heard."""


class Attempts:
    """The attempts at one tunnel, from its going down to its coming up."""

    def __init__(self) -> None:
        self.due_at: float | None = None
        """When the next attempt begins; None if none is due."""
        self.heard = False
        """The attempt under way had an answer of the peer."""
        self.ike_id: int | None = None
        """Unique id of the IKE SA that it began; None if it began none (yet)."""
        self._began: float | None = None
        self._deadline: float | None = None
        self._failures = 0

    @property
    def under_way(self) -> bool:
        """One was begun and not ended yet."""
        return self._deadline is not None

    @property
    def failing(self) -> bool:
        """The last one came to nothing."""
        return self._failures > 0

    @property
    def deadline(self) -> float | None:
        """When something is to be done: the next one begins, or the one under way has taken too long."""
        return self._deadline if self.under_way else self.due_at

    def due(self, at: float) -> None:
        """The next one is to begin then, or earlier if it was to."""
        if not self.under_way:
            self.due_at = at if self.due_at is None else min(at, self.due_at)

    def begin(self, now: float) -> None:
        """One begins."""
        self.due_at = None
        self.heard = False
        self.ike_id = None
        self._began = now
        self._deadline = now + ANSWER_S

    def identify(self, ike_id: int | None) -> None:
        """charon began an IKE SA."""
        if self.under_way and self.ike_id is None:
            self.ike_id = ike_id

    def concerned(self, ike_id: int | None) -> bool:
        """What is said of an IKE SA is about the attempt under way, not about one of the peer's."""
        return self.under_way and (ike_id is None or self.ike_id in (None, ike_id))

    def vanished(self, now: float) -> bool:
        """One is under way for long enough that charon has an SA for it, unless it gave up."""
        return self.under_way and self._began is not None and now >= self._began + APPEARS_S

    def sign_of_life(self, now: float) -> None:
        """The peer said something."""
        if self._deadline is not None and self._began is not None:
            self.heard = True
            self._deadline = min(now + ANSWER_S, self._began + ATTEMPT_MOST_S)

    def overdue(self, now: float) -> bool:
        """The one under way has taken too long."""
        return self._deadline is not None and now >= self._deadline

    def failed(self, now: float) -> None:
        """The one under way came to nothing; the next is due after the back-off."""
        wait = self.back_off()
        began = now if self._began is None else self._began
        self._deadline = self.ike_id = None
        # An attempt that waited long for an answer has had its back-off.
        self.due_at = max(now + BACKOFF_FIRST_S, began + wait)

    def back_off(self) -> float:
        """Seconds to wait after one more failure."""
        self._failures += 1
        return min(BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 10), BACKOFF_MOST_S)

    def stop(self) -> None:
        """None is under way nor due; what failed before still counts."""
        self.due_at = self._deadline = self.ike_id = None

    def forgive(self) -> None:
        """What failed before does not count any more."""
        self._failures = 0

    def succeeded(self) -> None:
        """Forget all."""
        self.stop()
        self.forgive()
