"""A Prometheus server of the test's own, beside nobody's: Debian's, in a folder that goes with it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.netns.namespaces import wait_until

PATIENCE = 60.0


class Prometheus:
    """Answers of its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def get(self, path: str, **parameters: str) -> Any:
        """What it says; an error of a query is told with its text."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        told = answer.json()
        assert told["status"] == "success", f"{parameters}: {told['error']}"
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        """The series of an instant query."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def ready(self) -> bool:
        """It serves."""
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Ask no more."""
        self._http.close()


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """A server with this configuration, until it is left; its data and log are in the folder."""
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }
    argv = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    log = folder / "prometheus.log"
    with log.open("wb") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file)
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(server.ready, f"Prometheus serves; {json.dumps(log.read_text())}", PATIENCE)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(PATIENCE)
