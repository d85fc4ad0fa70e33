"""Reads a configuration file and the secret files that it names. The rules are those of `resources`."""

from __future__ import annotations

from pathlib import Path

from bgpsvc.resources import ConfigError, Loaded, Problem, SecretReader, load

_LARGEST_SECRET = 4096


def load_file(path: Path) -> Loaded:
    """Loads a configuration. Raises OSError if the file can't be read, ConfigError with every problem."""
    return load_bytes(path.read_bytes(), str(path), path.parent)


def load_bytes(content: bytes, filename: str, folder: Path) -> Loaded:
    """Loads a configuration from its content. Paths of secret files are relative to `folder`."""
    return load(decode(content, filename), filename, secret_reader(folder))


def decode(content: bytes, filename: str) -> str:
    """The text of a file. ConfigError if it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        problem = Problem(filename, line, column, "", None, "is not text", "UTF-8")
        raise ConfigError([problem]) from None


def secret_reader(folder: Path) -> SecretReader:
    """Reads secret files; relative paths start at `folder`, the one of the configuration file."""

    def read(name: str) -> str:
        with (folder / name).open("rb") as file:
            content = file.read(_LARGEST_SECRET + 1)
        if len(content) > _LARGEST_SECRET:
            raise ValueError(f"it is larger than {_LARGEST_SECRET} bytes")
        try:
            return content.decode("ascii")
        except UnicodeDecodeError:
            # Its own text would show a byte of the secret.
            raise ValueError("it has characters that are not ASCII") from None

    return read
