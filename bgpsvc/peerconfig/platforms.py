"""The platforms that a configuration can be written for. Pure.

A platform is an entry here and a template `templates/<name>.j2`. `helpers` are functions that its template
may call, or use as filters: the platform's words for algorithms, its way to quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bgpsvc.peerconfig import names_bgpsvc, names_strongswan
from bgpsvc.peerconfig.words import Helpers

TEXT = "text/plain"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of device. `title` as its maker calls it, `extension` of a file name, without a dot.

    `notes` is one sentence: which releases, and what has to be known before. `comment` begins a comment line
    (`header` uses it), empty for a format without comments. `built_in`: not from an operator's directory.
    """

    name: str
    title: str
    extension: str
    notes: str
    comment: str = "#"
    media_type: str = TEXT
    helpers: Helpers = field(default_factory=dict, repr=False)
    built_in: bool = True


def _by_name(*platforms: Platform) -> Mapping[str, Platform]:
    return MappingProxyType({platform.name: platform for platform in platforms})


PLATFORMS: Mapping[str, Platform] = _by_name(
    Platform(
        "bgpsvc",
        "bgpsvc",
        "yaml",
        "Resources for a bgpsvc at the other side: `bgpsvc apply -f`, or `serve --config`.",
        helpers=names_bgpsvc.HELPERS,
    ),
    Platform(
        "strongswan-frr",
        "Linux with strongSwan and FRR",
        "txt",
        "Several files; strongSwan 5.9 and FRR 8 or later, a kernel with XFRM interfaces (4.19).",
        helpers=names_strongswan.HELPERS,
    ),
    Platform(
        "strongswan-bird",
        "Linux with strongSwan and BIRD",
        "txt",
        "Several files; strongSwan 5.9 and BIRD 2.0.8 or later, a kernel with XFRM interfaces (4.19).",
        helpers=names_strongswan.HELPERS,
    ),
)
"""All platforms by name, in the order in which they are listed."""
