"""From an `Intent` back to YAML, with defaults filled in. What it prints loads as the same Intent again."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import yaml
from pydantic import SecretStr

from bgpsvc.resources.fields import MASK
from bgpsvc.resources.models import Intent, Resource

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MASKED = "# Secrets are masked, so this can't be loaded as it stands; --reveal prints them.\n"


def dump(intent: Intent, *, reveal: bool = False) -> str:
    """The configuration as YAML, keys in the order of the models; keys without a value are left out.

    A secret that was read from a file is left out in favour of the file's name. Others are masked, with a
    comment on top that says so, unless `reveal` is set; the mask is refused when loaded.
    """
    data, masked = _plain(intent, reveal)
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=110
    )
    return _MASKED + text if masked else text


def _plain(value: object, reveal: bool) -> tuple[Any, bool]:
    """What YAML has words for, and whether a secret in it was masked."""
    if isinstance(value, Resource):
        fields = {key: _plain(item, reveal) for key, item in value if _is_shown(value, key, item)}
        return {key: item for key, (item, _) in fields.items()}, any(masked for _, masked in fields.values())
    if isinstance(value, tuple):
        items = [_plain(item, reveal) for item in value]
        return [item for item, _ in items], any(masked for _, masked in items)
    if isinstance(value, SecretStr):
        return (value.get_secret_value(), False) if reveal else (MASK, True)
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return str(value), False
    return value, False


def _is_shown(resource: Resource, key: str, value: object) -> bool:
    return value is not None and getattr(resource, f"{key}_file", None) is None
