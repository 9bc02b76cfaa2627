"""What is served beside a model: LoRA adapters and the draft model of speculative decoding.

Separate, because each is a model's files read once more, with a rule of its own: an adapter keeps
no cache, a draft model keeps one for every token of the model it runs ahead of.

vLLM reserves room for adapters by rank, in every layer an adapter may touch. That is what the files
of an adapter of that rank hold; a smaller one takes as much room as the largest allowed.
"""

from __future__ import annotations

from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.safetensors import read_shard
from gpuslice.sizing.shape import Load
from gpuslice.sizing.size import read_model

_ADAPTER = "adapter_model.safetensors"


def adapter_beside(source: str) -> tuple[str, int]:
    """Size a LoRA adapter: a name for it, and its bytes.

    Args:
        source: Absolute path of the adapter's folder.

    Raises:
        SizingError: It is not on this machine, or broken.
    """
    folder = Path(source)
    path = folder / _ADAPTER
    if not path.is_file():
        text = f"the adapter {source} has no {_ADAPTER} on this machine"
        raise SizingError(text, hint="fetch the adapter and give its folder")
    return f"adapter {folder.name}", sum(tensor.bytes for tensor in read_shard(path))


def draft_beside(source: str, load: Load, engine: str) -> tuple[str, int]:
    """Size a draft model: a name for it, and the bytes of its weights and of its cache.

    Args:
        source: Absolute path, or hub name.
        load: What the model it runs ahead of is asked to hold; the draft holds the same tokens.
        engine: The engine that serves both.

    Raises:
        SizingError: It cannot be read, or is nothing this engine serves.
    """
    draft = read_model(source, engine)
    one = draft.architecture.sequence_bytes(load.context_tokens, cache=load.cache)
    name = f"draft model {Path(source).name}"
    return name, draft.weights.bytes + one * load.concurrency
