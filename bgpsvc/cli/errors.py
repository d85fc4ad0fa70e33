"""How a command says that it failed."""

from __future__ import annotations


class CliError(Exception):
    """Ends the command: the message goes to standard error, `status` is the exit status.

    1: it did not work; 2: it was called wrongly.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
