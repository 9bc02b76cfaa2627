"""What an engine can do is read from what it says of itself, whatever its age."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from docker_info import (
    NVIDIA,
    OF_25,
    OF_25_WITH_CDI,
    OF_28,
    RECORDED,
    RECORDED_VERSION,
    ROOTLESS,
    SLICE,
)
from gpuslice.errors import DockerUnavailableError, RuntimeFailure
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.facts import EngineFacts, facts_from, read_facts
from gpuslice.runtime.docker.listener import on_this_machine

GPU = f"nvidia.com/gpu={SLICE}"


def read(info: dict[str, Any], **more: Any) -> EngineFacts:
    return facts_from(info, RECORDED_VERSION, {"bridge"}, **more)


def test_an_old_engine_is_read_as_it_was_recorded() -> None:
    assert read(RECORDED) == EngineFacts(
        host="",
        version="20.10.24+dfsg1",
        api_version="1.41",
        architecture="amd64",
        rootless=False,
        bridge=True,
        nvidia_runtime=False,
        cdi=False,
        cdi_devices=(),
        root_dir="/var/lib/docker",
    )


@pytest.mark.parametrize(
    ("info", "more", "hand_in"),
    [
        pytest.param(RECORDED, {}, None, id="old, nothing set up"),
        pytest.param(RECORDED | {"Runtimes": NVIDIA}, {}, HandIn.REQUEST, id="old, set up"),
        pytest.param(RECORDED, {"hook": True}, HandIn.REQUEST, id="old, toolkit beside it"),
        pytest.param(OF_25, {"specified": (GPU,)}, None, id="25, CDI off"),
        pytest.param(OF_25_WITH_CDI, {"specified": (GPU,)}, HandIn.CDI, id="25, CDI on"),
        pytest.param(OF_25_WITH_CDI, {}, None, id="25, CDI on, no specification"),
        pytest.param(OF_28, {}, HandIn.CDI, id="28"),
        pytest.param(OF_28 | {"Runtimes": NVIDIA}, {}, HandIn.CDI, id="28, both"),
        pytest.param(
            OF_28 | {"Runtimes": NVIDIA, "DiscoveredDevices": None},
            {},
            HandIn.REQUEST,
            id="28, CDI on without a GPU",
        ),
        pytest.param(
            OF_28 | {"DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/camera=all"}]},
            {},
            None,
            id="28, devices of others only",
        ),
    ],
)
def test_a_slice_goes_in_by_what_the_engine_can_do(
    info: dict[str, Any], more: dict[str, Any], hand_in: HandIn | None
) -> None:
    assert read(info, **more).hand_in is hand_in


def test_only_nvidia_devices_are_told_of_those_discovered() -> None:
    assert read(OF_28).cdi_devices == ("nvidia.com/gpu=0:0", GPU)


def test_an_engine_without_root_and_one_without_a_bridge_are_told() -> None:
    assert read(ROOTLESS).rootless
    assert not facts_from(RECORDED, RECORDED_VERSION, set()).bridge


def test_the_architecture_is_told_in_the_words_of_images() -> None:
    arm = RECORDED | {"Architecture": "aarch64"}
    assert facts_from(arm, {}, ()).architecture == "arm64"


def test_an_engine_that_says_nothing_can_do_nothing() -> None:
    assert facts_from({}, {}, ()).hand_in is None


@pytest.mark.parametrize(
    ("host", "here"),
    [("", True), ("unix:///run/docker.sock", True), ("tcp://10.0.0.7:2376", False)],
)
def test_files_are_those_of_the_engine_only_on_this_machine(host: str, *, here: bool) -> None:
    assert on_this_machine(host) is here


def test_where_docker_is_not_installed_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerUnavailableError, match="not installed") as caught:
        read_facts(f"unix://{tmp_path}/docker.sock")
    assert "runtime: process" in caught.value.hint


def test_where_docker_does_not_run_the_error_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/false\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(DockerUnavailableError, match=r"docker\.sock") as caught:
        read_facts()
    assert "systemctl start docker" in caught.value.hint


def test_a_socket_that_nobody_answers_on_is_an_engine_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with pytest.raises(DockerUnavailableError):
        read_facts(f"unix://{path}")


class Refusing(BaseHTTPRequestHandler):
    """Answers every question with one status, as a proxy in front of an engine may."""

    status = 404

    def do_GET(self) -> None:
        body = b'{"message": "page not found"}'
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a socket has no address"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [403, 404])
def test_what_does_not_answer_as_an_engine_is_told_in_words(tmp_path: Path, status: int) -> None:
    handler = type("Handler", (Refusing,), {"status": status})
    with ThreadingUnixStreamServer(str(tmp_path / "s"), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(RuntimeFailure) as caught:
                read_facts(f"unix://{tmp_path}/s")
        finally:
            server.shutdown()
            thread.join()
    assert caught.value.hint


def test_an_engine_that_may_not_be_asked_is_told_with_how_to_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_self: socket.socket, _address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(DockerUnavailableError, match="may not use") as caught:
        read_facts(f"unix://{tmp_path}/docker.sock")
    assert "sudo" in caught.value.hint
    assert "usermod -aG docker" in caught.value.hint
