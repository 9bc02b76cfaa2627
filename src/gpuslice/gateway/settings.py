"""What the gateway is started with, keys included, and the one file that carries it.

Separate because it is the only place where secrets of ours touch the disk. The file belongs to us
alone (0600); a file that others could have read or written is refused, not repaired: its keys have
to count as known. Nothing of it ever stands on a command line.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from gpuslice.errors import RecordError, SecretMissingError
from gpuslice.private_files import OpenToOthersError, read_private, write_private

POLICIES = ("least_load", "round_robin")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Everything the gateway needs to know before it knows any server.

    Attributes:
        host: Address that clients reach.
        port: Port that clients reach.
        metrics_port: Port of its Prometheus text, on loopback.
        control_key: Key for adding and removing servers; random, never shown.
        client_keys: Keys that clients need, any of them; empty lets everybody in.
        policy: How a request chooses among the replicas of a model.
    """

    host: str
    port: int
    metrics_port: int
    control_key: str = field(repr=False)
    client_keys: tuple[str, ...] = field(default=(), repr=False)
    policy: str = "least_load"

    @property
    def metrics_url(self) -> str:
        """Where its own numbers are read."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    def with_new_control_key(self) -> Self:
        """Return the settings with a fresh random control key, as every start takes one."""
        return replace(self, control_key=secrets.token_urlsafe(32))


def new_settings(
    *, host: str, port: int, metrics_port: int, client_keys: tuple[str, ...] = ()
) -> GatewaySettings:
    """Make settings with a fresh random control key."""
    return GatewaySettings(
        host=host,
        port=port,
        metrics_port=metrics_port,
        control_key=secrets.token_urlsafe(32),
        client_keys=client_keys,
    )


def write_settings(settings: GatewaySettings, path: Path) -> None:
    """Write the file whole or not at all, mode 0600 from its first byte.

    Raises:
        RecordError: It cannot be written.
    """
    try:
        write_private(path, json.dumps(asdict(settings)).encode())
    except OSError as error:
        raise RecordError(
            f"cannot write the gateway's settings {path}: {error.strerror}"
        ) from error


def read_settings(path: Path) -> GatewaySettings:
    """Read the file back.

    Raises:
        RecordError: It is missing, a link, somebody else's or garbled.
        SecretMissingError: Others can read or write it.
    """
    try:
        text = _read_secret(path)
    except OSError as error:
        raise RecordError(
            f"cannot read the gateway's settings {path}: {error.strerror}",
            hint="gpuslice down, then gpuslice up",
        ) from error
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(
            f"the gateway's settings {path} are garbled",  # their content is secret
            hint="remove the file, then gpuslice up",
        ) from error


def read_keys_file(path: Path) -> tuple[str, ...]:
    """Read the keys that clients need: one a line; empty lines and ``#`` lines are skipped.

    Raises:
        SecretMissingError: The file is missing, readable by others, or holds no usable key.
    """
    try:
        text = _read_secret(path)
    except OSError as error:
        raise SecretMissingError(
            f"cannot read the keys file {path}: {error.strerror}",
            hint=f"write one key per line into it, then: chmod 600 {path}",
        ) from error
    lines = (line.strip() for line in text.splitlines())
    keys = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not keys:
        raise SecretMissingError(
            f"the keys file {path} holds no key", hint="write one key per line into it"
        )
    _check_usable(keys, path)
    return keys


def _read_secret(path: Path) -> str:
    """Read a file that is ours alone.

    Raises:
        SecretMissingError: Others can read or write it, so what it holds has to count as known.
        OSError: It is not there, or cannot be trusted.
    """
    try:
        data = read_private(path, secret=True)
    except OpenToOthersError as error:
        raise SecretMissingError(
            f"{path} holds keys: {error.strerror}", hint=f"change the keys, then: chmod 600 {path}"
        ) from error
    if data is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return data.decode(errors="replace")


def _check_usable(keys: tuple[str, ...], path: Path) -> None:
    for number, key in enumerate(keys, start=1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise SecretMissingError(
                f"key {number} of {path} cannot be sent in a header",
                hint="use printable ASCII characters without spaces",
            )


def _parse(found: Any) -> GatewaySettings:
    settings = GatewaySettings(**(found | {"client_keys": tuple(found["client_keys"])}))
    texts = (settings.host, settings.control_key, settings.policy, *settings.client_keys)
    numbers = (settings.port, settings.metrics_port)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text was expected")
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("a number was expected")
    if settings.policy not in POLICIES or not settings.control_key:
        raise ValueError("unknown policy or no control key")
    return settings
