"""F8: single requests that are placed at once, as rows of the suite's table.

Separate from `online`, which asks the questions in full and takes minutes: here they are asked of
fewer seeds, and averaged over its five mixes. Nothing is planned, so most columns stay empty.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.planner.measure import PLANNER
from benchmarks.planner.online import MIXES, SEED, Result, Size, results
from benchmarks.planner.rows import Row

SIZE = Size(gpus=100, fillings=5, churns=1, requests=2000, settling=500)

_QUESTIONS: tuple[tuple[str, Callable[[Result], float]], ...] = (
    ("F8 filling", lambda result: result.accepted),
    ("F8 90% load", lambda result: result.churn),
)


def online_rows(size: Size = SIZE) -> list[Row]:
    """Ask both questions of every policy, ours first, over all mixes.

    Args:
        size: How much is simulated.
    """
    of_mix = [results(mix, size, f"{SEED}/suite/{name}") for name, mix in MIXES.items()]
    policies = sorted(of_mix[0], key=lambda name: name != PLANNER)
    return [
        Row(
            family=family,
            size=f"{size.gpus} GPUs, {len(of_mix)} mixes",
            method=policy,
            accepted=statistics.fmean(share(found[policy]) for found in of_mix),
        )
        for family, share in _QUESTIONS
        for policy in policies
    ]
