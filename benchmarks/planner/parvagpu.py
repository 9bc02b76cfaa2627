"""The published data of ParvaGPU (SC'24), read where they lie; nothing of them is in the project.

``PARVAGPU_DATA`` names the folder: ``prof_data/<model>.csv`` holds throughput and latency by slice
size, batch size and number of processes on an A100-80GB; ``SLO/SLO_latency.csv`` and
``SLO/SLO_req_rate.csv`` hold six cases (rows) for eleven models (columns, alphabetical).

They are read as ParvaGPU's own program does (MunQ-Lee/ParvaGPU_SC24, src/data_load.c and
src/configurator.c at 32d4890, read and checked): throughput is given for one process and counts for
all of them, and a triplet of size, batch and processes may be used when its latency stays below
0.45 of the objective. Of each size the highest throughput counts. Two things are as in the paper
and not as in the program at that commit, which cuts objectives to whole milliseconds and looks at
one to three processes only: with objectives as they stand and all five processes that were
measured, the published method comes to its published results (2, 3, 5, 7, 13 and 16 GPUs).

Source: https://github.com/MunQ-Lee/ParvaGPU_SC24, MIT licence.
"""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterator
from functools import cache
from math import ceil, floor
from pathlib import Path
from typing import NamedTuple

from gpuslice.model.demand import Demand, NamedProfile, Rate, Target

VARIABLE = "PARVAGPU_DATA"
PROFILES = {1: "1g.10gb", 2: "2g.20gb", 3: "3g.40gb", 4: "4g.40gb", 7: "7g.80gb"}
"""The profile of an A100-80GB for each slice size of the data."""

CASES = 6
_USABLE_SHARE = 0.45
_BASE_CASE = 5
_GENEROUS = 2


class _Triplet(NamedTuple):
    """One measured way to run a model: slice size, requests per second, latency in ms."""

    size: int
    per_s: float
    latency_ms: float


class Service(NamedTuple):
    """One service of a case: its model, its objective in ms and its requests per second."""

    model: str
    latency_ms: float
    per_s: float


def data_folder() -> Path | None:
    """Return the folder that the environment names, or None where it names none."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else None


def case(number: int) -> tuple[Demand, ...]:
    """Make the demands of one of the six cases.

    Args:
        number: 1 to 6.
    """
    return tuple(_demand(service, service.model) for service in _services(number))


def scaled(services: int) -> tuple[Demand, ...]:
    """Make many services out of case 5: looser objectives, and rates that differ widely.

    Service i runs model i modulo 11; its objective is stretched by 1 to 3, evenly, and its rate by
    a lognormal factor of median 1; the seed is 1.
    """
    rng = random.Random(1)
    base = _services(_BASE_CASE)
    found = []
    for number in range(services):
        origin = base[number % len(base)]
        stretched = origin.latency_ms * rng.uniform(1, 3)
        service = Service(origin.model, stretched, origin.per_s * rng.lognormvariate(0, 1))
        found.append(_demand(service, f"{origin.model}-{number}"))
    return tuple(found)


def _demand(service: Service, name: str) -> Demand:
    """Turn a service into a throughput target with what each slice size contributes to it.

    It may have twice as many slices as it would need of the least that it can run on: ParvaGPU's
    method gives some services more than they need.
    """
    best: dict[int, float] = {}
    for triplet in _triplets(_folder(), service.model):
        if triplet.latency_ms < _USABLE_SHARE * service.latency_ms:
            best[triplet.size] = max(best.get(triplet.size, 0.0), triplet.per_s)
    rates = tuple(
        Rate(named=NamedProfile(profile=PROFILES[size]), milli_per_s=floor(per_s * 1000))
        for size, per_s in sorted(best.items())
        if per_s > 0
    )
    wanted = Target(milli_per_s=ceil(service.per_s * 1000), rates=rates, unit="requests")
    most = -(-wanted.milli_per_s // min(rate.milli_per_s for rate in rates))
    return Demand(model=name, replicas=_GENEROUS * most, target=wanted)


@cache
def _triplets(folder: Path, model: str) -> tuple[_Triplet, ...]:
    """Read everything that was measured of a model."""
    with (folder / "prof_data" / f"{model}.csv").open(encoding="utf-8", newline="") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    return tuple(
        _Triplet(int(size), per_s * processes, latency_s * 1000)
        for size, _, processes, per_s, latency_s in rows
        if per_s > 0
    )


def _services(number: int) -> list[Service]:
    """Read one case; models that it leaves out are left out."""
    rows = zip(
        _models(),
        _row("SLO_latency.csv", number),
        _row("SLO_req_rate.csv", number),
        strict=True,
    )
    return [Service(model, latency, rate) for model, latency, rate in rows if latency and rate]


def _models() -> list[str]:
    return sorted(path.stem for path in (_folder() / "prof_data").glob("*.csv"))


def _row(name: str, number: int) -> Iterator[float]:
    """Read one row of objectives; 0 where there is none."""
    with (_folder() / "SLO" / name).open(encoding="utf-8", newline="") as file:
        row = list(csv.reader(file))[number - 1]
    return (0.0 if cell == "N/A" else float(cell) for cell in row)


def _folder() -> Path:
    folder = data_folder()
    assert folder is not None, "families that need the data are left out without it"
    return folder
