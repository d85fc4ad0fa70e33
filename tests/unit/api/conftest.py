"""Fixtures: the fake service, the application, and clients that check each response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from tests.fakes.control import FakeControl
from tests.fakes.server import RunningApi
from tests.fakes.service import FakeService
from tests.unit.api.contract import Contract, Json


class Client:
    """Synchronous requests to the application in this process, each response checked by the contract."""

    def __init__(self, app: FastAPI, contract: Contract) -> None:
        self.app = app
        self.contract = contract

    def __call__(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        base: str = "http://test",
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, json=json, content=content, headers=headers)

        response = asyncio.run(ask())
        self.contract.check(response)
        return response

    def get(self, path: str) -> Json:
        """Body of a GET that must succeed."""
        response = self("GET", path)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def control(service: FakeService) -> FakeControl:
    return FakeControl(service)


@pytest.fixture
def read_only(control: FakeControl) -> None:
    """Resources come from a file."""
    control.file = "/etc/bgpsvc.yaml"


@pytest.fixture
def app(service: FakeService, control: FakeControl) -> FastAPI:
    return create_app(service, control, version="0.1.0")


@pytest.fixture(scope="session")
def contract() -> Contract:
    service = FakeService()
    return Contract(create_app(service, FakeControl(service), version="0.1.0").openapi())


@pytest.fixture
def client(app: FastAPI, contract: Contract) -> Client:
    return Client(app, contract)


@pytest.fixture
def running() -> Iterator[RunningApi]:
    with RunningApi() as api:
        yield api
