"""From a model's source to what one server of it needs.

Separate, because it is the one place that chooses: which reader for the source, which arithmetic
for the engine, and when the only honest answer is "unknown".
"""

from __future__ import annotations

import re
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.attention import config_attention, gguf_attention
from gpuslice.sizing.estimate import Sized, estimate_llama_cpp, estimate_vllm
from gpuslice.sizing.gguf import GgufHeader, read_gguf
from gpuslice.sizing.safetensors import read_config, read_weights_bytes
from gpuslice.sizing.shape import ModelShape

_ESTIMATES = {"llama.cpp": estimate_llama_cpp, "vllm": estimate_vllm}
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MOST_SPLITS = 1000
_HINT = "say `slice:` or `memory:` for this model"


def size_model(source: str, *, engine: str, context_tokens: int, concurrency: int) -> Sized:
    """Work out how much memory one server of a model needs.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name.
        engine: ``vllm``, ``llama.cpp`` or ``command``.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.

    Returns:
        The least memory of a slice, MiB, with its parts.

    Raises:
        SizingError: It cannot be told: a hub name, an engine that is not known, a folder without
            enough in it, a broken file.
    """
    estimate = _ESTIMATES.get(engine)
    if estimate is None:
        text = f"what a server of engine '{engine}' needs is unknown"
        raise SizingError(text, hint=_HINT)
    model = _read_model(source, engine)
    return estimate(model, context_tokens=context_tokens, concurrency=concurrency)


def _read_model(source: str, engine: str) -> ModelShape:
    path = Path(source)
    if source.lower().endswith(".gguf"):
        return _read_gguf_model(path)
    if not path.is_absolute():
        text = f"what {source} needs is unknown: it is not on this machine"
        raise SizingError(text, hint=_HINT)
    if engine == "llama.cpp":
        raise SizingError(f"{source} is no .gguf file, and llama.cpp serves no other", hint=_HINT)
    return _read_folder(path)


def _read_gguf_model(path: Path) -> ModelShape:
    first, *others = split_files(path)
    header = read_gguf(first)
    rest = sum(read_gguf(other).weights_bytes for other in others)
    return ModelShape(
        weights_bytes=header.weights_bytes + rest,
        attention=gguf_attention(header, str(first)),
        vocabulary=_vocabulary(header),
    )


def split_files(path: Path) -> tuple[Path, ...]:
    """List the files of a model in parts (``…-00001-of-00003.gguf``), or just the one.

    Raises:
        SizingError: The name counts wrongly, or some of the parts are missing.
    """
    match = _SPLIT.fullmatch(path.name)
    if match is None:
        return (path,)
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= _MOST_SPLITS:
        raise SizingError(f"{path} is no part of a model: its name counts wrongly", hint=_HINT)
    names = [f"{match['stem']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)]
    missing = tuple(name for name in names if not (path.parent / name).is_file())
    if missing:
        text = f"{path} is one of {count} parts, and {len(missing)} of them are missing"
        raise SizingError(text, hint="fetch the missing parts", details=missing)
    return tuple(path.parent / name for name in names)


def _vocabulary(header: GgufHeader) -> int:
    written = header.metadata.get(f"{header.architecture}.vocab_size")
    tokens = header.lengths.get("tokenizer.ggml.tokens", 0)
    return max(tokens, written if isinstance(written, int) else 0)


def _read_folder(folder: Path) -> ModelShape:
    if not folder.is_dir():
        raise SizingError(f"there is no folder {folder}", hint="check the path")
    return ModelShape(
        weights_bytes=read_weights_bytes(folder),
        attention=config_attention(read_config(folder), str(folder)),
    )
