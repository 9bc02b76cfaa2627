"""The command line and environment of every engine, whole, as reviewed text."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from builders import a_serve_request
from gpuslice.engines.api import ServeRequest
from gpuslice.engines.catalogue import ENGINE_NAMES, engine_named
from gpuslice.errors import StackError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch

GOLDEN = Path(__file__).parents[2] / "golden" / "launches"

CASES: dict[str, tuple[str, ServeRequest]] = {
    "vllm-plain": ("vllm", a_serve_request()),
    "vllm-user-arguments": (
        "vllm",
        a_serve_request(
            replica=ReplicaId("coder", 1),
            args=("--enable-prefix-caching", "--gpu-memory-utilization=0.85", "-tp", "1"),
            environment=(("VLLM_LOGGING_LEVEL", "DEBUG"), ("VLLM_NO_USAGE_STATS", "0")),
        ),
    ),
    "vllm-long-context": ("vllm", a_serve_request(context_tokens=131_072, concurrency=2)),
    "vllm-many-small-requests": ("vllm", a_serve_request(context_tokens=512, concurrency=4096)),
    "llama-cpp-plain": ("llama.cpp", a_serve_request(source="/models/small.gguf")),
    "llama-cpp-user-arguments": (
        "llama.cpp",
        a_serve_request(
            source="/models/small.gguf", threads=2, args=("--threads", "4", "--set", "n_ubatch=128")
        ),
    ),
    "command": (
        "command",
        a_serve_request(
            command=("my-server", "--listen", "127.0.0.1:{port}", "--memory={memory_mib}MiB"),
            environment=(("MY_MODE", "fast"),),
        ),
    ),
}


def describe(launch: Launch) -> str:
    lines = [
        f"name      {launch.name}",
        f"listens   {launch.url}",
        f"health    {launch.health_path}",
        f"metrics   {launch.metrics_path or '-'}",
        f"slice     {launch.slice_uuid}",
        f"hash      {launch.config_hash}",
        "command",
        *(f"  {shlex.quote(part)}" for part in launch.command),
        "environment",
        *(f"  {name}={json.dumps(value)}" for name, value in launch.environment),
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", sorted(CASES))
def test_launch_is_as_reviewed(case: str, update_golden: bool) -> None:
    engine, request = CASES[case]
    text = describe(engine_named(engine, python="/opt/venv/bin/python").launch(request))
    file = GOLDEN / case / "launch.txt"
    if update_golden:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "run pytest with --update-golden and review the difference"


def test_no_golden_case_is_left_behind() -> None:
    assert {folder.name for folder in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_user_variables_cannot_bind_a_server_to_another_slice(name: str) -> None:
    request = a_serve_request(
        command=("serve",),
        environment=(("CUDA_VISIBLE_DEVICES", "0"), ("NVIDIA_VISIBLE_DEVICES", "all")),
    )
    environment = dict(engine_named(name, python="python").launch(request).environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == request.slice_uuid
    assert environment["NVIDIA_VISIBLE_DEVICES"] == request.slice_uuid


@pytest.mark.parametrize("name", ["vllm", "llama.cpp"])
@pytest.mark.parametrize("flag", ["--port", "--host"])
def test_flags_that_would_hide_a_server_are_refused(name: str, flag: str) -> None:
    engine = engine_named(name, python="python")
    with pytest.raises(StackError, match=flag):
        engine.launch(a_serve_request(args=(flag, "1")))


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_engine_is_found_by_its_name(name: str) -> None:
    assert engine_named(name, python="python").name == name


def test_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(StackError) as caught:
        engine_named("tgi", python="python")
    assert caught.value.hint == "use one of vllm, llama.cpp, command"


def test_a_server_is_replaced_when_its_slice_changes() -> None:
    engine = engine_named("vllm", python="python")
    here = engine.launch(a_serve_request())
    there = engine.launch(a_serve_request(slice_uuid="MIG-other"))
    assert here.config_hash != there.config_hash
    assert here == engine.launch(a_serve_request())
