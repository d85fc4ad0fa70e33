"""Numbers of XFRM interfaces: the same after a restart, one for each tunnel, never somebody else's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.ipsec.ifids import IfIds
from bgpsvc.model import SessionId

T = [SessionId(f"conn{number}-tunnel1") for number in range(4)]


def test_a_number_follows_from_the_tunnel_and_is_32_bits_of_our_half() -> None:
    first, second = IfIds(), IfIds()
    numbers = {tunnel: first.of(tunnel) for tunnel in T}
    assert {tunnel: second.of(tunnel) for tunnel in reversed(T)} == numbers
    assert all(1 << 31 <= number < 1 << 32 for number in numbers.values())


def test_a_number_of_others_is_never_given() -> None:
    hashed = IfIds().of(T[0])
    ids = IfIds()
    ids.found({}, {hashed, hashed + 1})
    assert ids.of(T[0]) == hashed + 2


def test_who_collided_keeps_its_number_over_a_restart_whoever_comes_first_then() -> None:
    hashed = IfIds().of(T[0])
    ids = IfIds()
    ids.found({T[1]: hashed}, ())  # the other one came first once, and has its interface
    assert ids.of(T[0]) == hashed + 1
    again = IfIds()
    again.found({T[0]: hashed + 1, T[1]: hashed}, ())
    assert (again.of(T[0]), again.of(T[1])) == (hashed + 1, hashed)


def test_what_others_took_meanwhile_is_given_up() -> None:
    hashed = IfIds().of(T[0])
    ids = IfIds()
    ids.found({T[0]: hashed}, {hashed})
    assert ids.of(T[0]) != hashed


@given(st.sets(st.text(min_size=1, max_size=20), max_size=50))
def test_no_two_tunnels_share_a_number(names: set[str]) -> None:
    ids = IfIds()
    numbers = [ids.of(SessionId(name)) for name in names]
    assert len(set(numbers)) == len(names)
    assert [ids.of(SessionId(name)) for name in names] == numbers


def test_a_released_number_can_be_given_again() -> None:
    ids = IfIds()
    number = ids.of(T[0])
    ids.release(T[0])
    ids.release(T[0])
    ids.found({}, ())
    assert ids.of(T[0]) == number
