"""What is written for strongSwan, FRR, BIRD and Linux is what these take, whatever the connection has.

That both tunnels and sessions come up with it is shown where the kernel has ESP (`tests/vm`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from bgpsvc.peerconfig.files import split
from bgpsvc.peerconfig.render import render
from bgpsvc.peerconfig.words import Unsupported
from tests.interop.ipsec.strongswan import StrongSwan
from tests.netns.namespaces import Namespace
from tests.unit.peerconfig.scenarios import SCENARIOS

PLATFORMS = ("strongswan-frr", "strongswan-bird")


@pytest.fixture(scope="module")
def strongswan() -> Iterator[StrongSwan]:
    with Namespace() as namespace, StrongSwan(namespace) as made:
        yield made


def files(scenario: str, platform: str) -> dict[str, str]:
    """The files by name."""
    made = render(SCENARIOS[scenario].facts, platform)
    return {file.name: file.text for file in split(made.text, made.filename)}


def taken(*command: str, text: str | None = None) -> None:
    """The command ends well and complains of nothing."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command


def can(scenario: str, platform: str) -> bool:
    """The platform does not refuse the connection; what it refuses is among the golden files."""
    try:
        render(SCENARIOS[scenario].facts, platform)
    except Unsupported:
        return False
    return True


@pytest.mark.parametrize(
    ("scenario", "platform"), [case for case in product(SCENARIOS, PLATFORMS) if can(*case)]
)
def test_every_file_is_taken(strongswan: StrongSwan, platform: str, scenario: str, tmp_path: Path) -> None:
    found = files(scenario, platform)
    strongswan.load(found["etc/swanctl/conf.d/conn1.conf"])
    loaded = strongswan.swanctl("--list-conns")
    tunnels = SCENARIOS[scenario].facts.tunnels
    assert all(f"{tunnel.id}: IKEv" in loaded for tunnel in tunnels), loaded
    for name, text in found.items():
        path = tmp_path / Path(name).name
        path.write_text(text)
        if name.endswith("frr.conf"):
            taken("vtysh", "-C", "-f", str(path))
        elif name.endswith("bird.conf"):
            taken("bird", "-p", "-c", str(path))
        elif name.endswith("-tunnels"):
            taken("sh", "-n", str(path))
            rules = text.partition("'RULES'\n")[2].partition("\nRULES\n")[0]
            taken("unshare", "--net", "nft", "--check", "--file", "-", text=rules)
