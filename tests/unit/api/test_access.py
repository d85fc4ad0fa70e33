"""Who may do what: every operation of the OpenAPI document, tokens of every kind, sockets, pages, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from api import export
from api.access import PUBLIC, SCOPE, ScopedRoute, needs
from api.app import create_app, guarded
from api.limits import Limits
from bgpsvc.control import SYSTEM, Actor, Scope
from tests.fakes.control import FakeControl
from tests.fakes.service import FakeService
from tests.unit.api.conftest import Client
from tests.unit.api.contract import Contract, Json
from tests.unit.api.paths import filled, operations

TCP = "http://gateway.example:8179"
LOOPBACK = "http://127.0.0.1:8179"
UNLIMITED = Limits(rate=1e6, burst=10**6, failure_rate=1e6, failure_burst=10**6)
BELOW = {Scope.READ: None, Scope.OPERATE: Scope.READ, Scope.ADMIN: Scope.OPERATE}


@pytest.fixture
def app(service: FakeService, control: FakeControl) -> FastAPI:
    return create_app(service, control, version="0.1.0", limits=UNLIMITED, keep_alive=0.01)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def body_of(operation: Json) -> Json:
    content = operation.get("requestBody", {}).get("content", {})
    return content["application/json"]["example"] if content else None


def every_operation(contract: Contract) -> list[tuple[str, str, Json]]:
    # Openings that end by themselves only: the stream has tests of its own.
    return [found for found in operations(contract.document) if found[2]["operationId"] != "streamEvents"]


def test_every_operation_declares_its_scope_and_its_security(contract: Contract) -> None:
    public = []
    for path, method, operation in operations(contract.document):
        assert operation[SCOPE] in ("read", "operate", "admin", PUBLIC), f"{method} {path}"
        if operation[SCOPE] == PUBLIC:
            public.append(path)
            assert operation["security"] == []
            continue
        assert operation["security"] == [{"bearer": []}]
        assert {"401", "403"} <= operation["responses"].keys(), f"{method} {path}"
        changes = method != "get" and operation["operationId"] != "simulateVpnGateway"
        assert operation[SCOPE] != "read" or not changes, f"{method} {path}: changes need more than read"
    assert public == ["/healthz"]


def test_an_operation_without_a_scope_cannot_be_served() -> None:
    careful = APIRouter(route_class=ScopedRoute)
    with pytest.raises(TypeError, match="must say which scope"):
        careful.get("/v1/open")(lambda: None)
    careless = APIRouter()
    careless.get("/v1/open", openapi_extra=needs(Scope.READ))(lambda: None)
    with pytest.raises(TypeError, match="route_class=ScopedRoute"):
        list(guarded(careless.routes))


def test_every_path_of_the_application_is_guarded(app: FastAPI, client: Client) -> None:
    """What is not in the OpenAPI document is guarded too."""
    assert client("GET", "/openapi.json", base=TCP).status_code == 401
    for path in ("/docs", "/redoc", "/v1"):
        assert client("GET", path, base=TCP).status_code == 404


def test_no_operation_answers_without_a_token(
    client: Client, contract: Contract, control: FakeControl
) -> None:
    expired = control.add_token("old", Scope.ADMIN, control.now - 1).text
    revoked = control.add_token("gone", Scope.ADMIN)
    asyncio.run(control.revoke_token(revoked.view.id, SYSTEM))
    good = control.add_token("good", Scope.ADMIN).text
    wrong = {
        "none": {},
        "unknown": bearer("bgpsvc_ffffffffffff." + "A" * 43),
        "wrong secret": bearer(good[:-4] + "AAAA"),
        "expired": bearer(expired),
        "revoked": bearer(revoked.text),
        "malformed": bearer("nonsense"),
        "empty": {"Authorization": ""},
        "other scheme": {"Authorization": f"Basic {good}"},
    }
    before = (control.configuration_etag(), len(control.log))
    for path, method, operation in every_operation(contract):
        if operation[SCOPE] == PUBLIC:
            continue
        for what, headers in wrong.items():
            response = client(
                method.upper(), filled(path, control), json=body_of(operation), base=TCP, headers=headers
            )
            assert response.status_code == 401, f"{method} {path}: {what}"
            assert response.headers["www-authenticate"].startswith('Bearer realm="bgpsvc"')
    changed = [entry for entry in control.log[before[1] :] if entry.action != "authentication.failed"]
    assert (control.configuration_etag(), changed) == (before[0], [])


def test_two_tokens_are_none(client: Client, control: FakeControl) -> None:
    good = control.add_token("good", Scope.ADMIN).text

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(transport=transport, base_url=TCP) as both:
            value = f"Bearer {good}"
            return await both.get("/v1/vpcs", headers=[("Authorization", value), ("Authorization", value)])

    assert asyncio.run(ask()).status_code == 401


def test_a_scope_that_is_too_low_is_refused_and_the_right_one_is_not(
    client: Client, contract: Contract, control: FakeControl
) -> None:
    tokens = {scope: control.add_token(scope.value, scope).text for scope in Scope}
    for path, method, operation in every_operation(contract):
        if operation[SCOPE] == PUBLIC:
            continue
        needed = Scope(operation[SCOPE])
        below = BELOW[needed]
        target = filled(path, control)
        body = {} if operation["operationId"] == "updateVpnGateway" else body_of(operation)
        etag = control.configuration_etag()
        if below is not None:
            low = client(method.upper(), target, json=body, base=TCP, headers=bearer(tokens[below]))
            assert low.status_code == 403, f"{method} {path}"
            assert f"needs the scope {needed.value}" in low.json()["detail"]
            assert control.configuration_etag() == etag
        right = client(method.upper(), target, json=body, base=TCP, headers=bearer(tokens[needed]))
        assert right.status_code not in (401, 403), f"{method} {path}: {right.text}"


def test_an_operator_switches_propagation_and_nothing_else(
    client: Client, control: FakeControl, service: FakeService
) -> None:
    operator = bearer(control.add_token("operator", Scope.OPERATE).text)
    path = "/v1/vpn-gateways/gw1"
    allowed = client("PATCH", path, json={"auto_propagate": False}, base=TCP, headers=operator)
    assert (allowed.status_code, service.auto_propagate) == (200, False)
    body = {"auto_propagate": True, "advertise": ["10.9.0.0/16"]}
    refused = client("PATCH", path, json=body, base=TCP, headers=operator)
    assert (refused.status_code, service.auto_propagate) == (403, False)


def test_a_unix_socket_is_trusted_and_what_is_no_socket_is_not(app: FastAPI, control: FakeControl) -> None:
    async def ask(server: tuple[str, int | None] | None) -> int:
        sent: list[Json] = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/vpn-connections/conn1/reveal",
            "query_string": b"",
            "headers": [(b"host", b"x")],
            "server": server,
            "client": None,
        }

        async def receive() -> Json:
            return {"type": "http.request", "body": b""}

        async def send(message: Json) -> None:
            sent.append(message)

        await app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    assert asyncio.run(ask(("/run/api.sock", None))) == 200
    assert (control.log[-1].actor, control.log[-1].source) == ("unix socket", "/run/api.sock")
    assert asyncio.run(ask(("127.0.0.1", 8179))) == 401
    assert asyncio.run(ask(None)) == 401


def test_who_did_it_is_known(client: Client, control: FakeControl) -> None:
    token = control.add_token("automation", Scope.ADMIN)
    client(
        "POST",
        "/v1/vpcs",
        json={"name": "vpc9", "cidrs": ["10.9.0.0/16"]},
        base=TCP,
        headers=bearer(token.text),
    )
    entry = control.log[-1]
    assert (entry.action, entry.kind, entry.name) == ("create", "vpcs", "vpc9")
    assert (entry.actor, entry.source) == (f"token {token.view.id} (automation)", "127.0.0.1")


# Anonymous requests.


@pytest.fixture
def anonymous(service: FakeService, control: FakeControl, contract: Contract) -> Callable[[Scope], Client]:
    def made(scope: Scope) -> Client:
        app = create_app(service, control, version="0.1.0", limits=UNLIMITED, anonymous=scope)
        return Client(app, contract)

    return made


def test_without_a_token_the_anonymous_scope_holds(
    anonymous: Callable[[Scope], Client], control: FakeControl
) -> None:
    reader = anonymous(Scope.READ)
    assert reader("GET", "/v1/vpcs", base=LOOPBACK).status_code == 200
    assert reader("GET", "/v1/tokens", base=LOOPBACK).status_code == 403
    assert anonymous(Scope.ADMIN)("GET", "/v1/tokens", base=LOOPBACK).status_code == 200
    # A token that is given must be good, and counts instead.
    assert reader("GET", "/v1/vpcs", base=LOOPBACK, headers=bearer("nonsense")).status_code == 401
    admin = bearer(control.add_token("admin", Scope.ADMIN).text)
    assert reader("GET", "/v1/tokens", base=LOOPBACK, headers=admin).status_code == 200


def test_a_page_from_elsewhere_changes_nothing_without_a_token(anonymous: Callable[[Scope], Client]) -> None:
    client = anonymous(Scope.ADMIN)
    path = "/v1/secrets/rotate-key"
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        assert client("POST", path, base=LOOPBACK, headers={"Origin": origin}).status_code == 403
    assert client("POST", path, base=LOOPBACK, headers={"Origin": LOOPBACK}).status_code == 200
    assert client("POST", path, base=LOOPBACK).status_code == 200


# Limits.


def test_too_many_requests_of_a_token_wait_and_others_do_not(
    service: FakeService, control: FakeControl, contract: Contract
) -> None:
    limits = Limits(rate=0.001, burst=3)
    client = Client(create_app(service, control, version="0.1.0", limits=limits), contract)
    one, two = (bearer(control.add_token(name, Scope.READ).text) for name in ("one", "two"))
    assert [client("GET", "/v1/vpcs", base=TCP, headers=one).status_code for _ in range(4)] == [200] * 3 + [
        429
    ]
    refused = client("GET", "/v1/vpcs", base=TCP, headers=one)
    assert refused.json()["type"] == "urn:bgpsvc:problem:too-many-requests"
    assert 900 <= int(refused.headers["retry-after"]) <= 1000
    assert client("GET", "/v1/vpcs", base=TCP, headers=two).status_code == 200
    # The unix socket is exempt, and so is nothing that needs no token.
    assert [client("GET", "/v1/vpcs").status_code for _ in range(5)] == [200] * 5
    assert [client("GET", "/healthz", base=TCP).status_code for _ in range(4)] == [200] * 3 + [429]


def test_failures_are_limited_harder_and_do_not_lock_out_a_good_token(
    service: FakeService, control: FakeControl, contract: Contract
) -> None:
    limits = Limits(failure_rate=0.001, failure_burst=2)
    client = Client(create_app(service, control, version="0.1.0", limits=limits), contract)
    bad = bearer("bgpsvc_ffffffffffff." + "A" * 43)
    assert [client("GET", "/v1/vpcs", base=TCP, headers=bad).status_code for _ in range(3)] == [401, 401, 429]
    assert client("GET", "/v1/vpcs", base=TCP).status_code == 429
    good = bearer(control.add_token("good", Scope.READ).text)
    assert client("GET", "/v1/vpcs", base=TCP, headers=good).status_code == 200


def test_failures_are_in_the_audit_log_but_cannot_flood_it(client: Client, control: FakeControl) -> None:
    bad = bearer("bgpsvc_ffffffffffff." + "A" * 43)
    for _ in range(50):
        assert client("GET", "/v1/vpcs", base=TCP, headers=bad).status_code == 401
    (entry,) = control.log
    assert (entry.action, entry.actor, entry.source) == ("authentication.failed", "unknown", "127.0.0.1")
    assert entry.new == {
        "reason": "the token is unknown, wrong, expired or revoked",
        "unreported_before": 0,
    }


def test_a_failure_is_refused_without_the_audit_log_too(client: Client, control: FakeControl) -> None:
    control.down = True
    bad = bearer("bgpsvc_ffffffffffff." + "A" * 43)
    assert client("GET", "/v1/vpcs", base=TCP, headers=bad).status_code == 401


class Asked(FakeControl):
    """Tells when a token was looked at for the third time, and then revokes it."""

    looked = 0

    async def authenticate(self, token: str, source: str) -> Actor | None:
        self.looked += 1
        if self.looked == 4:
            await self.revoke_token("000000000001", SYSTEM)
        return await super().authenticate(token, source)


def test_a_stream_ends_when_its_token_is_revoked(service: FakeService, contract: Contract) -> None:
    control = Asked(service)
    token = control.add_token("watcher", Scope.READ)
    app = create_app(service, control, version="0.1.0", keep_alive=0.01)
    stream = Client(app, contract)("GET", "/v1/events/stream", base=TCP, headers=bearer(token.text))
    # Let in, twice found good, and then no more.
    assert (control.looked, stream.text.count(": keep-alive")) == (4, 2)


def test_a_file_ends_early_when_its_token_is_revoked(
    service: FakeService, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 1)
    control = Asked(service)
    token = control.add_token("copier", Scope.READ)
    client = Client(create_app(service, control, version="0.1.0"), contract)
    path = "/v1/vpn-gateways/gw1/routes/export?format=csv"
    response = client("GET", path, base=TCP, headers=bearer(token.text))
    # Let in, twice found good, and then no more: three pages of six, behind the head.
    assert (control.looked, response.text.count("\n")) == (4, 1 + 3)
