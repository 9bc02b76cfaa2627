"""What a container has to see of a model, and as whom it can read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuslice.agent.surroundings import ModelFiles, files_of, settled
from gpuslice.model.desired import DesiredDocker
from gpuslice.model.server import HandIn

ME = f"{os.geteuid()}:{os.getegid()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "small"
    made.mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "config.json").chmod(0o644)
    return made


def test_a_folder_that_everybody_may_read_suits_any_user(folder: Path) -> None:
    assert files_of(str(folder), (), "") == ModelFiles(reads=(str(folder),))


def test_a_folder_of_mine_alone_is_read_as_me(folder: Path) -> None:
    (folder / "config.json").chmod(0o600)
    assert files_of(str(folder), (), "").user == ME


def test_links_out_of_a_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / "0123").write_text("weights")
    (folder / "model.safetensors").symlink_to(blobs / "0123")
    (folder / "again.json").symlink_to(folder / "config.json")
    assert files_of(str(folder), (), "").reads == (str(blobs), str(folder))


def test_one_file_is_seen_alone_and_one_in_parts_with_its_folder(folder: Path) -> None:
    for name in ("a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf"):
        (folder / name).write_text("")
    assert files_of(str(folder / "a.gguf"), (), "").reads == (str(folder / "a.gguf"),)
    assert files_of(str(folder / "b-00001-of-00002.gguf"), (), "").reads == (str(folder),)


def test_adapters_and_drafts_are_seen_too(folder: Path, tmp_path: Path) -> None:
    for name in ("adapter", "draft"):
        (tmp_path / name).mkdir()
    args = (
        f"--lora-modules=polite={tmp_path}/adapter",
        "--speculative-config",
        f'{{"model": "{tmp_path}/draft", "num_speculative_tokens": 3}}',
        "--root-path=/not/there",
        "/",
    )
    assert files_of(str(folder), args, "").reads == (
        str(tmp_path / "adapter"),
        str(tmp_path / "draft"),
        str(folder),
    )


def test_a_model_of_the_hub_is_written_into_the_cache_by_its_owner(tmp_path: Path) -> None:
    assert files_of("Qwen/Qwen3-4B", (), str(tmp_path)) == ModelFiles(user=f"{os.geteuid()}:0")
    assert files_of("Qwen/Qwen3-4B", (), str(tmp_path / "new")).user == f"{os.geteuid()}:0"


def test_nothing_is_seen_of_a_model_without_files() -> None:
    assert files_of("", (), "") == ModelFiles()


def test_what_the_machine_is_like_is_settled_with_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    found = settled(DesiredDocker(hand_in=HandIn.CDI))
    whole_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    assert (found.cache, found.token) == (str(tmp_path), False)
    assert 0.89 * whole_mib < found.memory_mib < 0.91 * whole_mib
    (tmp_path / "token").write_text("hf_secret\n")
    simulated = settled(DesiredDocker(hand_in=HandIn.NONE))
    assert (simulated.token, simulated.memory_mib) == (True, 0)
