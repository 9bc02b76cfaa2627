from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import ModelNotFoundError
from gpuslice.stack.load import load_stack
from gpuslice.stack.loaded import LoadedStack
from gpuslice.stack.sources import check_sources, resolve_source


def load(folder: Path, *sources: str) -> LoadedStack:
    lines = ["models:"] + [f"  m{n}:\n    model: '{source}'" for n, source in enumerate(sources)]
    path = folder / "gpuslice.yaml"
    path.write_text("\n".join(lines))
    return load_stack(path)


def test_hub_names_pass(tmp_path: Path) -> None:
    check_sources(load(tmp_path, "Qwen/Qwen3-4B", "gpt2", "org/name-GGUF:Q4_K_M"))


def test_what_is_there_passes(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small.gguf").touch()
    absolute = str(tmp_path / "models")
    check_sources(load(tmp_path, "models/small.gguf", "./models", "models", absolute))


def test_all_missing_models_are_listed_with_their_lines(tmp_path: Path) -> None:
    loaded = load(tmp_path, "a.gguf", "Qwen/Qwen3-4B", "./folder", "a/b/c")
    with pytest.raises(ModelNotFoundError, match="names 3 models that do not exist") as caught:
        check_sources(loaded)
    places = [line.split(":")[1:4] for line in caught.value.details]
    assert places == [
        ["3", "12", " models.m0.model"],
        ["7", "12", " models.m2.model"],
        ["9", "12", " models.m3.model"],
    ]
    assert str(tmp_path / "a.gguf") in caught.value.details[0]


def test_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").mkdir()
    (tmp_path / "weights.bin").touch()
    with pytest.raises(ModelNotFoundError) as caught:
        check_sources(load(tmp_path, "x.gguf", "./weights.bin"))
    assert "is a folder, not a .gguf file" in caught.value.details[0]
    assert "is neither a folder nor a .gguf file" in caught.value.details[1]


def test_paths_start_at_the_stack_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.gguf").touch()
    load(tmp_path / "deep", "x.gguf")
    monkeypatch.chdir(tmp_path)
    check_sources(load_stack(Path("deep/gpuslice.yaml")))


def test_sources_become_absolute_and_hub_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    (tmp_path / "Qwen").mkdir()
    assert resolve_source("m/x.gguf", tmp_path) == f"{tmp_path}/m/x.gguf"
    assert resolve_source("/m/x.gguf", tmp_path) == "/m/x.gguf"
    assert resolve_source("~/x.gguf", tmp_path) == "/home/somebody/x.gguf"
    assert resolve_source("~nobody-there/x.gguf", tmp_path) == f"{tmp_path}/~nobody-there/x.gguf"
    assert resolve_source("Qwen/Qwen3-4B", tmp_path) == "Qwen/Qwen3-4B"


def test_folder_that_exists_wins_over_a_hub_name(tmp_path: Path) -> None:
    (tmp_path / "Qwen" / "Qwen3-4B").mkdir(parents=True)
    assert resolve_source("Qwen/Qwen3-4B", tmp_path) == f"{tmp_path}/Qwen/Qwen3-4B"
