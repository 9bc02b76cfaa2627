"""Start real vLLM servers on a whole card and compare what they took with what was predicted.

    PYTHONPATH=tests python -m benchmarks.sizing --program /path/to/vllm --out measured.json

Needs an NVIDIA card that nothing else uses, and vLLM. No weights are needed, see `random_models`;
how a server is started stands in `on_a_card`.

A model that does not start is told with the end of its log, and left out.

What a server needs is put together from what it logs and what the card shows once it has answered
the whole load: its weights, the KV cache of that load, what it measured for one step, and what it
takes beside its share.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.clients import NoAnswerError, Served, time_requests
from benchmarks.kinds import KINDS, outline_of_kind
from benchmarks.on_a_card import (
    CONCURRENCY,
    CONTEXT_TOKENS,
    STARTED_WITHIN_S,
    NotStartedError,
    Program,
    Started,
    card_mib,
    serving,
)
from benchmarks.random_models import SHAPES, Outline, outline_of

from gpuslice.errors import GpusliceError

GIB, MIB = 1024, 1024**2
_ANSWER_TOKENS = 8

_LOGGED = {
    "weights_gib": r"Model loading took ([\d.]+) GiB",
    "available_gib": r"Available KV cache memory: ([\d.]+) GiB",
    "cache_tokens": r"GPU KV cache size: ([\d,]+) tokens",
    "requests": r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One server: predicted and measured, MiB.

    Attributes:
        shape: Name of the model.
        eager: Whether graphs were left out.
        weights_predicted: Weights, predicted.
        weights: Weights, as vLLM logs them.
        cache_predicted: KV cache and states of the load, predicted.
        cache: The same, from the cache's size and how many full requests vLLM says it holds.
        cache_tokens: Tokens that vLLM says its cache holds.
        need_predicted: Least memory of a slice for the load, predicted.
        need: What the server needs for it, measured.
        step: What vLLM measured for one step, within its share.
        beside: What it takes beside its share, after the whole load was answered once.
        started_s: From start to the first answered request, seconds.
    """

    shape: str
    eager: bool
    weights_predicted: float
    weights: float
    cache_predicted: float
    cache: float
    cache_tokens: int
    need_predicted: int
    need: float
    step: float
    beside: float
    started_s: float


def main() -> None:
    """Measure every model that was asked for, and write a table as it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True, help="path of vllm")
    parser.add_argument("--python-path", default="", help="PYTHONPATH of the server")
    parser.add_argument("--variable", action="append", default=[], metavar="NAME=VALUE",
                        help="for the server's environment; may be repeated")  # fmt: skip
    parser.add_argument("--shape", action="append", help="only this one; may be repeated")
    parser.add_argument("--within", type=float, default=STARTED_WITHIN_S,
                        help="seconds that a server may take to answer")  # fmt: skip
    parser.add_argument("--logs", type=Path, help="folder to keep the servers' logs in")
    parser.add_argument("--out", type=Path, required=True, help="where to write what was measured")
    asked = parser.parse_args()
    found: list[Measured] = []
    print(HEAD, flush=True)
    for outline in (*map(outline_of, SHAPES), *map(outline_of_kind, KINDS)):
        if asked.shape and outline.name not in asked.shape:
            continue
        try:
            found.append(_measure(outline, asked))
        except (NotStartedError, GpusliceError) as error:
            print(f"{outline.name}: {error}", file=sys.stderr, flush=True)
            continue
        print(row(found[-1]), flush=True)
        asked.out.write_text(json.dumps([asdict(one) for one in found], indent=1))
    if not found:
        raise SystemExit("nothing was measured")


def _measure(outline: Outline, asked: argparse.Namespace) -> Measured:
    parted = (written.partition("=") for written in asked.variable)
    variables = tuple((name, value) for name, _, value in parted)
    program = Program(path=asked.program, python_path=asked.python_path, environment=variables)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with serving(
                outline, Path(folder), program, eager=outline.eager, within_s=asked.within
            ) as started:
                busy = _after_load(started)
                _keep(asked.logs, outline, _log_now(started))
                return measured(outline.name, busy, eager=outline.eager)
        except NotStartedError as error:
            _keep(asked.logs, outline, error.log)
            raise


def _after_load(started: Started) -> Started:
    """Let the server answer the whole load once, and look at the card again.

    What a step takes for states, experts or attention is partly taken for the first time then. A
    model that makes embeddings generates nothing, and is left as it is.
    """
    launch = started.launch
    served = Served(host=launch.host, port=launch.port, model=started.request.replica.model)
    try:
        time_requests(
            served,
            clients=CONCURRENCY,
            prompt_tokens=CONTEXT_TOKENS - _ANSWER_TOKENS,
            answer_tokens=_ANSWER_TOKENS,
            seed=1,
        )
    except NoAnswerError as error:
        print(f"{launch.name}: not loaded: {error}", file=sys.stderr, flush=True)
        return started
    return replace(started, used_mib=card_mib("memory.used") - started.before_mib)


def _log_now(started: Started) -> str:
    if started.log_file is None:
        return started.log
    return started.log_file.read_text(errors="replace")


def _keep(logs: Path | None, outline: Outline, log: str) -> None:
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"{outline.name.replace(' ', '-')}.log").write_text(log)


def measured(name: str, started: Started, *, eager: bool) -> Measured:
    """Put together what a server that has just started takes."""
    logged = {key: _last(pattern, started.log) for key, pattern in _LOGGED.items()}
    share = float(_last(r"'gpu_memory_utilization': ([\d.]+)", started.log) or 0)
    managed = share * started.request.slice_memory_mib
    weights, available = logged["weights_gib"] * GIB, logged["available_gib"] * GIB
    # At rest the card shows less than a whole step takes, so what is beside may seem negative.
    step, beside = managed - weights - available, max(0.0, started.used_mib - managed)
    # Full requests that fit, by vLLM's own account, whatever its blocks and groups hold.
    cache = CONCURRENCY * available / max(1.0, logged["requests"])
    sized = started.sized
    return Measured(
        shape=name,
        eager=eager,
        weights_predicted=sum(p.memory_mib for p in sized.parts if p.name.startswith("weights")),
        weights=weights,
        cache_predicted=sized.cache_bytes * CONCURRENCY / MIB,
        cache=cache,
        cache_tokens=int(logged["cache_tokens"]),
        need_predicted=sized.memory_mib,
        need=weights + cache + step + beside,
        step=step,
        beside=beside,
        started_s=started.took_s,
    )


HEAD = (
    "| model | graphs | weights MiB: predicted, measured | cache MiB: predicted, measured "
    "| need MiB: predicted, measured | off | s to answer |\n|---|---|---|---|---|---|---|"
)


def row(one: Measured) -> str:
    """Write one line of the table."""
    off = one.need_predicted / one.need - 1
    return (
        f"| {one.shape} | {'no' if one.eager else 'yes'} "
        f"| {one.weights_predicted:,.0f}, {one.weights:,.0f} "
        f"| {one.cache_predicted:,.0f}, {one.cache:,.0f} "
        f"| {one.need_predicted:,}, {one.need:,.0f} | {off:+.1%} | {one.started_s:.0f} |"
    )


def _last(pattern: str, log: str) -> float:
    found = re.findall(pattern, log)
    return float(found[-1].replace(",", "")) if found else 0.0


if __name__ == "__main__":
    main()
