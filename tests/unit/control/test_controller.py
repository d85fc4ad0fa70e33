"""Writes, on both databases: what is acknowledged is stored and taken, what is refused changes nothing."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bgpsvc.bmp.stations import Stations
from bgpsvc.control import (
    Actor,
    AlreadyExists,
    IdempotencyConflict,
    InUse,
    InvalidDocument,
    ReadOnly,
    StoreUnavailable,
    WriteOptions,
)
from bgpsvc.history import History
from bgpsvc.measuring.sampler import Sampler
from bgpsvc.model import SwitchMode
from bgpsvc.port import NotFound, PreconditionFailed
from bgpsvc.resources import load
from bgpsvc.resources.fields import MASK
from bgpsvc.runtime import Runtime
from bgpsvc.service import BgpService
from bgpsvc.store.errors import WriteConflict
from tests.unit.control.gateway import ADMIN, ALL, DRY, NOW, REFERENCE, Place, living

VPC = REFERENCE["vpcs"][0]
CONNECTION = REFERENCE["vpn_connections"][0]
Story = Callable[[Place], Awaitable[None]]


@pytest.fixture
def tell(store_url: str | None, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story in a life of the daemon; several stories share the database."""
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o700)

    def run(story: Story) -> None:
        async def life() -> None:
            async with living(store_url, state_dir) as place:
                await story(place)

        asyncio.run(life())

    return run


def test_a_resource_lives_from_provisioning_to_gone(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        control = place.controller
        made = await control.create("vpcs", VPC, NOW, ADMIN)
        assert made.created
        assert made.resource is not None
        assert (made.resource.status, made.resource.config["route_table"]) == ("provisioning", 201)
        assert [r.action for r in made.plan.resources] == ["create"]
        await place.runtime.settle()
        assert control.resource("vpcs", "vpc1").status == "active"
        changed = await control.patch("vpcs", "vpc1", {"route_table": 300}, NOW, ADMIN)
        assert changed.resource is not None
        assert (changed.resource.status, changed.resource.etag != made.resource.etag) == ("updating", True)
        await place.runtime.settle()
        gone = await control.delete("vpcs", "vpc1", NOW, ADMIN)
        assert gone.resource is not None
        assert gone.resource.status == "deleting"
        assert control.resource("vpcs", "vpc1").status == "deleting"
        assert control.resources("vpcs", None, 10).items == ()
        await place.runtime.settle()
        with pytest.raises(NotFound):
            control.resource("vpcs", "vpc1")
        entries = await control.audit(None, 10, "vpcs", "vpc1", None)
        assert [e.action for e in entries] == ["delete", "update", "create"]
        assert entries[1].old is not None
        assert entries[1].new is not None
        assert (entries[1].old["route_table"], entries[1].new["route_table"]) == (201, 300)

    tell(story)


def test_a_name_can_be_used_again_while_its_former_bearer_goes(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        first = await place.controller.create("vpcs", VPC, NOW, ADMIN)
        await place.controller.delete("vpcs", "vpc1", NOW, ADMIN)
        again = await place.controller.create("vpcs", VPC, NOW, ADMIN)
        assert again.resource is not None
        assert first.resource is not None
        assert again.resource.status == "provisioning"
        with pytest.raises(AlreadyExists):
            await place.controller.create("vpcs", VPC, NOW, ADMIN)

    tell(story)


def test_the_next_life_finds_all_of_it(tell: Callable[[Story], None]) -> None:
    seen: dict[str, Any] = {}

    async def first(place: Place) -> None:
        await place.build(*ALL)
        seen["configuration"] = place.controller.configuration()
        seen["etag"] = place.controller.resource("vpn_connections", "conn1").etag
        seen["secrets"] = await place.controller.reveal("vpn_connections", "conn1", ADMIN)

    async def second(place: Place) -> None:
        assert place.controller.configuration() == seen["configuration"]
        view = place.controller.resource("vpn_connections", "conn1")
        assert (view.etag, view.status) == (seen["etag"], "active")
        assert await place.controller.reveal("vpn_connections", "conn1", ADMIN) == seen["secrets"]
        assert len(place.runtime.engine.sessions) == 2

    tell(first)
    tell(second)


def test_a_dry_run_changes_nothing(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        await place.build(*ALL)
        before = place.controller.configuration()
        adopted = len(place.runtime.adopted)
        entries = await place.controller.audit(None, 100, None, None, None)
        control = place.controller
        written = [
            await control.create(
                "vpcs", {"name": "vpc2", "cidrs": ["10.9.0.0/16"], "route_table": 9}, DRY, ADMIN
            ),
            await control.patch("vpn_gateways", "gw1", {"auto_propagate": True}, DRY, ADMIN),
            await control.delete("vpn_connections", "conn1", DRY, ADMIN),
            await control.apply({"vpcs": [{**VPC, "cidrs": ["10.8.0.0/16"]}]}, False, DRY, ADMIN),
        ]
        assert all(w.dry_run and w.plan.resources for w in written)
        assert [s.action for s in written[2].plan.sessions] == ["remove", "remove"]
        assert (control.configuration(), len(place.runtime.adopted)) == (before, adopted)
        assert await control.audit(None, 100, None, None, None) == entries

    tell(story)


@pytest.mark.parametrize(
    ("write", "refused"),
    [
        (lambda c: c.create("vpcs", VPC, NOW, ADMIN), AlreadyExists),
        (lambda c: c.create("vpcs", {"name": "vpc2"}, NOW, ADMIN), InvalidDocument),
        (lambda c: c.patch("vpcs", "vpc9", {}, NOW, ADMIN), NotFound),
        (lambda c: c.patch("vpcs", "vpc1", {"name": "vpc2"}, NOW, ADMIN), InvalidDocument),
        (
            lambda c: c.patch("vpcs", "vpc1", {"route_table": 3}, WriteOptions(etag="x"), ADMIN),
            PreconditionFailed,
        ),
        (lambda c: c.delete("vpcs", "vpc1", NOW, ADMIN), InUse),
        (lambda c: c.delete("vpcs", "vpc9", NOW, ADMIN), NotFound),
        (lambda c: c.apply({"vpcs": []}, True, WriteOptions(etag="x"), ADMIN), PreconditionFailed),
        (lambda c: c.apply({"vpcs": [VPC, VPC]}, False, NOW, ADMIN), InvalidDocument),
        (lambda c: c.remove({"vpcs": [VPC]}, NOW, ADMIN), InUse),
    ],
)
def test_what_is_refused_changes_nothing(
    tell: Callable[[Story], None], write: Callable[[Any], Awaitable[Any]], refused: type[Exception]
) -> None:
    async def story(place: Place) -> None:
        await place.build(*ALL)
        before, adopted = place.controller.configuration(), len(place.runtime.adopted)
        with pytest.raises(refused):
            await write(place.controller)
        assert (place.controller.configuration(), len(place.runtime.adopted)) == (before, adopted)

    tell(story)


def test_a_key_does_a_request_once_also_over_a_restart(tell: Callable[[Story], None]) -> None:
    options = WriteOptions(idempotency_key="k1", fingerprint="f1")
    answers = []

    async def first(place: Place) -> None:
        answers.append(await place.controller.create("vpcs", VPC, options, ADMIN))
        answers.append(await place.controller.create("vpcs", VPC, options, ADMIN))

    async def second(place: Place) -> None:
        answers.append(await place.controller.create("vpcs", VPC, options, ADMIN))
        with pytest.raises(IdempotencyConflict):
            await place.controller.create("vpcs", VPC, replace(options, fingerprint="f2"), ADMIN)
        with pytest.raises(AlreadyExists):  # keys belong to their actor
            await place.controller.create("vpcs", VPC, options, replace(ADMIN, name="token b2 (bob)"))
        assert len(await place.controller.audit(None, 10, None, None, None)) == 1

    async def unchanged(place: Place) -> None:
        same = WriteOptions(idempotency_key="k2", fingerprint="f1")
        first = await place.controller.patch("vpcs", "vpc1", {"route_table": 201}, same, ADMIN)
        again = await place.controller.patch("vpcs", "vpc1", {"route_table": 201}, same, ADMIN)
        assert (first.replayed, again.replayed, first.resource) == (False, True, again.resource)
        assert len(await place.controller.audit(None, 10, None, None, None)) == 1

    tell(first)
    tell(second)
    tell(unchanged)
    assert [a.replayed for a in answers] == [False, True, True]
    assert [a.created for a in answers] == [True, True, True]
    assert {a.resource.name for a in answers if a.resource is not None} == {"vpc1"}


def test_the_same_key_at_the_same_time_acts_once(tell: Callable[[Story], None]) -> None:
    options = WriteOptions(idempotency_key="k1", fingerprint="f1")

    async def story(place: Place) -> None:
        writes = (place.controller.create("vpcs", VPC, options, ADMIN) for _ in range(5))
        answers = await asyncio.gather(*writes)
        assert sorted(a.replayed for a in answers) == [False, True, True, True, True]

    tell(story)


def test_secrets_are_made_kept_and_masked(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        control = place.controller
        await place.build(*ALL)
        keys = dict(await control.reveal("vpn_connections", "conn1", ADMIN))
        assert sorted(map(len, keys.values())) == [16, 16]
        shown = control.resource("vpn_connections", "conn1").config
        assert shown["tunnels"][0]["ike"]["pre_shared_key"] == MASK
        await control.replace("vpn_connections", "conn1", shown, NOW, ADMIN)
        await control.replace("vpn_connections", "conn1", CONNECTION, NOW, ADMIN)
        assert await control.reveal("vpn_connections", "conn1", ADMIN) == keys
        with_password = copy.deepcopy(CONNECTION)
        with_password["tunnels"][0]["bgp"]["password"] = "correct-horse"
        written = await control.replace("vpn_connections", "conn1", with_password, NOW, ADMIN)
        assert "correct-horse" not in repr(written)
        assert "/tunnels/0/bgp/password" in [f.pointer for f in written.plan.resources[0].fields]
        await control.replace("vpn_connections", "conn1", CONNECTION, NOW, ADMIN)  # left out: none
        assert await control.reveal("vpn_connections", "conn1", ADMIN) == keys
        entries = repr(await control.audit(None, 100, None, None, None))
        assert not any(secret in entries for secret in (*keys.values(), "correct-horse"))

    tell(story)


def test_apply_is_one_transaction_and_changes_nothing_the_second_time(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        control = place.controller
        with pytest.raises(InvalidDocument) as refused:
            await control.apply({**REFERENCE, "vpcs": []}, False, NOW, ADMIN)
        assert [m.pointer for m in refused.value.mistakes] == ["/vpn_gateways/gw1/vpc"]
        assert control.configuration() == {}
        first = await control.apply(REFERENCE, False, NOW, ADMIN)
        assert len(first.plan.resources) == 5
        etag, adopted = control.configuration_etag(), len(place.runtime.adopted)
        second = await control.apply(REFERENCE, False, WriteOptions(etag=etag), ADMIN)
        assert second.plan.resources == ()
        assert (control.configuration_etag(), len(place.runtime.adopted)) == (etag, adopted)
        exported = control.configuration()
        assert (await control.apply(exported, True, NOW, ADMIN)).plan.resources == ()
        pruned = await control.apply({"vpcs": [VPC]}, True, NOW, ADMIN)
        assert {r.action for r in pruned.plan.resources} == {"delete"}
        assert list(control.configuration()) == ["vpcs"]
        assert control.configuration_etag() != etag
        assert place.runtime.forgotten == ["conn1"]
        await control.remove(REFERENCE, NOW, ADMIN)
        assert control.configuration() == {}

    tell(story)


def test_every_write_that_changes_something_is_an_event(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        control, said = place.controller, place.runtime.noted
        await control.create("vpcs", VPC, DRY, ADMIN)
        assert not said
        await control.create("vpcs", VPC, NOW, ADMIN)
        await control.patch("vpcs", "vpc1", {"route_table": 1234}, NOW, ADMIN)
        await control.patch("vpcs", "vpc1", {"route_table": 1234}, NOW, ADMIN)
        await control.delete("vpcs", "vpc1", NOW, ADMIN)
        assert [entry.message for entry in said] == [
            "VPC vpc1 created",
            "VPC vpc1 changed",
            "VPC vpc1 deleted",
        ]
        assert {entry.kind for entry in said} == {"config.changed"}
        many = [{"name": f"vpc{i}", "cidrs": [f"10.{i}.0.0/16"], "route_table": 2000 + i} for i in range(9)]
        await control.apply({"vpcs": many}, False, NOW, ADMIN)
        assert said[-1].message.startswith("VPC vpc0 created, VPC vpc1 created, ")
        assert said[-1].message.endswith(", and 4 more")
        assert said[-1].data == {"resources": 9}

    tell(story)


def test_a_connection_goes_with_the_choice_of_its_tunnel_or_not_at_all(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.build(*ALL)
        await place.choices.set_mode("conn1", SwitchMode.STANDBY, ADMIN)

        async def away(*_: Any) -> None:
            raise StoreUnavailable("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(place.store, "set_choice", away)
            gone = await place.controller.delete("vpn_connections", "conn1", NOW, ADMIN)
        assert gone.resource is not None
        assert (gone.resource.status, place.choices.modes()) == ("deleting", {})
        assert await place.store.choices() == {}
        entries = await place.controller.audit(None, 2, "vpn_connections", "conn1", None)
        assert [entry.action for entry in entries] == ["delete", "switch"]

    tell(story)


def test_a_switch_that_comes_too_late_leaves_no_choice_behind(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.build(*ALL)
        choose = place.choices.set_mode

        async def deleted_first(connection: str, mode: SwitchMode, actor: Actor, reason: str | None) -> None:
            await place.controller.delete("vpn_connections", connection, NOW, ADMIN)
            await choose(connection, mode, actor, reason)

        monkeypatch.setattr(place.choices, "set_mode", deleted_first)
        service = BgpService(
            cast(Runtime, place.runtime),
            *(place.choices, cast(History, None), cast(Sampler, None), cast(Stations, None)),
        )
        with pytest.raises(NotFound):
            await service.switch("conn1", SwitchMode.STANDBY, False, ADMIN)
        assert (place.choices.modes(), await place.store.choices()) == ({}, {})

    tell(story)


def test_who_goes_away_lets_the_next_one_see_what_was_written(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        write, begun, go_on = place.store.write, asyncio.Event(), asyncio.Event()

        async def slow(batch: Any) -> None:
            begun.set()
            await go_on.wait()
            await write(batch)

        monkeypatch.setattr(place.store, "write", slow)
        gone = asyncio.create_task(place.controller.create("vpcs", VPC, NOW, ADMIN))
        await begun.wait()
        other = {"name": "vpc2", "cidrs": ["10.99.0.0/16"], "route_table": 202}
        later = asyncio.create_task(place.controller.create("vpcs", other, NOW, ADMIN))
        gone.cancel()
        # Both get their turn before the first is committed.
        for _ in range(10):
            await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(gone, later, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert [vpc.name for vpc in place.runtime.engine.intent.vpcs] == ["vpc1", "vpc2"]
        assert place.runtime.adopted[-1] == place.runtime.engine.intent

    tell(story)


def test_a_database_that_is_away_changes_nothing(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.build("vpcs")

        async def away(batch: Any) -> None:
            raise StoreUnavailable("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(place.store, "write", away)
            with pytest.raises(StoreUnavailable):
                await place.controller.patch("vpcs", "vpc1", {"route_table": 300}, NOW, ADMIN)
        assert place.controller.resource("vpcs", "vpc1").config["route_table"] == 201
        assert len(place.runtime.adopted) == 1
        await place.controller.patch("vpcs", "vpc1", {"route_table": 300}, NOW, ADMIN)
        assert place.runtime.engine.intent.vpc("vpc1").route_table == 300

    tell(story)


def test_a_store_that_knows_more_is_read_anew(
    tell: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(place: Place) -> None:
        await place.build("vpcs")
        write = place.store.write

        async def lost(batch: Any) -> None:
            await write(batch)
            raise StoreUnavailable("the answer was lost")

        async def conflict(batch: Any) -> None:
            raise WriteConflict("an earlier write was committed after all")

        with monkeypatch.context() as patch:
            patch.setattr(place.store, "write", lost)
            with pytest.raises(StoreUnavailable):
                await place.controller.patch("vpcs", "vpc1", {"route_table": 300}, NOW, ADMIN)
            patch.setattr(place.store, "write", conflict)
            with pytest.raises(PreconditionFailed):
                await place.controller.patch("vpcs", "vpc1", {"route_table": 301}, NOW, ADMIN)
        assert place.controller.resource("vpcs", "vpc1").config["route_table"] == 300
        assert place.runtime.engine.intent.vpc("vpc1").route_table == 300
        await place.controller.patch("vpcs", "vpc1", {"route_table": 301}, NOW, ADMIN)

    tell(story)


def test_a_file_keeps_its_resources(store_url: str | None, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    async def life() -> None:
        async with living(store_url, tmp_path, file="/etc/bgpsvc.yaml") as place:
            control = place.controller
            assert control.read_only == "the resources come from /etc/bgpsvc.yaml"
            vpcs = load(
                "vpcs: [{name: vpc1, cidrs: [10.0.0.0/16]}, {name: vpc2, cidrs: [10.1.0.0/16], "
                "route_table: 9}]",
                "test",
            ).intent
            control.file_read(vpcs, place.runtime.adopt(vpcs))
            assert control.resource("vpcs", "vpc1").status == "provisioning"
            await place.runtime.settle()
            assert control.resource("vpcs", "vpc1").status == "active"
            before = control.resource("vpcs", "vpc1").etag
            fewer = load("vpcs: [{name: vpc1, cidrs: [10.0.0.0/16]}]", "test").intent
            control.file_read(fewer, place.runtime.adopt(fewer))
            assert control.resource("vpcs", "vpc1").etag == before
            assert control.resource("vpcs", "vpc2").status == "deleting"
            for write in (
                control.create("vpcs", VPC, NOW, ADMIN),
                control.apply({}, True, DRY, ADMIN),
                control.delete("vpcs", "vpc1", NOW, ADMIN),
            ):
                with pytest.raises(ReadOnly, match=r"/etc/bgpsvc\.yaml"):
                    await write

    asyncio.run(life())


def test_pages_follow_each_other_while_resources_come_and_go(tell: Callable[[Story], None]) -> None:
    async def story(place: Place) -> None:
        peers = [{"name": f"c{n}", "address": "203.0.113.1"} for n in range(5)]
        await place.controller.apply({"customer_gateways": peers}, False, NOW, ADMIN)
        page = place.controller.resources("customer_gateways", None, 2)
        assert ([v.name for v in page.items], page.next_after) == (["c0", "c1"], "c1")
        await place.controller.delete("customer_gateways", "c1", NOW, ADMIN)
        page = place.controller.resources("customer_gateways", page.next_after, 3)
        assert ([v.name for v in page.items], page.next_after) == (["c2", "c3", "c4"], None)

    tell(story)
