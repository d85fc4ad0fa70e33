"""What the lines of charon's log say about why a tunnel does not come up, or went down. Pure.

charon has no events for failed negotiations: of what happened only its log tells, and only the side that
refuses knows why (RFC 7296 2.21.2: what the other is told is kept vague on purpose). So lines are read one
after the other, for each IKE SA what was said before is remembered, and the line with which charon gives up
makes the error, with both sides' values where they are known. The lines were recorded from strongSwan 5.9,
each fault in both roles, in IKEv1 (main and aggressive mode) and IKEv2: `tests/unit/ipsec/recorded`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bgpsvc.ipsec.model import Cause, IpsecError, IpsecTunnel
from bgpsvc.ipsec.port import Logged
from bgpsvc.ipsec.proposals import esp_words, group_name, ike_words, proposals_words

_REMEMBERED = 16
_V1_BEGINS = ("ID_PROT", "AGGRESSIVE")
_PROBED = "IKE:UNDEFINED"
"""Begins what a diagnosis at the peer proposes, to be refused: its cipher is one for private use."""
_GROUP_LAST = re.compile(r"-(?:group\d+|modp\w+|ecp\w+|curve\w+|x\d+)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure. `vague`: the peer says no, and not why; what else is known of the reason tells more."""

    error: IpsecError
    vague: bool


@dataclass(slots=True)
class _Heard:
    """What was said of one IKE SA so far."""

    exchange: str = ""
    """Of the last message, as `IKE_AUTH`."""
    rekeying: bool = False
    """A child that stood is to be replaced: everything but the group was agreed on before."""
    established: bool = False
    child: bool = False
    """It has, or had, a child, or took some over."""
    received: str = ""
    configured: str = ""
    """Proposals as charon shows them."""
    ids: tuple[str | None, str] | None = None
    """For which ids of ours and of the peer a connection was looked for."""
    undecodable: bool = False
    refused: bool = False
    """In reply to ours the peer sent something that charon can't take at this point: it says no."""


class CauseReader:
    """Reads the lines about one tunnel, one after the other."""

    def __init__(self, tunnel: IpsecTunnel) -> None:
        self._tunnel = tunnel
        self._heard: dict[int | None, _Heard] = {}
        self._now = 0.0

    def feed(self, line: Logged, now: float) -> Finding | None:
        """The failure that a line tells, None if it tells none.

        `DELETED_BY_PEER` is no failure as long as the tunnel stays up: what a rekey replaced is deleted too.
        """
        self._now = now
        heard = self._of(line.ike_id)
        for pattern, tell, vague in _LINES:
            matched = pattern.match(line.message)
            if matched is not None:
                error = tell(self, heard, matched)
                return None if error is None else Finding(error, vague)
        return None

    def _of(self, ike_id: int | None) -> _Heard:
        heard = self._heard.pop(ike_id, None) or _Heard()
        self._heard[ike_id] = heard
        while len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return heard

    def _error(
        self, cause: Cause, text: str, local: str | None = None, remote: str | None = None
    ) -> IpsecError:
        return IpsecError(self._now, cause, text, local, remote)

    # What is remembered -------------------------------------------------------------------------

    def _message(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.exchange = matched["exchange"]
        if heard.exchange in ("CREATE_CHILD_SA", "QUICK_MODE") and "request" in matched["kind"]:
            heard.rekeying = "REKEY_SA" in matched["payloads"]

    def _received(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.received = matched[1]

    def _configured(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.configured = matched[1]

    def _looked_for(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.ids = matched["mine"], matched["peers"]

    def _undecodable(self, heard: _Heard, matched: re.Match[str]) -> IpsecError | None:
        # In IKEv2 the key has no part in encryption: there it is only a damaged packet.
        if self._tunnel.ike.version == "ikev2" or heard.undecodable:
            return None
        heard.undecodable = True
        return self._key_differs("the peer's message cannot be decrypted")

    def _refused_reply(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.refused = not heard.established

    def _established(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.established = True

    def _has_child(self, heard: _Heard, matched: re.Match[str]) -> None:
        heard.child = True

    # Phase 1 ------------------------------------------------------------------------------------

    def _key_differs(self, how: str) -> IpsecError:
        return self._error(Cause.AUTHENTICATION_FAILED, f"the pre-shared keys differ: {how}")

    def _key_mismatched(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._key_differs("the peer's proof of knowing it is wrong")

    def _no_key(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._error(
            Cause.NO_PRE_SHARED_KEY, f"there is no pre-shared key for {matched[1]} and {matched[2]}"
        )

    def _peer_has_no_key(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        text = "the peer refused the key exchange: it has no pre-shared key for our address, or another group"
        return self._error(Cause.AUTHENTICATION_FAILED, text, self._ike_words)

    def _authentication_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._error(Cause.AUTHENTICATION_FAILED, self._refusal)

    @property
    def _refusal(self) -> str:
        ids = f"we are {self._tunnel.local_id} and expect {self._tunnel.remote_id}"
        return f"the peer refused the authentication: pre-shared keys or ids differ ({ids})"

    def _no_connection(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        """We are asked for ids that we have no connection for."""
        mine, peers = heard.ids or (None, "")
        tunnel = self._tunnel
        if peers and peers not in (tunnel.remote_id, "%any"):
            text = f"the peer says that it is {peers}, and {tunnel.remote_id} is expected"
            return self._error(Cause.ID_MISMATCH, text, tunnel.remote_id, peers)
        if mine not in (None, "%any", tunnel.local_id):
            text = f"the peer asks for {mine}, and we are {tunnel.local_id}"
            return self._error(Cause.ID_MISMATCH, text, tunnel.local_id, mine)
        text = "the peer asks for what no connection has: another IKE mode or kind of authentication"
        return self._error(
            Cause.UNKNOWN_PEER, text, f"{tunnel.ike.version} {tunnel.ike.mode}", heard.exchange
        )

    def _other_id(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        theirs, expected = matched[1], matched[2]
        text = f"the peer says that it is {theirs}, and {expected} is expected"
        return self._error(Cause.ID_MISMATCH, text, expected, theirs)

    def _unknown_peer(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        asked = "ikev1" if heard.exchange in _V1_BEGINS else "ikev2"
        ours = self._tunnel.ike.version
        if asked != ours:
            return self._error(
                Cause.IKE_VERSION_MISMATCH, f"the peer speaks {asked}, and we {ours}", ours, asked
            )
        text = f"nothing is configured between {matched[1]} and {matched[2]}, from where the peer asks"
        return self._error(Cause.UNKNOWN_PEER, text)

    def _other_version(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        ours = self._tunnel.ike.version
        other = "ikev1" if ours == "ikev2" else "ikev2"
        return self._error(Cause.IKE_VERSION_MISMATCH, f"the peer does not speak {ours}", ours, other)

    def _aggressive_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        text = (
            "the peer begins in aggressive mode, which this charon refuses with pre-shared keys: use main "
            "mode, or set charon.i_dont_care_about_security_and_use_aggressive_mode_psk in strongswan.conf"
        )
        return self._error(Cause.OTHER, text, self._tunnel.ike.mode, "aggressive")

    def _other_mode(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        ours, asked = self._tunnel.ike.mode, matched[1].lower()
        return self._error(Cause.OTHER, f"the peer begins in {asked} mode, and ours is {ours}", ours, asked)

    def _malformed(self, heard: _Heard, matched: re.Match[str]) -> IpsecError | None:
        if heard.established:
            return None
        return self._key_differs("the peer cannot make sense of our message")

    def _silent(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        if heard.undecodable:
            return self._key_differs("the peer does not answer what it cannot decrypt")
        if heard.refused:
            return self._error(Cause.AUTHENTICATION_FAILED, self._refusal)
        return self._error(
            Cause.PEER_NOT_RESPONDING, f"no answer from {self._tunnel.remote} (UDP 500 and 4500)"
        )

    def _dead(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        text = f"the peer did not answer for {self._tunnel.dpd.timeout} s (dead peer detection)"
        return self._error(Cause.DPD_TIMEOUT, text)

    # Proposals, in both phases ------------------------------------------------------------------

    @property
    def _ike_words(self) -> str:
        return ike_words(self._tunnel.ike)

    @property
    def _esp_words(self) -> str:
        return esp_words(self._tunnel.ipsec)

    def _nothing_acceptable(self, heard: _Heard, matched: re.Match[str]) -> IpsecError | None:
        """The peer's proposals are not ours."""
        if _PROBED in heard.received:
            return None
        remote = proposals_words(heard.received) or "none"
        local = proposals_words(heard.configured)
        if "ESP:" not in heard.received:
            return self._ike_mismatch(local or self._ike_words, remote)
        local = local or self._esp_words
        if heard.exchange == "IKE_AUTH":
            # The first child gets its keys from the IKE SA (RFC 7296 1.2): no group is proposed for it.
            local = _GROUP_LAST.sub("", local)
        return self._esp_mismatch(local, remote)

    def _ike_mismatch(self, local: str, remote: str | None) -> IpsecError:
        if remote is None:
            text = f"the peer accepts none of our IKE algorithms, {local}, or has nothing configured for us"
        else:
            text = f"the IKE algorithms differ: ours are {local}, the peer's {remote}"
        return self._error(Cause.IKE_PROPOSAL_MISMATCH, text, local, remote)

    def _esp_mismatch(self, local: str, remote: str | None) -> IpsecError:
        if remote is None:
            text = f"the peer accepts none of our ESP algorithms, {local}"
            return self._error(Cause.ESP_PROPOSAL_MISMATCH, text, local)
        if local != remote and _GROUP_LAST.sub("", local) == _GROUP_LAST.sub("", remote):
            return self._pfs_mismatch(_group_of(local), _group_of(remote))
        text = f"the ESP algorithms differ: ours are {local}, the peer's {remote}"
        return self._error(Cause.ESP_PROPOSAL_MISMATCH, text, local, remote)

    def _pfs_mismatch(self, local: str, remote: str | None) -> IpsecError:
        other = "is another" if remote is None else f"is {remote}"
        text = f"the PFS groups differ: ours is {local}, the peer's {other}"
        return self._error(Cause.PFS_MISMATCH, text, local, remote)

    def _proposal_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        """The peer accepts none of ours; it does not tell what it wants."""
        if not heard.established and heard.exchange not in ("IKE_AUTH", "CREATE_CHILD_SA", "QUICK_MODE"):
            return self._ike_mismatch(self._ike_words, None)
        return self._child_refused(heard, matched)

    def _child_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        if heard.rekeying:
            return self._pfs_mismatch(self._tunnel.ipsec.pfs, None)
        local = self._esp_words
        return self._esp_mismatch(_GROUP_LAST.sub("", local) if heard.exchange == "IKE_AUTH" else local, None)

    def _other_group(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        """We propose one group, so there is no other for the peer to choose (RFC 7296 1.3)."""
        local, remote = group_name(matched[1]), group_name(matched[2])
        if heard.exchange == "CREATE_CHILD_SA":
            return self._pfs_mismatch(local, remote)
        text = f"the Diffie-Hellman groups of IKE differ: ours is {local}, the peer's {remote}"
        return self._error(Cause.IKE_PROPOSAL_MISMATCH, text, local, remote)

    def _unsupported(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._error(Cause.UNSUPPORTED_ALGORITHM, f"charon here cannot do that: {matched[0]}")

    # Phase 2 ------------------------------------------------------------------------------------

    def _selectors(self, remote: str | None) -> IpsecError:
        local = ", ".join(f"{mine} === {peers}" for mine, peers in self._tunnel.pairs)
        if remote is None:
            text = f"the peer does not accept our traffic selectors {local}"
        else:
            text = f"the traffic selectors differ: ours are {local}, the peer wants {remote}"
        return self._error(Cause.SELECTOR_MISMATCH, text, local, remote)

    def _selectors_unacceptable(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._selectors(f"{matched[1].strip()} === {matched[2].strip()}")

    def _selectors_unknown(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        # This line has the peer's side first; values are shown with ours first.
        return self._selectors(f"{matched[2].strip()} === {matched[1].strip()}")

    def _selectors_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        return self._selectors(None)

    def _id_refused(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        """IKEv1 says the same of selectors and of ids."""
        if heard.established:
            return self._selectors(None)
        text = f"the peer does not accept our id {self._tunnel.local_id}"
        return self._error(Cause.ID_MISMATCH, text, self._tunnel.local_id)

    def _deleted(self, heard: _Heard, matched: re.Match[str]) -> IpsecError:
        which = "IKE SA" if matched[1].startswith("IKE") else "child SA"
        if self._tunnel.ike.version == "ikev1" and heard.established and not heard.child:
            # In main mode each side is told the other's id last, and has no other way to object.
            text = f"the peer ended the IKE SA at once: it may expect another id than {self._tunnel.local_id}"
            return self._error(Cause.DELETED_BY_PEER, text, self._tunnel.local_id)
        return self._error(Cause.DELETED_BY_PEER, f"the peer ended the {which}")


def _group_of(proposal: str) -> str:
    matched = _GROUP_LAST.search(proposal)
    return "disabled" if matched is None else matched[0].removeprefix("-")


_Tell = Callable[[CauseReader, _Heard, re.Match[str]], IpsecError | None]
_R = CauseReader
_VAGUE = (
    _R._authentication_refused,
    _R._peer_has_no_key,
    _R._proposal_refused,
    _R._child_refused,
    _R._selectors_refused,
    _R._id_refused,
    _R._deleted,
)
_LINES: tuple[tuple[re.Pattern[str], _Tell, bool], ...] = tuple(
    (re.compile(pattern), tell, tell in _VAGUE)
    for pattern, tell in (
        # Context.
        (
            r"(?:parsed|generating) (?P<exchange>(?!INFORMATIONAL)[A-Z_]+?)(?P<kind> request| response)"
            r" \d+ \[(?P<payloads>.*)\]",
            _R._message,
        ),
        (r"received proposals: (.*)", _R._received),
        (r"configured proposals: (.*)", _R._configured),
        (
            # Bounded: ids are the peer's, who may choose one that takes long to look for a match in.
            r"looking for [\w -]{0,40}peer configs matching "
            r"[^\s\[\]]{1,60}?(?:\[(?P<mine>[^\]]*)\])?\.\.\.[^\s\[\]]{1,60}\[(?P<peers>[^\]]*)\]",
            _R._looked_for,
        ),
        (r"could not decrypt payloads", _R._undecodable),
        (r"queueing INFORMATIONAL_V1 request as tasks still active", _R._refused_reply),
        (r"IKE_SA \S+ (?:established|rekeyed) between", _R._established),
        (r"CHILD_SA \S+ established|detected reauth|closing CHILD_SA", _R._has_child),
        # Phase 1.
        (r"tried \d+ shared keys? for .*, but MAC mismatched", _R._key_mismatched),
        (r"calculated HASH does not match HASH payload", _R._key_mismatched),
        (r"no shared key found for '([^']*)'(?:\[.*?\])? - '([^']*)'", _R._no_key),
        (r"received INVALID_KE_PAYLOAD error notify", _R._peer_has_no_key),
        (r"received AUTHENTICATION_FAILED ", _R._authentication_refused),
        (r"no (?:matching )?peer config found", _R._no_connection),
        (r"IDir '([^']*)' does not match to '([^']*)'", _R._other_id),
        (r"no IKE config found for (\S+?)\.\.\.(\S+?),", _R._unknown_peer),
        (r"received INVALID_MAJOR_VERSION", _R._other_version),
        (r"received (?:PAYLOAD_MALFORMED|INVALID_HASH_INFORMATION) error notify", _R._malformed),
        (r"found \d+ matching configs?, but none allows .* using (Main|Aggressive) Mode", _R._other_mode),
        (r"Aggressive Mode PSK disabled", _R._aggressive_refused),
        (r"giving up after \d+ retransmits", _R._silent),
        (r"DPD check timed out", _R._dead),
        # Proposals.
        (r"received proposals unacceptable", _R._nothing_acceptable),
        (r"no (?:acceptable |matching )?proposal found", _R._nothing_acceptable),
        (r"received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", _R._child_refused),
        (r"received NO_PROPOSAL_CHOSEN ", _R._proposal_refused),
        (r"peer didn't accept (?:DH group|key exchange method) (\S+), it requested (\S+)", _R._other_group),
        (
            r"(?:(?:configured )?DH group|key exchange method|algorithm|[A-Z]+_ALGORITHM) .*not supported",
            _R._unsupported,
        ),
        # Phase 2.
        (r"traffic selectors (.*) === (.*) unacceptable", _R._selectors_unacceptable),
        (r"no matching CHILD_SA config found for (.*) === (.*)", _R._selectors_unknown),
        (r"received TS_UNACCEPTABLE notify", _R._selectors_refused),
        (r"received INVALID_ID_INFORMATION error notify", _R._id_refused),
        (r"received DELETE for (IKE_SA|ESP CHILD_SA)", _R._deleted),
    )
)
"""Beginnings of lines and what they tell; the first that fits counts."""
