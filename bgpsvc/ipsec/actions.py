"""What a tunnel's keeper asks for. Frozen values; the manager carries them out."""

from __future__ import annotations

from dataclasses import dataclass

from bgpsvc.effects import Log
from bgpsvc.events import IpsecChanged


@dataclass(frozen=True, slots=True)
class BringUp:
    """Call `Driver.bring_up`; answered by `made` or `failed`."""


@dataclass(frozen=True, slots=True)
class Initiate:
    """Call `Driver.initiate`; answered by `failed` if it raises."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Call `Driver.terminate` by force; without `ike_id` answered by `terminated` or `failed`."""

    ike_id: int | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """Read the SAs soon; answered by `seen`."""


@dataclass(frozen=True, slots=True)
class ReadTraffic:
    """Call `Driver.traffic`; answered by `traffic` or `failed`."""


Action = BringUp | Initiate | Terminate | Poll | ReadTraffic
Output = Action | IpsecChanged | Log
