"""What is seen of a download, whether or not the engine tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import a_launch, a_serve_request
from gpuslice.engines.api import Place, Surroundings
from gpuslice.engines.catalogue import engine_named
from gpuslice.runtime.downloads import Downloads, cache_folder, downloaded_bytes

MODEL = "Qwen/Qwen3-4B"


def blobs(cache: Path) -> Path:
    folder = cache / "models--Qwen--Qwen3-4B" / "blobs"
    folder.mkdir(parents=True)
    return folder


def test_whole_files_and_those_under_way_are_added_up(tmp_path: Path) -> None:
    folder = blobs(tmp_path)
    (folder / "0a1b").write_bytes(b"x" * 700)
    (folder / "0c2d.incomplete").write_bytes(b"x" * 33)
    assert downloaded_bytes(MODEL, tmp_path) == 733


@pytest.mark.parametrize(
    ("variables", "below"),
    [
        ({"HF_HUB_CACHE": "{}", "HF_HOME": "/elsewhere"}, ""),
        ({"HF_HOME": "{}", "HOME": "/elsewhere"}, "hub"),
        ({"XDG_CACHE_HOME": "{}", "HOME": "/elsewhere"}, "huggingface/hub"),
        ({"HOME": "{}"}, ".cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hub_looks_for_it(
    tmp_path: Path, variables: dict[str, str], below: str
) -> None:
    (blobs(tmp_path / below) / "0a1b").write_bytes(b"x")
    environ = {name: text.format(tmp_path) for name, text in variables.items()}
    assert downloaded_bytes(MODEL, cache_folder(environ)) == 1


@pytest.mark.parametrize("source", ["", "/models/x", "./x.gguf", "../../etc", "a/b/c", "Qwen"])
def test_what_is_no_name_of_the_hub_is_not_looked_for(tmp_path: Path, source: str) -> None:
    assert downloaded_bytes(source, tmp_path) == 0


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    assert downloaded_bytes(MODEL, tmp_path) == 0
    assert downloaded_bytes(MODEL, cache_folder({})) == 0


def test_only_what_grows_is_under_way(tmp_path: Path) -> None:
    part = blobs(tmp_path) / "0c2d.incomplete"
    part.write_bytes(b"x" * 10)
    downloads = Downloads({"HF_HUB_CACHE": "/elsewhere"})
    launch = a_launch(source=MODEL, environment=(("HF_HUB_CACHE", str(tmp_path)),))
    assert downloads.grown(launch) == 0  # it may have been there for years
    part.write_bytes(b"x" * 30)
    assert downloads.grown(launch) == 30
    assert downloads.grown(launch) == 0


@pytest.mark.parametrize("own_hub", [False, True])
def test_what_grows_in_a_container_is_seen_on_the_machine(tmp_path: Path, own_hub: bool) -> None:
    around = Surroundings(
        cache=str(tmp_path / "cache"), hub=str(tmp_path / "models") if own_hub else ""
    )
    request = a_serve_request(source=MODEL, place=Place.CONTAINER, surroundings=around)
    launch = engine_named("vllm", python="python").launch(request)
    part = blobs(tmp_path / ("models" if own_hub else "cache/hub")) / "0c2d.incomplete"
    part.write_bytes(b"x" * 10)
    downloads = Downloads({"HF_HUB_CACHE": "/elsewhere"})
    assert downloads.grown(launch) == 0
    part.write_bytes(b"x" * 30)
    assert downloads.grown(launch) == 30
