"""docs/configuration.md names every key with its default, and its example and its words are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from bgpsvc.resources import (
    BgpSettings,
    CustomerGateway,
    DpdSettings,
    IkeSettings,
    Intent,
    IpsecSettings,
    Ipv6Settings,
    Tunnel,
    Vpc,
    VpnConnection,
    VpnGateway,
    load,
)
from bgpsvc.resources.advice import LEGACY
from bgpsvc.resources.descriptions import DESCRIPTIONS
from bgpsvc.resources.models import (
    BfdSettings,
    DestinationRoute,
    HealthCheck,
    PolicyMatch,
    PolicyRoute,
    PolicyRule,
    PrefixMatch,
    ProbeSettings,
    Resource,
    RoutingPolicy,
    VpcRoute,
)
from bgpsvc.resources.schema import plan_of

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
SECTIONS: dict[str, type[Resource]] = {
    "File": Intent,
    "VPC": Vpc,
    "VPN gateway": VpnGateway,
    "Customer gateway": CustomerGateway,
    "VPN connection": VpnConnection,
    "Health check": HealthCheck,
    "Tunnel": Tunnel,
    "BGP section": BgpSettings,
    "BFD section": BfdSettings,
    "Probe section": ProbeSettings,
    "IPv6 section": Ipv6Settings,
    "IKE section": IkeSettings,
    "IPsec section": IpsecSettings,
    "DPD section": DpdSettings,
    "Routing policy": RoutingPolicy,
    "Policy rule": PolicyRule,
    "Policy match": PolicyMatch,
    "Prefix match": PrefixMatch,
    "Destination-based route": DestinationRoute,
    "Policy-based route": PolicyRoute,
    "Custom VPC route": VpcRoute,
}


def rows(section: str) -> dict[str, tuple[str, str, str]]:
    """Key to (allowed, default, meaning) of the table in a section."""
    body = PAGE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = [
        re.split(r"(?<!\\) \| ", line.strip("| \n")) for line in body.splitlines() if line.startswith("| `")
    ]
    return {cell[0].strip("`"): (cell[1], cell[2], cell[3]) for cell in cells}


def printed(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "[]" if default == () else str(default)


def test_every_model_has_a_section() -> None:
    assert set(SECTIONS.values()) == set(Resource.__subclasses__())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_stands_in_the_table_with_its_default(section: str) -> None:
    table = rows(section)
    plans = plan_of(SECTIONS[section])
    assert list(table) == list(plans)
    for key, plan in plans.items():
        default = table[key][1]
        if plan.required:
            assert default == "required", key
        elif plan.default is None:
            assert default == "none" or key == "router_id", key
        else:
            assert default == f"`{printed(plan.default)}`", key


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_means_what_the_api_says(section: str) -> None:
    links = re.compile(r"\[([^]]+)\]\(#[^)]+\)")
    assert {key: links.sub(r"\1", meaning) for key, (_, _, meaning) in rows(section).items()} == dict(
        DESCRIPTIONS[SECTIONS[section]]
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_the_words_of_a_choice_are_those_that_are_accepted(section: str) -> None:
    for key, info in SECTIONS[section].model_fields.items():
        words = [word for word in get_args(info.annotation) if isinstance(word, str)]
        if words:
            allowed = rows(section)[key][0]
            listed = re.findall(r"`([a-z0-9_]+)`(\*?)", allowed)
            assert {word for word, _ in listed} == set(words), key
            assert {word for word, star in listed if star} == set(LEGACY.get(key, {})) & set(words), key


def test_the_example_is_valid_and_warns_of_nothing() -> None:
    example = PAGE.split("```yaml\n", 1)[1].split("```", 1)[0]
    loaded = load(example, "configuration.md")
    assert loaded.intent.connection("conn1").local_asn == 65530
    assert not loaded.warnings
