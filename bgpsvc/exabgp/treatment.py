"""Puts `rfc7606` before ExaBGP's parser of attributes, in the speaker's process."""

from __future__ import annotations

from typing import Any

from exabgp.bgp.message import Action, Notify, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.update.attribute import Attribute, Attributes
from exabgp.bgp.message.update.attribute.attribute import TreatAsWithdraw
from exabgp.bgp.message.update.eor import EOR

from bgpsvc.exabgp.rfc7606 import MP_UNREACH_NLRI, Checked, Peering, check

_ORIGINAL_UNPACK = Attributes.unpack.__func__
_END_OF_RIB = b"\0\0\0\0"


class Malformed(TreatAsWithdraw):  # type: ignore[misc]
    """Shows in the JSON of the UPDATE as `"error": "treat-as-withdraw: REASON"`."""

    def __init__(self, reason: str) -> None:
        TreatAsWithdraw.__init__(self)
        self.reason = reason

    def __str__(self) -> str:
        return f"treat-as-withdraw: {self.reason}"


def unpack_attributes(cls: Any, data: bytes, direction: Any, negotiated: Any) -> Any:
    """In place of `Attributes.unpack`."""
    if direction != Direction.IN:
        return _ORIGINAL_UNPACK(cls, data, direction, negotiated)
    checked = _checked(data, negotiated)
    if checked.malformed is None:
        return _ORIGINAL_UNPACK(cls, checked.attributes, direction, negotiated)
    # Not through ExaBGP's cache: the mark would stay on what it keeps.
    attributes = cls().parse(checked.attributes, direction, negotiated)
    attributes.add(Malformed(checked.malformed))
    return attributes


def _checked(data: bytes, negotiated: Any) -> Checked:
    """Checked once for the many UPDATEs with equal attributes that come one after the other."""
    last = getattr(negotiated, "last_checked", None)
    if last is not None and last[0] == data:
        return last[1]  # type: ignore[no-any-return]
    neighbor = negotiated.neighbor
    peering = Peering(asn4=negotiated.asn4, ibgp=neighbor["local-as"] == neighbor["peer-as"])
    checked = check(data, peering)
    negotiated.last_checked = (data, checked)
    return checked


def judged(update: Any, data: bytes, negotiated: Any) -> Any:
    """The UPDATE that ExaBGP made of `data`, unless it has to be taken for something else."""
    if isinstance(update, EOR):
        return update if _is_end_of_rib(data, negotiated) else Update([], Attributes())
    if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in update.attributes and not _reachable(update):
        # RFC 7606 5.2: prefixes may have been missed, as attributes come with reachable ones only.
        raise Notify(3, 1, str(update.attributes[Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW]))
    return update


def _reachable(update: Any) -> bool:
    announced = getattr(update, "announced", None)
    return bool(announced) or any(nlri.action == Action.ANNOUNCE for nlri in update.nlris)


def _is_end_of_rib(data: bytes, negotiated: Any) -> bool:
    """RFC 4724 2: nothing at all, or one empty MP_UNREACH_NLRI. Attributes that were left out count too."""
    if data == _END_OF_RIB:
        return True
    return bool(_checked(data[4:], negotiated).codes == {MP_UNREACH_NLRI})


def install() -> None:
    """Once per process, before ExaBGP starts."""
    Attributes.unpack = classmethod(unpack_attributes)
