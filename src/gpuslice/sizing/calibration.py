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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from gpuslice.hardware import board
from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.throughput import Efficiency, SliceSpeed, Traffic, estimate

_WHAT = {"decode_per_s": "decode", "tokens_per_s": "answers", "prefill_per_s": "prefill"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured rate of one server on a whole board.

    Attributes:
        engine: ``vllm`` or ``llama.cpp``.
        version: Of the engine.
        board: Key of the board table.
        work: What its model costs.
        traffic: The requests.
        measured: Tokens per second.
        what: Which: ``answers`` with their prompts, or ``decode`` or ``prefill`` alone.
        source: Where it was published.
    """

    engine: str
    version: str
    board: str
    work: TokenWork
    traffic: Traffic
    measured: float
    what: str
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
    times = len({(run.work, run.traffic) for run in found})  # a run may tell several rates
    basis = f"calibrated by {times} runs of {engine} {versions} on a whole {board_key}"
    return replace(general, scale=scale, basis=basis, **_document()["calibrated"])


def estimated(run: Run, reached: Efficiency) -> float:
    """Estimate what a run measured, tokens per second, on its whole board."""
    made = estimate(run.work, whole_board(run.board), run.traffic, reached)
    rates = {"answers": made.answers, "decode": made.decode, "prefill": made.prefill}
    return rates[run.what].likely


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
    return tuple(run for entry in _document()["runs"] for run in _rates(entry, works))


def _rates(entry: Mapping[str, Any], works: Mapping[str, TokenWork]) -> Iterator[Run]:
    for key, what in _WHAT.items():
        if key in entry:
            yield _run(entry, works, key, what)


def _run(entry: Mapping[str, Any], works: Mapping[str, TokenWork], key: str, what: str) -> Run:
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
        measured=entry[key],
        what=what,
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
        request_s=known["request_ms"] / 1000,
        low=known["low"],
        high=known["high"],
        basis=f"from data sheets, and what {engine} reaches of them elsewhere",
    )


@cache
def _document() -> Mapping[str, Any]:
    text = Path(__file__).with_name("calibrations.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document
