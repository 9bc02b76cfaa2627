"""A model of the hub: which of its files hold it, and what their headers say.

Separate from `hub`, which fetches, because repositories are laid out in several ways: safetensors
with an index or without, PyTorch's own files, or many quantizations of one model as ``.gguf``.
Safetensors win where a repository has more than one, as in the engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf import GgufHeader
from gpuslice.sizing.gguf_files import choose, models_in, parts_of
from gpuslice.sizing.hub import Repository
from gpuslice.sizing.pickles import NOTE, pickled_tensors
from gpuslice.sizing.safetensors import CONFIG, INDEX
from gpuslice.sizing.tensors import StoredModel, Tensor

_SINGLE = "model.safetensors"
_MOST_SHARDS = 1000
_AT_ONCE = 8  # as many headers as the library itself asks for together
_FOR_NOW = "in a stack file say `slice:` or `memory:` for this model"


def read_hub_model(written: str, revision: str = "") -> StoredModel | tuple[GgufHeader, ...]:
    """Read a model's configuration and the headers of its weights.

    Args:
        written: ``Qwen/Qwen3-4B``, or with the quantization of a ``.gguf`` file,
            ``unsloth/Qwen3-4B-GGUF:Q4_K_M``.
        revision: Branch, tag or commit; "" for the main branch.

    Returns:
        Configuration and tensors; or the headers of all parts of a ``.gguf`` model.

    Raises:
        SizingError: The library is not installed; there is no such model; it is gated; the hub
            cannot be reached; or it holds nothing that can be sized.
    """
    name, _, quantization = written.partition(":")
    repository = Repository(name, revision)
    if quantization:
        return _gguf(repository, name, quantization)
    config = repository.read_json(CONFIG)
    if config is None:
        return _without_config(repository, name)
    tensors = _safetensors(repository, name)
    if tensors is not None:
        return StoredModel(config=config, tensors=tensors)
    files = repository.files()
    if pickled := pickled_tensors(files, name):
        return StoredModel(config=config, tensors=pickled, notes=(NOTE,))
    if models_in(files):
        return _gguf(repository, name, "")
    raise _nothing(name, files)


def _without_config(repository: Repository, name: str) -> tuple[GgufHeader, ...]:
    """Read a repository of ``.gguf`` files, which need no configuration, or say what is missing."""
    files = repository.files()
    if models_in(files):
        return _gguf(repository, name, "")
    below = tuple(sorted(file for file in files if Path(file).name == CONFIG))
    if below:
        text = f"{name} has no {CONFIG} of its own: its models lie in folders"
        hint = "fetch the folder that you mean, and give its path"
        raise SizingError(text, hint=hint, details=below)
    text = f"{name} has no {CONFIG}, so what it needs is unknown"
    raise SizingError(text, hint=_FOR_NOW)


def _nothing(name: str, files: Mapping[str, int]) -> SizingError:
    held = [file for file in sorted(files) if file.endswith((".safetensors", ".bin", ".pt"))]
    text = f"{name} has no {_SINGLE}, pytorch_model.bin or .gguf file"
    if held:
        text += f", only {', '.join(held[:3])}"
    return SizingError(text, hint=_FOR_NOW)


def _gguf(repository: Repository, name: str, quantization: str) -> tuple[GgufHeader, ...]:
    files = repository.files()
    first = choose(files, quantization, name)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return tuple(pool.map(repository.gguf, parts_of(first, files.__contains__)))


def _safetensors(repository: Repository, name: str) -> tuple[Tensor, ...] | None:
    """List the tensors of all shards; None where there are no safetensors."""
    index = None if repository.is_cached(_SINGLE) else repository.read_json(INDEX)
    if index is None:
        return repository.tensors(_SINGLE)
    shards = _shards(index, name)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        parts = dict(zip(shards, pool.map(repository.tensors, shards), strict=True))
    if missing := tuple(shard for shard, tensors in parts.items() if tensors is None):
        text = f"{name} lacks {len(missing)} of {len(shards)} shards that its index names"
        hint = "tell the model's owner; until then, " + _FOR_NOW
        raise SizingError(text, hint=hint, details=missing)
    return tuple(tensor for tensors in parts.values() for tensor in tensors or ())


def _shards(index: Mapping[str, object], name: str) -> tuple[str, ...]:
    """List the files that an index names."""
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        text = f"{INDEX} of {name} has no weight_map"
        raise SizingError(text, hint="tell the model's owner; until then, " + _FOR_NOW)
    shards = tuple(sorted({str(shard) for shard in weight_map.values()}))
    if len(shards) > _MOST_SHARDS or any(Path(shard).name != shard for shard in shards):
        raise SizingError(f"{INDEX} of {name} names files that no model has", hint=_FOR_NOW)
    return shards
