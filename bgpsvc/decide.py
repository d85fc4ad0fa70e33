"""The decision process: orders the paths of one prefix, best first (RFC 4271 9.1.2.2, DESIGN.md 6).

    1  valid next hop, no AS loop     the import policy refuses such paths; they never get here
    2  operator preference            a switch of the connection, not of the order: see `tunnels`
    3  highest LOCAL_PREF             9.1.1; set by the import policy to prefer the active tunnel
    4  shortest AS_PATH               9.1.2.2 a
    5  lowest ORIGIN                  9.1.2.2 b
    6  lowest MED                     9.1.2.2 c; only among paths of the same neighbour AS
    7  eBGP before iBGP               9.1.2.2 d
    8  tunnel role                    active before standby
    9  lowest connection name
    10 lowest peer address            9.1.2.2 g; total, as no two sessions of a gateway share it

Candidates are eliminated step by step and never folded in pairs: MED compares only paths of one
neighbour AS, so "better than" between pairs is not transitive, and a fold would depend on the
order of arrival. Liveness is no step: see `tunnels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bgpsvc.model import Attributes, Reason, Role, SessionId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path that the import policy accepted, with what the decision needs to know of its session."""

    session: SessionId
    connection: str
    role: Role
    ebgp: bool
    peer_address: bytes
    local_pref: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate in its place. `reason` is the step at which the best path beat it, None for the best."""

    candidate: Candidate
    reason: Reason | None


Survivors = Callable[[Sequence[Candidate]], list[Candidate]]


def _lowest(key: Callable[[Candidate], object]) -> Survivors:
    def survivors(candidates: Sequence[Candidate]) -> list[Candidate]:
        best = min(key(c) for c in candidates)  # type: ignore[type-var]  # every key below is ordered
        return [c for c in candidates if key(c) == best]

    return survivors


def _lowest_med(candidates: Sequence[Candidate]) -> list[Candidate]:
    lowest: dict[int | None, int] = {}
    for candidate in candidates:
        asn, med = candidate.attributes.neighbour_asn, _med(candidate)
        lowest[asn] = min(med, lowest.get(asn, med))
    return [c for c in candidates if _med(c) == lowest[c.attributes.neighbour_asn]]


def _med(candidate: Candidate) -> int:
    # RFC 4271 9.1.2.2 c: a route without the attribute has the lowest possible value.
    return candidate.attributes.med or 0


STEPS: tuple[tuple[Reason, Survivors], ...] = (
    (Reason.LOCAL_PREF, _lowest(lambda c: -c.local_pref)),
    (Reason.AS_PATH_LENGTH, _lowest(lambda c: c.attributes.as_path_length)),
    (Reason.ORIGIN, _lowest(lambda c: c.attributes.origin)),
    (Reason.MED, _lowest_med),
    (Reason.EBGP_OVER_IBGP, _lowest(lambda c: not c.ebgp)),
    (Reason.TUNNEL_ROLE, _lowest(lambda c: c.role is Role.STANDBY)),
    (Reason.CONNECTION_ID, _lowest(lambda c: c.connection)),
    (Reason.PEER_ADDRESS, _lowest(lambda c: (len(c.peer_address), c.peer_address, c.session))),
)


def decide(candidates: Iterable[Candidate]) -> tuple[Ranked, ...]:
    """All candidates of a prefix in order of preference; independent of the order of arrival.

    The best is found by elimination, then the best of the rest, and so on. Each loser carries
    the step at which it fell out in the first round, that is why it is not *the* best.
    """
    remaining = sorted(candidates, key=lambda c: c.session)
    if not remaining:
        return ()
    best, lost = _best(remaining)
    order = [Ranked(best, None)]
    remaining.remove(best)
    while remaining:
        runner_up, _ = _best(remaining)
        order.append(Ranked(runner_up, lost[runner_up.session]))
        remaining.remove(runner_up)
    return tuple(order)


def _best(candidates: Sequence[Candidate]) -> tuple[Candidate, dict[SessionId, Reason]]:
    lost: dict[SessionId, Reason] = {}
    survivors = list(candidates)
    for reason, step in STEPS:
        if len(survivors) == 1:
            break
        kept = step(survivors)
        lost.update((c.session, reason) for c in survivors if c not in kept)
        survivors = kept
    return survivors[0], lost
