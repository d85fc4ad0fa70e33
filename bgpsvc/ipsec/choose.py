"""Which driver makes the tunnels: what the operator wishes, judged by what this machine was found to have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from bgpsvc.ipsec.model import DriverName

Wish = Literal["auto", "xfrm", "userspace", "external"]
"""What `serve --ipsec` takes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a driver may need. `text`: what was found; where it was not, why, and the remedy."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the kernel and the machine have, seen from the daemon's network namespace."""

    xfrm_interface: Finding
    """XFRM interfaces can be made."""
    esp: Finding
    """The kernel encrypts: it takes an ESP security association."""
    nft: Finding
    """nftables, for the TCP MSS clamp and (`userspace`) the translation of ports."""
    vici: Finding
    """A charon that we do not run answers at the configured socket, and uses the kernel's ESP."""
    tun: Finding
    """TUN devices can be made."""
    charon: Finding
    """strongSwan's daemon is installed."""
    libipsec: Finding
    """So are its plugins, with the one that encrypts in user space."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The driver, why it is this one, and what would have to be there for a better one, or for this one."""

    name: DriverName
    why: str
    missing: tuple[str, ...] = ()


class CannotChoose(Exception):
    """The operator wishes a driver that cannot work here. The text says what is missing."""


XFRM = ("xfrm_interface", "esp", "nft")
USERSPACE = ("tun", "charon", "libipsec", "nft")


def choose(wish: Wish, findings: Findings) -> Choice:
    """The driver for a wish; CannotChoose if it is one that cannot work here.

    `auto` takes the kernel's ESP where it is, then ESP in user space, else leaves tunnels to others. A charon
    that does not answer is no obstacle to `xfrm`: it may be started, or restarted, at any time.
    """
    if wish == "external":
        return Choice("external", "asked for: tunnels are made by somebody else")
    if wish == "xfrm":
        _require(wish, XFRM, findings)
        return _xfrm(findings, "asked for")
    if wish == "userspace":
        _require(wish, USERSPACE, findings)
        return Choice("userspace", f"asked for; {findings.charon.text}")
    return _auto(findings)


def _auto(findings: Findings) -> Choice:
    missing_xfrm, missing_userspace = _missing(XFRM, findings), _missing(USERSPACE, findings)
    if not missing_xfrm:
        return _xfrm(findings, "the kernel has ESP and XFRM interfaces")
    if not missing_userspace:
        why = f"ESP in user space, as {'; '.join(missing_xfrm)}"
        return Choice("userspace", why, missing_xfrm)
    missing = tuple(dict.fromkeys((*missing_xfrm, *missing_userspace)))
    return Choice("external", f"no tunnel can be made here: {'; '.join(missing)}", missing)


def _xfrm(findings: Findings, why: str) -> Choice:
    if findings.vici.ok:
        return Choice("xfrm", f"{why}; {findings.vici.text}")
    return Choice(
        "xfrm", f"{why}, but {findings.vici.text}; tried again until it does", (findings.vici.text,)
    )


def _missing(names: tuple[str, ...], findings: Findings) -> tuple[str, ...]:
    found = {field.name: getattr(findings, field.name) for field in fields(findings)}
    return tuple(found[name].text for name in names if not found[name].ok)


def _require(wish: Wish, names: tuple[str, ...], findings: Findings) -> None:
    if missing := _missing(names, findings):
        raise CannotChoose(f"--ipsec {wish} cannot work here: {'; '.join(missing)}")
