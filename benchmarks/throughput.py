"""Start real vLLM servers on a whole card and compare how fast they are with the estimate.

    PYTHONPATH=tests python -m benchmarks.throughput --program VLLM --board h200 --out FILE

Needs what `benchmarks.sizing` needs. Servers run as gpuslice starts them, with graphs, for 32
requests of 8,192 tokens. Random weights cost as much time as true ones, except that a router may
choose its experts more evenly, or less. What was measured is written after every model, so that a
run that is cut short keeps what it has; a model that does not start is told and left out.

The memory figures of `benchmarks.sizing` come along, for the same server with graphs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.clients import NoAnswerError, Served
from benchmarks.on_a_card import NotStartedError, Program, Started, serving
from benchmarks.random_models import SHAPES, Shape, outline_of
from benchmarks.sizing import measured
from benchmarks.speed import HEAD, compare, row, time_points

from gpuslice.errors import GpusliceError
from gpuslice.hardware import board
from gpuslice.sizing.calibration import general_efficiency, whole_board
from gpuslice.sizing.size import read_model


def main() -> None:
    """Measure every shape that was asked for, and write a table as it goes on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", required=True, help="path of vllm")
    parser.add_argument("--python-path", default="", help="PYTHONPATH of the server")
    parser.add_argument("--board", default="h200", help="key of the board table")
    parser.add_argument("--shape", action="append", help="only this one; may be repeated")
    parser.add_argument("--eager", action="store_true", help="without graphs, which is slower")
    parser.add_argument("--out", type=Path, required=True, help="where to write what was measured")
    asked = parser.parse_args()
    board(asked.board)  # a wrong key is told before a server is started
    program = Program(path=asked.program, python_path=asked.python_path)
    found: list[dict[str, Any]] = []
    print(HEAD, flush=True)
    for shape in SHAPES:
        if asked.shape and shape.name not in asked.shape:
            continue
        try:
            found.append(_measure(shape, program, asked.board, eager=asked.eager))
        except (NotStartedError, NoAnswerError, GpusliceError) as error:
            print(f"{shape.name}: {error}", file=sys.stderr, flush=True)
            continue
        asked.out.write_text(json.dumps(found, indent=1))
    if not found:
        raise SystemExit("nothing was measured")


def _measure(shape: Shape, program: Program, key: str, *, eager: bool) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(outline_of(shape), Path(folder), program, eager=eager) as started,
    ):
        return told(shape, started, key, eager=eager)


def told(shape: Shape, started: Started, key: str, *, eager: bool) -> dict[str, Any]:
    """Measure one server and say all that is known of it, in JSON's types; prints its table."""
    launch, began = started.launch, time.monotonic()
    served = Served(host=launch.host, port=launch.port, model=started.request.replica.model)
    timed = time_points(served)
    took_s = time.monotonic() - began
    work = read_model(str(started.model), "vllm").work
    compared = compare(timed, work, whole_board(key), general_efficiency("vllm"))
    for one in compared:
        print(row(shape.name, one), flush=True)
    return {
        "shape": shape.name,
        "engine": "vllm",
        "version": version_in(started.log),
        "board": key,
        "eager": eager,
        "measuring_s": took_s,
        "work": asdict(work),
        "timed": [asdict(one) for one in timed],
        "compared": [asdict(one) for one in compared],
        "memory": asdict(measured(shape.name, started, eager=eager)),
    }


def version_in(log: str) -> str:
    """Read vLLM's version from its log; "" where it does not say."""
    found = re.search(r"vLLM (?:API server )?version (\d[\w.+]*)", log)
    found = found or re.search(r"\(v(\d[\w.+]*)\)", log)
    return found[1] if found else ""


if __name__ == "__main__":
    main()
