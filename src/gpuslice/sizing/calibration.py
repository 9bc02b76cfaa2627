"""What engines were measured to reach of a board's peaks, read from ``calibrations.json``.

Separate from the arithmetic in `throughput`, because these are facts with sources that grow with
every measurement, and because the arithmetic has to be testable without them.

A run is of a whole board. A slice of that board is scaled as the board is: the hardware shares both
peaks in fixed parts, and that an engine reaches the same share of a part is an assumption, which
the range has room for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from gpuslice.hardware import board
from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.throughput import Efficiency, SliceSpeed, Traffic, estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run of one server on a whole board.

    Attributes:
        engine: ``vllm`` or ``llama.cpp``.
        version: Of the engine.
        board: Key of the board table.
        work: What its model costs.
        traffic: The requests.
        measured: Answer tokens per second.
        decode: True where no prompts are in that number.
        source: Where it was published.
    """

    engine: str
    version: str
    board: str
    work: TokenWork
    traffic: Traffic
    measured: float
    decode: bool
    source: str


def engines() -> tuple[str, ...]:
    """Name the engines whose throughput can be estimated."""
    return tuple(_document()["engines"])


@cache
def efficiency(engine: str, board_key: str) -> Efficiency:
    """Return what an engine reaches on a board, scaled to the runs that were measured there.

    Args:
        engine: One of `engines`.
        board_key: Key of the board table.

    Raises:
        KeyError: The engine is not known.
    """
    general = general_efficiency(engine)
    found = [run for run in runs() if (run.engine, run.board) == (engine, board_key)]
    if not found:
        return general
    ratios = [run.measured / estimated(run, general) for run in found]
    scale = math.exp(sum(map(math.log, ratios)) / len(ratios))
    versions = ", ".join(dict.fromkeys(run.version for run in found))
    basis = f"calibrated by {len(found)} runs of {engine} {versions} on a whole {board_key}"
    return replace(general, scale=scale, basis=basis, **_document()["calibrated"])


def estimated(run: Run, reached: Efficiency) -> float:
    """Estimate what a run measured, tokens per second, on its whole board."""
    made = estimate(run.work, whole_board(run.board), run.traffic, reached)
    return (made.decode if run.decode else made.answers).likely


def whole_board(board_key: str) -> SliceSpeed:
    """Return the peaks of a whole board, where runs are measured.

    Args:
        board_key: Key of the board table.

    Raises:
        KeyError: There is no such board.
    """
    peaks = board(board_key).speed()
    return SliceSpeed(bytes_per_s=peaks.memory_gb_per_s * 1e9, flops_per_s=peaks.bf16_tflops * 1e12)


@cache
def runs() -> tuple[Run, ...]:
    """Return every measured run, in the order of the data file."""
    works = {name: TokenWork(**numbers) for name, numbers in _document()["works"].items()}
    return tuple(_run(entry, works) for entry in _document()["runs"])


def _run(entry: Mapping[str, Any], works: Mapping[str, TokenWork]) -> Run:
    decode = "decode_per_s" in entry
    return Run(
        engine=entry["engine"],
        version=entry["version"],
        board=entry["board"],
        work=works[entry["work"]],
        traffic=Traffic(
            concurrency=entry["concurrency"],
            prompt_tokens=entry["prompt_tokens"],
            answer_tokens=entry["answer_tokens"],
        ),
        measured=entry["decode_per_s" if decode else "tokens_per_s"],
        decode=decode,
        source=entry["source"],
    )


def general_efficiency(engine: str) -> Efficiency:
    """Return what an engine reaches on boards where nobody has measured it.

    Args:
        engine: One of `engines`.

    Raises:
        KeyError: The engine is not known.
    """
    known = _document()["engines"][engine]
    return Efficiency(
        memory_share=known["memory_share"],
        compute_share=known["compute_share"],
        step_s=known["step_ms"] / 1000,
        low=known["low"],
        high=known["high"],
        basis=f"from data sheets, and what {engine} reaches of them elsewhere",
    )


@cache
def _document() -> Mapping[str, Any]:
    text = Path(__file__).with_name("calibrations.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document
