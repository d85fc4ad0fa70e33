"""Requests that schemathesis makes of the OpenAPI document: no 5xx, no answer that is not documented."""

from __future__ import annotations

import pytest

from api.limits import Limits
from bgpsvc.control import Scope
from tests.fakes.server import RunningApi
from tests.schemathesis_run import run

UNLIMITED = Limits(rate=1e9, burst=10**9, failure_rate=1e9, failure_burst=10**9)


@pytest.mark.timeout(600)
def test_no_request_finds_a_mistake() -> None:
    with RunningApi(anonymous=None, limits=UNLIMITED) as api:
        token = api.control.add_token("schemathesis", Scope.ADMIN).text
        status, text = run(api.url, token)
        assert status == 0, text
        assert "Tested: 70" in text, text
        # It got through to the resources, and was not merely refused.
        actions = {(entry.action, entry.kind) for entry in api.control.log}
        assert {
            ("create", "customer_gateways"),
            ("token.create", "tokens"),
            ("reveal", "vpn_connections"),
        } <= actions
