"""``size``: how much memory a model needs, and which slice holds it. It changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import AsJson

if TYPE_CHECKING:
    from gpuslice.sizing.estimate import Sized
    from gpuslice.sizing.fitting import Fitting
    from gpuslice.sizing.shape import Load, ModelShape

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .gguf file, a folder with config.json and safetensors, or a name on the hub such "
        "as Qwen/Qwen3-4B or unsloth/Qwen3-4B-GGUF:Q4_K_M (of which only headers are read).",
    ),
]
Context = Annotated[
    int,
    typer.Option(
        "--context-tokens",
        metavar="N",
        help="Longest context of one request, prompt and answer together.",
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(metavar="N", help="Requests answered at the same time, each with a full context."),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="vllm, sglang or llama.cpp; where it is left out, llama.cpp for .gguf files (also "
        "names on the hub that end in -GGUF or choose a quantization) and vllm for the rest.",
    ),
]
Cache = Annotated[
    str,
    typer.Option(
        "--cache",
        metavar="TYPE",
        help="Element type of the KV cache: f16 (also bf16), fp8, or for llama.cpp q8_0, q4_0.",
    ),
]
Quantization = Annotated[
    str,
    typer.Option(
        "--quantization",
        metavar="METHOD",
        help="Quantize weights that are stored unpacked while they are loaded, as the engine's "
        "argument of this name does: fp8, bitsandbytes …",
    ),
]
Revision = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Branch, tag or commit of a model on the hub; its main branch if none."
    ),
]
Boards = Annotated[
    list[str] | None,
    typer.Option(
        "--board",
        metavar="BOARD",
        help="Look at this board only, such as h100-80gb; may be repeated.",
    ),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="FOLDER",
        help="Count this LoRA adapter, a folder or a name on the hub; may be repeated.",
    ),
]
Draft = Annotated[
    str,
    typer.Option("--draft", metavar="MODEL", help="Count this draft model (speculative decoding)."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is shown.

    Attributes:
        source: The model, as it was written.
        engine: Who serves it.
        model: What it is made of.
        load: What is asked of it.
        sized: What that needs.
        fittings: What each board offers.
    """

    source: str
    engine: str
    model: ModelShape
    load: Load
    sized: Sized
    fittings: tuple[Fitting, ...]


def size(  # noqa: PLR0913 - one parameter for each option
    model: Model,
    *,
    context_tokens: Context = 4096,
    concurrency: Concurrency = 4,
    engine: EngineOption = "",
    cache: Cache = "f16",
    quantization: Quantization = "",
    revision: Revision = "",
    board: Boards = None,
    adapter: Adapters = None,
    draft: Draft = "",
    as_json: AsJson = False,
) -> None:
    """Say what a model needs, line by line, and which slice of each board holds it.

    Reads headers only: no weights are loaded, no code of the model is run, nothing is changed.
    Exit status 3 when it cannot be told.
    """
    from gpuslice.cli.console import out, print_json
    from gpuslice.cli.render.size import size_json, size_view

    boards = _known_boards(board)
    chosen = engine or _engine_of(model)
    load = _load(context_tokens, concurrency, cache)
    shape = _read(model, chosen, quantization, revision)
    answer = _answer(model, chosen, shape, load, adapter or [], draft, boards)
    if as_json:
        print_json(size_json(answer))
    else:
        out().print(size_view(answer))


def _engine_of(model: str) -> str:
    """Choose by the name: files and repositories of GGUF are called so, whoever made them."""
    called = model.lower()
    return "llama.cpp" if called.endswith((".gguf", "-gguf")) or ":" in called else "vllm"


def _read(source: str, engine: str, quantization: str, revision: str) -> ModelShape:
    from gpuslice.sizing.on_the_fly import ON_THE_FLY
    from gpuslice.sizing.size import read_model

    if quantization and quantization not in ON_THE_FLY:
        message = f"{quantization!r} is not done while loading; known are {', '.join(ON_THE_FLY)}."
        raise typer.BadParameter(message, param_hint="--quantization")
    return read_model(_resolved(source), engine, quantization=quantization, revision=revision)


def _answer(
    source: str,
    engine: str,
    model: ModelShape,
    load: Load,
    adapters: list[str],
    draft: str,
    boards: list[str],
) -> Answer:
    from gpuslice.sizing.fitting import fit_boards
    from gpuslice.sizing.size import estimate_of, size_shape, with_company

    size_shape(model, load, engine=engine, source=source)  # refuses what cannot be, before more
    load = with_company(load, adapters, draft, engine=engine, folder=Path.cwd())
    need = partial(estimate_of(engine), model)
    in_fp8 = None
    if model.in_fp8 is not None:
        in_fp8 = partial(estimate_of(engine), replace(model, weights=model.in_fp8))
    return Answer(
        source=source,
        engine=engine,
        model=model,
        load=load,
        sized=need(load),
        fittings=fit_boards(
            need,
            load,
            engine=engine,
            method=model.weights.method,
            in_fp8=in_fp8,
            boards=boards,
        ),
    )


def _resolved(model: str) -> str:
    from gpuslice.stack.sources import resolve_source

    return resolve_source(model, Path.cwd())


def _load(context_tokens: int, concurrency: int, cache: str) -> Load:
    from gpuslice.sizing.architecture import CacheType
    from gpuslice.sizing.shape import Load

    try:
        kind = CacheType("f16" if cache in {"auto", "bf16", "fp16"} else cache)
    except ValueError:
        known = ", ".join(CacheType)
        message = f"{cache!r} is no type of a KV cache; they are {known}."
        raise typer.BadParameter(message, param_hint="--cache") from None
    return Load(context_tokens=context_tokens, concurrency=concurrency, cache=kind)


def _known_boards(named: list[str] | None) -> list[str]:
    """Find the boards that are meant; one that nobody has heard of, or without MIG, is refused."""
    from gpuslice.hardware import board

    found = [board(name) for name in named or ()]
    for one in found:
        if not one.has_mig:
            message = f"{one.key} cannot be sliced."
            raise typer.BadParameter(message, param_hint="--board")
    return [one.key for one in found]
