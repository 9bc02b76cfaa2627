from __future__ import annotations

from pathlib import Path

import pytest
from smg.launch_router import parse_router_args

from builders import some_gateway_settings
from gpuslice.gateway.launch import add_keys, main, router_arguments
from gpuslice.gateway.settings import write_settings


def test_the_installed_gateway_knows_every_argument() -> None:
    settings = some_gateway_settings(policy="round_robin")
    router = parse_router_args(router_arguments(settings))
    assert (router.host, router.port) == ("127.0.0.1", 8080)
    assert (router.prometheus_host, router.prometheus_port) == ("127.0.0.1", 20100)
    assert (router.policy, router.enable_igw, router.history_backend) == (
        "round_robin",
        True,
        "none",
    )


def test_keys_reach_the_gateway_beside_its_arguments() -> None:
    settings = some_gateway_settings(control_key="hunter2", client_keys=("hunter3", "hunter4"))
    arguments = router_arguments(settings)
    assert not any("hunter" in argument for argument in arguments)
    router = parse_router_args(arguments)
    add_keys(router, settings)
    assert router.control_plane_api_keys == [("gpuslice", "gpuslice agent", "hunter2", "admin")]
    assert router.tenant_api_keys == [("client-1", "hunter3"), ("client-2", "hunter4")]


def test_without_client_keys_nothing_is_asked_of_clients() -> None:
    router = parse_router_args(router_arguments(some_gateway_settings()))
    add_keys(router, some_gateway_settings())
    assert router.tenant_api_keys == []
    assert router.api_key is None


def test_missing_settings_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "gateway.json")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the gateway cannot start: cannot read the gateway's settings")
    assert said.count("\n") == 1


def test_open_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.json"
    write_settings(some_gateway_settings(control_key="hunter2"), file)
    file.chmod(0o644)
    assert main([str(file)]) == 1
    said = capsys.readouterr().err
    assert "others can use it" in said
    assert "hunter2" not in said


def test_exactly_one_file_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "settings file" in capsys.readouterr().err
