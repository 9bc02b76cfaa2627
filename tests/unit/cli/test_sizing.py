"""``gpuslice size``: what a model needs, and which slice holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders import the_small_model
from model_files import qwen3_tensors, write_safetensors
from terminal import Shown, Terminal

CONFIG: dict[str, Any] = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Qwen3-4B: every tensor in its true size, without its content."""
    path = tmp_path / "qwen3-4b"
    path.mkdir()
    tensors = qwen3_tensors(layers=36, width=2560, inner=9728, kv_heads=8, heads=32, tied=True)
    write_safetensors(path / "model.safetensors", tensors)
    write_config(path)
    return path


def write_config(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))


def asked(terminal: Terminal, *arguments: str) -> Shown:
    return terminal.type("size", "./qwen3-4b", *arguments, simulate="")


def test_each_line_has_its_rule_and_the_sum_is_below(terminal: Terminal, folder: Path) -> None:
    shown = asked(terminal, "--context-tokens", "8192", "--concurrency", "8")
    assert shown.status == 0, shown.err
    assert "weights, bf16" in shown.out
    assert "KV cache (8 × 8,192 tokens)" in shown.out
    assert "147,456 bytes a token (f16)" in " ".join(shown.out.split())
    assert "the slice has to have" in shown.out
    assert folder.is_dir()


def test_boards_say_what_they_hold_and_what_a_smaller_slice_would_take(
    terminal: Terminal, folder: Path
) -> None:
    shown = asked(
        terminal, "--context-tokens", "8192", "--concurrency", "10", "--board", "a100-80gb"
    )
    text = " ".join(shown.out.split())
    assert "a100-80gb 2g.20gb" not in text  # needs more
    assert "a100-80gb 3g.40gb" in text
    assert "1g.20gb with an fp8 cache or context" in text
    assert "h200" not in text
    assert folder.is_dir()


def test_json_has_the_same_figures_for_scripts(terminal: Terminal, folder: Path) -> None:
    answer = asked(terminal, "--json", "--cache", "fp8", "--concurrency", "2").json
    assert answer["memory_mib"] == sum(part["memory_mib"] for part in answer["parts"])
    assert answer["cache_bytes_per_token"] == 147_456 // 2
    assert answer["exact"] is True
    assert answer["work"]["kv_bytes_per_token"] == 147_456
    names = [one["board"] for one in answer["boards"]]
    assert "a100-80gb" in names
    assert len(set(names)) == len(names)
    assert folder.is_dir()


def test_gguf_file_is_served_by_llama_cpp(terminal: Terminal) -> None:
    answer = terminal.type("size", str(the_small_model()), "--json", simulate="").json
    assert answer["engine"] == "llama.cpp"
    assert [part["kind"] for part in answer["weights"]] == ["Q4_1", "Q8_0", "fp32"]


def test_adapters_and_a_draft_model_are_counted(terminal: Terminal, folder: Path) -> None:
    adapter = folder.parent / "sql"
    adapter.mkdir()
    size = 30 * 1024**2
    write_safetensors(adapter / "adapter_model.safetensors", {"a": ("BF16", (size // 2,), size)})
    alone = asked(terminal, "--json").json
    shown = asked(terminal, "--json", "--adapter", "sql", "--draft", "./qwen3-4b")
    parts = {part["name"]: part["memory_mib"] for part in shown.json["parts"]}
    assert parts["adapter sql"] == 30
    cache = 147_456 * 4096 * 4
    assert parts["draft model qwen3-4b"] == -(-(alone["weights_bytes"] + cache) // 1024**2)


def test_packing_that_a_card_cannot_compute_with_is_told(terminal: Terminal, folder: Path) -> None:
    write_config(folder, quantization_config={"quant_method": "fp8"})
    shown = asked(terminal)
    assert "no fp8 arithmetic on Ampere" in " ".join(shown.out.split())


def test_weights_that_are_quantized_while_loading_are_counted_as_they_end(
    terminal: Terminal, folder: Path
) -> None:
    plain = asked(terminal, "--json").json
    shown = asked(terminal, "--json", "--quantization", "fp8").json
    assert shown["weights_bytes"] < 0.6 * plain["weights_bytes"]
    assert "7,673 MiB before" in shown["parts"][0]["rule"]
    assert any(board["remark"].startswith("no fp8") for board in shown["boards"])
    assert folder.is_dir()


def test_smaller_weights_are_offered_for_a_smaller_slice(terminal: Terminal, folder: Path) -> None:
    shown = asked(terminal, "--board", "a100-80gb")
    text = " ".join(shown.out.split())
    assert "1g.10gb with context 1,024 or 1 request at a time or fp8 weights" in text
    assert "note fp8 weights: --quantization fp8" in text
    assert folder.is_dir()


def test_unknown_architecture_is_sized_and_marked(terminal: Terminal, folder: Path) -> None:
    write_config(folder, model_type="brandnew")
    shown = asked(terminal)
    assert shown.status == 0, shown.err
    assert "at most" in shown.out
    assert "'brandnew' is not a known architecture" in " ".join(shown.out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--context-tokens", "50000"), "was made for 40,960 tokens; 50,000 are asked for"),
        (("--context-tokens", "0"), "a context of 0 tokens makes no sense"),
        (("--concurrency", "0"), "a concurrency of 0 makes no sense"),
        (("--engine", "llama.cpp"), "no .gguf file"),
        (("--engine", "pigeon"), "engine 'pigeon' needs is unknown"),
        (("--adapter", "./nowhere"), "has no adapter_model.safetensors"),
        (("--draft", "./nowhere"), "there is no folder"),
    ],
)
def test_what_cannot_be_sized_is_told_with_what_to_do(
    terminal: Terminal, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    shown = asked(terminal, *arguments)
    assert shown.status == 3
    assert message in shown.error
    assert "next:" in shown.error
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--quantization", "fp7"), 2, "'fp7' is not done while loading"),
        (("--cache", "f7"), 2, "'f7' is no type of a KV cache"),
        (("--board", "a1000"), 5, "a1000"),
    ],
)
def test_words_that_nobody_knows_are_refused(
    terminal: Terminal, folder: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    shown = asked(terminal, *arguments)
    assert shown.status == status
    assert message in shown.error
    assert folder.is_dir()
