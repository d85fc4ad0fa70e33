"""`swanctl --load-all` has charon unload what is in none of its files, ours too; here with real charons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bgpsvc.ipsec.charon import Home
from bgpsvc.ipsec.codec import Placing, connection_name
from bgpsvc.ipsec.shared_charon import SharedCharon
from tests.netns.ipsec.node import SLOW
from tests.netns.ipsec.pair import IDS, Pair, tunnel
from tests.netns.namespaces import wait_until

LEFT = tunnel("left", 1)
NAME = connection_name(LEFT.id)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Tunnel 1 is up."""
    with Pair(tmp_path_factory.mktemp("pair")) as made:
        made.establish(1)
        made.wait_reaches(1)
        yield made


@pytest.fixture
def socket(pair: Pair) -> Path:
    """That of the left side's charon."""
    return Home.of(pair.nodes["left"].state_dir / "ipsec", LEFT.id).socket


@pytest.fixture
def swanctl(pair: Pair, socket: Path) -> Callable[..., str]:
    return lambda *words: pair.spaces["left"].run("/usr/sbin/swanctl", *words, "--uri", f"unix://{socket}")


@pytest.fixture
def load_all(swanctl: Callable[..., str], tmp_path: Path) -> Callable[[], None]:
    """What `systemctl reload strongswan` does, where nobody has connections in files."""
    nothing = tmp_path / "empty.conf"
    nothing.touch()

    def call() -> None:
        swanctl("--load-all", "--noprompt", "--file", str(nothing))
        assert "bgpsvc" not in swanctl("--list-conns")

    return call


def test_a_connection_that_was_unloaded_comes_back_below_the_sas(
    pair: Pair, load_all: Callable[[], None], swanctl: Callable[..., str]
) -> None:
    left = pair.nodes["left"]
    (before,) = left.sas(LEFT.id)
    swanctl("--load-conns", "--file", "/dev/null")  # the key stays
    assert swanctl("--list-conns") == ""
    assert not left.bring_up(LEFT).renewed
    assert f"{NAME}:" in swanctl("--list-conns")
    load_all()
    # Nobody calls for the tunnel: it is up. The SAs are read all the time.
    wait_until(lambda: left.sas(LEFT.id) and f"{NAME}:" in swanctl("--list-conns"), "loaded again", SLOW)
    (after,) = left.sas(LEFT.id)
    assert after.spi_initiator == before.spi_initiator
    assert pair.reaches(1)
    left.call("terminate", LEFT.id, True)
    pair.negotiate(1)
    pair.wait_reaches(1)


def test_of_a_shared_charon_too(socket: Path, load_all: Callable[[], None], tmp_path: Path) -> None:
    other = tunnel("left", 2)

    async def work() -> None:
        charon = SharedCharon(socket, tmp_path / "xfrm.json")
        await charon.survey([LEFT.id, other.id])
        assert await charon.load(other, Placing(), [other]) is False
        assert await charon.missing([IDS[2]]) == []
        await asyncio.to_thread(load_all)
        assert await charon.missing([IDS[2]]) == [IDS[2]]
        assert await charon.load(other, Placing(), [other]) is False
        assert await charon.missing([IDS[2]]) == []
        await charon.remove(other.id)
        await charon.vici.close()

    asyncio.run(work())
