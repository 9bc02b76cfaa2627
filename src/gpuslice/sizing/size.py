"""From a model's source to what one server of it needs.

Separate, because it is the one place that chooses: which reader for the source, which arithmetic
for the engine, and when the only honest answer is "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.agreement import describe
from gpuslice.sizing.arguments import asked_with
from gpuslice.sizing.estimate import Sized, estimate_llama_cpp, estimate_sglang, estimate_vllm
from gpuslice.sizing.gguf import read_gguf
from gpuslice.sizing.gguf_architecture import gguf_architecture
from gpuslice.sizing.hub import read_hub_model
from gpuslice.sizing.safetensors import read_config, read_shard, read_tensors
from gpuslice.sizing.shape import Load, ModelShape
from gpuslice.sizing.tensors import Tensor
from gpuslice.sizing.weights import quantization_of, weights_of

_ESTIMATES = {
    "llama.cpp": estimate_llama_cpp,
    "sglang": estimate_sglang,
    "vllm": estimate_vllm,
}
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MOST_SPLITS = 1000
_ADAPTER = "adapter_model.safetensors"
_MOST_CONTEXT = 16_777_216
_MOST_CONCURRENCY = 4096
_HINT = "say `slice:` or `memory:` for this model"


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
    model = read_model(source, engine)
    load = load_of(
        model,
        source,
        engine=engine,
        context_tokens=context_tokens,
        concurrency=concurrency,
        arguments=arguments,
        folder=folder or Path.cwd(),
    )
    return estimate_of(engine)(model, load)


def load_of(
    model: ModelShape,
    source: str,
    *,
    engine: str,
    context_tokens: int,
    concurrency: int,
    arguments: Sequence[str],
    folder: Path,
) -> Load:
    """Say what a server of a model that was read is asked to hold, the user's arguments heard.

    Args:
        model: The model.
        source: Where it was read from, for messages.
        engine: The engine that serves it.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.
        arguments: The user's own for the engine, which win over context and concurrency.
        folder: Where relative paths in the arguments start.

    Raises:
        SizingError: What is asked for cannot be served, or what is to be served beside the model
            cannot be read.
    """
    asked = asked_with(Load(context_tokens=context_tokens, concurrency=concurrency), arguments)
    _refuse_absurd(model, asked.load, engine, "" if asked.stretched else source)
    return with_company(asked.load, asked.adapters, asked.draft, engine=engine, folder=folder)


def with_company(
    load: Load, adapters: Sequence[str], draft: str, *, engine: str, folder: Path
) -> Load:
    """Count what is served beside a model: LoRA adapters and the draft model.

    An adapter keeps no cache and takes what its files hold; an adapter that is only a name is one
    of the hub, and refused. A draft model keeps a cache for the tokens of the model it runs ahead
    of.

    Args:
        load: What the model is asked to hold.
        adapters: Folders of adapters.
        draft: A draft model's path or hub name; "" for none.
        engine: The engine that serves all of them.
        folder: Where relative paths start.

    Raises:
        SizingError: One of them cannot be read.
    """
    beside = [_adapter(folder / Path(adapter).expanduser()) for adapter in adapters]
    if draft:
        beside.append(_draft(draft, load, engine, folder))
    return replace(load, beside=tuple(beside))


def _adapter(folder: Path) -> tuple[str, int]:
    path = folder / _ADAPTER
    if not path.is_file():
        text = f"the adapter {folder} has no {_ADAPTER} on this machine"
        raise SizingError(text, hint="fetch the adapter and give its folder")
    return f"adapter {folder.name}", sum(tensor.bytes for tensor in read_shard(path))


def _draft(written: str, load: Load, engine: str, folder: Path) -> tuple[str, int]:
    path = folder / Path(written).expanduser()
    here = path.exists() or written.startswith(("/", ".", "~")) or written.endswith(".gguf")
    draft = read_model(str(path) if here else written, engine)
    one = draft.architecture.sequence_bytes(load.context_tokens, cache=load.cache)
    name = f"draft model {Path(written).name}"
    return name, draft.weights.bytes + one * load.concurrency


def size_shape(model: ModelShape, load: Load, *, engine: str, source: str) -> Sized:
    """Work out how much memory one server of a model that was read needs.

    Raises:
        SizingError: The engine is not known, or what is asked for cannot be served.
    """
    estimate = estimate_of(engine)
    _refuse_absurd(model, load, engine, source)
    return estimate(model, load)


def read_model(source: str, engine: str) -> ModelShape:
    """Read what a model is made of; nothing but headers and its configuration is looked at.

    Args:
        source: Absolute path of a ``.gguf`` file or of a folder, or a hub name.
        engine: The engine that serves it: llama.cpp serves ``.gguf`` files only.

    Raises:
        SizingError: It cannot be read, contradicts itself, or is nothing this engine serves.
    """
    estimate_of(engine)
    path = Path(source)
    if source.lower().endswith(".gguf"):
        return _read_gguf_model(path)
    if engine == "llama.cpp":
        raise SizingError(f"{source} is no .gguf file, and llama.cpp serves no other", hint=_HINT)
    if not path.is_absolute():
        return shape_of(*read_hub_model(source), source)
    return _read_folder(path)


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


def _read_gguf_model(path: Path) -> ModelShape:
    headers = [read_gguf(part) for part in _split_files(path)]
    architecture = gguf_architecture(headers[0], str(path))
    stored = [
        Tensor(name=tensor.name, kind=tensor.kind, shape=tensor.shape, bytes=tensor.bytes)
        for header in headers
        for tensor in header.tensors
    ]
    # A table that serves both ends is stored once; llama.cpp reads it for either.
    return ModelShape(architecture=architecture, weights=weights_of(stored, architecture))


def _split_files(path: Path) -> tuple[Path, ...]:
    """List the files of a model in parts (``…-00001-of-00003.gguf``), or just the one."""
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


def _read_folder(folder: Path) -> ModelShape:
    if not folder.is_dir():
        raise SizingError(f"there is no folder {folder}", hint="check the path")
    tensors = read_tensors(folder)
    return shape_of(read_config(folder), tensors, str(folder))


def shape_of(config: Mapping[str, object], tensors: Sequence[Tensor], source: str) -> ModelShape:
    """Describe a model by its parsed config.json and all of its tensors.

    Raises:
        SizingError: They contradict each other, or tell too little.
    """
    architecture = describe(config, tensors, source)
    method, bits = quantization_of(config)
    return ModelShape(
        architecture=architecture, weights=weights_of(tensors, architecture, method, bits)
    )
