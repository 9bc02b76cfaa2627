from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builders import the_small_model
from gpuslice.errors import SizingError
from gpuslice.sizing import Sized, size_model
from gpuslice.sizing.size import read_model
from model_files import F16, gguf_bytes, qwen3_tensors, write_safetensors


def size(source: object, *, engine: str = "vllm") -> Sized:
    return size_model(str(source), engine=engine, context_tokens=4096, concurrency=4)


def write_qwen3(folder: Path, *, config: bool = True) -> None:
    """Qwen3-0.6B: every tensor in its true size, without its content."""
    tensors = qwen3_tensors(layers=28, width=1024, inner=3072, kv_heads=8, heads=16, tied=True)
    write_safetensors(folder / "model.safetensors", tensors)
    known = {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    if config:
        (folder / "config.json").write_text(json.dumps(known))


def test_real_model_is_sized_to_what_llama_cpp_allocates() -> None:
    sized = size(the_small_model(), engine="llama.cpp")
    # llama.cpp logs, with these settings: model buffer 92.10 MiB, KV buffer 360.00 MiB.
    assert [part.memory_mib for part in sized.parts[:3]] == [64, 29, 360]
    assert sized.memory_mib < 1024
    assert sized.reason.startswith("64 MiB weights, Q4_1 + 29 MiB weights, Q8_0 + 360 MiB KV cache")


def test_safetensors_folder_is_sized_to_what_vllm_measured(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    sized = size(tmp_path)
    # vLLM logs 1.12 GiB of weights for Qwen3-0.6B, and 114,688 bytes per token.
    assert abs(sized.parts[0].memory_mib / 1024 - 1.12) < 0.02
    assert sized.parts[1].memory_mib == 114_688 * 4 * 4096 // 1024**2


@pytest.mark.parametrize("source", ["Qwen/Qwen3-4B", "gpt2", "org/name-GGUF:Q4_K_M"])
def test_hub_name_is_nothing_that_llama_cpp_serves(source: str) -> None:
    with pytest.raises(SizingError, match=r"no \.gguf file") as caught:
        size(source, engine="llama.cpp")
    assert "hf download" in caught.value.hint


@pytest.mark.parametrize(
    ("context", "concurrency", "message"),
    [(0, 4, "a context of 0"), (4096, 0, "a concurrency of 0"), (4096, 10**9, "makes no sense")],
)
def test_absurd_numbers_are_refused(
    tmp_path: Path, context: int, concurrency: int, message: str
) -> None:
    write_qwen3(tmp_path)
    with pytest.raises(SizingError, match=message):
        size_model(str(tmp_path), engine="vllm", context_tokens=context, concurrency=concurrency)


def test_context_beyond_the_models_is_refused_with_the_longest_it_has(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    with pytest.raises(SizingError, match="was made for 40,960 tokens; 40,961 are") as caught:
        size_model(str(tmp_path), engine="vllm", context_tokens=40_961, concurrency=1)
    assert "at most 40,960" in caught.value.hint


def test_configuration_of_another_model_is_refused(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"num_key_value_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SizingError, match="contradicts itself") as caught:
        size(tmp_path)
    assert "from one place" in caught.value.hint


def test_what_an_own_command_needs_is_unknown() -> None:
    with pytest.raises(SizingError, match="engine 'command'"):
        size(the_small_model(), engine="command")


def test_folder_without_config_is_unknown(tmp_path: Path) -> None:
    write_qwen3(tmp_path, config=False)
    with pytest.raises(SizingError, match=r"has no config\.json"):
        size(tmp_path)


def test_llama_cpp_is_not_sized_for_a_folder(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    with pytest.raises(SizingError, match=r"no \.gguf file"):
        size(tmp_path, engine="llama.cpp")


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SizingError, match="there is no folder"):
        size(tmp_path / "none")


def test_model_in_parts_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(gguf_bytes())
    half = [("blk.1", (1024, 1024), F16)]
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(gguf_bytes({}, half))
    whole = size(tmp_path / "m-00001-of-00002.gguf", engine="llama.cpp")
    assert whole.parts[0].memory_mib == 3  # 2 MiB and a little, rounded up
    assert whole == size(tmp_path / "m-00002-of-00002.gguf", engine="llama.cpp")


def test_missing_parts_are_listed(tmp_path: Path) -> None:
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(gguf_bytes())
    with pytest.raises(SizingError, match="2 of them are missing") as caught:
        size(tmp_path / "m-00002-of-00003.gguf", engine="llama.cpp")
    assert caught.value.details == ("m-00001-of-00003.gguf", "m-00003-of-00003.gguf")


@pytest.mark.parametrize("name", ["m-00003-of-00002.gguf", "m-00001-of-99999.gguf"])
def test_part_that_counts_wrongly_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gguf_bytes())
    with pytest.raises(SizingError, match="counts wrongly"):
        size(tmp_path / name, engine="llama.cpp")


def test_hub_name_without_the_hubs_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # import fails
    with pytest.raises(SizingError, match="asking the hub needs huggingface_hub") as caught:
        size("Qwen/Qwen3-4B")
    assert "pip install 'gpuslice[hub]'" in caught.value.hint


@pytest.mark.parametrize("source", ["org/name/more", ":Q4", "a b"])
def test_name_that_no_hub_has_is_told(source: str) -> None:
    with pytest.raises(SizingError, match="no name of a model on the hub"):
        size(source)


def with_arguments(folder: Path, *arguments: str) -> Sized:
    return size_model(
        str(folder),
        engine="vllm",
        context_tokens=4096,
        concurrency=4,
        arguments=arguments,
        folder=folder.parent,
    )


def test_arguments_of_the_user_change_what_is_needed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_qwen3(folder)
    plain, small = with_arguments(folder), with_arguments(folder, "--kv-cache-dtype", "fp8")
    assert small.parts[1].memory_mib * 2 == plain.parts[1].memory_mib
    half = with_arguments(folder, "--gpu-memory-utilization=0.5")
    assert half.fraction == 0.5
    assert half.memory_mib == 2 * sum(part.memory_mib for part in half.parts[:-1])


def test_adapter_and_draft_that_arguments_name_are_counted(tmp_path: Path) -> None:
    for name in ("model", "draft"):
        (tmp_path / name).mkdir()
        write_qwen3(tmp_path / name)
    adapter = tmp_path / "sql"
    adapter.mkdir()
    write_safetensors(adapter / "adapter_model.safetensors", {"a": ("BF16", (2**20,), 2**21)})
    config = '{"model": "./draft"}'
    arguments = ("--lora-modules", "sql=sql", "--speculative-config", config)
    sized = with_arguments(tmp_path / "model", *arguments)
    parts = {part.name: part.memory_mib for part in sized.parts}
    assert parts["adapter sql"] == 2
    weights, cache = sized.parts[0].memory_mib, 114_688 * 4 * 4096 // 2**20
    assert abs(parts["draft model draft"] - weights - cache) <= 1


def test_context_that_arguments_stretch_is_not_held_against_the_model(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    longer = ("--max-model-len", "100000")
    with pytest.raises(SizingError, match="made for 40,960"):
        with_arguments(tmp_path, *longer)
    assert with_arguments(tmp_path, *longer, "--hf-overrides", "{}").memory_mib > 0


def test_sglang_leaves_the_activations_beside_its_share(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    here, there = size(tmp_path, engine="sglang"), size(tmp_path, engine="vllm")
    assert [part.name for part in here.parts[:2]] == [part.name for part in there.parts[:2]]
    assert here.parts[-1].name == "beside SGLang's 0.90 of the slice"
    assert here.beside_mib >= 640 + 256 + 154 * 4096 // 1024


def write_config(folder: Path) -> None:
    write_qwen3(folder)
    (folder / "model.safetensors").unlink()


def test_pytorchs_own_files_count_by_their_size_and_are_marked(tmp_path: Path) -> None:
    write_config(tmp_path)
    for number in (1, 2):
        with (tmp_path / f"pytorch_model-0000{number}-of-00002.bin").open("wb") as file:
            file.truncate(300 * 2**20)
    (tmp_path / "training_args.bin").write_bytes(b"x" * 2**20)
    model = read_model(str(tmp_path), "vllm")
    assert model.weights.bytes == 600 * 2**20
    assert not model.architecture.exact
    assert "as large as their files" in model.architecture.notes[0]
    assert size(tmp_path).parts[0].memory_mib == 600


def test_half_of_pytorchs_own_files_is_a_download_that_did_not_finish(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "pytorch_model-00002-of-00002.bin").write_bytes(b"x")
    with pytest.raises(SizingError, match="holds 1 of 2 files of weights"):
        size(tmp_path)


def test_folder_of_gguf_files_says_which_path_to_give(tmp_path: Path) -> None:
    (tmp_path / "m-Q4_K_M.gguf").write_bytes(gguf_bytes())
    (tmp_path / "mmproj-F16.gguf").write_bytes(gguf_bytes())
    with pytest.raises(SizingError, match=r"holds \.gguf files") as caught:
        size(tmp_path)
    assert caught.value.details == ("m-Q4_K_M.gguf",)
    assert str(tmp_path / "m-Q4_K_M.gguf") in caught.value.hint


def test_weights_that_mistral_stores_twice_count_once(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    alone = size(tmp_path)
    single = tmp_path / "model.safetensors"
    (tmp_path / "consolidated.safetensors").write_bytes(single.read_bytes()[:0])
    single.rename(tmp_path / "model-00001-of-00001.safetensors")
    assert size(tmp_path) == alone


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 16060522496\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "m.gguf"])
def test_file_that_git_lfs_has_not_fetched_is_told(tmp_path: Path, name: str) -> None:
    write_config(tmp_path)
    (tmp_path / name).write_bytes(POINTER)
    source = tmp_path / name if name.endswith(".gguf") else tmp_path
    with pytest.raises(SizingError, match="git-lfs has to fetch") as caught:
        size(source)
    assert "git lfs pull" in caught.value.hint


def test_draft_model_that_cannot_be_read_is_called_so(tmp_path: Path) -> None:
    write_qwen3(tmp_path)
    with pytest.raises(SizingError, match=r"draft model \./none: there is no folder"):
        with_arguments(tmp_path, "--speculative-config", '{"model": "./none"}')
