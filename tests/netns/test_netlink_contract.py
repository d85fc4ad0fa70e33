"""The same scenarios against the fake kernel and the real one: what the fake says, the real one does."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from bgpsvc.fib.netlink import Kernel
from bgpsvc.fib.ops import (
    NEXTHOP_IDS,
    AddressesChanged,
    DeleteNexthop,
    DeleteRoutes,
    LinkGone,
    LinkSeen,
    Nexthop,
    NexthopChanged,
    NexthopGone,
    Notice,
    Op,
    RouteChanged,
    RouteGone,
    SetGroup,
    SetNexthop,
    SetRoutes,
)
from bgpsvc.fib.prepare import prepare
from bgpsvc.model import Family, Prefix, format_prefix, parse_address, parse_prefix
from tests.fakes.kernel import FakeKernel, by_metric
from tests.netns.namespaces import Namespace, wait_until

TABLE = 1000
BASE = NEXTHOP_IDS.start
V4, V6 = Family.IPV4, Family.IPV6
STATIC = 4
TEN, ELEVEN, SIX = parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8"), parse_prefix("fd10::/32")


class World:
    """A kernel behind the port with tunnels t1 and t2, and what others do to it."""

    kernel: FakeKernel | Kernel

    def link_up(self, name: str) -> None:
        raise NotImplementedError

    link_down = carrier_lost = carrier_found = delete_link = link_up

    def delete_nexthop(self, number: int) -> None:
        raise NotImplementedError

    def delete_route(self, prefix: Prefix, metric: int) -> None:
        raise NotImplementedError

    def foreign_route(self, prefix: Prefix, metric: int) -> None:
        raise NotImplementedError

    def foreign_routes(self) -> list[Prefix]:
        raise NotImplementedError

    def read(self) -> list[Notice]:
        raise NotImplementedError

    def index(self, name: str) -> int:
        return next((link.ifindex for link in self.kernel.links() if link.name == name), 0)

    def is_up(self, name: str) -> bool:
        return any(link.up for link in self.kernel.links() if link.name == name)


class FakeWorld(World):
    def __init__(self) -> None:
        self.kernel: FakeKernel = FakeKernel()
        for i in (1, 2):
            self.kernel.add_link(f"t{i}", f"169.254.1{i}.1/30", f"fd00:{i}::1/64")
        self.kernel.read()

    def link_up(self, name: str) -> None:
        self.kernel.link_up(self.index(name))

    def link_down(self, name: str) -> None:
        self.kernel.link_down(self.index(name))

    def carrier_lost(self, name: str) -> None:
        self.kernel.carrier_lost(self.index(name))

    def carrier_found(self, name: str) -> None:
        self.kernel.carrier_found(self.index(name))

    def delete_link(self, name: str) -> None:
        self.kernel.delete_link(self.index(name))

    def delete_nexthop(self, number: int) -> None:
        self.kernel.delete_nexthop(BASE + number)

    def delete_route(self, prefix: Prefix, metric: int) -> None:
        self.kernel.delete_route(TABLE, prefix, metric)

    def foreign_route(self, prefix: Prefix, metric: int) -> None:
        self.kernel.foreign_route(TABLE, prefix, metric, STATIC)

    def foreign_routes(self) -> list[Prefix]:
        return [prefix for table, prefix, _ in self.kernel.foreign if table == TABLE]

    def read(self) -> list[Notice]:
        return self.kernel.read()


class RealWorld(World):
    def __init__(self, here: Namespace, peer: Namespace) -> None:
        self.here, self.peer = here, peer
        for i in (1, 2):
            here.veth(f"t{i}", peer, f"p{i}", [f"169.254.1{i}.1/30", f"fd00:{i}::1/64"])
        with here.entered():
            prepare()
            self.kernel: Kernel = Kernel()
        self.kernel.monitor.watch([TABLE])

    def link_up(self, name: str) -> None:
        self.here.ip(f"link set {name} up")

    def link_down(self, name: str) -> None:
        self.here.ip(f"link set {name} down")

    def carrier_lost(self, name: str) -> None:
        self.peer.ip(f"link set {name.replace('t', 'p')} down")
        index = self.index(name)
        # The carrier is gone before the kernel's own work on it is done.
        wait_until(
            lambda: not self.is_up(name) and not any(n.ifindex == index for n in self.kernel.nexthops()),
            f"{name} down",
        )

    def carrier_found(self, name: str) -> None:
        self.peer.ip(f"link set {name.replace('t', 'p')} up")
        wait_until(lambda: self.is_up(name), f"{name} up")

    def delete_link(self, name: str) -> None:
        self.here.ip(f"link del {name}")

    def delete_nexthop(self, number: int) -> None:
        self.here.ip(f"nexthop del id {BASE + number}")

    def delete_route(self, prefix: Prefix, metric: int) -> None:
        self.here.ip(f"route del {format_prefix(prefix)} table {TABLE} metric {metric}")

    def foreign_route(self, prefix: Prefix, metric: int) -> None:
        dev = "dev t2 proto static"
        self.here.ip(f"route replace {format_prefix(prefix)} {dev} table {TABLE} metric {metric}")

    def foreign_routes(self) -> list[Prefix]:
        show = f"route show table {TABLE} proto static"
        lines = (self.here.ip(show) + self.here.ip(f"-6 {show}")).splitlines()
        return [parse_prefix(line.split()[0]) for line in lines]

    def read(self) -> list[Notice]:
        return self.kernel.monitor.read()


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest, make_namespace: Callable[[], Namespace]) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    real = RealWorld(make_namespace(), make_namespace())
    with real.kernel:
        yield real


def nexthop(world: World, number: int, tunnel: int, family: Family = V4) -> SetNexthop:
    gateway = f"169.254.1{tunnel}.2" if family is V4 else f"fd00:{tunnel}::2"
    return SetNexthop(BASE + number, family, world.index(f"t{tunnel}"), parse_address(gateway))


def group(number: int, *members: int) -> SetGroup:
    return SetGroup(BASE + number, tuple(BASE + member for member in members))


def routes(number: int, *prefixes: Prefix, metric: int = 100) -> SetRoutes:
    return SetRoutes(TABLE, metric, BASE + number, prefixes)


def done(world: World, *ops: Op) -> None:
    assert world.kernel.apply(ops) == []


def refused(world: World, *ops: Op) -> list[tuple[int, str, Prefix | None]]:
    errors = world.kernel.apply(ops)
    assert all(error.op in ops for error in errors)
    return [(error.errno, error.text, error.prefix) for error in errors]


def table(world: World) -> dict[tuple[str, int], int]:
    """Our routes, with readable prefixes and nexthop numbers."""
    found = world.kernel.routes(TABLE)
    return {(format_prefix(prefix), metric): ident - BASE for (prefix, metric), ident in found.items()}


def objects(world: World) -> dict[int, tuple[int, ...]]:
    """Nexthops and groups by number, with the members' numbers."""
    return {
        item.id - BASE: tuple(member - BASE for member in item.members) for item in world.kernel.nexthops()
    }


def about_tables(notices: list[Notice]) -> list[Notice]:
    """Without links and addresses, whose number and order are the kernel's own affair; sorted."""
    kinds = LinkSeen | LinkGone | AddressesChanged
    return sorted((notice for notice in notices if not isinstance(notice, kinds)), key=repr)


def two_classes(world: World) -> None:
    """Both families: a group over each tunnel's nexthop, a primary route and a floating backup."""
    done(world, nexthop(world, 1, 1), nexthop(world, 2, 2), group(11, 1), group(12, 2))
    done(world, nexthop(world, 61, 1, V6), nexthop(world, 62, 2, V6), group(71, 61))
    done(world, routes(11, TEN), routes(2, TEN, metric=200), routes(12, ELEVEN))
    done(world, routes(71, SIX), routes(62, SIX, metric=200))


def test_what_was_set_is_there(world: World) -> None:
    two_classes(world)
    assert table(world) == {
        ("10.0.0.0/8", 100): 11,
        ("10.0.0.0/8", 200): 2,
        ("11.0.0.0/8", 100): 12,
        ("fd10::/32", 100): 71,
        ("fd10::/32", 200): 62,
    }
    assert world.kernel.nexthops() == [
        Nexthop(BASE + 1, 201, V4, world.index("t1"), parse_address("169.254.11.2"), ()),
        Nexthop(BASE + 2, 201, V4, world.index("t2"), parse_address("169.254.12.2"), ()),
        Nexthop(BASE + 11, 201, None, None, None, (BASE + 1,)),
        Nexthop(BASE + 12, 201, None, None, None, (BASE + 2,)),
        Nexthop(BASE + 61, 201, V6, world.index("t1"), parse_address("fd00:1::2"), ()),
        Nexthop(BASE + 62, 201, V6, world.index("t2"), parse_address("fd00:2::2"), ()),
        Nexthop(BASE + 71, 201, None, None, None, (BASE + 61,)),
    ]
    assert world.kernel.routes(TABLE + 1) == {}
    assert world.kernel.all_routes() == (
        {TABLE: by_metric(world.kernel.routes(TABLE))} if table(world) else {}
    )
    assert about_tables(world.read()) == []


def test_routes_of_all_tables_are_found(world: World) -> None:
    two_classes(world)
    high = 0x2FFFFFFF
    ops = [SetRoutes(number, 100, BASE + 11, (TEN,)) for number in (7, high)]
    ops.append(SetRoutes(high, 200, BASE + 61, (SIX,)))
    ops.append(DeleteRoutes(TABLE, 200, (TEN,)))
    assert world.kernel.apply(ops) == []
    assert world.kernel.all_routes() == {
        7: {100: {TEN: BASE + 11}},
        TABLE: by_metric(world.kernel.routes(TABLE)),
        high: {100: {TEN: BASE + 11}, 200: {SIX: BASE + 61}},
    }


def test_setting_it_again_changes_nothing(world: World) -> None:
    two_classes(world)
    before = table(world)
    two_classes(world)
    assert table(world) == before


def test_default_routes(world: World) -> None:
    done(world, nexthop(world, 1, 1), nexthop(world, 61, 1, V6))
    done(world, routes(1, parse_prefix("0.0.0.0/0")), routes(61, parse_prefix("::/0")))
    assert table(world) == {("0.0.0.0/0", 100): 1, ("::/0", 100): 61}


def test_links_and_connected_networks(world: World) -> None:
    assert [link.name for link in world.kernel.links() if link.up] == ["lo", "t1", "t2"]
    networks = [format_prefix(prefix) for prefix in world.kernel.connected()]
    assert [network for network in networks if network != "fe80::/64"] == [
        "169.254.11.0/30",
        "169.254.12.0/30",
        "fd00:1::/64",
        "fd00:2::/64",
    ]


def test_deleting_what_is_missing_is_no_error(world: World) -> None:
    done(
        world,
        DeleteNexthop(BASE + 99),
        DeleteRoutes(TABLE, 100, (TEN, ELEVEN)),
        DeleteRoutes(77, 100, (SIX,)),
    )


def test_deletes_only_the_metric_that_it_names(world: World) -> None:
    done(world, nexthop(world, 1, 1), nexthop(world, 61, 1, V6))
    done(world, routes(1, TEN), routes(1, TEN, metric=200), routes(61, SIX), routes(61, SIX, metric=200))
    done(world, DeleteRoutes(TABLE, 100, (TEN,)), DeleteRoutes(TABLE, 200, (SIX,)))
    assert table(world) == {("10.0.0.0/8", 200): 1, ("fd10::/32", 100): 61}


def test_does_not_delete_routes_of_others(world: World) -> None:
    world.foreign_route(TEN, 100)
    world.foreign_route(SIX, 100)
    done(world, DeleteRoutes(TABLE, 100, (TEN,)), DeleteRoutes(TABLE, 100, (SIX,)))
    assert world.foreign_routes() == [TEN, SIX]


@pytest.mark.parametrize(
    ("family", "interface", "gateway", "code", "text"),
    [
        (V4, None, "169.254.11.2", errno.EINVAL, "Invalid device index"),
        (V4, "t1", "1.1.1.1", errno.ENETUNREACH, "Nexthop has invalid gateway"),
        (V6, "t1", "2001:db8::1", errno.EHOSTUNREACH, "No route to host"),
        (V4, "t1", "fd00:1::2", errno.EINVAL, "Invalid gateway"),
        (V6, "t1", "169.254.11.2", errno.EINVAL, "Invalid gateway"),
    ],
)
def test_refused_nexthops(
    world: World, family: Family, interface: str | None, gateway: str, code: int, text: str
) -> None:
    index = world.index(interface) if interface else 99999
    assert refused(world, SetNexthop(BASE + 1, family, index, parse_address(gateway))) == [(code, text, None)]
    assert objects(world) == {}


def test_accepted_nexthops(world: World) -> None:
    done(
        world,
        SetNexthop(BASE + 1, V4, world.index("t1"), None),
        SetNexthop(BASE + 2, V6, world.index("t1"), None),
    )
    done(world, SetNexthop(BASE + 3, V6, world.index("t1"), parse_address("fe80::99")))
    done(world, routes(1, TEN), routes(2, SIX), routes(3, ELEVEN))


def test_refused_groups(world: World) -> None:
    done(world, nexthop(world, 1, 1), group(10, 1))
    invalid = errno.EINVAL
    assert refused(world, group(11, 99)) == [(invalid, "Invalid nexthop id", None)]
    assert refused(world, group(11, 1, 1)) == [(invalid, "Nexthop id can not be used twice in a group", None)]
    nested = "Hash-threshold group can not be a nexthop within a group"
    assert refused(world, group(11, 10)) == [(invalid, nested, None)]
    assert refused(world, group(1, 1)) == [
        (invalid, "Can not replace a nexthop with a nexthop group.", None),
    ]
    assert refused(world, nexthop(world, 10, 1)) == [
        (invalid, "Can not replace a nexthop group with a nexthop.", None),
    ]
    assert objects(world) == {1: (), 10: (1,)}


def test_a_group_that_must_exist(world: World) -> None:
    done(world, nexthop(world, 1, 1), nexthop(world, 2, 2), group(11, 1))
    done(world, SetGroup(BASE + 11, (BASE + 2,), existing=True))
    assert objects(world)[11] == (2,)
    gone = SetGroup(BASE + 12, (BASE + 2,), existing=True)
    text = "Replace specified without create and no entry exists"
    assert refused(world, gone) == [(errno.ENOENT, text, None)]
    wrong = SetGroup(BASE + 12, (BASE + 99,), existing=True)
    assert refused(world, wrong) == [(errno.EINVAL, "Invalid nexthop id", None)]
    assert objects(world) == {1: (), 2: (), 11: (2,)}


def test_a_refused_route_does_not_stop_the_others(world: World) -> None:
    done(world, nexthop(world, 1, 1))
    assert refused(world, routes(99, TEN), routes(1, ELEVEN)) == [
        (errno.EINVAL, "Nexthop id does not exist", TEN)
    ]
    assert table(world) == {("11.0.0.0/8", 100): 1}


def test_ipv6_routes_need_ipv6_nexthops(world: World) -> None:
    done(
        world, nexthop(world, 1, 1), nexthop(world, 61, 1, V6), group(10, 1), group(70, 61), group(80, 1, 61)
    )
    text = "IPv6 routes can not use an IPv4 nexthop"
    for number in (1, 10, 80):
        assert refused(world, routes(number, SIX)) == [(errno.EINVAL, text, SIX)]
    done(world, routes(70, SIX), routes(70, TEN), routes(80, ELEVEN))
    assert refused(world, group(70, 1)) == [(errno.EINVAL, text, None)]
    assert refused(world, nexthop(world, 61, 1)) == [(errno.EINVAL, text, None)]
    done(world, nexthop(world, 1, 1, V6))
    assert table(world) == {("fd10::/32", 100): 70, ("10.0.0.0/8", 100): 70, ("11.0.0.0/8", 100): 80}


def test_deleting_a_nexthop_takes_its_groups_and_routes_along(world: World) -> None:
    done(world, nexthop(world, 1, 1), nexthop(world, 2, 2), group(11, 1), group(12, 1, 2))
    done(world, routes(11, TEN), routes(12, ELEVEN), routes(1, parse_prefix("12.0.0.0/8")))
    done(world, DeleteNexthop(BASE + 1))
    assert objects(world) == {2: (), 12: (2,)}
    assert table(world) == {("11.0.0.0/8", 100): 12}
    assert about_tables(world.read()) == []


def test_somebody_deletes_a_nexthop(world: World) -> None:
    done(world, nexthop(world, 1, 1), nexthop(world, 2, 2), group(11, 1), group(12, 1, 2), routes(11, TEN))
    world.delete_nexthop(1)
    wanted = [NexthopChanged(BASE + 12), NexthopGone(BASE + 1), NexthopGone(BASE + 11)]
    assert about_tables(world.read()) == wanted
    assert table(world) == {}


def test_somebody_deletes_a_route(world: World) -> None:
    two_classes(world)
    world.delete_route(TEN, 100)
    world.delete_route(SIX, 200)
    wanted = [RouteGone(TABLE, TEN, 100), RouteGone(TABLE, SIX, 200)]
    assert about_tables(world.read()) == sorted(wanted, key=repr)


def test_somebody_replaces_a_route_and_we_take_it_back(world: World) -> None:
    two_classes(world)
    world.foreign_route(TEN, 100)
    assert about_tables(world.read()) == [RouteChanged(TABLE, TEN, 100, STATIC, None)]
    assert ("10.0.0.0/8", 100) not in table(world)
    done(world, routes(11, TEN))
    assert table(world)["10.0.0.0/8", 100] == 11
    assert about_tables(world.read()) == []


LEFT = {("10.0.0.0/8", 200): 2, ("11.0.0.0/8", 100): 12, ("fd10::/32", 200): 62}


@pytest.mark.parametrize("how", ["link_down", "carrier_lost", "delete_link"])
def test_a_lost_link_takes_nexthops_groups_and_routes_silently(world: World, how: str) -> None:
    two_classes(world)
    done(world, group(13, 1, 2))
    ifindex = world.index("t1")
    getattr(world, how)("t1")
    assert objects(world) == {2: (), 12: (2,), 13: (2,), 62: ()}
    assert table(world) == LEFT
    notices = world.read()
    assert about_tables(notices) == []
    seen = [notice.link for notice in notices if isinstance(notice, LinkSeen) and notice.link.name == "t1"]
    assert seen
    assert not seen[-1].up
    assert (LinkGone("t1", ifindex) in notices) == (how == "delete_link")
    assert (AddressesChanged() in notices) == (how != "carrier_lost")


def test_a_link_that_is_down_takes_no_nexthop(world: World) -> None:
    done(world, nexthop(world, 2, 2))
    world.link_down("t1")
    down = (errno.ENETDOWN, "Nexthop device is not up", None)
    assert refused(world, nexthop(world, 1, 1)) == [down]
    assert refused(world, nexthop(world, 2, 1)) == [down]
    assert refused(world, nexthop(world, 61, 1, V6)) == [down]
    assert refused(world, group(11, 1)) == [(errno.EINVAL, "Invalid nexthop id", None)]
    world.link_up("t1")
    wait_until(lambda: world.is_up("t1"), "t1 up")
    done(world, nexthop(world, 1, 1))
    # IPv6 addresses did not survive (net.ipv6.conf.*.keep_addr_on_down is off)
    assert refused(world, nexthop(world, 61, 1, V6)) == [(errno.EHOSTUNREACH, "No route to host", None)]


def test_a_link_without_carrier_takes_no_nexthop(world: World) -> None:
    world.carrier_lost("t1")
    lost = (errno.ENETDOWN, "Carrier for nexthop device is down", None)
    assert refused(world, nexthop(world, 1, 1)) == [lost]
    assert refused(world, nexthop(world, 61, 1, V6)) == [lost]
    world.carrier_found("t1")
    done(world, nexthop(world, 1, 1), nexthop(world, 61, 1, V6))


@pytest.mark.parametrize(
    "op",
    [
        SetGroup(BASE, ()),
        SetGroup(1, (BASE,)),
        SetNexthop(1, V4, 1, None),
        DeleteNexthop(NEXTHOP_IDS.stop),
        SetRoutes(0, 100, BASE, (TEN,)),
        SetRoutes(TABLE, 0, BASE, (TEN,)),
        DeleteRoutes(TABLE, 0, (TEN,)),
        SetRoutes(TABLE, 100, BASE, (TEN, SIX)),
        DeleteRoutes(TABLE, 100, (Prefix(b"\x0a\x08"),)),
    ],
)
def test_what_is_not_ours_or_no_operation_is_a_value_error(world: World, op: Op) -> None:
    with pytest.raises(ValueError, match=r"range|members|table and a metric|not all IPv4"):
        world.kernel.apply([op])
