"""A program over some of the recipes: what may be chosen, what is decided, and what comes out.

Separate from the search (`gpuslice.planner.recipes.search`), which decides what may be chosen. The
linear and the integer program over the same candidates are the same rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.blocks import (
    first_rows,
    gpu_block,
    layout_block,
    recipe_block,
    slice_block,
    use_block,
    uses,
)
from gpuslice.planner.recipes.market import Floats, Instance, Ints, Solution
from gpuslice.planner.recipes.solver import Outcome, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What may be chosen.

    Attributes:
        layouts: Numbers of the layouts.
        services: Service by recipe, ascending.
        recipes: Counts by recipe and article.
        open: Numbers of the services whose slices are chosen one by one.
        decided: Counts by service and article of the services that have no choice, else 0.
    """

    layouts: Ints
    services: Ints
    recipes: Ints
    open: Ints
    decided: Ints

    def same_as(self, other: Candidates) -> bool:
        """Tell whether the same may be chosen."""
        pairs = (
            (self.layouts, other.layouts),
            (self.services, other.services),
            (self.recipes, other.recipes),
            (self.open, other.open),
            (self.decided, other.decided),
        )
        return all(np.array_equal(one, two) for one, two in pairs)

    def cheapest(self, prices: Ints, most: int) -> Candidates:
        """Keep so many recipes of each service, those that cost least."""
        order = np.lexsort((self.recipes @ prices, self.services))
        services = self.services[order]
        kept = order[np.arange(len(order)) - np.searchsorted(services, services) < most]
        return replace(self, services=self.services[kept], recipes=self.recipes[kept])

    def with_solution(self, solution: Solution) -> Candidates:
        """Add the recipes of a solution for all services that are not open, and its layouts."""
        listed = np.unique(self.services)
        services = np.concatenate((self.services, listed))
        order = np.argsort(services, kind="stable")
        return replace(
            self,
            layouts=np.union1d(self.layouts, np.flatnonzero(solution.layouts)),
            services=services[order],
            recipes=np.concatenate((self.recipes, solution.recipes[listed]))[order],
        )

    def deciding(self, numbers: Ints) -> Candidates:
        """Decide some services for one recipe each.

        Args:
            numbers: Recipes, at most one of each service.
        """
        decided = self.decided.copy()
        decided[self.services[numbers]] = self.recipes[numbers]
        left = ~np.isin(self.services, self.services[numbers])
        return replace(
            self, services=self.services[left], recipes=self.recipes[left], decided=decided
        )


class Restricted:
    """A linear or integer program over candidates; owned by the step that built it."""

    def __init__(
        self,
        instance: Instance,
        candidates: Candidates,
        allowance: Allowance,
        run: Run,
        *,
        integer: bool,
    ) -> None:
        self._instance = instance
        self._candidates = candidates
        low, high = first_rows(instance, candidates.decided.sum(axis=0))
        first = len(low)
        listed, places = np.unique(candidates.services, return_inverse=True)
        low, high = _with_services(instance, candidates.open, len(listed), (low, high))
        self._slices = _slices(instance, candidates.open)
        service, article, place = self._slices
        program = Program(low, high, allowance, run)
        blocks = (
            gpu_block(instance),
            layout_block(instance, candidates.layouts),
            use_block(instance),
            recipe_block(candidates.recipes, first + places),
            slice_block(instance, service, article, first + len(listed) + 2 * place),
        )
        self._columns = [program.add(block, integer=integer) for block in blocks]
        self._program = program

    def solve(self, *, most_nodes: int | None = None) -> Outcome:
        """Solve it within the time left."""
        return self._program.solve(most_nodes=most_nodes)

    def shares(self, outcome: Outcome) -> Floats:
        """How much of each recipe was chosen."""
        return outcome.values[self._columns[3]]

    def solution(self, outcome: Outcome) -> Solution | None:
        """Read a solution, unless it breaks a rule."""
        if not len(outcome.values):
            return None
        _, layouts, served, shares, slices = (
            np.round(outcome.values[columns]).astype(np.int64) for columns in self._columns
        )
        chosen = np.flatnonzero(shares)
        recipes = self._candidates.decided.copy()
        np.add.at(recipes, self._candidates.services[chosen], self._candidates.recipes[chosen])
        service, article, _ = self._slices
        recipes[service, article] = slices
        solution = Solution(
            recipes=recipes,
            layouts=_scattered(layouts, self._candidates.layouts, len(self._instance.layouts)),
            uses=np.zeros(self._instance.accepts.shape, dtype=np.int64),
        )
        solution.uses[uses(self._instance)] = served
        return solution if solution.keeps(self._instance) else None


def _with_services(
    instance: Instance, open_: Ints, listed: int, rows: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Add the rows of services: one recipe for each listed, target and limit for each open."""
    low, high = rows
    ones = np.ones(listed)
    low_open = np.tile((1.0, -np.inf), len(open_))
    high_open = np.stack((np.full(len(open_), np.inf), instance.limits[open_]), axis=1).ravel()
    return np.concatenate((low, ones, low_open)), np.concatenate((high, ones, high_open))


def _slices(instance: Instance, open_: Ints) -> tuple[Ints, Ints, Ints]:
    """Service, article and place among the open of every column for slices."""
    place, article = np.nonzero(instance.rates[open_] > 0)
    return open_[place], article, place


def _scattered(values: Ints, places: Ints, width: int) -> Ints:
    spread = np.zeros(width, dtype=np.int64)
    spread[places] = values
    return spread
