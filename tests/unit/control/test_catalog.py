"""The catalog: what tells its states apart, and what a page costs."""

from __future__ import annotations

from collections.abc import Iterable

from bgpsvc.catalog import Catalog, Progress, Record
from bgpsvc.resources import Intent
from bgpsvc.resources.kinds import KIND_OF
from bgpsvc.resources.models import CustomerGateway

NOTHING = Intent.model_validate({})
KIND = "customer_gateways"


def record(name: str, made_at: float = 1.0, number: int = 1) -> Record:
    resource = CustomerGateway.model_validate({"name": name, "address": f"203.0.113.{number}", "asn": 65001})
    return Record(KIND_OF[KIND], resource, 1, made_at, made_at)


def test_a_state_of_two_lives_ago_is_another_state() -> None:
    """One is made, the daemon restarted, that one deleted, the daemon restarted, another one made."""
    first = Catalog(NOTHING, [])
    empty = first.etag
    first.take(NOTHING, [record("a", 1.0)], [], 1)
    with_a = first.etag
    first.take(NOTHING, [], [], 2)
    assert first.etag == with_a, "a file that was read again and says the same"
    second = Catalog(NOTHING, [record("a", 1.0)])
    second.take(NOTHING, [], [record("a", 1.0)], 1)
    third = Catalog(NOTHING, [])
    third.take(NOTHING, [record("b", 2.0)], [], 1)
    assert len({empty, with_a, second.etag, third.etag}) == 4
    assert Catalog(NOTHING, []).etag == empty, "nothing happened in between"


class Looks(dict[tuple[str, str], tuple[Record, int]]):
    """Counts how often all of it is looked through."""

    count = 0

    def items(self) -> Iterable[tuple[tuple[str, str], tuple[Record, int]]]:  # type: ignore[override]
        self.count += 1
        return super().items()


def test_a_page_looks_once_at_what_is_being_deleted() -> None:
    records = [record(f"c{number}", number=number) for number in range(1, 9)]
    catalog = Catalog(NOTHING, records)
    catalog.take(NOTHING, [], records[:4], 1)
    looks = catalog._deleting = Looks(catalog._deleting)
    for done in (0, 1):
        assert [view.name for view in catalog.page(KIND, None, 9, Progress(done)).items] == [
            "c5",
            "c6",
            "c7",
            "c8",
        ]
    assert looks.count == 2, "once for each step of progress"
    assert not looks, "they are gone"
    catalog.take(NOTHING, [], records[4:5], 2)
    assert catalog.view(KIND, "c5", Progress(1)).status == "deleting"
