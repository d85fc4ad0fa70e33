"""From what a cloud says about a VPN connection to resources, so that the service is its other side. Pure.

One module per cloud reads the forms that the cloud gives out and makes `model.FoundConnection` of them: what
the two sides have to agree on, seen from this side, the on-premises one. `emit` makes resources of that
through the service's own reader and printer, so that what comes out is what `bgpsvc config check` accepts.

Nothing is dropped silently. What cannot be done is a problem and no output; what was assumed, changed or is
not known is a warning; both have the place in the input.
"""

from __future__ import annotations

from bgpsvc.importing.clouds import CLOUDS, translate
from bgpsvc.importing.emit import Imported
from bgpsvc.importing.model import Choices
from bgpsvc.importing.notes import Note, Refused

__all__ = ["CLOUDS", "Choices", "Imported", "Note", "Refused", "translate"]
