"""Whatever happens: a session is reset only beside a live tunnel whose session stays, and in time it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bgpsvc.effects import Refresh, Reset
from bgpsvc.engine import Engine
from bgpsvc.events import Announced, EndOfRib, LinkChanged, MessagesLost, SessionResync, SpeakerUp
from bgpsvc.model import Family, SessionId
from bgpsvc.tunnels import TunnelState
from tests.unit.support import IFINDEX, T1, T2, down, engine, negotiated, path, prefixes, run, up

OTHER = {T1: T2, T2: T1}
PATHS = prefixes("10.1.0.0/16")
EVENTS = ["up", "down", "graceful", "lost", "resync", "announce", "end", "link down", "link up", "speaker"]
STEP = st.tuples(
    st.sampled_from(EVENTS), st.sampled_from([T1, T2]), st.sampled_from([0.0, 0.5, 2.0, 6.0, 31.0])
)


class Peers:
    """An engine and two peers; `refresh` says which of them can refresh, `answers` which also do."""

    def __init__(self, refresh: dict[SessionId, bool], answers: dict[SessionId, bool]) -> None:
        self.engine: Engine = engine()
        self.refresh, self.answers = refresh, answers
        self.now = 1.0
        self.going: set[SessionId] = set()
        """Sessions whose reset was asked for, until they are down."""

    def happens(self, what: str, session: SessionId) -> None:
        e, known = self.engine, self.engine.sessions[session]
        able = self.refresh[session]
        link = e.tunnels[session].interface
        match what:
            case "up" if not known.established:
                up(e, session, self.now, end=False, route_refresh=able)
            case "down" | "graceful":
                down(e, session, self.now, graceful=what == "graceful")
                self.going.discard(session)
            case "lost" if known.established:
                e.handle(MessagesLost(session, 1), self.now)
            case "resync":
                self.going.discard(session)  # the request may be lost
                e.handle(SessionResync(session, negotiated(route_refresh=able)), self.now)
            case "announce" if known.established:
                e.handle(Announced(session, path(session), PATHS), self.now)
            case "end" if known.established:
                e.handle(EndOfRib(session, Family.IPV4), self.now)
            case "link down" | "link up":
                e.handle(LinkChanged(link, IFINDEX[link], what == "link up"), self.now)
            case "speaker":
                self.going.discard(session)
                e.handle(SpeakerUp(known.settings.role), self.now)

    def effects(self) -> None:
        """Check what was asked of the speakers, and let peers that can answer refreshes."""
        run(self.engine)
        asked = list(self.engine.outbox)
        self.engine.outbox.clear()
        for effect in asked:
            if isinstance(effect, Reset):
                self.reset(effect.session)
            elif isinstance(effect, Refresh) and self.answers[effect.session]:
                self.engine.handle(Announced(effect.session, path(effect.session), PATHS), self.now)
                self.engine.handle(EndOfRib(effect.session, Family.IPV4), self.now)
                run(self.engine)

    def reset(self, session: SessionId) -> None:
        other = OTHER[session]
        assert self.engine.sessions[session].established
        assert self.engine.sessions[other].established
        assert self.engine.tunnels[other].state is TunnelState.LIVE
        assert other not in self.going, "it is about to go"
        assert session not in self.going, "asked for once"
        self.going.add(session)

    def pass_time(self, until: float) -> None:
        """As the shell does: at every deadline."""
        while (deadline := self.engine.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.engine.tick(self.now)
            self.effects()
        self.now = until

    def calm_down(self) -> None:
        """Links are up, and sessions that are down or reset come back with their whole table."""
        for session in (T1, T2):
            self.happens("link up", session)
        for _ in range(20):
            for session in (T1, T2):
                known = self.engine.sessions[session]
                if session in self.going:
                    self.happens("down", session)
                if not known.established:
                    self.happens("up", session)
                    self.happens("announce", session)
                    self.happens("end", session)
                self.effects()
            self.pass_time(self.now + 400)


FLAGS = st.fixed_dictionaries({T1: st.booleans(), T2: st.booleans()})


@settings(deadline=None, max_examples=150)
@given(refresh=FLAGS, answers=FLAGS, steps=st.lists(STEP, max_size=25))
def test_never_both_and_none_forgotten(
    refresh: dict[SessionId, bool],
    answers: dict[SessionId, bool],
    steps: list[tuple[str, SessionId, float]],
) -> None:
    peers = Peers(refresh, answers)
    for what, session, seconds in steps:
        peers.happens(what, session)
        peers.effects()
        peers.pass_time(peers.now + seconds)
    peers.calm_down()
    for known in peers.engine.sessions.values():
        assert known.established
        assert known.reset_reason is None
        assert not known.refresh_pending
        assert peers.engine.tunnels[known.id].state is TunnelState.LIVE
