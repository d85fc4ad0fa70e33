"""The daemon without its database: gone, or there and silent."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.service import CONFIGURATION, Site
from tests.fakes.postgresql import Postgresql


@pytest.fixture
def server() -> Iterator[Postgresql]:
    """One to be ended or held up."""
    made = Postgresql()
    try:
        made.make()
        made.start()
        yield made
    finally:
        made.hold(signal.SIGCONT)
        made.stop()
        made.remove()


@pytest.mark.parametrize("silent", [False, True])
def test_a_database_that_does_not_answer_holds_no_stop_up(server: Postgresql, silent: bool) -> None:
    with Site(stored=True) as site:
        site.options = ("--database", server.database())
        site.start()
        for kind in ("vpcs", "customer_gateways", "vpn_gateways", "vpn_connections"):
            for item in CONFIGURATION[kind]:
                site.rest.write("POST", f"/v1/{kind.replace('_', '-')}", item, 201)
        site.rest.until_active("/v1/vpn-connections/conn1")
        if silent:
            server.hold(signal.SIGSTOP)
        else:
            server.stop()
        with site.peer(1):
            site.until_session(1)  # an event to be stored
        # A second more for each of the last things, and what the driver takes to give up its connections.
        assert site.stop() < 15
        assert site.daemon is not None
        assert site.daemon.returncode == 0, site.log()
        assert "the last events are not stored" in site.log_path.read_text()
        assert site.kernel_routes() == set()
        if silent:
            server.hold(signal.SIGCONT)
        else:
            server.start()
        site.start()
        assert site.rest.connection()["config"]["name"] == "conn1"
