"""Recipes and GPUs in whole numbers: restricted programs, from small ones to complete ones.

Separate from the bound (`gpuslice.planner.recipes.bound`), which tells where a solution may end and
which recipes can be in it.

**Which recipes matter.** At prices with bound ``b``, a solution of price ``p`` has recipes, layouts
and unused slices whose costs beyond their least worth add up to ``p - b``, none being negative. So
recipes that cost more than ``p - b`` beyond the cheapest of their service cannot be in it, and with
many services hardly any may cost anything beyond.

**Steps.** Each lists the minimal recipes within some slack. If they are many, it solves the linear
program over them and decides services as that does: a vertex leaves no more services undecided than
there are rows beside theirs. An integer program over layouts, the undecided services and some
others with many recipes then looks for a better solution than is known. Steps have more slack and
more recipes each time, and end as soon as the bound is reached.

**Proof.** Where the price found stays above the bound, the last step lists *every* recipe and
layout that a better solution could have. If that is few enough for an integer program, its bound
holds for all: either it finds a better solution, or there is none. Services with too many
recipes enter with their slices as integers, which leaves nothing out.

Source: reduced-cost fixing; column enumeration within the gap (Baldacci, Christofides and Mingozzi
2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.bound import Dual, charge, reduced_prices, surplus_of
from gpuslice.planner.recipes.knapsacks import Knapsacks, Listing
from gpuslice.planner.recipes.market import Flags, Instance, Ints, Solution
from gpuslice.planner.recipes.restricted import Candidates, Restricted
from gpuslice.planner.recipes.solver import End, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far one step looks.

    Attributes:
        services: As if so many services shared what rounding may lose.
        recipes: How many recipes the integer program may have.
        nodes: After so many nodes it is left as it is.
    """

    services: int
    recipes: int
    nodes: int


STEPS = (
    Step(services=40, recipes=200, nodes=500),
    Step(services=200, recipes=800, nodes=1_000),
    Step(services=1_000, recipes=3_000, nodes=1_000),
)

_SHARE = 4
"""A service gets at most one of so many parts of the recipes of a step that is not complete."""

_PROOFS = (2_000, 20_000)
"""Recipes that an integer program may have that is to prove something, as long as it does."""

_LOSS = 0.5
"""What rounding may lose, in GPUs of the cheapest kind that is paid for."""

_WHOLE = 1e-6


class Search:
    """The search for the best choice in whole numbers; owned by `choose_recipes`.

    Attributes:
        best: The cheapest solution so far.
        price: Its price, units.
        bound: What no solution is cheaper than, units.
        why: What went wrong, or "".
    """

    def __init__(
        self,
        instance: Instance,
        knapsacks: Knapsacks,
        dual: Dual,
        start: Solution,
        allowance: Allowance,
        run: Run,
    ) -> None:
        self.best = start
        self.price = start.price(instance)
        self.bound = min(self.price, dual.bound(instance))
        self.why = ""
        self._instance = instance
        self._knapsacks = knapsacks
        self._dual = dual
        self._allowance = allowance
        self._run = run
        paid = instance.prices[instance.prices > 0].tolist()
        self._loss = int(_LOSS * instance.ticks * min(paid, default=0))
        self._settled: tuple[Candidates, int] | None = None
        self._beyond = reduced_prices(instance, dual.prices)
        self._beyond += surplus_of(instance, dual.prices)[instance.offer_of]

    def improve(self) -> None:
        """Look for better solutions and bounds, until they meet or nothing more can be done."""
        for step in STEPS:
            if not self._over:
                self._step(step)
        for most in _PROOFS:
            before = None
            while not self._over and before != (self.price, self.bound):
                before = (self.price, self.bound)
                self._prove(most)

    @property
    def _over(self) -> bool:
        return self.price <= self.bound or self._allowance.left_s <= 0 or bool(self.why)

    def _step(self, step: Step) -> None:
        """Look where a good solution is likely."""
        share = min(1.0, step.services / max(1, len(self._instance.targets)))
        slack = int(share * max(self._slack(self.bound), self._loss))
        listing = self._list(slack)
        if len(listing.recipes) <= step.recipes:
            self._settle(slack, listing, step.nodes)
            return
        likely = self._candidates(listing, self._slack(self.price))
        likely = likely.cheapest(self._dual.prices, step.recipes // _SHARE)
        decided = self._decided(likely, step.recipes)
        if decided is not None:
            self._solve(decided, step.nodes)

    def _prove(self, most: int) -> None:
        """List all recipes of as good as all better solutions, and search them."""
        known: tuple[int, Listing] | None = None
        for part in (64, 16, 4, 1):
            slack = self._slack(self.bound + (self.price - 1 - self.bound) // part)
            listing = self._list(slack)
            if len(listing.recipes) > most or self._allowance.left_s <= 0:
                break
            known = (slack, listing)
        if known is not None:
            self._settle(*known, None)

    def _settle(self, slack: int, listing: Listing, most_nodes: int | None) -> None:
        """Search every solution that loses no more than a slack; what is proved holds for all."""
        candidates = self._candidates(listing, slack)
        proven = self._proven(candidates, most_nodes)
        beyond = (self._dual.value + slack) // self._instance.ticks + 1
        if proven is not None and proven > self.price:
            self.why = f"it claims {proven} as bound of what is known to reach less"
        elif proven is not None and not self.why:
            self.bound = max(self.bound, min(beyond, proven))

    def _proven(self, candidates: Candidates, most_nodes: int | None) -> int | None:
        """Search among candidates, unless it was done; return what none of them is cheaper than."""
        if self._settled is not None and self._settled[0].same_as(candidates):
            return self._settled[1]
        outcome = self._solve(candidates.with_solution(self.best), most_nodes)
        if outcome.end is End.SOLVED and outcome.bound is not None:
            self._settled = candidates, outcome.bound
        return outcome.bound

    def _slack(self, price: int) -> int:
        """What may be lost by a solution of a price, ticks."""
        return max(0, price * self._instance.ticks - self._dual.value)

    def _list(self, slack: int) -> Listing:
        before = self._knapsacks.work
        listing = self._knapsacks.within(self._dual.prices, self._dual.worths + slack)
        charge(self._allowance, self._knapsacks.work - before)
        return listing

    def _candidates(self, listing: Listing, slack: int) -> Candidates:
        """Take what is listed, and the layouts that cost no more than the slack."""
        return Candidates(
            layouts=np.flatnonzero(self._beyond <= slack),
            services=listing.services,
            recipes=listing.recipes,
            open=np.flatnonzero(listing.open),
            decided=np.zeros_like(self._instance.rates),
        )

    def _decided(self, candidates: Candidates, most: int) -> Candidates | None:
        """Decide services as the linear program does, until few enough recipes are left."""
        counts = np.bincount(candidates.services, minlength=len(self._instance.targets))
        candidates = candidates.deciding(np.flatnonzero(counts[candidates.services] == 1))
        if len(candidates.recipes) <= most:
            return candidates
        program = Restricted(self._instance, candidates, self._allowance, self._run, integer=False)
        outcome = program.solve()
        if outcome.end is not End.SOLVED:
            self.why = outcome.why
            return None
        shares = program.shares(outcome)
        whole = np.abs(shares - np.round(shares)) < _WHOLE
        undecided = np.zeros(len(counts), dtype=np.bool_)
        undecided[candidates.services[~whole]] = True
        undecided |= _with_many_recipes(counts * ~undecided, most - int(counts[undecided].sum()))
        chosen = (shares > 0.5) & ~undecided[candidates.services]
        return candidates.deciding(np.flatnonzero(chosen))

    def _solve(self, candidates: Candidates, most_nodes: int | None) -> Outcome:
        """Solve an integer program and keep what is better."""
        program = Restricted(self._instance, candidates, self._allowance, self._run, integer=True)
        outcome = program.solve(most_nodes=most_nodes)
        self.why = outcome.why
        if len(outcome.values):
            found = program.solution(outcome)
            if found is None or found.price(self._instance) != round(outcome.value):
                self.why = "its solution breaks a rule it was given"
            elif found.price(self._instance) < self.price:
                self.best, self.price = found, found.price(self._instance)
        return outcome


def _with_many_recipes(counts: Ints, most: int) -> Flags:
    """Flag services with many recipes first, as long as all theirs are few enough together."""
    order = np.argsort(-counts, kind="stable")
    flags = np.zeros(len(counts), dtype=np.bool_)
    flags[order[np.cumsum(counts[order]) <= most]] = True
    return flags
