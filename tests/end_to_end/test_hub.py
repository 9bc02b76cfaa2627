"""``gpuslice size OWNER/NAME``: a model of the hub is sized from headers, by the hub's library.

The library reads its settings when it is imported, so each question is a process of its own; the
hub is a server on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import HubServer, hub_server
from model_files import F16, TINY_LLAMA, gguf_bytes, qwen3_tensors, write_safetensors
from terminal import Shown

NAME = "Qwen/Tiny"
CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 128,
    "hidden_size": 256,
    "intermediate_size": 512,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}

pytestmark = pytest.mark.slow


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture
def a_model(hub: HubServer, tmp_path: Path) -> int:
    """Put a small Qwen3 in two shards on the hub; return the bytes of its tensors."""
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = qwen3_tensors(layers=2, width=256, inner=512, kv_heads=1, heads=2, tied=False)
    half = len(tensors) // 2
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[:half], names[half:])):
        shard = f"model-0000{number + 1}-of-00002.safetensors"
        write_safetensors(folder / shard, {name: tensors[name] for name in part})
        weight_map |= dict.fromkeys(part, shard)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    hub.add_folder(NAME, folder)
    return sum(size for _, _, size in tensors.values())


def ask(hub: HubServer, home: Path, name: str = NAME, *options: str, **environment: str) -> Shown:
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    answer = subprocess.run(
        [sys.executable, "-m", "gpuslice", "size", name, "--json", *options],
        env={**os.environ, "HF_HUB_OFFLINE": "0", **settings, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Shown(status=answer.returncode, out=answer.stdout, err=answer.stderr)


def test_model_is_sized_and_none_of_its_weights_is_fetched(
    hub: HubServer, a_model: int, tmp_path: Path
) -> None:
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == a_model
    assert asked.json["cache_bytes_per_token"] == 2 * 2 * 128 * 2
    shards = [entry for entry in hub.asked if entry[1].endswith(".safetensors")]
    assert {span for _, _, span in shards} == {"bytes=0-100000"}
    assert hub.sent < 300_000 < a_model


def test_token_of_the_environment_goes_with_every_request(
    hub: HubServer, a_model: int, tmp_path: Path
) -> None:
    assert ask(hub, tmp_path / "home", HF_TOKEN="hf_secret").status == 0
    assert hub.tokens == {"Bearer hf_secret"}
    assert a_model


def test_configuration_comes_from_the_cache_where_there_is_no_network(
    hub: HubServer, a_model: int, tmp_path: Path
) -> None:
    assert ask(hub, tmp_path / "home").status == 0
    before = len(hub.asked)
    asked = ask(hub, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert len(hub.asked) == before
    assert asked.status == 3
    assert "model-00001-of-00002.safetensors of Qwen/Tiny is not on this machine" in asked.error
    assert "HF_HUB_OFFLINE" in asked.error
    assert a_model


@pytest.mark.parametrize("shards", [1, 2])
def test_model_that_is_in_the_cache_is_sized_without_asking_anybody(
    hub: HubServer, a_model: int, tmp_path: Path, shards: int
) -> None:
    if shards == 1:
        hub.files = {f"{NAME}/config.json": json.dumps(CONFIG).encode()}
        tensors = qwen3_tensors(layers=2, width=256, inner=512, kv_heads=1, heads=2, tied=False)
        write_safetensors(tmp_path / "one.safetensors", tensors)
        hub.files[f"{NAME}/model.safetensors"] = (tmp_path / "one.safetensors").read_bytes()
    code = "import huggingface_hub as h, sys; n, *fs = sys.argv[1:]; "
    code += "[h.hf_hub_download(n, f) for f in fs]"
    files = sorted(key.removeprefix(f"{NAME}/") for key in hub.files)
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    subprocess.run(
        [sys.executable, "-c", code, NAME, *files],
        env={**os.environ, **settings},
        check=True,
        timeout=60,
        capture_output=True,
    )
    before = len(hub.asked)
    asked = ask(hub, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == a_model
    assert len(hub.asked) == before


@pytest.mark.parametrize(
    ("refusal", "message", "remedy"),
    [
        ((403, "GatedRepo"), "Qwen/Tiny is gated", "ask for access at http://127.0.0.1"),
        ((401, "GatedRepo"), "Qwen/Tiny is gated", "hf auth login"),
        ((404, "RepoNotFound"), "there is no model Qwen/Tiny on the hub", "check the name"),
        ((401, ""), "the hub refused the token", "hf auth login"),
        ((400, ""), "the hub did not answer for Qwen/Tiny/config.json", "try again later"),
    ],
)
def test_refusal_of_the_hub_is_told_with_its_remedy(
    hub: HubServer, tmp_path: Path, refusal: tuple[int, str], message: str, remedy: str
) -> None:
    hub.refused[NAME] = refusal
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 3, asked.err
    assert message in asked.error
    assert remedy in asked.error
    assert "Traceback" not in asked.err


def test_pytorchs_own_files_count_by_their_size(hub: HubServer, tmp_path: Path) -> None:
    hub.files[f"{NAME}/config.json"] = json.dumps(CONFIG).encode()
    hub.files[f"{NAME}/pytorch_model.bin"] = b"x" * 3_000_000
    hub.files[f"{NAME}/optimizer.bin"] = b"x" * 1000
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == 3_000_000
    assert asked.json["exact"] is False
    assert "as large as their files" in asked.json["notes"][0]
    assert hub.sent < 10_000


def test_model_without_weights_that_can_be_sized_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.files[f"{NAME}/config.json"] = json.dumps(CONFIG).encode()
    hub.files[f"{NAME}/flux.safetensors"] = b"x"
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 3
    assert "no model.safetensors, pytorch_model.bin or .gguf file" in asked.error
    assert "only flux.safetensors" in asked.error


def test_index_that_names_a_missing_shard_is_told(
    hub: HubServer, a_model: int, tmp_path: Path
) -> None:
    del hub.files[f"{NAME}/model-00002-of-00002.safetensors"]
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 3
    assert "lacks 1 of 2 shards" in asked.error
    assert "model-00002-of-00002.safetensors" in asked.error
    assert a_model


def test_revision_is_what_is_read(hub: HubServer, a_model: int, tmp_path: Path) -> None:
    hub.revisions.add("v2")
    asked = ask(hub, tmp_path / "home", NAME, "--revision", "v2")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == a_model
    assert all("/resolve/v2/" in path for _, path, _ in hub.asked if "resolve" in path)
    missing = ask(hub, tmp_path / "home", NAME, "--revision", "v3")
    assert missing.status == 3
    assert f"{NAME} has no revision v3" in missing.error


GGUF = "someone/Tiny-GGUF"
LONG = {**TINY_LLAMA, "tokenizer.ggml.tokens": [f"{n:0>90}" for n in range(60_000)]}


@pytest.fixture
def ggufs(hub: HubServer) -> int:
    """Put two quantizations on the hub, one in two parts; return the bytes of the usual one."""
    tensors = [("token_embd.weight", (1024, 8192), F16)]
    whole = gguf_bytes(LONG, tensors)
    hub.files[f"{GGUF}/tiny-Q4_K_M.gguf"] = whole
    hub.files[f"{GGUF}/mmproj-F16.gguf"] = gguf_bytes()
    hub.files[f"{GGUF}/Q8_0/tiny-Q8_0-00001-of-00002.gguf"] = gguf_bytes()
    second = gguf_bytes({}, [("blk.1", (1024, 1024), F16)])
    hub.files[f"{GGUF}/Q8_0/tiny-Q8_0-00002-of-00002.gguf"] = second
    return len(whole)


def test_gguf_of_the_hub_is_sized_by_its_header_however_long(
    hub: HubServer, ggufs: int, tmp_path: Path
) -> None:
    asked = ask(hub, tmp_path / "home", GGUF)
    assert asked.status == 0, asked.err
    assert asked.json["engine"] == "llama.cpp"
    assert asked.json["weights_bytes"] == 2 * 1024 * 8192
    spans = [span for _, path, span in hub.asked if path.endswith("Q4_K_M.gguf")]
    assert spans == ["bytes=0-2097151", "bytes=2097152-4194303", "bytes=4194304-8388607"]
    assert hub.sent < 9_000_000 < ggufs


def test_quantization_of_a_gguf_is_chosen_by_the_name(
    hub: HubServer, ggufs: int, tmp_path: Path
) -> None:
    asked = ask(hub, tmp_path / "home", f"{GGUF}:q8_0")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == 2 * 64 * 3 + 2 * 1024**2
    wrong = ask(hub, tmp_path / "home", f"{GGUF}:Q5_K_M")
    assert wrong.status == 3
    assert "holds no .gguf model called Q5_K_M" in wrong.error
    assert "tiny-Q4_K_M.gguf" in wrong.error
    assert ggufs


def test_gguf_in_the_cache_needs_nobody(hub: HubServer, ggufs: int, tmp_path: Path) -> None:
    code = "import huggingface_hub as h, sys; h.hf_hub_download(*sys.argv[1:])"
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    subprocess.run(
        [sys.executable, "-c", code, GGUF, "tiny-Q4_K_M.gguf"],
        env={**os.environ, **settings},
        check=True,
        timeout=60,
        capture_output=True,
    )
    before = len(hub.asked)
    asked = ask(hub, tmp_path / "home", f"{GGUF}:Q4_K_M", HF_HUB_OFFLINE="1")
    assert asked.status == 0, asked.err
    assert asked.json["weights_bytes"] == 2 * 1024 * 8192
    assert len(hub.asked) == before
    assert ggufs


def test_mirror_that_sends_whole_files_is_told_and_not_read(
    hub: HubServer, ggufs: int, tmp_path: Path
) -> None:
    hub.has_ranges = False
    asked = ask(hub, tmp_path / "home", GGUF)
    assert asked.status == 3, asked.err
    assert "gives no part of someone/Tiny-GGUF/tiny-Q4_K_M.gguf alone" in asked.error
    assert ggufs


def test_gguf_that_is_gated_is_told(hub: HubServer, ggufs: int, tmp_path: Path) -> None:
    hub.refused[GGUF] = (403, "GatedRepo")
    asked = ask(hub, tmp_path / "home", f"{GGUF}:Q8_0")
    assert asked.status == 3, asked.err
    assert "someone/Tiny-GGUF is gated" in asked.error
    assert ggufs


def test_broken_gguf_of_the_hub_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.files[f"{GGUF}/tiny-Q4_K_M.gguf"] = b"GGUF" + b"\xff" * 64
    asked = ask(hub, tmp_path / "home", GGUF)
    assert asked.status == 3, asked.err
    assert "is GGUF version" in asked.error


def test_model_in_a_folder_of_a_repository_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.files[f"{NAME}/small/config.json"] = json.dumps(CONFIG).encode()
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 3
    assert "its models lie in folders" in asked.error
    assert "small/config.json" in asked.error


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 64,
        b"",
        b"\x02" + bytes(7) + b"[]",
        b"\x07" + bytes(7) + b'{"a":5}',
        b"\x06" + bytes(7) + b'{"a":{',
    ],
)
def test_broken_header_is_told(hub: HubServer, tmp_path: Path, content: bytes) -> None:
    hub.files[f"{NAME}/config.json"] = json.dumps(CONFIG).encode()
    hub.files[f"{NAME}/model.safetensors"] = content
    asked = ask(hub, tmp_path / "home")
    assert asked.status == 3, asked.err
    assert "no sound safetensors file" in asked.error


def test_hub_that_cannot_be_reached_is_told(hub: HubServer, tmp_path: Path) -> None:
    asked = ask(hub, tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9")
    assert asked.status == 3
    assert "the hub cannot be reached" in asked.error
    assert "check the network" in asked.error


def test_name_that_the_hub_does_not_allow_is_told(hub: HubServer, tmp_path: Path) -> None:
    asked = ask(hub, tmp_path / "home", "org/a--b")
    assert asked.status == 3, asked.err
    assert "'org/a--b' is no name of a model on the hub" in asked.error


def test_adapter_and_draft_model_of_the_hub_are_counted(
    hub: HubServer, a_model: int, tmp_path: Path
) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"a": ("BF16", (2**20,), 2**21)})
    content = (tmp_path / "a.safetensors").read_bytes()
    hub.files["someone/sql/adapter_model.safetensors"] = content
    asked = ask(hub, tmp_path / "home", NAME, "--adapter", "someone/sql", "--draft", NAME)
    assert asked.status == 0, asked.err
    parts = {part["name"]: part["memory_mib"] for part in asked.json["parts"]}
    assert parts["adapter sql"] == 2
    assert parts["draft model Tiny"] > a_model / 2**20
    missing = ask(hub, tmp_path / "home", NAME, "--draft", "someone/none")
    assert missing.status == 3
    assert "draft model someone/none: there is no model" in missing.error
