"""The page of codes: every word that programs get for an event, a reason, a state or a finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, get_args

from api.problems import SLUGS
from bgpsvc import model
from bgpsvc.control import Scope
from bgpsvc.diagnosing.codes import COMMON, FAULTS
from bgpsvc.guard.model import Method
from bgpsvc.ipsec.model import Cause, IpsecStatus
from bgpsvc.meanings import EVENTS, TUNNEL_STATES
from bgpsvc.views import EventKind, TunnelState
from sitegen import constants
from sitegen.markup import anchored, code, described, prose, terms

PATH = "reference/codes.md"
ENUMS: tuple[tuple[str, type[Enum]], ...] = (
    ("States of a BGP session", model.SessionState),
    ("States of IPsec", IpsecStatus),
    ("Causes of IPsec being down", Cause),
    ("Roles of a tunnel", model.Role),
    ("Operator's choices of a tunnel", model.SwitchMode),
    ("Ways of the guard to notice a death", Method),
    ("Scopes of a token", Scope),
)


def files() -> dict[str, str]:
    """Path to text."""
    parts = [
        "# Codes\n",
        "Words that stand for something in REST, on the command line and in the log. They are stable: "
        "programs may act on them. The texts beside them may be worded anew.\n",
        _list("Events", "event", _complete(get_args(EventKind), EVENTS)),
        _list("Reasons of a path or route", "reason", {one.value: one.text for one in model.Reason}),
        _list("States of a tunnel", "tunnel", _complete(get_args(TunnelState), TUNNEL_STATES)),
    ]
    for title, enum in ENUMS:
        parts.append(_list(title, enum.__name__, constants.members(enum)))
    parts.append("## Findings of a diagnosis\n\nOf every layer:\n\n" + _terms("finding", COMMON))
    for layer, faults in FAULTS.items():
        parts.append(f"### {layer}\n\n" + _terms("finding", faults))
    parts.append("## Problems\n\nThe `type` of an error (RFC 9457) is `urn:bgpsvc:problem:` and one of:\n")
    parts.append("\n".join(f"- {code(slug)} ({status})" for status, slug in SLUGS.items()) + "\n")
    return {PATH: "\n".join(parts)}


def _complete(words: Iterable[str], told: Mapping[Any, str]) -> dict[str, str | None]:
    """Each word with its meaning; None where there is none."""
    return {word: told.get(word) for word in words}


def _list(title: str, kind: str, told: Mapping[str, str | None]) -> str:
    return anchored("codes", kind, f"## {title}") + "\n" + _terms(kind, told)


def _terms(kind: str, told: Mapping[str, str | None]) -> str:
    made = ((word, described(f"{kind} {word}", text)) for word, text in told.items())
    return terms((f"**{code(word)}**", prose(_sentence(text))) for word, text in made)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
