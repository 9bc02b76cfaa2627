"""The gateway of one machine: its settings over time, and what it is told.

``up`` reads the clients' keys anew; between two ``up`` the settings file is what counts, so editing
a keys file changes nothing until it is asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from gpuslice.agent.node import Node
from gpuslice.engines.images import OWN_USER
from gpuslice.errors import RecordError
from gpuslice.gateway.client import GatewayClient, Worker
from gpuslice.gateway.launching import gateway_container, gateway_launch
from gpuslice.gateway.settings import (
    GatewaySettings,
    new_settings,
    read_keys_file,
    read_settings,
    write_settings,
)
from gpuslice.model.desired import Record, RuntimeName
from gpuslice.model.server import Launch


class GatewayControl:
    """Settings and control of the gateway. Owned by the supervisor."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._fresh: GatewaySettings | None = None

    def refresh(self, record: Record) -> None:
        """Read the clients' keys anew for the next launch.

        Raises:
            SecretMissingError: The keys file is missing or can be read by others.
        """
        self._fresh = _settings_of(record)

    def launch(self, record: Record) -> Launch:
        """Describe the gateway's process for a stack."""
        assert record.desired is not None, "a gateway belongs to a stack"
        gateway, file = record.desired.gateway, self._node.machine.gateway_file
        container = None
        if gateway.runtime is RuntimeName.DOCKER:
            container = gateway_container(file, image=gateway.image, user=_container_user())
        return gateway_launch(
            record.desired.stack,
            self._settings(record),
            file,
            python=self._node.host.python,
            container=container,
        )

    def write_settings(self, record: Record) -> None:
        """Write the file a gateway about to start reads, with a control key of its own."""
        settings = self._settings(record).with_new_control_key()
        write_settings(settings, self._node.machine.gateway_file)
        self._fresh = None

    def workers(self) -> tuple[Worker, ...]:
        """List the servers the gateway knows.

        Raises:
            GatewayError: It does not answer.
            RecordError: Its settings are gone.
        """
        return self._client().list_workers()

    def register(self, url: str) -> None:
        """Add a server. Raises `GatewayError`."""
        self._client().add_worker(url)

    def unregister(self, worker_id: str) -> None:
        """Remove a server. Raises `GatewayError`."""
        self._client().remove_worker(worker_id)

    def _client(self) -> GatewayClient:
        return GatewayClient(read_settings(self._node.machine.gateway_file))

    def _settings(self, record: Record) -> GatewaySettings:
        for settings in (self._fresh, self._written()):
            if settings is not None and _suits(settings, record):
                return settings
        return _settings_of(record)

    def _written(self) -> GatewaySettings | None:
        try:
            return read_settings(self._node.machine.gateway_file)
        except RecordError:
            return None


def _container_user() -> str:
    """Say as whom a gateway runs in a container: root gives its settings to the image's user."""
    uid = os.geteuid()
    return f"{uid}:{os.getegid()}" if uid else OWN_USER


def _suits(settings: GatewaySettings, record: Record) -> bool:
    assert record.desired is not None, "a gateway belongs to a stack"
    gateway = record.desired.gateway
    return (settings.host, settings.port, settings.metrics_port) == (
        gateway.host,
        gateway.port,
        record.gateway_metrics_port,
    ) and bool(settings.client_keys) == bool(gateway.api_keys_file)


def _settings_of(record: Record) -> GatewaySettings:
    assert record.desired is not None, "a gateway belongs to a stack"
    gateway = record.desired.gateway
    keys = read_keys_file(Path(gateway.api_keys_file)) if gateway.api_keys_file else ()
    return new_settings(
        host=gateway.host,
        port=gateway.port,
        metrics_port=record.gateway_metrics_port,
        client_keys=keys,
    )
