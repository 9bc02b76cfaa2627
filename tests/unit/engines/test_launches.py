"""The command line and environment of every engine, whole, as reviewed text."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from builders import a_serve_request
from gpuslice.engines.api import Place, ServeRequest, Surroundings
from gpuslice.engines.catalogue import ENGINE_NAMES, engine_named
from gpuslice.errors import StackError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import HandIn, Launch, Network

GOLDEN = Path(__file__).parents[2] / "golden" / "launches"

IN_AN_IMAGE = Surroundings(image="acme/serve:1.2")

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
    "vllm-smallest-slice": (
        "vllm",
        a_serve_request(slice_memory_mib=4864, context_tokens=2048, concurrency=2),
    ),
    "vllm-in-a-container": (
        "vllm",
        a_serve_request(place=Place.CONTAINER, environment=(("CUDA_VISIBLE_DEVICES", "0"),)),
    ),
    "vllm-on-a-shared-device": (
        "vllm",
        a_serve_request(
            slice_memory_mib=81_920, memory_limit_mib=20_480, shared_gpu="GPU-1", slice_uuid="GPU-1"
        ),
    ),
    "vllm-of-another-environment": ("vllm", a_serve_request(program="/opt/vllm/bin/vllm")),
    "vllm-embedding": ("vllm", a_serve_request(ready="embedding", args=("--runner", "pooling"))),
    "sglang-plain": ("sglang", a_serve_request()),
    "sglang-smallest-slice": (
        "sglang",
        a_serve_request(slice_memory_mib=4864, context_tokens=2048, concurrency=2),
    ),
    "sglang-long-context": ("sglang", a_serve_request(context_tokens=131_072, concurrency=2)),
    "sglang-user-arguments": (
        "sglang",
        a_serve_request(
            args=("--mem-fraction-static=0.7", "--tp", "1", "--disable-cuda-graph"), ready="chat"
        ),
    ),
    "sglang-in-a-container": ("sglang", a_serve_request(place=Place.CONTAINER)),
    "vllm-from-the-hub-by-cdi": (
        "vllm",
        a_serve_request(
            place=Place.CONTAINER,
            surroundings=Surroundings(
                hand_in=HandIn.CDI,
                cache="/home/alice/.cache/huggingface",
                user="1000:0",
                token=True,
                memory_mib=65_536,
                labels=(("gpuslice.profile", "2g.20gb"),),
            ),
        ),
    ),
    "llama-cpp-in-a-container-on-a-simulated-gpu": (
        "llama.cpp",
        a_serve_request(
            source="/models/small.gguf",
            place=Place.CONTAINER,
            surroundings=Surroundings(
                network=Network.HOST,
                hand_in=HandIn.NONE,
                folders=("/models/small.gguf",),
                memory_mib=19_968,
            ),
        ),
    ),
    "llama-server-of-the-users-image": (
        "llama.cpp",
        a_serve_request(
            source="/models/small.gguf",
            place=Place.CONTAINER,
            surroundings=Surroundings(image="llama:cuda", folders=("/models/small.gguf",)),
        ),
    ),
    "command-in-a-container": (
        "command",
        a_serve_request(
            source="/models/tiny",
            command=("serve", "--host", "{host}", "--port", "{port}"),
            place=Place.CONTAINER,
            surroundings=Surroundings(image="acme/serve:1.2"),
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
    "llama-server-plain": (
        "llama.cpp",
        a_serve_request(source="/models/small.gguf", program="llama-server", threads=2),
    ),
    "llama-server-user-arguments": (
        "llama.cpp",
        a_serve_request(
            source="/models/small.gguf",
            program="/opt/llama.cpp/llama-server",
            args=("-c", "4096", "--cache-type-k", "q8_0"),
            environment=(("LLAMA_ARG_FIT", "on"),),
        ),
    ),
    "llama-server-in-a-container": (
        "llama.cpp",
        a_serve_request(
            source="/models/small.gguf", program="/app/llama-server", place=Place.CONTAINER
        ),
    ),
    "llama-server-embedding": (
        "llama.cpp",
        a_serve_request(
            source="/models/bge.gguf",
            program="llama-server",
            ready="embedding",
            args=("--embedding", "--pooling", "mean"),
        ),
    ),
    "sglang-on-a-shared-device": (
        "sglang",
        a_serve_request(
            slice_memory_mib=81_920, memory_limit_mib=20_480, shared_gpu="GPU-1", slice_uuid="GPU-1"
        ),
    ),
    "command-that-chats": (
        "command",
        a_serve_request(command=("my-server", "{port}", "{model}", "{uuid}"), ready="chat"),
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
        *(f"asked     POST {question.path} {question.body}" for question in launch.questions),
        f"metrics   {launch.metrics_path or '-'}",
        f"slice     {launch.slice_uuid}",
        f"shares    {launch.shared_gpu or '-'}",
        f"hash      {launch.config_hash}",
        *(f"note      {note}" for note in launch.notes),
        f"by hand   {launch.by_hand}",
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


@pytest.mark.parametrize("name", ["vllm", "sglang", "llama.cpp"])
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
    assert caught.value.hint == "use one of vllm, sglang, llama.cpp, command"


def test_a_server_is_replaced_when_its_slice_changes() -> None:
    engine = engine_named("vllm", python="python")
    here = engine.launch(a_serve_request())
    there = engine.launch(a_serve_request(slice_uuid="MIG-other"))
    assert here.config_hash != there.config_hash
    assert here == engine.launch(a_serve_request())


def test_a_container_without_an_image_is_refused() -> None:
    request = a_serve_request(command=("serve",), place=Place.CONTAINER)
    with pytest.raises(StackError, match="needs an image") as caught:
        engine_named("command", python="python").launch(request)
    assert "image:" in caught.value.hint


def test_a_container_is_replaced_when_anything_around_it_changes() -> None:
    engine = engine_named("vllm", python="python")
    hashes = {
        engine.launch(a_serve_request(place=Place.CONTAINER, surroundings=around)).config_hash
        for around in (
            Surroundings(),
            Surroundings(image="vllm/vllm-openai:v0.25.0"),
            Surroundings(memory_mib=1024),
            Surroundings(network=Network.HOST),
            Surroundings(labels=(("gpuslice.gpu-instance", "7"),)),
        )
    }
    assert len(hashes) == 5


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_a_container_is_shown_its_slice_by_the_toolkit_alone(name: str) -> None:
    request = a_serve_request(command=("serve",), place=Place.CONTAINER, surroundings=IN_AN_IMAGE)
    environment = dict(engine_named(name, python="python").launch(request).environment)
    assert "CUDA_VISIBLE_DEVICES" not in environment
    assert environment["NVIDIA_VISIBLE_DEVICES"] == request.slice_uuid


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("vllm", ("--tensor-parallel-size", "2")),
        ("vllm", ("-tp=2",)),
        ("vllm", ("--pipeline_parallel_size=4",)),
        ("vllm", ("--tensor-parallel", "2")),
        ("sglang", ("--tp", "2")),
        ("sglang", ("--data-parallel-size", "8")),
    ],
)
def test_a_server_is_never_spread_over_devices(name: str, args: tuple[str, ...]) -> None:
    with pytest.raises(StackError, match="cannot be more than 1 on a slice"):
        engine_named(name, python="python").launch(a_serve_request(args=args))


@pytest.mark.parametrize("name", ["vllm", "sglang", "llama.cpp"])
def test_a_key_never_stands_in_a_command_line(name: str) -> None:
    for program in ("", "/opt/server"):
        request = a_serve_request(args=("--api-key", "s3cret"), program=program)
        with pytest.raises(StackError, match="--api-key") as caught:
            engine_named(name, python="python").launch(request)
        assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "variable"),
    [("vllm", "VLLM_API_KEY"), ("llama.cpp", "LLAMA_API_KEY")],
)
def test_a_key_that_would_lock_the_gateway_out_is_refused(name: str, variable: str) -> None:
    request = a_serve_request(environment=((variable, "s3cret"),))
    with pytest.raises(StackError, match=variable) as caught:
        engine_named(name, python="python").launch(request)
    assert "s3cret" not in str(caught.value.details) + caught.value.message


@pytest.mark.parametrize("short", ["-m", "-a", "-hf", "-mu", "-dr"])
def test_short_spellings_of_refused_flags_are_refused_too(short: str) -> None:
    request = a_serve_request(args=(short, "other"), program="llama-server")
    with pytest.raises(StackError, match="cannot be set here"):
        engine_named("llama.cpp", python="python").launch(request)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
@pytest.mark.parametrize("args", [("--config", "all.yaml"), ("--config=all.yaml",)])
def test_a_file_of_settings_that_nobody_here_would_see_is_refused(
    name: str, args: tuple[str, ...]
) -> None:
    """Its context and its key would count for the engine, and neither for sizing nor for us."""
    with pytest.raises(StackError, match="--config") as caught:
        engine_named(name, python="python").launch(a_serve_request(args=args))
    assert "write its options into args" in caught.value.details[0]


def test_a_format_of_the_models_own_configuration_is_no_such_file() -> None:
    launch = engine_named("vllm", python="python").launch(
        a_serve_request(args=("--config-format", "mistral"))
    )
    assert launch.command[-2:] == ("--config-format", "mistral")


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("LLAMA_ARG_CTX_SIZE", "write --ctx-size into args"),
        ("LLAMA_ARG_N_PARALLEL", "write --parallel into args"),
        ("LLAMA_ARG_API_PREFIX", "below /v1"),
        ("LLAMA_ARG_SSL_KEY_FILE", "without TLS"),
        ("LLAMA_ARG_MODELS_DIR", "one model"),
    ],
)
def test_a_variable_of_llama_server_that_would_not_count_or_hide_it_is_refused(
    variable: str, why: str
) -> None:
    request = a_serve_request(program="llama-server", environment=((variable, "x"),))
    with pytest.raises(StackError, match=variable) as caught:
        engine_named("llama.cpp", python="python").launch(request)
    assert why in caught.value.details[0]


def test_a_variable_of_llama_server_that_gpuslice_gives_no_argument_for_is_the_users() -> None:
    request = a_serve_request(program="llama-server", environment=(("LLAMA_ARG_FLASH_ATTN", "on"),))
    launch = engine_named("llama.cpp", python="python").launch(request)
    assert ("LLAMA_ARG_FLASH_ATTN", "on") in launch.environment


@pytest.mark.parametrize(
    ("name", "program", "args", "note"),
    [
        (
            "vllm",
            "",
            ("--max-model-len", "16384"),
            "chat: --max-model-len 16384 from args counts, not 8192, which `context_tokens` says",
        ),
        (
            "vllm",
            "",
            ("--kv-cache-memory-bytes=2147483648",),
            "chat: --kv-cache-memory-bytes 2147483648 from args counts, and the share",
        ),
        (
            "sglang",
            "",
            ("--mem-fraction-static", "0.5"),
            "chat: --mem-fraction-static 0.5 from args counts, not 0.8934, which was worked out",
        ),
        (
            "llama.cpp",
            "llama-server",
            ("-ngl", "20"),
            "chat: --n-gpu-layers 20 from args counts, not 999, which puts every layer",
        ),
    ],
)
def test_an_argument_of_the_users_counts_and_what_follows_is_told(
    name: str, program: str, args: tuple[str, ...], note: str
) -> None:
    launch = engine_named(name, python="python").launch(a_serve_request(program=program, args=args))
    (told,) = launch.notes
    assert told.startswith(note)
    assert launch.command[-len(args) :] == args


def test_readiness_alone_replaces_no_server() -> None:
    engine = engine_named("vllm", python="python")
    as_usual, chatting = (
        engine.launch(a_serve_request()),
        engine.launch(a_serve_request(ready="chat")),
    )
    assert as_usual.config_hash == chatting.config_hash
    assert as_usual.questions != chatting.questions
