"""Connections are few and get on with it: who opens many and says nothing must not use up the descriptors.

Requests have limits of their own (`api.limits`), which begin when their head is complete.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 400
"""Connections to one socket; more are closed at once. The socket of the state directory counts apart."""
HEAD_SECONDS = 30.0
"""How long a connection may take with the head of its next request."""


class Connection(H11Protocol):
    """uvicorn's protocol over h11, which takes heads of up to 64 KiB."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Closed at once if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
            return
        self._watch(None, waiting=True)

    def _watch(self, answered: object, *, waiting: bool) -> None:
        self.loop.call_later(HEAD_SECONDS, self._look, answered, waiting)

    def _look(self, answered: object, waited: bool) -> None:
        if self.transport.is_closing():
            return
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and waited and self.cycle is answered:
            self.transport.close()
        else:
            self._watch(self.cycle, waiting=waiting)
