"""Requests for a refresh: none is lost, none goes out twice for the same."""

from __future__ import annotations

from bgpsvc.exabgp.refresh import INTERVAL, Refreshes
from bgpsvc.model import Family, SessionId

S = SessionId("c1-tunnel1")
BOTH = (Family.IPV4, Family.IPV6)


def test_what_was_not_negotiated_is_left_out() -> None:
    refreshes = Refreshes()
    refreshes.want(S, BOTH)
    assert refreshes.take(S, (Family.IPV4,), 1, 0.0) == ([Family.IPV4], None)
    assert refreshes.waiting() == ()


def test_an_answer_that_is_all_ahead_serves_a_second_request() -> None:
    refreshes = Refreshes()
    refreshes.want(S, BOTH)
    assert refreshes.take(S, BOTH, 5, 0.0) == ([*BOTH], None)
    refreshes.want(S, BOTH)
    assert refreshes.take(S, BOTH, 5, 0.1) == ([], None)
    assert refreshes.waiting() == ()


def test_a_second_request_waits_if_something_came_since() -> None:
    refreshes = Refreshes()
    refreshes.want(S, [Family.IPV4])
    refreshes.take(S, BOTH, 5, 0.0)
    refreshes.want(S, BOTH)
    found, delay = refreshes.take(S, BOTH, 6, 0.25)
    assert (found, delay) == ([Family.IPV6], INTERVAL - 0.25)
    assert refreshes.waiting() == (S,)
    # It does not come earlier by being asked for more often.
    refreshes.want(S, [Family.IPV4])
    assert refreshes.take(S, BOTH, 9, 0.5) == ([], 0.5)
    assert refreshes.take(S, BOTH, 9, INTERVAL) == ([Family.IPV4], None)


def test_an_unanswered_request_is_not_joined_for_ever() -> None:
    refreshes = Refreshes()
    refreshes.want(S, [Family.IPV4])
    refreshes.take(S, BOTH, 5, 0.0)
    refreshes.want(S, [Family.IPV4])
    assert refreshes.take(S, BOTH, 5, INTERVAL) == ([Family.IPV4], None)


def test_what_could_not_be_sent_waits() -> None:
    refreshes = Refreshes()
    refreshes.want(S, [Family.IPV4])
    refreshes.failed(S, refreshes.take(S, BOTH, 5, 0.0)[0])
    assert refreshes.waiting() == (S,)
    assert refreshes.take(S, BOTH, 5, 0.1) == ([Family.IPV4], None)


def test_dropped() -> None:
    refreshes = Refreshes()
    refreshes.want(S, BOTH)
    refreshes.drop([S])
    assert refreshes.sessions() == ()
    assert refreshes.take(S, BOTH, 5, 0.0) == ([], None)
    # A new session is not held up by what was sent to the one before.
    refreshes.want(S, BOTH)
    refreshes.take(S, BOTH, 5, 0.0)
    refreshes.drop([S])
    refreshes.want(S, BOTH)
    assert refreshes.take(S, BOTH, 6, 0.1) == ([*BOTH], None)
