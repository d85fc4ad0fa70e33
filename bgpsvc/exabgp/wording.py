"""What ExaBGP says about a session and an UPDATE, in its own words, to ours."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any

from bgpsvc.events import Negotiated, Notification, OpenMessages
from bgpsvc.exabgp.nlri import known_families

_NOTIFICATION = re.compile(r"notification (sent|received) \((\d+),(\d+)\)(?:: (.*))?", re.DOTALL)
_TREAT_AS_WITHDRAW = "treat-as-withdraw"


def printable(reason: str) -> str:
    """A reason without what could drive a reader's terminal: a peer may have written it (RFC 9003)."""
    return "".join(character if character.isprintable() else "?" for character in reason)


def notification_of(reason: str, message: bytes = b"") -> Notification | None:
    """The NOTIFICATION that a `down` reason tells of, if any; `message` as it was on the wire."""
    found = _NOTIFICATION.match(reason)
    if found is None:
        return None
    direction, code, subcode, text = found.groups()
    return Notification(direction == "sent", int(code), int(subcode), text or "", message)


def opens_of(content: Mapping[str, Any] | None) -> OpenMessages | None:
    """From the speaker's object `opens`; None if it had none to tell of."""
    if content is None:
        return None
    sent, received = a2b_base64(content["sent"]), a2b_base64(content["received"])
    return OpenMessages(sent, received, content["local_port"], content["peer_port"])


def negotiated_of(negotiated: Mapping[str, Any], opened: Mapping[str, Any]) -> Negotiated:
    """From ExaBGP's objects `negotiated` and (received) `open`; either may be empty if it was lost."""
    # Nothing that a peer puts into its OPEN may hide that the session is up.
    listed = opened.get("capabilities", {}).items()
    capabilities: dict[str, dict[str, Any]] = {code: item for code, item in listed if isinstance(item, dict)}
    restart = capabilities.get("64")
    flags: dict[str, Any] = {} if restart is None else restart["address-family-flags"]
    return Negotiated(
        hold_time=negotiated.get("hold_time", 0),
        families=known_families(negotiated.get("families", ())),
        asn4=negotiated.get("asn4", True),
        route_refresh=negotiated.get("refresh", "absent") != "absent",
        enhanced_refresh=negotiated.get("refresh") == "enhanced",
        message_size=negotiated.get("message_size", 4096),
        peer_router_id=opened.get("router_id"),
        peer_asn=capabilities.get("65", {}).get("asn4", opened.get("asn")),
        graceful_restart_time=None if restart is None else restart["time"],
        graceful_restart_families=known_families(family.replace("/", " ") for family in flags),
        # ExaBGP calls the F bit of RFC 4724 3 `restart`.
        forwarding_preserved=known_families(f.replace("/", " ") for f, set_ in flags.items() if set_),
        peer_capabilities=tuple(
            sorted({str(item.get("name", f"code {code}")) for code, item in capabilities.items()})
        ),
    )


def malformed(error: str) -> str | None:
    """Why an UPDATE is treated as a withdrawal, from ExaBGP's `error`; None if it isn't."""
    if not error.startswith(_TREAT_AS_WITHDRAW):
        return None
    _, _, reason = error.partition(": ")
    return reason or "the UPDATE's attributes are malformed (RFC 7606)"
