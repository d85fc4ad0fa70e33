"""Keeps one tunnel up: a state machine over what charon and the driver say. Pure; time is an argument.

It is level-triggered: the SAs as last read decide what is told, events only bring the news earlier.

    unmade         interface and connection are to be made (again), or the driver is at it
    ending         SAs of former settings, of a dead peer or before a restart are being ended
    down, wanted   an attempt is under way, or the next one is due
    down, waiting  for traffic (`immediately` is false): the interface's counter is read, or the kernel tells
    up             a child SA is installed below an established IKE SA

So that two of us do not begin at once, the side with the lower public address does, and the other one waits
each time the tunnel goes down. If both begin nevertheless and two IKE SAs stay, the newest that has a child
is kept; the side with the lower address ends the other, and the higher one if that does not happen.
"""

from __future__ import annotations

from bgpsvc.ipsec.actions import BringUp, Initiate, Output, Poll, ReadTraffic, Terminate
from bgpsvc.ipsec.attempts import ANSWER_S, BACKOFF_MOST_S, YIELD_S, Attempts
from bgpsvc.ipsec.causes import CauseReader
from bgpsvc.ipsec.complaints import PHASE_2, RELATED_S, Complaints
from bgpsvc.ipsec.model import (
    Cause,
    DriverName,
    IkeSa,
    IpsecError,
    IpsecState,
    IpsecStatus,
    IpsecTunnel,
)
from bgpsvc.ipsec.port import CharonDown, CharonUp, Logged, Made, SaChanged, SaRekeyed, Signal
from bgpsvc.ipsec.sas import Sas
from bgpsvc.ipsec.standing import Standing

CHARON_RETRY_S = BACKOFF_MOST_S
"""After which charon is tried again though nobody said that it is back."""
UNKNOWN_MOST_S = 10.0
"""How long a tunnel's SAs may be unknown before there are none."""
TRAFFIC_READ_S = 1.0

_BEGINS = "initiating "
"""Begins the line that tells the id of an IKE SA which we begin."""


class Keeper:
    """One tunnel. Feed it, then `take` what it asks for; call `tick` at `deadline`."""

    def __init__(self, tunnel: IpsecTunnel, driver: DriverName, now: float) -> None:
        self.version = 0
        """Grows with every event that makes what was read before it outdated."""
        self._tunnel = tunnel
        self._driver = driver
        self._reader = CauseReader(tunnel)
        self._attempts = Attempts()
        self._complaints = Complaints(tunnel.id)
        self._outbox: list[Output] = []
        self._made: Made | None = None
        self._bringing = 0
        """How many `BringUp` have no answer yet."""
        self._bring_at: float | None = now
        self._charon = True
        self._sas = Sas()
        self._seen_at = now
        self._known = False
        """The SAs were read, or it is clear that there are none."""
        self._unknown_until: float | None = None
        self._standing = Standing(tunnel.id, tunnel.interface, now)
        self._ending = False
        self._end_at: float | None = None
        self._packets: int | None = None
        self._read_at: float | None = None
        self._phase_2_failed = False

    # What it tells ------------------------------------------------------------------------------

    def take(self) -> tuple[Output, ...]:
        """What is to be done and told, in order; each once."""
        taken, self._outbox = tuple(self._outbox), []
        return taken

    @property
    def tunnel(self) -> IpsecTunnel:
        """As wanted now."""
        return self._tunnel

    @property
    def told(self) -> bool | None:
        """What was told last: up or down; None if nothing was yet."""
        return self._standing.up

    @property
    def waits(self) -> bool:
        """It was told to be down only for lack of traffic."""
        return self._standing.waits

    @property
    def busy(self) -> bool:
        """Something was asked of the driver that decides how it goes on."""
        return self._bringing > 0 or (self._ending and self._end_at is None)

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called; None if only an event goes on."""
        times = (
            self._bring_at,
            self._end_at,
            self._attempts.deadline if self._may_negotiate else None,
            self._read_at,
            self._unknown_until,
            None if self._ending else self._sas.dead_at(self._tunnel.dpd),
            None if self._ending else self._sas.surplus_at(self._leads),
        )
        return min((time for time in times if time is not None), default=None)

    def state(self) -> IpsecState:
        """All that is known."""
        standing = self._standing
        return IpsecState(
            tunnel=self._tunnel.id,
            driver=self._driver,
            interface=self._tunnel.interface,
            status=standing.status,
            reason=standing.why,
            since=standing.since,
            seen_at=self._seen_at,
            ike=self._sas.best,
            last_error=self._complaints.last,
            retry_at=self._bring_at if self._bring_at is not None else self._attempts.due_at,
            mtu=None if self._made is None else self._made.mtu,
            established_count=standing.established,
            rekey_count=standing.rekeyed,
        )

    # What it hears: the driver --------------------------------------------------------------------

    def configure(self, tunnel: IpsecTunnel) -> None:
        """Its settings are others now."""
        self._tunnel = tunnel
        self._reader = CauseReader(tunnel)
        self._attempts.forgive()
        self._complaints.begun_anew()
        self._bring_up()

    def restart(self, now: float) -> None:
        """The operator wants it negotiated anew."""
        self._attempts.forgive()
        self._complaints.begun_anew()
        if self._made is None or not self._charon:
            self._bring_up()
            return
        self._end("restarted by the operator")
        self._settle(now)

    def made(self, made: Made, now: float) -> None:
        """`BringUp` was done."""
        self._made, self._bring_at, self._charon = made, None, True
        self._bringing -= 1
        if not self._known:
            self._unknown_until = now + UNKNOWN_MOST_S
        self._outbox.append(Poll())
        if made.renewed:
            text = "the settings changed; it is negotiated anew"
            if self._standing.up:
                self._complaints.note(IpsecError(now, Cause.SETTINGS_CHANGED, text))
            self._end(text)
        self._settle(now)

    def failed(self, what: Output, cause: Cause, text: str, now: float) -> None:
        """The driver could not do this."""
        match what:
            case BringUp():
                self._bringing -= 1
                self._bring_at = None if self._bringing else now + self._attempts.back_off()
                self._learned()
            case Terminate(ike_id=None):
                self._end_at = now + self._attempts.back_off()
            case Initiate():
                self._attempts.failed(now)
                if cause is not Cause.CHARON_DOWN and not self._bringing:
                    # charon may have been told by others to forget the connection.
                    self._bring_up()
        self._complain(IpsecError(now, cause, text))
        self._settle(now)

    def terminated(self, now: float) -> None:
        """`Terminate` was done: all SAs that there were are gone."""
        self.version += 1
        self._ending, self._end_at = False, None
        self._sas.ended(now)
        self._want(now)
        self._outbox.append(Poll())
        self._settle(now)

    def seen(self, sas: tuple[IkeSa, ...], now: float) -> None:
        """The SAs as they are, newest last."""
        self._outbox += [Terminate(undead) for undead in self._sas.read(sas, now)]
        self._seen_at = now
        self._learned()
        if not sas and self._attempts.vanished(now):
            self._complain(
                IpsecError(now, Cause.OTHER, "charon gave the negotiation up and did not say why"), True
            )
            self._attempts.failed(now)
        self._settle(now)

    def traffic(self, packets: int, now: float) -> None:
        """So many packets were sent into the interface."""
        before, self._packets = self._packets, packets
        if before is not None and packets > before and self._attempts.deadline is None:
            self._attempts.due(now)
            self._read_at = None
        self._settle(now)

    # What it hears: charon ------------------------------------------------------------------------

    def hear(self, signal: Signal, now: float) -> None:
        """An event."""
        match signal:
            case Logged():
                self._line(signal, now)
                return
            case SaChanged():
                self.version += 1
                self._changed(signal, now)
            case SaRekeyed(what=what):
                self.version += 1
                self._outbox += (Poll(), self._standing.rekey(what))
            case CharonDown(reason=reason):
                self.version += 1
                self._charon_down(reason, now)
                self._settle(now)
                # Another charon may find SAs that are still there.
                self._known = False
                return
            case CharonUp():
                self.version += 1
                self._charon_up(now)
        self._settle(now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self._bring_at is not None and now >= self._bring_at:
            self._bring_up()
        if self._end_at is not None and now >= self._end_at:
            self._end(self._standing.why)
        if self._unknown_until is not None and now >= self._unknown_until:
            self._learned()
        if not self._ending:
            self._end_some(now)
        if self._read_at is not None and now >= self._read_at:
            self._read_at = now + TRAFFIC_READ_S
            self._outbox.append(ReadTraffic())
        if self._may_negotiate:
            self._negotiate(now)
        self._settle(now)

    def _line(self, line: Logged, now: float) -> None:
        if self._sas.line(line.message, line.ike_id, now):
            if self._attempts.concerned(line.ike_id):
                self._attempts.sign_of_life(now)
        elif line.message.startswith(_BEGINS):
            self._attempts.identify(line.ike_id)
        found = self._reader.feed(line, now)
        if found is None:
            return
        error = found.error
        if error.cause is Cause.DELETED_BY_PEER and self._is_up:
            # Peers delete what a rekey has replaced too: it only counts if the tunnel goes down.
            self._complaints.hint(error)
            return
        if error.cause is Cause.DELETED_BY_PEER and self._just_fell(now):
            # charon's events overtake its log: this is why the tunnel just went down, and that was told.
            self._complaints.explained(error)
            self._standing.why = error.text
            return
        if error.cause is Cause.PEER_NOT_RESPONDING and self._sas.established:
            error = IpsecError(now, Cause.DPD_TIMEOUT, f"the peer fell silent: {error.text}")
        self._complain(error, found.vague)
        if self._attempts.concerned(line.ike_id):
            self._give_up(now)
        self._settle(now)

    def _give_up(self, now: float) -> None:
        """The attempt under way came to nothing, though charon may still go on with it."""
        begun = self._attempts.ike_id
        self._attempts.failed(now)
        if begun is not None and not self._sas.established:
            self._outbox.append(Terminate(begun))

    def _changed(self, signal: SaChanged, now: float) -> None:
        self._seen_at = now
        self._learned()
        if signal.up:
            self._sas.came(signal.ike, now)
        else:
            self._sas.went(signal.ike, signal.what == "ike", now)
        self._outbox.append(Poll())

    def _charon_down(self, reason: str, now: float) -> None:
        self._charon, self._made = False, None
        self._ending, self._end_at = False, None
        self._sas.lost()
        self._attempts.stop()
        self._bring_at = now + CHARON_RETRY_S
        self._learned()
        self._complaints.note(IpsecError(now, Cause.CHARON_DOWN, reason))

    def _charon_up(self, now: float) -> None:
        if not self._charon:
            self._charon = True
            if not self._bringing:
                self._bring_up()
        elif self._made is not None:
            self._outbox.append(Poll())

    # What it does ---------------------------------------------------------------------------------

    def _bring_up(self) -> None:
        self._bringing += 1
        self._bring_at = None
        self._outbox.append(BringUp())

    def _learned(self) -> None:
        self._known, self._unknown_until = True, None

    def _end(self, why: str) -> None:
        """End all SAs, whatever state they are in, and negotiate anew."""
        self.version += 1
        self._standing.why = why
        self._ending, self._end_at = True, None
        self._attempts.stop()
        self._outbox.append(Terminate())

    def _end_some(self, now: float) -> None:
        """Those of a peer that is dead, and those that are too many."""
        dead_at, surplus_at = self._sas.dead_at(self._tunnel.dpd), self._sas.surplus_at(self._leads)
        if dead_at is not None and now >= dead_at:
            text = f"the peer did not answer for {self._tunnel.dpd.timeout} s (dead peer detection)"
            self._complain(IpsecError(now, Cause.DPD_TIMEOUT, text))
            self._end(text)
        elif surplus_at is not None and now >= surplus_at:
            self._outbox += [Terminate(ike.unique_id) for ike in self._sas.surplus()]
            self._outbox.append(Poll())
            self._sas.surplus_ended(now)

    def _negotiate(self, now: float) -> None:
        attempts = self._attempts
        if attempts.overdue(now):
            heard = "the peer answers, but the negotiation does not come to an end"
            silent = f"no answer from {self._tunnel.remote} (UDP 500 and 4500) for {ANSWER_S:g} s"
            cause = Cause.OTHER if attempts.heard else Cause.PEER_NOT_RESPONDING
            self._complain(IpsecError(now, cause, heard if attempts.heard else silent))
            self._end(self._standing.why)
        elif attempts.due_at is not None and now >= attempts.due_at:
            attempts.begin(now)
            self._outbox += (Initiate(), Poll())

    def _want(self, now: float) -> None:
        """It went down, or is to come up for the first time."""
        if self._sought:
            self._attempts.due(now if self._leads else now + YIELD_S)

    @property
    def _sought(self) -> bool:
        """It is negotiated without traffic: always, or once it was up, as traffic leaves it when it fails."""
        return self._tunnel.immediately or self._standing.used

    def _just_fell(self, now: float) -> bool:
        """It just went down."""
        at = self._standing.down_at
        return at is not None and now - at <= RELATED_S

    @property
    def _leads(self) -> bool:
        return self._tunnel.local < self._tunnel.remote

    @property
    def _may_negotiate(self) -> bool:
        made = self._made is not None and not self._bringing and self._bring_at is None
        return made and self._charon and not self._ending and self._known and not self._is_up

    @property
    def _is_up(self) -> bool:
        return not self._ending and self._sas.usable

    # Levels ---------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Bring everything in line with the SAs as they are."""
        if not self._known:
            return
        if self._is_up:
            self._up(now)
        else:
            self._down(now)
        self._set_status(now)

    def _up(self, now: float) -> None:
        begun = self._attempts.ike_id
        if begun is not None and begun not in {ike.unique_id for ike in self._sas.all if ike.established}:
            # The peer was faster: what we began would end as a second IKE SA.
            self._outbox.append(Terminate(begun))
        self._attempts.succeeded()
        self._phase_2_failed = False
        self._packets = self._read_at = None
        if self._standing.up:
            return
        ike = self._sas.best
        assert ike is not None, "up means that there is one"
        self._outbox += self._standing.rise(ike)
        self._complaints.recovered()

    def _down(self, now: float) -> None:
        if self._standing.up is not False:
            self._explain(now)
            if self._may_negotiate:
                self._want(now)
        self._keep_trying(now)
        waits = self._may_negotiate and not self._sought and not self._attempts.failing
        self._outbox += self._standing.fall(waits, now)

    def _keep_trying(self, now: float) -> None:
        """Whatever happened: as long as it is down something is to happen."""
        if not self._may_negotiate or self._attempts.deadline is not None:
            return
        if self._sought:
            self._want(now)
        elif self._driver != "xfrm" and self._read_at is None:
            self._read_at = now  # where the kernel has no ESP nobody else notices the traffic
        if not self._sought and self._complaints.last is None:
            self._standing.why = "waits for traffic"

    def _explain(self, now: float) -> None:
        """Why it goes down: what was said just now, if anything."""
        explained = self._complaints.explanation(now)
        if self._ending:
            return
        if explained is not None:
            self._standing.why = explained.text
        elif self._standing.up:
            self._standing.why = "the peer ended the SA, or somebody did in charon"

    def _complain(self, error: IpsecError, vague: bool = False) -> None:
        log = self._complaints.note(error, vague)
        if error.cause in PHASE_2:
            self._phase_2_failed = True
        if not self._is_up and self._complaints.last is not None:
            self._standing.why = self._complaints.last.text
        if log is not None:
            self._outbox.append(log)

    def _set_status(self, now: float) -> None:
        if self._is_up:
            status = IpsecStatus.IPSEC_SA_ESTABLISHED
        elif self._ending or not self._sas.established:
            status = IpsecStatus.IKE_SA_NOT_ESTABLISHED
            self._phase_2_failed = False
        elif self._phase_2_failed:
            status = IpsecStatus.IPSEC_SA_NOT_ESTABLISHED
        else:
            status = IpsecStatus.IKE_SA_ESTABLISHED
        self._standing.enter(status, now)
