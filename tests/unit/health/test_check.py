"""Verdicts of a health check: when it fails, when it recovers, and what it says."""

from __future__ import annotations

import pytest

from bgpsvc.health.check import Check, Verdict

HEALTHY = Verdict(True, "192.168.0.10 replies")
UNHEALTHY = Verdict(False, "no reply from 192.168.0.10 to 3 requests in a row")


def verdicts(check: Check, rounds: str) -> str:
    """What comes of rounds of `r` (answered) and `l` (lost): `h` or `u` for each verdict, in order.

    A loss is only seen when the next request is due, so one more request is begun at the end.
    """
    found: list[Verdict | None] = []
    for outcome in (*rounds, "end"):
        sequence, lost = check.next()
        found += [lost, check.replied(sequence) if outcome == "r" else None]
    return "".join("h" if verdict.healthy else "u" for verdict in found if verdict is not None)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ("", ""),
        ("r", "h"),  # the first verdict takes one reply
        ("ll", ""),
        ("lll", "u"),
        ("llr", "h"),
        ("rll", "h"),
        ("rlll", "hu"),
        ("rllrll", "h"),  # losses must be in a row
        ("rlllr", "hu"),
        ("rlllrr", "hu"),
        ("rlllrrr", "huh"),
        ("rlllrrlrr", "hu"),  # and so must the replies
        ("llllll", "u"),
        ("rlllrrrlll", "huhu"),
    ],
)
def test_hysteresis(rounds: str, expected: str) -> None:
    assert verdicts(Check("192.168.0.10", 3), rounds) == expected


def test_one_retry_means_every_request_counts() -> None:
    assert verdicts(Check("192.168.0.10", 1), "rlrlr") == "huhuh"


def test_texts() -> None:
    check = Check("192.168.0.10", 3)
    assert check.replied(check.next()[0]) == HEALTHY
    for _ in range(3):
        assert check.next()[1] is None
    assert check.next()[1] == UNHEALTHY


def test_the_reason_of_a_request_that_cannot_be_sent() -> None:
    check = Check("192.168.0.10", 2)
    for _ in range(2):
        assert check.next()[1] is None
        check.failed("cannot send: the network is down")
    assert check.next()[1] == Verdict(False, "cannot send: the network is down")


def test_an_error_of_long_ago_is_no_reason() -> None:
    check = Check("192.168.0.10", 2)
    check.next()
    check.failed("cannot send")
    check.next()
    assert check.next()[1] == Verdict(False, "no reply from 192.168.0.10 to 2 requests in a row")


def test_late_and_repeated_replies_do_not_count() -> None:
    check = Check("192.168.0.10", 1)
    first, _ = check.next()
    second, verdict = check.next()
    assert verdict is not None
    assert check.replied(first) is None, "late"
    assert check.replied(second) == Verdict(True, "192.168.0.10 replies")
    assert check.replied(second) is None, "repeated"
    assert check.next()[1] is None


def test_sequence_numbers_wrap() -> None:
    check = Check("192.168.0.10", 1)
    numbers = [check.next()[0] for _ in range(0x10001)]
    assert (numbers[0], numbers[0xFFFF], numbers[0x10000]) == (0, 0xFFFF, 0)
