"""What is done to a charon that others use too: only what is ours, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bgpsvc.ipsec import codec
from bgpsvc.ipsec.model import IpsecTunnel
from bgpsvc.ipsec.shared_charon import SharedCharon, key_owners
from bgpsvc.ipsec.vici import CharonRefused
from bgpsvc.model import SessionId
from tests.unit.ipsec.support import KEY, tunnel

PLACING = codec.Placing(if_id=7)


class FakeCharon:
    """charon's state as vici changes it: connections, keys with their owners, and SAs by connection."""

    def __init__(self) -> None:
        self.conns: dict[str, Mapping[str, object]] = {"office": {}}
        self.keys: dict[str, tuple[str, tuple[str, ...]]] = {"ike-office": ("x", ())}
        self.sas = {"office": 1}
        self.writes: list[str] = []
        self.immortal: set[str] = set()
        """Connections whose SAs go while charon ends them, once."""

    async def list_conns(self, ike: str | None = None) -> list[dict[str, Any]]:
        return [{name: {}} for name in self.conns if ike in (None, name)]

    async def list_sas(self) -> list[dict[str, Any]]:
        return [{name: {}} for name in self.sas]

    async def get_shared(self) -> list[str]:
        return list(self.keys)

    async def load_conn(self, name: str, connection: Mapping[str, object]) -> None:
        assert name in self.keys, "a connection must not be there before its key"
        self.conns[name] = connection
        self.writes.append(f"connection {name}")

    async def load_shared(self, ident: str, data: str, owners: Sequence[str]) -> None:
        self.keys[ident] = (data, tuple(owners))
        self.writes.append(f"key {ident}")

    async def unload_conn(self, name: str) -> None:
        if self.conns.pop(name, None) is None:
            raise CharonRefused("unload-conn", "unknown connection")
        self.writes.append(f"no connection {name}")

    async def unload_shared(self, ident: str) -> None:
        if self.keys.pop(ident, None) is None:
            raise CharonRefused("unload-shared", "unknown key")
        self.writes.append(f"no key {ident}")

    async def terminate(
        self, *, ike: str | None, ike_id: int | None = None, force: bool = False, wait: float = 0
    ) -> int:
        assert ike is not None
        assert ike not in self.conns or not wait, "with its connection it could begin anew"
        if ike in self.immortal:
            self.immortal.discard(ike)
            raise CharonRefused("terminate", "not all matching SAs could be terminated")
        return self.sas.pop(ike, 0)


def shared(path: Path, fake: FakeCharon) -> SharedCharon:
    made = SharedCharon(path / "charon.vici", path / "xfrm.json")
    made.vici = fake  # type: ignore[assignment]
    return made


async def load(charon: SharedCharon, *tunnels: IpsecTunnel) -> list[bool]:
    await charon.survey([item.id for item in tunnels])
    return [await charon.load(item, PLACING, tunnels) for item in tunnels]


def names(number: int) -> str:
    return f"bgpsvc-conn1-tunnel{number}"


def test_a_restarted_daemon_loads_nothing_that_is_there(tmp_path: Path) -> None:
    fake = FakeCharon()
    assert asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2))) == [False, False]
    fake.writes.clear()
    assert asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2))) == [False, False]
    assert fake.writes == []


def test_tunnels_that_change_at_once_are_all_remembered(tmp_path: Path) -> None:
    many = [tunnel(1, id=SessionId(f"conn{number}-tunnel1")) for number in range(40)]

    async def work() -> None:
        charon = shared(tmp_path, FakeCharon())
        await asyncio.gather(*(charon.load(item, PLACING, many) for item in many))
        await asyncio.gather(*(charon.remove(item.id) for item in many[1:]))

    asyncio.run(work())
    assert list(json.loads((tmp_path / "xfrm.json").read_text())["loaded"]) == [many[0].id]


@pytest.mark.parametrize(
    "changed", [tunnel(1, ike={"pre_shared_key": "Another-Key-7"}), tunnel(1, ike={"encryption": "aes"})]
)
def test_what_was_changed_meanwhile_is_loaded_anew_and_told(tmp_path: Path, changed: IpsecTunnel) -> None:
    fake = FakeCharon()
    asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2)))
    fake.writes.clear()
    assert asyncio.run(load(shared(tmp_path, fake), changed, tunnel(2))) == [True, False]
    assert f"connection {names(1)}" in fake.writes
    assert f"connection {names(2)}" not in fake.writes
    key = changed.ike.pre_shared_key
    assert key is not None
    assert fake.keys[names(1)][0] == key.get_secret_value()


def test_a_tunnel_counts_as_changed_until_its_sas_were_ended_whoever_is_killed_before(tmp_path: Path) -> None:
    fake, changed = FakeCharon(), tunnel(1, ike={"pre_shared_key": "Another-Key-7"})
    asyncio.run(load(shared(tmp_path, fake), tunnel(1)))
    assert asyncio.run(load(shared(tmp_path, fake), changed)) == [True]

    async def successor() -> list[bool]:
        charon = shared(tmp_path, fake)
        told = await load(charon, changed)
        await charon.end(changed.id, wait=False, ike_id=7)
        told += await load(charon, changed)
        await charon.end(changed.id, wait=False)
        return told + await load(charon, changed)

    assert asyncio.run(successor()) == [True, True, False]
    assert asyncio.run(load(shared(tmp_path, fake), changed)) == [False]


def test_a_restarted_charon_is_given_everything_and_nothing_counts_as_changed(tmp_path: Path) -> None:
    asyncio.run(load(shared(tmp_path, FakeCharon()), tunnel(1), tunnel(2)))
    fresh = FakeCharon()
    assert asyncio.run(load(shared(tmp_path, fresh), tunnel(1), tunnel(2))) == [False, False]
    assert set(fresh.conns) == {"office", names(1), names(2)}


def test_what_somebody_unloaded_is_loaded_again_and_the_sas_stay(tmp_path: Path) -> None:
    async def life() -> None:
        fake = FakeCharon()
        charon = shared(tmp_path, fake)
        await load(charon, tunnel(1), tunnel(2))
        assert await charon.missing([tunnel(1).id, tunnel(2).id]) == []
        # As swanctl --load-all does with what is in no file.
        await fake.unload_conn(names(1))
        await fake.unload_shared(names(1))
        await fake.unload_conn(names(2))
        fake.sas[names(1)] = 1
        assert await charon.missing([tunnel(1).id, tunnel(2).id]) == [tunnel(1).id, tunnel(2).id]
        for item in (tunnel(1), tunnel(2)):
            assert await charon.load(item, PLACING, [tunnel(1), tunnel(2)]) is False
        assert set(fake.conns) == {"office", names(1), names(2)}
        assert set(fake.keys) == {"ike-office", names(1), names(2)}
        # A daemon that comes later knows what the SAs were negotiated with, though the connection is gone.
        await fake.unload_conn(names(1))
        assert await load(shared(tmp_path, fake), tunnel(1), tunnel(2)) == [False, False]
        await fake.unload_conn(names(1))
        other = tunnel(1, ike={"encryption": "aes"})
        assert await load(shared(tmp_path, fake), other, tunnel(2)) == [True, False]

    asyncio.run(life())


def test_a_connection_without_its_key_or_without_a_record_is_loaded_again(tmp_path: Path) -> None:
    fake = FakeCharon()
    asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2)))
    del fake.keys[names(1)]
    assert asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2))) == [False, False]
    assert fake.keys[names(1)][0] == KEY
    (tmp_path / "xfrm.json").unlink()
    assert asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2))) == [True, True]


def test_leftovers_go_and_what_others_have_stays(tmp_path: Path) -> None:
    fake = FakeCharon()
    asyncio.run(load(shared(tmp_path, fake), tunnel(1), tunnel(2)))
    fake.sas |= {names(2): 1, names(9): 1}
    fake.keys["bgpsvc-conn8-tunnel1"] = ("left", ())
    asyncio.run(load(shared(tmp_path, fake), tunnel(1)))
    assert set(fake.conns) == {"office", names(1)}
    assert set(fake.keys) == {"ike-office", names(1)}
    assert set(fake.sas) == {"office"}
    record = json.loads((tmp_path / "xfrm.json").read_text())
    assert list(record["loaded"]) == ["conn1-tunnel1"]


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    fake = FakeCharon()
    asyncio.run(shared(tmp_path, fake).remove(SessionId("conn5-tunnel1")))
    assert fake.writes == []


def test_the_record_is_private_and_tells_no_key(tmp_path: Path) -> None:
    asyncio.run(load(shared(tmp_path, FakeCharon()), tunnel(1)))
    record = tmp_path / "xfrm.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert KEY not in record.read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"secret": "00", "loaded": {}}', '{"loaded": 1}'])
def test_a_record_that_is_none_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "xfrm.json").write_text(content)
    assert asyncio.run(load(shared(tmp_path, FakeCharon()), tunnel(1))) == [False]
    assert json.loads((tmp_path / "xfrm.json").read_text())["loaded"].keys() == {"conn1-tunnel1"}


def test_a_key_is_for_its_peer_alone_where_that_tells_it_from_others() -> None:
    one, two = tunnel(1, ike={"local_id": "gateway.example"}), tunnel(2, ike={"local_id": "gateway.example"})
    assert key_owners([one, two]) == [(one, ("203.0.113.1",)), (two, ("203.0.113.2",))]


@pytest.mark.parametrize("both", [{"remote_id": "peer.example"}, {}])
def test_keys_of_one_peer_are_told_apart_by_our_address(both: dict[str, str], tmp_path: Path) -> None:
    one = tunnel(1, ike=both)
    two = tunnel(2, ike=both, **({} if both else {"remote": one.remote}))
    for item, owners in key_owners([one, two]):
        assert str(item.local) in owners
    # The second one comes later: the first one's key is given its further owner then.
    fake = FakeCharon()
    charon = shared(tmp_path, fake)
    asyncio.run(load(charon, one))
    assert str(one.local) not in fake.keys[names(1)][1]
    asyncio.run(charon.load(two, PLACING, (one, two)))
    assert str(one.local) in fake.keys[names(1)][1]
