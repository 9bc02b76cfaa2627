"""Start real vLLM servers on a whole card and compare what they took with what was predicted.

    python -m benchmarks.sizing --program /path/to/vllm --out measured.json

Needs an NVIDIA card that nothing else uses, and vLLM. No weights are needed, see `random_models`;
how a server is started stands in `on_a_card`.

What a server needs is put together from what it logs and what the card shows: its weights, the KV
cache of the load that was asked for, what it measured for one step, and what it takes beside its
share.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.on_a_card import (
    CONCURRENCY,
    CONTEXT_TOKENS,
    NotStartedError,
    Program,
    Started,
    serving,
)
from benchmarks.random_models import SHAPES, Shape

GIB = 1024

_LOGGED = {
    "weights_gib": r"Model loading took ([\d.]+) GiB",
    "available_gib": r"Available KV cache memory: ([\d.]+) GiB",
    "cache_tokens": r"GPU KV cache size: ([\d,]+) tokens",
    "graphs_gib": r"Graph capturing finished in .*?took ([\d.]+) GiB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One server: predicted and measured, MiB.

    Attributes:
        shape: Name of the model.
        eager: Whether graphs were left out.
        weights_predicted: Weights, predicted.
        weights: Weights, as vLLM logs them.
        cache_bytes_predicted: KV cache of one token, bytes, predicted.
        cache_bytes: The same, from the cache's size and its tokens.
        need_predicted: Least memory of a slice for the load, predicted.
        need: What the server needs for it, measured.
        step: What vLLM measured for one step, within its share.
        beside: What it takes beside its share.
        started_s: From start to the first answered request, seconds.
    """

    shape: str
    eager: bool
    weights_predicted: float
    weights: float
    cache_bytes_predicted: float
    cache_bytes: float
    need_predicted: int
    need: float
    step: float
    beside: float
    started_s: float


def main() -> None:
    """Measure every shape that was asked for, and write a table as it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True, help="path of vllm")
    parser.add_argument("--python-path", default="", help="PYTHONPATH of the server")
    parser.add_argument("--shape", action="append", help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="where to write what was measured")
    asked = parser.parse_args()
    found: list[Measured] = []
    print(HEAD)
    for shape in SHAPES:
        if asked.shape and shape.name not in asked.shape:
            continue
        with tempfile.TemporaryDirectory() as folder:
            program = Program(path=asked.program, python_path=asked.python_path)
            try:
                with serving(shape, Path(folder), program, eager=shape.eager) as started:
                    found.append(measured(shape, started, eager=shape.eager))
            except NotStartedError as error:
                raise SystemExit(str(error)) from error
        print(row(found[-1]), flush=True)
        asked.out.write_text(json.dumps([asdict(one) for one in found], indent=1))


def measured(shape: Shape, started: Started, *, eager: bool) -> Measured:
    """Put together what a server that has just started takes."""
    logged = {key: _last(pattern, started.log) for key, pattern in _LOGGED.items()}
    share = float(_last(r"'gpu_memory_utilization': ([\d.]+)", started.log) or 0)
    managed = share * started.request.slice_memory_mib
    weights, available = logged["weights_gib"] * GIB, logged["available_gib"] * GIB
    token_mib = available / max(1.0, logged["cache_tokens"])
    # At rest the card shows less than a whole step takes, so what is beside may seem negative.
    step, beside = managed - weights - available, max(0.0, started.used_mib - managed)
    cache = CONTEXT_TOKENS * CONCURRENCY * token_mib
    sized = started.sized
    return Measured(
        shape=shape.name,
        eager=eager,
        weights_predicted=sum(p.memory_mib for p in sized.parts if p.name.startswith("weights")),
        weights=weights,
        cache_bytes_predicted=sized.cache_bytes / CONTEXT_TOKENS,
        cache_bytes=token_mib * 1024**2,
        need_predicted=sized.memory_mib,
        need=weights + cache + step + beside,
        step=step,
        beside=beside,
        started_s=started.took_s,
    )


HEAD = (
    "| shape | graphs | weights MiB: predicted, measured | KV bytes per token "
    "| need MiB: predicted, measured | off | s to answer |\n|---|---|---|---|---|---|---|"
)


def row(one: Measured) -> str:
    """Write one line of the table."""
    off = one.need_predicted / one.need - 1
    return (
        f"| {one.shape} | {'no' if one.eager else 'yes'} "
        f"| {one.weights_predicted:,.0f}, {one.weights:,.0f} "
        f"| {one.cache_bytes_predicted:,.0f}, {one.cache_bytes:,.0f} "
        f"| {one.need_predicted:,}, {one.need:,.0f} | {off:+.1%} | {one.started_s:.0f} |"
    )


def _last(pattern: str, log: str) -> float:
    found = re.findall(pattern, log)
    return float(found[-1].replace(",", "")) if found else 0.0


if __name__ == "__main__":
    main()
