"""Secrets, progress and ends: what the Docker runtime is made of, without an engine."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from builders import a_launch
from gpuslice.engines.images import OWN
from gpuslice.errors import ImageMissingError, SecretMissingError
from gpuslice.model.server import Container, Secret
from gpuslice.private_files import write_private
from gpuslice.runtime.docker.hub import hub_cache, hub_models, hub_token
from gpuslice.runtime.docker.images import missing, progress
from gpuslice.runtime.docker.runtime import how_it_ended, passed_on
from gpuslice.runtime.docker.secrets import remove_secrets, write_secrets

TOKEN = Secret(name="hf-token", target="/run/secrets/hf-token")


def a_secretive(*secrets: Secret, user: str = "") -> Any:
    return a_launch(container=Container(image="a:1", secrets=secrets, user=user))


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    return "hf_secret"


def test_a_token_is_written_for_its_container_alone(tmp_path: Path, token: str) -> None:
    launch = a_secretive(TOKEN)
    files = write_secrets(launch, tmp_path / "secrets")
    assert files["hf-token"].read_text() == token
    assert stat.S_IMODE(files["hf-token"].stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    remove_secrets(launch.name, tmp_path / "secrets")
    assert not files["hf-token"].exists()
    remove_secrets(launch.name, tmp_path / "secrets")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_belongs_to_the_user_who_reads_it(tmp_path: Path, token: str) -> None:
    files = write_secrets(a_secretive(TOKEN, user="65532:65532"), tmp_path)
    found = files["hf-token"].stat()
    assert (found.st_uid, found.st_gid) == (65532, 65532)
    assert write_secrets(a_secretive(TOKEN, user="65532:65532"), tmp_path) == files


def test_a_file_of_ours_is_handed_in_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "gateway.json"
    write_private(file, b"{}")
    secret = Secret(name=str(file), target=str(file))
    files = write_secrets(a_secretive(secret), tmp_path / "secrets")
    assert files[str(file)].read_bytes() == b"{}"
    assert files[str(file)].name == "gateway.json"


def test_a_secret_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(SecretMissingError, match="hf-token") as caught:
        write_secrets(a_secretive(TOKEN), tmp_path / "secrets")
    assert "hf auth login" in caught.value.hint


def test_the_hub_is_where_its_library_looks() -> None:
    assert hub_cache({"HF_HOME": "/data/hub"}) == Path("/data/hub")
    assert hub_cache({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/huggingface")
    assert hub_cache({}) == Path.home() / ".cache" / "huggingface"
    assert hub_models({"HF_HOME": "/data", "HF_HUB_CACHE": "/models"}) == "/models"
    assert hub_models({"HF_HOME": "/data", "HF_HUB_CACHE": "/data/hub"}) == ""
    assert hub_models({"HF_HOME": "/data"}) == ""


def test_a_token_is_found_where_the_library_finds_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from the file\n")
    assert hub_token({"HF_HOME": str(tmp_path)}) == "from the file"
    assert hub_token({"HF_TOKEN_PATH": str(tmp_path / "token")}) == "from the file"
    assert hub_token({"HF_HOME": str(tmp_path), "HF_TOKEN": "from the shell"}) == "from the shell"
    assert hub_token({"HF_HOME": str(tmp_path / "none")}) == ""


def test_progress_is_that_of_all_layers_together() -> None:
    layer = {"status": "Downloading", "id": "a"}
    events: list[dict[str, Any]] = [
        {"status": "Pulling from vllm/vllm-openai", "id": "v0.24.0"},
        layer | {"progressDetail": {"current": 500_000_000, "total": 2_000_000_000}},
        layer | {"id": "b", "progressDetail": {"current": 250_000_000, "total": 1_000_000_000}},
        {"status": "Download complete", "id": "b"},
        layer | {"progressDetail": {}},
    ]
    told = [share for _, share in progress(events, "it cannot be fetched")]
    assert told == ["", "0.5 of 2.0 GB", "0.8 of 3.0 GB", "1.5 of 3.0 GB", "1.5 of 3.0 GB"]


def test_a_fetch_that_the_engine_gives_up_is_an_error_with_its_words() -> None:
    said = "manifest for a:1 not found: manifest unknown: manifest unknown"
    with pytest.raises(ImageMissingError, match="a:1 cannot be fetched") as caught:
        list(progress([{"error": said}], "a:1 cannot be fetched"))
    assert caught.value.details == (said,)


def test_an_image_that_is_missing_comes_with_the_way_to_get_it() -> None:
    assert "docker pull a:1" in missing("a:1").hint
    assert "docker build" in missing(OWN).hint


def state(**changes: Any) -> dict[str, Any]:
    whole = {"Running": False, "Status": "exited", "ExitCode": 1, "OOMKilled": False, "Error": ""}
    return {"State": whole | changes, "HostConfig": {"Memory": 1024 * 2**20}}


def test_how_a_container_ended_is_one_line() -> None:
    assert how_it_ended(state()) == "gpuslice: ended with exit status 1"
    assert how_it_ended(state(OOMKilled=True, ExitCode=137)) == (
        "gpuslice: killed, for it needed more than its limit of 1,024 MiB of the machine's memory"
    )
    assert how_it_ended(state(Error="no such file", ExitCode=127)).endswith("127: no such file")
    assert how_it_ended(state(Running=True, Status="running")) == ""
    assert how_it_ended(state(Status="created")) == ""


def test_a_container_is_told_where_the_hub_is_and_never_a_password() -> None:
    told = passed_on(
        {
            "HF_ENDPOINT": "https://mirror",
            "HF_TOKEN": "hf_secret",
            "https_proxy": "http://proxy:3128",
            "HTTP_PROXY": "http://me:secret@proxy:3128",
            "PATH": "/bin",
        }
    )
    assert told == {"HF_ENDPOINT": "https://mirror", "https_proxy": "http://proxy:3128"}
