"""Layers `phase1` and `phase2`: what the state of the SAs and the last error mean. Pure.

The causes are those that `ipsec` read from charon's log. Where a peer refuses without saying why
(NO_PROPOSAL_CHOSEN, RFC 7296 3.10.1), the evidence says what we offer and that its side is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bgpsvc.diagnosing.codes import check, ok
from bgpsvc.diagnosing.evidence import Evidence, Ike
from bgpsvc.diagnosing.reach import esp_established
from bgpsvc.diagnosis import Check, Fact, Layer
from bgpsvc.ipsec.model import Cause, IkeSa, IpsecError, IpsecStatus

SECRET_REMEDY = (
    "Give both sides the same pre-shared key (`bgpsvc reveal vpn-connection {connection}` shows ours); look "
    "for a space or a line end that was copied with it. If they are the same, the identities differ: ours is "
    "{local_id}, "
    "and the peer must have its key for that and be {remote_id}."
)


@dataclass(frozen=True, slots=True)
class _Fault:
    """`summary` and `remedy` may name `{local}`, `{remote}`, `{interface}` and the identities."""

    code: str
    summary: str
    remedy: str


_AUTHENTICATION = _Fault("authentication_failed", "authentication failed", SECRET_REMEDY)
PHASE1: Mapping[Cause, _Fault] = {
    Cause.AUTHENTICATION_FAILED: _AUTHENTICATION,
    Cause.ID_MISMATCH: _Fault(
        "id_mismatch",
        "the identities do not match",
        "Make our `remote_id` what the peer sends as its identity, and the peer's expectation of us our "
        "`local_id` ({local_id}); without `remote_id` the peer must identify itself by its address {remote}.",
    ),
    Cause.IKE_PROPOSAL_MISMATCH: _Fault(
        "ike_proposal_mismatch",
        "no IKE proposal was chosen: encryption, authentication or group differ",
        "Set encryption, authentication and PFS group of `ike` to what the peer has, or the peer to ours.",
    ),
    Cause.IKE_VERSION_MISMATCH: _Fault(
        "ike_version_mismatch",
        "the sides use different versions of IKE",
        "Set `ike.version` to what the peer uses, or the peer to {version}.",
    ),
    Cause.UNKNOWN_PEER: _Fault(
        "unknown_peer",
        "one side has no connection for the other's address or identity",
        "The peer needs a connection from {remote} to our address {local} with our identity {local_id}; here "
        "the customer gateway must have the address from which the peer comes.",
    ),
    Cause.PEER_NOT_RESPONDING: _Fault(
        "peer_not_responding",
        "the peer does not answer the negotiation",
        "Look at the IKE log of {remote}: it gets our messages on UDP 500 or drops them. Some peers do not "
        "answer an address, a version or a proposal that they do not know: compare those.",
    ),
    Cause.DPD_TIMEOUT: _Fault(
        "dpd_timeout",
        "the peer stopped answering (dead peer detection)",
        "Look whether {remote} runs and whether UDP 4500 still passes in both directions; a firewall or NAT "
        "between may have dropped its state.",
    ),
    Cause.DELETED_BY_PEER: _Fault(
        "deleted_by_peer",
        "the peer ended the IKE SA",
        "Look at the IKE log of {remote} for why; its tunnel may be switched off, or set up anew.",
    ),
    Cause.SETTINGS_CHANGED: _Fault(
        "ike_negotiating", "the settings were changed, it is negotiated anew", "Ask again in a few seconds."
    ),
    Cause.UNSUPPORTED_ALGORITHM: _Fault(
        "unsupported_algorithm",
        "charon on this machine has no such algorithm",
        "Choose other algorithms, or install the strongSwan plugins that have it "
        "(libstrongswan-standard-plugins, libstrongswan-extra-plugins).",
    ),
    Cause.NO_PRE_SHARED_KEY: _Fault(
        "no_pre_shared_key",
        "the tunnel has no pre-shared key",
        "Set `ike.pre_shared_key` of the tunnel to the peer's.",
    ),
    Cause.CHARON_DOWN: _Fault(
        "charon_down",
        "strongSwan's charon does not run or does not answer",
        "Look at the daemon's log for why charon ended; it is started again by itself. In mode `xfrm`: is "
        "the strongSwan service running, and `--charon-socket` its vici socket?",
    ),
    Cause.INTERFACE_FAILED: _Fault(
        "interface_failed",
        "the interface {interface} could not be made",
        "Read the text beside: another interface may have the name or the address, or a kernel module is "
        "missing.",
    ),
    Cause.NO_DRIVER: _Fault(
        "no_driver",
        "this daemon makes no tunnels",
        "Start the daemon with `--ipsec auto` where strongSwan is installed, or give the tunnel an "
        "`interface` that somebody else makes.",
    ),
}
_IKE_FAILED = _Fault(
    "ike_failed",
    "the negotiation of phase 1 failed",
    "Read the last error, and the IKE log of {remote} at the same time.",
)
PHASE2: Mapping[Cause, _Fault] = {
    Cause.ESP_PROPOSAL_MISMATCH: _Fault(
        "esp_proposal_mismatch",
        "no ESP proposal was chosen: encryption, authentication or PFS group differ",
        "Set encryption, authentication and PFS group of `ipsec` to what the peer has, or the peer to ours.",
    ),
    Cause.PFS_MISMATCH: _Fault(
        "pfs_mismatch",
        "the groups for perfect forward secrecy differ",
        "Set `ipsec.pfs` to the peer's group (or `disabled`), or the peer to ours.",
    ),
    Cause.SELECTOR_MISMATCH: _Fault(
        "selector_mismatch",
        "the traffic selectors do not match",
        "Make the peer's local selectors our remote ones and the other way round. With `routing_mode: "
        "destination` both sides use 0.0.0.0/0.",
    ),
}
_ESP_FAILED = _Fault(
    "esp_failed",
    "the negotiation of phase 2 failed",
    "Read the last error, and the IKE log of {remote} at the same time.",
)


def phase1(e: Evidence) -> Check:
    """The IKE SA."""
    state = e.ipsec
    if state is None or e.ike is None:
        return check("phase1", "unknown", "ipsec_unknown", "nothing is known of this tunnel's IPsec yet")
    if state.ike is not None and state.ike.established:
        return ok(
            "phase1", f"the IKE SA is up ({state.ike.version}, {_algorithms(state.ike)})", *_sa(state.ike)
        )
    if e.waiting:
        return _not_begun("phase1", "ike", e)
    error = state.last_error
    if state.status in _PASSED or (error is not None and error.cause in PHASE2):
        # A side that refuses the child may end the IKE SA with it.
        return ok("phase1", "phase 1 succeeds, and phase 2 does not")
    if error is not None:
        error = _asked(e, error) if refused_without_reason(e) else error
        return _failed("phase1", PHASE1.get(error.cause, _IKE_FAILED), e, error)
    if not e.ike.has_key:
        return _failed("phase1", PHASE1[Cause.NO_PRE_SHARED_KEY], e, None)
    return _not_begun("phase1", "ike", e)


def refused_without_reason(e: Evidence) -> bool:
    """The peer accepts nothing that we propose for phase 1, and does not say why."""
    error = None if e.ipsec is None else e.ipsec.last_error
    return error is not None and error.cause is Cause.IKE_PROPOSAL_MISMATCH and error.remote is None


def _asked(e: Evidence, error: IpsecError) -> IpsecError:
    """The same with what the peer made of an offer of all algorithms."""
    assert e.ike is not None
    ours = e.ike.version
    answers = {offer.version: offer for offer in e.offers if offer.answered}
    mine = answers.get(ours)
    other = next((offer for version, offer in answers.items() if version != ours), None)
    if mine is not None and mine.accepted is not None:
        text = f"the IKE algorithms differ: ours are {e.ike.offer}, the peer accepts {mine.accepted}"
        return replace(error, text=text, local=e.ike.offer, remote=mine.accepted)
    if mine is None or other is None:
        return error
    if other.accepted is not None:
        text = f"the peer speaks {other.version} with us, and not {ours}"
        return replace(error, cause=Cause.IKE_VERSION_MISMATCH, text=text, local=ours, remote=other.version)
    text = f"the peer refuses whatever is proposed: it has nothing configured for our address {e.local}"
    return replace(error, cause=Cause.UNKNOWN_PEER, text=text, local=e.local, remote=e.remote)


_PASSED = (IpsecStatus.IKE_SA_ESTABLISHED, IpsecStatus.IPSEC_SA_NOT_ESTABLISHED)


def phase2(e: Evidence) -> Check:
    """The CHILD_SA; asked for where phase 1 is in order."""
    state = e.ipsec
    if state is None or e.ike is None:
        return check("phase2", "unknown", "esp_negotiating", "nothing is known of this tunnel's IPsec yet")
    error = state.last_error
    fault = None if error is None else PHASE2.get(error.cause)
    if state.ike is not None and esp_established(e):
        child = next(child for child in state.ike.children if child.established)
        if fault is not None and error is not None and error.time > child.installed_at:
            return _rekey_fails(fault, e, error)
        algorithms = "/".join(filter(None, (child.encryption, child.authentication, child.pfs)))
        return ok(
            "phase2",
            f"the IPsec SA is up ({algorithms})",
            Fact("selectors", local=_joined(child.local_selectors), remote=_joined(child.remote_selectors)),
            Fact("packets through the SA", f"{child.packets_in} in, {child.packets_out} out"),
        )
    if e.waiting:
        return _not_begun("phase2", "esp", e)
    if error is not None and fault is not None:
        return _failed("phase2", fault, e, error)
    if error is not None and state.status is IpsecStatus.IPSEC_SA_NOT_ESTABLISHED:
        return _failed("phase2", _ESP_FAILED, e, error)
    return _not_begun("phase2", "esp", e)


def _rekey_fails(fault: _Fault, e: Evidence, error: IpsecError) -> Check:
    """The first CHILD_SA of IKEv2 takes its keys from IKE (RFC 7296 1.2); what differs shows when it is
    replaced."""
    found = _failed("phase2", fault, e, error)
    return replace(found, outcome="warning", summary=f"the SA is up, but cannot be renewed: {found.summary}")


def _not_begun(layer: Layer, prefix: str, e: Evidence) -> Check:
    assert e.ipsec is not None
    assert e.ike is not None
    reason = Fact("state", e.ipsec.reason)
    if not e.ike.immediately:
        return check(
            layer,
            "warning",
            f"{prefix}_waits_for_traffic",
            "it is negotiated when there is traffic for it, and there was none",
            "Send a packet through the tunnel, or set `effect_immediately` of the connection.",
            reason,
        )
    text = f"the negotiation is under way: {e.ipsec.reason}"
    return check(layer, "failed", f"{prefix}_negotiating", text, "Ask again in a few seconds.", reason)


def _failed(layer: Layer, fault: _Fault, e: Evidence, error: IpsecError | None) -> Check:
    assert e.ike is not None
    words = {
        "local": e.local,
        "remote": e.remote,
        "interface": e.interface,
        "local_id": e.ike.local_id,
        "remote_id": e.ike.remote_id,
        "connection": e.tunnel.rpartition("-tunnel")[0],
        "version": e.ike.version,
    }
    facts = [_side_by_side(fault.code, e, error)]
    summary = fault.summary.format(**words)
    if error is not None:
        # What charon said is more exact.
        summary = f"authentication failed: {error.text}" if fault is _AUTHENTICATION else error.text
        facts.append(Fact("last attempt", f"{max(0, e.now - error.time):.0f} s ago"))
    return check(
        layer,
        "failed",
        fault.code,
        summary,
        fault.remedy.format(**words),
        *facts,
    )


NOT_TOLD = "not known: the peer does not say"

_Values = tuple[str, str | None, str | None]
_CONFIGURED: Mapping[str, Callable[[Evidence, Ike], _Values]] = {
    "ike_proposal_mismatch": lambda e, ike: ("IKE proposal", ike.offer, NOT_TOLD),
    "esp_proposal_mismatch": lambda e, ike: ("ESP proposal", ike.esp_offer, NOT_TOLD),
    "pfs_mismatch": lambda e, ike: ("ESP proposal", ike.esp_offer, NOT_TOLD),
    "selector_mismatch": lambda e, ike: (
        "selectors",
        _joined([ours for ours, _ in ike.pairs]),
        f"{_joined([theirs for _, theirs in ike.pairs])} (as configured here)",
    ),
    "id_mismatch": lambda e, ike: ("identity", ike.local_id, f"{ike.remote_id} (expected)"),
    "authentication_failed": lambda e, ike: ("identity", ike.local_id, ike.remote_id),
    "unknown_peer": lambda e, ike: ("address", e.local, e.remote),
    "ike_version_mismatch": lambda e, ike: ("IKE version", ike.version, NOT_TOLD),
}


def _side_by_side(code: str, e: Evidence, error: IpsecError | None) -> Fact | None:
    """The values that do not match: as charon logged them, else as they are configured."""
    found = _CONFIGURED.get(code)
    label, local, remote = "values", None, None
    if found is not None and e.ike is not None:
        label, local, remote = found(e, e.ike)
    if error is not None:
        local, remote = error.local or local, error.remote or remote
    return None if local is None and remote is None else Fact(label, local=local, remote=remote)


def _sa(ike: IkeSa) -> tuple[Fact, ...]:
    return (
        Fact("identity", local=ike.local_id, remote=ike.remote_id),
        Fact(
            "address",
            # Not the port: charon's own differs from the one on the wire where ports are translated.
            local=ike.local_address,
            remote=f"{ike.remote_address}:{ike.remote_port}",
        ),
    )


def _algorithms(ike: IkeSa) -> str:
    return "/".join(filter(None, (ike.encryption, ike.authentication, ike.group)))


def _joined(texts: tuple[str, ...] | list[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
