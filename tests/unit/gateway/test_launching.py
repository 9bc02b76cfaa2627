from __future__ import annotations

from pathlib import Path

import pytest

from builders import some_gateway_settings
from gpuslice.gateway.launching import gateway_launch
from gpuslice.gateway.settings import GatewaySettings
from gpuslice.model.server import Launch, Role

FILE = Path("/state/host/gateway.json")


def launch(settings: GatewaySettings) -> Launch:
    return gateway_launch("assistants", settings, FILE, python="python")


def test_gateway_is_launched_from_its_file_alone() -> None:
    made = launch(some_gateway_settings(host="0.0.0.0", port=8443))
    assert made.command == ("python", "-m", "gpuslice.gateway.launch", str(FILE))
    assert (made.host, made.port, made.health_path) == ("0.0.0.0", 8443, "/health")
    assert (made.role, made.replica, made.name) == (
        Role.GATEWAY,
        None,
        "gpuslice-assistants-gateway",
    )


def test_no_key_stands_in_the_launch() -> None:
    shown = repr(launch(some_gateway_settings(control_key="hunter2", client_keys=("hunter3",))))
    assert "hunter" not in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0.0.0.0"},
        {"port": 8081},
        {"policy": "round_robin"},
        {"client_keys": ("one",)},
        {"client_keys": ("one", "two", "three")},
    ],
)
def test_gateway_is_replaced_when_clients_would_notice(changes: dict[str, object]) -> None:
    before = some_gateway_settings(client_keys=("one", "two"))
    after = some_gateway_settings(**({"client_keys": ("one", "two")} | changes))
    assert launch(before).config_hash != launch(after).config_hash


@pytest.mark.parametrize(
    "changes",
    [{"control_key": "another"}, {"metrics_port": 20999}, {"client_keys": ("two", "one")}],
)
def test_gateway_is_left_alone_when_only_our_own_matters_change(
    changes: dict[str, object],
) -> None:
    before = some_gateway_settings(client_keys=("one", "two"))
    after = some_gateway_settings(**({"client_keys": ("one", "two")} | changes))
    assert launch(before).config_hash == launch(after).config_hash
