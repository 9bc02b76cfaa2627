"""Partial recipes: what they are held against stays a number whatever a service needs."""

from __future__ import annotations

import numpy as np

from gpuslice.planner.recipes.nodes import Frame


def test_the_floor_of_a_service_that_nothing_can_meet_is_beyond_all_others() -> None:
    none = np.zeros((2, 0), dtype=np.int64)
    frame = Frame(
        base=np.array([np.inf, 7.5]),
        blur=np.array([0.0, 0.25]),
        best=np.array([0, 0]),
        order=none,
        excess=none.astype(np.float64),
        rates=none,
        prices=none,
        reach=none,
    )
    assert frame.floor.tolist() == [2**45, 7]
    assert int(frame.floor.sum()) > 0
