"""A BFD session (RFC 5880) as a state machine without I/O: asynchronous mode, time and chance are arguments.

Whoever runs it keeps this order in every round: first read all packets that wait (`received`), only then let
what is due happen (`due`, until `deadline()` is in the future). A process that was late then never declares a
peer dead whose packets it had not looked at yet.

Down, Init and Up are the three-way handshake of 6.2. While not Up, packets go out once a second at most
(6.8.3); Up brings the configured intervals into force by a Poll Sequence (6.5). We never ask for Demand mode
and stop sending periodically to a peer that does (6.6, 6.8.7); we offer no Echo function. The C bit is set:
BFD runs in a process that does not share the fate of the routing processes (4.1, RFC 5882 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bgpsvc.guard.bfd_intervals import Intervals, wait
from bgpsvc.guard.bfd_wire import (
    STATE_NAMES,
    ControlPacket,
    Diagnostic,
    Rejected,
    Sha1Key,
    State,
    diagnostic_name,
    pack,
    parse,
    verify_sha1,
)
from bgpsvc.guard.model import BfdSettings, BfdStatus
from bgpsvc.model import SessionId

LEAST_INTERVAL_MS = 10

_TRANSITIONS = {
    (State.DOWN, State.DOWN): State.INIT,
    (State.DOWN, State.INIT): State.UP,
    (State.INIT, State.INIT): State.UP,
    (State.INIT, State.UP): State.UP,
    (State.UP, State.DOWN): State.DOWN,
}
"""(bfd.SessionState, received state) to the next one; where there is none, nothing changes (6.2, 6.8.6)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the session says of the path, told when it differs from what was told before.

    `up` as in `BfdSession.up`; `detection_ms` as in `BfdSession.detection_ms`.
    """

    up: bool | None
    reason: str
    detection_ms: float | None


@dataclass(slots=True)
class _Remote:
    """What the peer's packets said last (6.8.1); forgotten when it is silent for a Detection Time."""

    discriminator: int = 0
    state: State = State.DOWN
    diagnostic: int = 0
    desired_tx: int = 0
    min_rx: int = 1
    multiplier: int = 0
    demand: bool = False


class BfdSession:
    """One session. `draw` returns numbers from 0 to 1, evenly; times are seconds of one steady clock.

    ValueError for settings that BFD does not know.
    """

    def __init__(
        self, settings: BfdSettings, discriminator: int, now: float, draw: Callable[[], float]
    ) -> None:
        if not 0 < discriminator < 1 << 32:
            raise ValueError(f"discriminator {discriminator}: 1 to 2^32-1 is allowed")
        self._key = _checked(settings)
        self.settings = settings
        self.discriminator = discriminator
        self._draw = draw
        self.up: bool | None = None
        """True: Up. False: was Up and is not. None: not in force (RFC 5882 3.2): the peer has not brought the
        session Up since it was started or since it said AdminDown."""
        self.revision = 0
        """Grows whenever a snapshot taken before would no longer do for `restore`."""
        self._state = State.DOWN
        self._diagnostic: int = Diagnostic.NONE
        self._since = now
        self._flaps = 0
        self._remote = _Remote()
        self._intervals = Intervals(settings.interval_ms * 1000)
        self._final_due = False
        self._transmit_sequence = int(draw() * 0xFFFFFFFF)
        self._renumber = False
        self._received_sequence: int | None = None
        self._sequence_known_until = math.inf
        self._heard: float | None = None
        self._sent = self._received = self._rejected = 0
        self._last_rejected: str | None = None
        self._told: tuple[bool | None, float | None] = (None, None)
        self._latest = now
        self._last_sent = now
        self._packet: bytes | None = None  # the periodic one, made when its contents change
        self._repeated: bytes | None = None  # the last one received, if a second of its kind changes nothing
        self._transmit = self._detection = 0.0
        self._next_send = self._expires = math.inf
        self._send_now = True
        self._retime()

    # -- what comes in

    def received(self, packet: bytes, ttl_ok: bool, now: float) -> Change | None:
        """Take a packet (a UDP payload) that was found to be for this session.

        `ttl_ok`: it came with TTL 255, or over several hops. Afterwards `deadline` may be in the past: a Poll
        is answered at once.
        """
        self._latest = now
        if packet == self._repeated and ttl_ok:
            self._received += 1
            self._heard = now
            self._expires = now + self._detection
            return None
        try:
            control = self._examine(packet, ttl_ok, now)
        except Rejected as error:
            self._rejected += 1
            self._last_rejected = str(error)
            return None
        self._received += 1
        self.revision += 1
        return self._take(control, packet, now)

    def _examine(self, data: bytes, ttl_ok: bool, now: float) -> ControlPacket:
        """The checks of RFC 5880 6.8.6 and RFC 5881 5, in order. Rejected if one fails."""
        if not ttl_ok:
            raise Rejected("TTL is not 255: not from a neighbor on the link")
        control = parse(data)
        if control.your_discriminator not in (0, self.discriminator):
            raise Rejected(f"your discriminator {control.your_discriminator}, ours is {self.discriminator}")
        if self._key is None:
            if control.authenticated:
                raise Rejected("authenticated, no authentication is configured")
            return control
        known = self._received_sequence if now < self._sequence_known_until else None
        self._received_sequence = verify_sha1(data, control, self._key, known)
        self._sequence_known_until = math.inf
        return control

    def _take(self, control: ControlPacket, data: bytes, now: float) -> Change | None:
        """A packet that passed all checks: 6.8.6 from "Set bfd.RemoteDiscr" on."""
        remote = self._remote
        if remote.discriminator != control.my_discriminator:
            remote.discriminator = control.my_discriminator
            self._contents_changed()
        remote.state = control.state
        remote.diagnostic = control.diagnostic
        remote.demand = control.demand
        remote.min_rx = control.required_rx
        remote.desired_tx = control.desired_tx
        remote.multiplier = control.multiplier
        if control.final and self._intervals.answered():
            self._packet = None
        self._final_due = self._final_due or control.poll
        if self._state == State.ADMIN_DOWN:
            self._retime()
            return None
        reason = self._follow(control, now)
        self._heard = now
        self._retime()
        same_again = self._state == State.UP and not control.poll and not control.final
        self._repeated = data if same_again else None
        return self._changed(reason)

    def _follow(self, control: ControlPacket, now: float) -> str:
        """Our state after the peer's; the reason in words, should it matter."""
        if control.state == State.ADMIN_DOWN:
            # RFC 5882 3.2: switched off is no failure of the path, before or after.
            if self._state != State.DOWN:
                self._enter(State.DOWN, Diagnostic.NEIGHBOR_DOWN, now)
            self.up = None
            return "switched off by the peer (AdminDown)"
        following = _TRANSITIONS.get((self._state, control.state))
        if following == State.UP:
            self._enter(State.UP, Diagnostic.NONE, now)
            self.up = True
        elif following == State.INIT:
            self._enter(State.INIT, self._diagnostic, now)
        elif following == State.DOWN:
            self._enter(State.DOWN, Diagnostic.NEIGHBOR_DOWN, now)
            self.up = False
            return f"the peer says Down: {diagnostic_name(control.diagnostic)}"
        return "packets arrive both ways"

    # -- what is due

    def deadline(self) -> float:
        """When `due` has something to do next; in the past or present if at once, math.inf if never."""
        if self._final_due or self._send_now:
            return self._latest
        return min(self._next_send, self._expires)

    def due(self, now: float) -> tuple[bytes | None, Change | None]:
        """A packet to be sent now, if any, and what the peer's silence means, if anything.

        To be called again while `deadline() <= now`: a Final and a periodic packet are two (6.5).
        """
        self._latest = now
        change = None
        if self._expires <= now:
            change = self._expired(now)
        if self._final_due:
            self._final_due = False
            self._sent += 1
            return self._made(poll=False, final=True), change
        if not (self._send_now or self._next_send <= now):
            return None, change
        return self._periodic(now), change

    def _periodic(self, now: float) -> bytes:
        self._sent += 1
        self._send_now = False
        if self._packet is None:
            self._packet = self._made(poll=self._intervals.asks, final=False)
        packet = self._packet
        if self._intervals.sent():
            self._packet = None
        self._last_sent = now
        self._schedule()
        return packet

    def _expired(self, now: float) -> Change | None:
        """No packet for a Detection Time (6.8.4): all that the peer said is forgotten (6.8.1)."""
        waited = self._detection * 1000
        if self._heard is not None:
            # bfd.AuthSeqKnown (6.8.1) is cleared after twice the Detection Time without a packet.
            self._sequence_known_until = self._heard + 2 * self._detection
        self._remote = _Remote()
        self._contents_changed()
        self._expires = math.inf
        if self._state in (State.INIT, State.UP):
            self.up = False if self._state == State.UP else self.up
            self._enter(State.DOWN, Diagnostic.TIME_EXPIRED, now)
        self._retime()
        return self._changed(f"no packet for {waited:g} ms: {diagnostic_name(Diagnostic.TIME_EXPIRED)}")

    def shut(self, now: float) -> bytes:
        """Go to AdminDown (6.8.16); the packet that tells the peer.

        `due` goes on to give such packets once a second or less often: the peer should get them for a
        Detection Time.
        """
        self._latest = now
        self._enter(State.ADMIN_DOWN, Diagnostic.ADMIN_DOWN, now)
        self.up = None
        self._told = (None, None)
        self._expires = math.inf
        self._retime()
        return self._periodic(now)

    def adjust(self, settings: BfdSettings, now: float) -> None:
        """Go on with other intervals, another multiplier or key. ValueError for another path or port."""
        key = _checked(settings)
        if _path(settings) != _path(self.settings):
            raise ValueError(f"a BFD session to {self.settings.peer} cannot become one to {settings.peer}")
        self._latest = now
        if settings.multiplier != self.settings.multiplier or key != self._key:
            self._contents_changed()
            self._repeated = None
        self.settings = settings
        self._key = key
        self._set_intervals()
        self._retime()

    # -- states and timers

    def _enter(self, state: State, diagnostic: int, now: float) -> None:
        if state == self._state and diagnostic == self._diagnostic:
            return
        if state != self._state:
            self._flaps += self._state == State.UP
            self._since = now
        self._state = state
        self._diagnostic = diagnostic
        self._contents_changed()
        self._set_intervals()

    def _contents_changed(self) -> None:
        """6.8.7: other contents than in the packet before are told at once, under another number (6.7.4)."""
        self._packet = self._repeated = None
        self._send_now = self._renumber = True
        self.revision += 1

    def _set_intervals(self) -> None:
        if self._intervals.want(self.settings.interval_ms * 1000, self._state == State.UP):
            self._contents_changed()

    def _retime(self) -> None:
        """The intervals of 6.8.2 and the Detection Time of 6.8.4, and the timers that follow."""
        remote = self._remote
        transmit_s = max(self._intervals.transmit, remote.min_rx) / 1e6
        silent = self._next_send == math.inf
        self._detection = remote.multiplier * max(self._intervals.receive, remote.desired_tx) / 1e6
        if self._heard is not None and remote.multiplier and self._state != State.ADMIN_DOWN:
            self._expires = self._heard + self._detection
        if transmit_s != self._transmit or silent != self._silenced():
            self._transmit = transmit_s
            self._schedule()

    def _silenced(self) -> bool:
        """6.8.7: the peer wants no periodic packets."""
        remote = self._remote
        both_up = self._state == State.UP and remote.state == State.UP
        demanded = remote.demand and both_up and not self._intervals.poll
        return remote.min_rx == 0 or demanded

    def _schedule(self) -> None:
        if self._silenced():
            self._next_send = math.inf
        else:
            self._next_send = self._last_sent + wait(self._transmit, self.settings.multiplier, self._draw())

    def _made(self, poll: bool, final: bool) -> bytes:
        if self._renumber:
            self._renumber = False
            self._transmit_sequence = (self._transmit_sequence + 1) & 0xFFFFFFFF
        control = ControlPacket(
            diagnostic=self._diagnostic,
            state=self._state,
            multiplier=self.settings.multiplier,
            my_discriminator=self.discriminator,
            your_discriminator=self._remote.discriminator,
            desired_tx=self._intervals.desired_tx,
            required_rx=self._intervals.required_rx,
            poll=poll,
            final=final,
            independent=True,
        )
        return pack(control, self._key, self._transmit_sequence)

    # -- what is told

    @property
    def detection_ms(self) -> float | None:
        """The Detection Time in milliseconds as negotiated, None if the session is not Up."""
        return round(self._detection * 1000, 3) if self.up else None

    def _changed(self, reason: str) -> Change | None:
        says = (self.up, self.detection_ms)
        if says == self._told:
            return None
        self._told = says
        return Change(self.up, reason, says[1])

    def status(self, tunnel: SessionId) -> BfdStatus:
        """All figures of the session, for the daemon."""
        return BfdStatus(
            tunnel=tunnel,
            state=STATE_NAMES[self._state],
            remote_state=STATE_NAMES[self._remote.state],
            diagnostic=diagnostic_name(self._diagnostic),
            remote_diagnostic=diagnostic_name(self._remote.diagnostic),
            local_discriminator=self.discriminator,
            remote_discriminator=self._remote.discriminator,
            transmit_ms=round(self._transmit * 1000, 3),
            receive_ms=max(self._intervals.receive, self._remote.desired_tx) / 1000,
            detection_ms=round(self._detection * 1000, 3),
            sent=self._sent,
            received=self._received,
            rejected=self._rejected,
            last_rejected=self._last_rejected,
            since=self._since,
            flaps=self._flaps,
        )

    # -- another process goes on

    def snapshot(self) -> dict[str, object]:
        """Everything that another process needs to go on, JSON-able; settings and their key are not in it."""
        remote = self._remote
        return {
            "discriminator": self.discriminator,
            "up": self.up,
            "state": int(self._state),
            "diagnostic": int(self._diagnostic),
            "since": self._since,
            "flaps": self._flaps,
            "remote": {name: int(getattr(remote, name)) for name in _Remote.__slots__},
            "intervals": self._intervals.snapshot(),
            "transmit_sequence": self._transmit_sequence,
            "received_sequence": self._received_sequence if self._sequence_known_until == math.inf else None,
            "heard": self._heard,
            "counters": [self._sent, self._received, self._rejected],
            "last_rejected": self._last_rejected,
        }

    @classmethod
    def restore(
        cls, settings: BfdSettings, snapshot: Mapping[str, Any], now: float, draw: Callable[[], float]
    ) -> Self:
        """Go on with a session of another process, which has ended, from its last snapshot.

        The first packet is due at once, the peer's next one within a Detection Time from now: those between
        the two processes may be lost. Other settings than before are those of `adjust`.
        """
        self = cls(settings, snapshot["discriminator"], now, draw)
        self.up = snapshot["up"]
        self._state = State(snapshot["state"])
        self._diagnostic = snapshot["diagnostic"]
        self._since, self._flaps = snapshot["since"], snapshot["flaps"]
        told = dict(snapshot["remote"])
        told |= {"state": State(told["state"]), "demand": bool(told["demand"])}
        self._remote = _Remote(**told)
        self._intervals.restore(snapshot["intervals"])
        # Two ahead (the peer takes three at the least), should a packet have gone out after the snapshot.
        self._transmit_sequence = (snapshot["transmit_sequence"] + 2) & 0xFFFFFFFF
        self._received_sequence = snapshot["received_sequence"]
        self._heard = None if snapshot["heard"] is None else now
        self._sent, self._received, self._rejected = snapshot["counters"]
        self._last_rejected = snapshot["last_rejected"]
        self._set_intervals()
        self._retime()
        self._told = (self.up, self.detection_ms)
        return self


def _checked(settings: BfdSettings) -> Sha1Key | None:
    """The key of settings, None if packets are not authenticated. ValueError for what BFD does not know."""
    if settings.interval_ms < LEAST_INTERVAL_MS:
        raise ValueError(
            f"BFD interval {settings.interval_ms} ms: {LEAST_INTERVAL_MS} at the least is allowed"
        )
    if not 1 <= settings.multiplier <= 255:
        raise ValueError(f"BFD multiplier {settings.multiplier}: 1 to 255 is allowed")
    if (settings.key is None) != (settings.key_id is None):
        raise ValueError("BFD authentication: a key and its id go together")
    if settings.key is None or settings.key_id is None:
        return None
    return Sha1Key(settings.key_id, settings.key)


def _path(settings: BfdSettings) -> tuple[str, str, bool]:
    return settings.local, settings.peer, settings.multihop
