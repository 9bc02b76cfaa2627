"""From a model's source to what one server of it needs.

Separate, because it is the one place that chooses: which reader for the source, which arithmetic
for the engine, and when the only honest answer is "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.agreement import describe
from gpuslice.sizing.architecture import Architecture
from gpuslice.sizing.arguments import asked_with
from gpuslice.sizing.estimate import Sized, estimate_llama_cpp, estimate_sglang, estimate_vllm
from gpuslice.sizing.folder import read_folder
from gpuslice.sizing.gguf import GgufHeader, read_gguf
from gpuslice.sizing.gguf_architecture import gguf_architecture
from gpuslice.sizing.gguf_files import parts_of
from gpuslice.sizing.hub import Repository
from gpuslice.sizing.hub_model import read_hub_model
from gpuslice.sizing.on_the_fly import method_of, quantized
from gpuslice.sizing.safetensors import read_shard
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.tensors import StoredModel, Tensor
from gpuslice.sizing.weights import Weights, quantization_of, weights_of

_ESTIMATES = {
    "llama.cpp": estimate_llama_cpp,
    "sglang": estimate_sglang,
    "vllm": estimate_vllm,
}
_ADAPTER = "adapter_model.safetensors"
_MOST_CONTEXT = 16_777_216
_MOST_CONCURRENCY = 4096
_HINT = "in a stack file say `slice:` or `memory:` for this model"


def size_model(
    source: str,
    *,
    engine: str,
    context_tokens: int,
    concurrency: int,
    arguments: Sequence[str] = (),
    folder: Path | None = None,
) -> Sized:
    """Work out how much memory one server of a model needs.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name.
        engine: ``vllm``, ``sglang``, ``llama.cpp`` or ``command``.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.
        arguments: The user's own for the engine, which win over context and concurrency.
        folder: Where relative paths in the arguments start; the working folder if None.

    Returns:
        The least memory of a slice, MiB, with its parts.

    Raises:
        SizingError: It cannot be told: an engine that is not known, a folder without enough in it,
            a broken file, a model of the hub that cannot be reached; or what is asked for cannot
            be served.
    """
    model, load = read_asked(
        source,
        engine=engine,
        context_tokens=context_tokens,
        concurrency=concurrency,
        arguments=arguments,
        folder=folder or Path.cwd(),
    )
    return estimate_of(engine)(model, load)


def read_asked(
    source: str,
    *,
    engine: str,
    context_tokens: int,
    concurrency: int,
    arguments: Sequence[str],
    folder: Path,
) -> tuple[ModelShape, Load]:
    """Read a model, and say what its server is asked to hold; the user's arguments are heard.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name.
        engine: The engine that serves it.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.
        arguments: The user's own for the engine, which win over context and concurrency.
        folder: Where relative paths in the arguments start.

    Raises:
        SizingError: As for `size_model`.
    """
    asked = asked_with(Load(context_tokens=context_tokens, concurrency=concurrency), arguments)
    if engine == "llama.cpp" and not source.lower().endswith(".gguf"):
        text = f"{source} is no .gguf file on this machine, and llama.cpp serves no other"
        raise SizingError(text, hint="fetch the file (hf download) and give its path")
    model = read_model(source, engine, quantization=asked.quantization, revision=asked.revision)
    _refuse_absurd(model, asked.load, engine, "" if asked.stretched else source)
    load = with_company(asked.load, asked.adapters, asked.draft, engine=engine, folder=folder)
    return model, load


def with_company(
    load: Load, adapters: Sequence[str], draft: str, *, engine: str, folder: Path
) -> Load:
    """Count what is served beside a model: LoRA adapters and the draft model.

    An adapter keeps no cache and takes what its files hold, here or on the hub. A draft model keeps
    a cache for the tokens of the model it runs ahead of.

    Args:
        load: What the model is asked to hold.
        adapters: Folders of adapters, or their names on the hub.
        draft: A draft model's path or hub name; "" for none.
        engine: The engine that serves all of them.
        folder: Where relative paths start.

    Raises:
        SizingError: One of them cannot be read.
    """
    beside = [_adapter(adapter, folder) for adapter in adapters]
    if draft:
        beside.append(_draft(draft, load, engine, folder))
    return replace(load, beside=tuple(beside))


def _adapter(written: str, folder: Path) -> tuple[str, int]:
    path = folder / Path(written).expanduser()
    name = f"adapter {Path(written).name}"
    if (path / _ADAPTER).is_file():
        return name, sum(tensor.bytes for tensor in read_shard(path / _ADAPTER))
    if path.exists() or not _is_hub_name(written):
        text = f"the adapter {path} has no {_ADAPTER} on this machine"
        raise SizingError(text, hint="fetch the adapter and give its folder")
    tensors = Repository(written).tensors(_ADAPTER)
    if tensors is None:
        text = f"the adapter {written} has no {_ADAPTER} on the hub"
        raise SizingError(text, hint="check the name, or fetch the adapter and give its folder")
    return name, sum(tensor.bytes for tensor in tensors)


def _draft(written: str, load: Load, engine: str, folder: Path) -> tuple[str, int]:
    path = folder / Path(written).expanduser()
    here = path.exists() or not _is_hub_name(written)
    try:
        draft = read_model(str(path) if here else written, engine)
    except SizingError as error:
        text = f"draft model {written}: {error.message}"
        raise SizingError(text, hint=error.hint, details=error.details) from error
    one = draft.architecture.sequence_bytes(load.context_tokens, cache=load.cache)
    name = f"draft model {Path(written).name}"
    return name, draft.weights.bytes + one * load.concurrency


def _is_hub_name(written: str) -> bool:
    """Tell what can only be a path from what may be a name on the hub."""
    return not written.startswith(("/", ".", "~")) and not written.lower().endswith(".gguf")


def size_shape(model: ModelShape, load: Load, *, engine: str, source: str) -> Sized:
    """Work out how much memory one server of a model that was read needs.

    Raises:
        SizingError: The engine is not known, or what is asked for cannot be served.
    """
    estimate = estimate_of(engine)
    _refuse_absurd(model, load, engine, source)
    return estimate(model, load)


def read_model(
    source: str, engine: str, *, quantization: str = "", revision: str = ""
) -> ModelShape:
    """Read what a model is made of; nothing but headers and its configuration is looked at.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name, which may choose a
            ``.gguf`` by its quantization (``owner/name:Q4_K_M``).
        engine: The engine that serves it: llama.cpp serves ``.gguf`` files only.
        quantization: What the engine is told to quantize the weights to while it loads them.
        revision: Branch, tag or commit of a model on the hub; "" for its main branch.

    Raises:
        SizingError: It cannot be read, contradicts itself, or is nothing this engine serves.
    """
    estimate_of(engine)
    stored = _read(source, revision)
    if not isinstance(stored, StoredModel):
        return _gguf_shape(stored, source)
    if engine == "llama.cpp":
        raise SizingError(f"{source} is no .gguf file, and llama.cpp serves no other", hint=_HINT)
    model = shape_of(stored.config, stored.tensors, source, quantization)
    if not stored.notes:
        return model
    architecture = model.architecture
    notes = (*architecture.notes, *stored.notes)
    return replace(model, architecture=replace(architecture, notes=notes, exact=False))


def _read(source: str, revision: str) -> StoredModel | tuple[GgufHeader, ...]:
    path = Path(source)
    if source.lower().endswith(".gguf"):
        parts = parts_of(path.name, lambda name: (path.parent / name).is_file())
        return tuple(read_gguf(path.parent / part) for part in parts)
    return read_folder(path) if path.is_absolute() else read_hub_model(source, revision)


def estimate_of(engine: str) -> Callable[[ModelShape, Load], Sized]:
    """Find the arithmetic of an engine.

    Raises:
        SizingError: The engine is not known, so nobody can say what its server needs.
    """
    estimate = _ESTIMATES.get(engine)
    if estimate is None:
        raise SizingError(f"what a server of engine '{engine}' needs is unknown", hint=_HINT)
    return estimate


def _refuse_absurd(model: ModelShape, load: Load, engine: str, source: str) -> None:
    """Refuse what no server can be asked for, and what this model was not made for."""
    if not 1 <= load.concurrency <= _MOST_CONCURRENCY:
        text = f"a concurrency of {load.concurrency:,} makes no sense"
        raise SizingError(text, hint=f"ask for 1 to {_MOST_CONCURRENCY:,} requests at a time")
    if not 1 <= load.context_tokens <= _MOST_CONTEXT:
        text = f"a context of {load.context_tokens:,} tokens makes no sense"
        raise SizingError(text, hint=f"ask for 1 to {_MOST_CONTEXT:,} tokens")
    longest = model.architecture.longest_context
    if engine != "llama.cpp" and source and 0 < longest < load.context_tokens:
        text = f"{source} was made for {longest:,} tokens; {load.context_tokens:,} are asked for"
        hint = (
            f"ask for a context of at most {longest:,} tokens; {engine} would not start with more"
        )
        raise SizingError(text, hint=hint)


def _gguf_shape(headers: Sequence[GgufHeader], source: str) -> ModelShape:
    """Describe a ``.gguf`` model by the headers of its parts, of which the first has the keys."""
    architecture = gguf_architecture(headers[0], source)
    stored = [
        Tensor(name=tensor.name, kind=tensor.kind, shape=tensor.shape, bytes=tensor.bytes)
        for header in headers
        for tensor in header.tensors
    ]
    # A table that serves both ends is stored once; llama.cpp reads it for either.
    return ModelShape(architecture=architecture, weights=weights_of(stored, architecture))


def shape_of(
    config: Mapping[str, object], tensors: Sequence[Tensor], source: str, quantization: str = ""
) -> ModelShape:
    """Describe a model by its parsed config.json and all of its tensors.

    Args:
        config: The parsed file.
        tensors: All of them, as they are stored.
        source: Where they were read from, for messages.
        quantization: What an engine is told to quantize them to; it leaves packed ones alone.

    Raises:
        SizingError: They contradict each other, or tell too little.
    """
    architecture = describe(config, tensors, source)
    method, bits = quantization_of(config)
    stored = weights_of(tensors, architecture, method, bits)
    if method:
        return ModelShape(architecture=architecture, weights=stored)
    if method_of(quantization):
        made = _quantized(tensors, architecture, quantization)
        return ModelShape(architecture=architecture, weights=made)
    in_fp8 = _quantized(tensors, architecture, "fp8")
    smaller = in_fp8 if in_fp8.bytes < stored.bytes else None
    return ModelShape(architecture=architecture, weights=stored, in_fp8=smaller)


def _quantized(tensors: Sequence[Tensor], architecture: Architecture, quantization: str) -> Weights:
    """Add up what an engine makes of weights that it quantizes while it loads them."""
    stored = weights_of(tensors, architecture)
    return replace(
        weights_of(quantized(tensors, quantization), architecture),
        method=method_of(quantization),
        quantization=quantization,
        stored_bytes=stored.bytes - stored.halved_bytes,
    )
