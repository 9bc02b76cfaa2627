"""Every family of the suite with its sizes; what they are, and why, stands with their generators.

F1 and F2 are in `fresh`, F3 to F5 in `services`, F6, F7 and F9 in `churned`, F10 in `adversarial`.
F8, single requests that are placed at once, asks another question and is in `online`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.planner import adversarial, parvagpu
from benchmarks.planner.churned import churned, drained, large_request
from benchmarks.planner.fleets import MIXES
from benchmarks.planner.fresh import PRICES, by_memory, fixed_profiles
from benchmarks.planner.instance import Instance
from benchmarks.planner.services import mixed, parva_case, parva_scaled

_LARGE, _HUGE = 500, 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A generator with the sizes it is run at.

    Attributes:
        name: ``F6 60%`` and the like.
        draw: Draws the instance of a size and a seed.
        sizes: Sizes of an ordinary run.
        large_sizes: Sizes added by ``--large``.
        seeds: Instances of each size.
        large_seeds: The same from 500 GPUs, replicas or services on; from 50,000 on it is 1.
        group: Under which name rivals are summed up, over all sizes.
    """

    name: str
    draw: Callable[[int, int], Instance]
    sizes: tuple[int, ...]
    large_sizes: tuple[int, ...] = ()
    seeds: int = 2
    large_seeds: int = 1
    group: str = ""

    def seeds_of(self, size: int) -> int:
        """Say how many instances of a size are drawn; large ones are costly and much alike."""
        if size >= _HUGE:
            return 1
        return self.seeds if size < _LARGE else self.large_seeds


def families() -> tuple[Family, ...]:
    """List every family that can be drawn here; F3 and F4 need data that may not be there."""
    services = tuple(_services()) if parvagpu.data_folder() else ()
    return (*_fresh(), *services, *_mixed(), *_fleets(), *_adversarial())


def _fresh() -> Iterator[Family]:
    yield Family(
        name="F1",
        draw=fixed_profiles,
        sizes=(10, 100, 1000),
        large_sizes=(10_000, 100_000),
        seeds=2 * len(MIXES),
        large_seeds=len(MIXES),
        group="F1",
    )
    for products in range(1, len(PRICES) + 1):
        yield Family(
            name=f"F2 {products} product{'s' if products > 1 else ''}",
            draw=partial(by_memory, products),
            sizes=(20, 100),
            large_sizes=(1000,),
            seeds=3,
            group="F2",
        )


def _services() -> Iterator[Family]:
    cases = tuple(range(1, parvagpu.CASES + 1))
    yield Family(name="F3", draw=parva_case, sizes=cases, seeds=1, group="F3")
    yield Family(
        name="F4",
        draw=parva_scaled,
        sizes=(110, 330, 1100),
        large_sizes=(3300, 10_000),
        seeds=1,
        group="F4",
    )


def _mixed() -> Iterator[Family]:
    yield Family(name="F5", draw=mixed, sizes=(6, 20), large_sizes=(100,), seeds=3, group="F5")


def _fleets() -> Iterator[Family]:
    for load in (0.6, 0.75, 0.9):
        yield Family(
            name=f"F6 {load:.0%}",
            draw=partial(churned, load),
            sizes=(8, 64, 512),
            large_sizes=(4096, 100_000) if load == 0.75 else (4096,),
            group="F6",
        )
    for compute in (3, 4, 7):
        yield Family(
            name=f"F7 {compute}g",
            draw=partial(large_request, compute),
            sizes=(4, 8, 32),
            large_sizes=(64, 512),
            seeds=8,
            group=f"F7 {compute}g",
        )
    for share in (0.05, 0.15, 0.25):
        yield Family(
            name=f"F9 {share:.0%}",
            draw=partial(drained, share),
            sizes=(8, 64),
            large_sizes=(512, 4096),
            group="F9",
        )


def _adversarial() -> Iterator[Family]:
    for name, draw in (
        ("pinned", adversarial.pinned),
        ("spread", adversarial.spread),
        ("weights", adversarial.weighted),
        ("stock", adversarial.stock),
        ("many", adversarial.many),
    ):
        yield Family(
            name=f"F10 {name}", draw=draw, sizes=(8, 32), large_sizes=(128, 512), group="F10"
        )
