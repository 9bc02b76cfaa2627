"""What is wanted, as portions: replicas that want slices of the same sort.

Separate because a throughput target has to become slices before anything is packed: which multiset
of slices meets it (`gpuslice.planner.recipes.choose`) is chosen for all targets together, by price,
with the fixed demands beside them. What runs stays part of its recipe where that costs no more, all
of it or as much as suffices.

Where not everything fits, targets of higher priority than a fixed demand are chosen without it, and
all others beside as many of its replicas as fit when there are no targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gpuslice.errors import PlanningError
from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.planner.articles import (
    Recipe,
    is_sole,
    meets,
    running_recipes,
    size_of,
    together,
    trimmed,
    without,
)
from gpuslice.planner.asking import Portion
from gpuslice.planner.deciding import decide
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.objectives import served_by_want
from gpuslice.planner.recipes.wares import Wares
from gpuslice.planner.situation import Situation

_BLOCKERS = 16
"""How many targets that do not fit are passed over in search of others that do."""

_TRIES = 8
"""For how many targets it is tried one by one whether what runs may stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portions:
    """What is wanted.

    Attributes:
        fixed: Demands for replicas.
        met: Portions of each target that is met, those that cannot be given up first, then the
            most important.
        unmet: Targets that are not, though one by one they could be.
        hopeless: Targets that nothing could meet.
        firm: How many of those that are met cannot be given up: more of their replicas run than
            may move.
        least_price: What no plan that meets the same targets costs less than, as long as it adds
            no GPUs; None where there are no targets or nothing is known.
        sole: True when no other slices than these could meet the targets.
        steady: The same with what runs left where it is, which costs more; to be tried before a
            target is given up.
        leaner: The same with no slice too many, which costs no more; to be tried where somebody
            would have to move only to go on in vain.
    """

    fixed: tuple[Portion, ...]
    met: tuple[tuple[Portion, ...], ...] = ()
    unmet: tuple[Demand, ...] = ()
    hopeless: tuple[Demand, ...] = ()
    firm: int = 0
    least_price: int | None = None
    sole: bool = False
    steady: Portions | None = None
    leaner: Portions | None = None

    @property
    def all(self) -> tuple[Portion, ...]:
        """Every portion."""
        return (*self.fixed, *(each for portions in self.met for each in portions))

    @property
    def with_targets(self) -> bool:
        """True when there are targets, and other slices might meet them too."""
        return bool(self.unmet) or (bool(self.met) and not self.sole)

    def without_least(self) -> Portions:
        """Leave what runs where it is, or else give the least important target up.

        Raises:
            PlanningError: None can be given up.
        """
        if self.steady is not None:
            return self.steady
        if len(self.met) <= self.firm:
            raise _firm_and_unmet([portions[0].demand for portions in self.met])
        *rest, last = self.met
        return replace(
            self, met=tuple(rest), unmet=(*self.unmet, last[0].demand), least_price=None, sole=False
        )


def choose_portions(situation: Situation, allowance: Allowance) -> Portions:
    """Say what is wanted; choose the slices of every target.

    Args:
        situation: The situation.
        allowance: How long the solver may take.

    Raises:
        PlanningError: More replicas run for a target than may move, and no way was found to meet
            it with them.
    """
    fixed = tuple(Portion(demand=d, count=d.replicas) for d in situation.demands if not d.target)
    if len(fixed) == len(situation.demands):
        return Portions(fixed=fixed)
    return _Kitchen(situation, fixed, allowance).portions()


_SHARE = 0.5
"""How much of the time that is left a choice of recipes may take: the packing needs some too."""

_Choice = tuple[dict[str, Recipe], int, int]
"""Recipes by model, their price, and what no others cost less than."""


class _Kitchen:
    """The choice of recipes for one situation; owned by `choose_portions`."""

    def __init__(
        self, situation: Situation, fixed: tuple[Portion, ...], allowance: Allowance
    ) -> None:
        self._situation = situation
        self._fixed = fixed
        self._allowance = allowance
        targets = [demand for demand in situation.demands if demand.target]
        self._wares = Wares(situation, fixed, targets)
        self._hopeless = tuple(t for t in targets if not situation.could_meet(t))
        self._targets = [t for t in targets if situation.could_meet(t)]
        self._targets.sort(key=lambda t: -t.priority)
        self._running = running_recipes(situation, self._targets)

    def portions(self) -> Portions:
        """Choose slices for all targets, or where they do not fit together, for as many as do."""
        if not self._targets:
            return Portions(fixed=self._fixed, hopeless=self._hopeless)
        free = self._choose(self._targets, {}, self._fixed)
        if free is None:
            return self._some()
        recipes, price, bound = free
        if not any(self._running.values()):
            return self._portions(recipes, bound)
        kept = self._choose(self._targets, self._running, self._fixed)
        if kept is not None and kept[1] == price:
            return replace(self._portions(kept[0], bound), leaner=self._leaner(price, bound))
        recipes = self._partly_kept(price) or recipes
        if kept is not None and not self._may_leave(recipes):
            return self._portions(kept[0], bound)
        cheap = self._portions(recipes, bound)
        if kept is None or self._situation.rules.most_moves is None:
            return cheap
        return replace(cheap, steady=self._portions(kept[0], bound))

    def _leaner(self, price: int, bound: int) -> Portions | None:
        """Leave what runs but for what is not needed; None where that costs more, or is all."""
        needed = {t.model: trimmed(t, self._running[t.model]) for t in self._targets}
        if needed == self._running:
            return None
        found = self._choose(self._targets, needed, self._fixed)
        return self._portions(found[0], bound) if found and found[1] == price else None

    def _partly_kept(self, price: int) -> dict[str, Recipe] | None:
        """Leave what runs for some of the targets, where leaving it for all costs more."""
        running = [target for target in self._targets if self._running[target.model]]
        if len(running) > _TRIES:
            return self._first_kept(running, price)
        chosen: dict[str, Recipe] = {}
        best = None
        for target in running:
            whole = self._running[target.model]
            for some in dict.fromkeys((whole, trimmed(target, whole))):
                found = self._choose(self._targets, chosen | {target.model: some}, self._fixed)
                if found is not None and found[1] == price:
                    chosen[target.model] = some
                    best = found[0]
                    break
        return best

    def _first_kept(self, running: Sequence[Demand], price: int) -> dict[str, Recipe] | None:
        """Leave what suffices for as many of the first targets as cost no more: a quick search."""
        low, high, best = 0, len(running) + 1, None
        while high - low > 1:
            middle = (low + high) // 2
            held = {t.model: trimmed(t, self._running[t.model]) for t in running[:middle]}
            found = self._choose(self._targets, held, self._fixed)
            if found is not None and found[1] == price:
                low, best = middle, found[0]
            else:
                high = middle
        return best

    def _portions(self, recipes: Mapping[str, Recipe], bound: int) -> Portions:
        """Say what is wanted when all targets are met."""
        firm = self._firm()
        targets = sorted(self._targets, key=lambda target: target.model not in firm)
        return Portions(
            fixed=self._fixed,
            met=tuple(_as_portions(t, recipes[t.model]) for t in targets),
            hopeless=self._hopeless,
            firm=len(firm),
            least_price=bound + self._price_in_use(),
            sole=all(is_sole(target, self._wares.rates(target)) for target in targets),
        )

    def _may_leave(self, recipes: Mapping[str, Recipe]) -> bool:
        """Tell whether so many may move as have no place in the recipes."""
        most = self._situation.rules.most_moves
        left = (without(running, recipes[model]) for model, running in self._running.items())
        return most is None or sum(size_of(recipe) for recipe in left) <= most

    def _some(self) -> Portions:
        """Meet targets, most important first, leaving out whoever does not fit beside those."""
        firm = self._firm()
        met = [target for target in self._targets if target.model in firm]
        rest = [target for target in self._targets if target.model not in firm]
        served = self._served() if rest else []
        chosen = self._choose(met, firm, ()) if met else ({}, 0, 0)
        if chosen is None:
            raise _firm_and_unmet(met)
        unmet: list[Demand] = []
        while rest and len(unmet) < _BLOCKERS:
            count, found = self._longest(met, rest, firm, served)
            chosen = chosen if found is None else found
            met += rest[:count]
            unmet += rest[count : count + 1]
            rest = rest[count + 1 :]
        if met:
            chosen = self._choose(met, firm, served) or chosen
        beside_all = self._choose(met, {}, self._fixed) if met else None
        return Portions(
            fixed=self._fixed,
            met=tuple(_as_portions(t, chosen[0][t.model]) for t in met),
            unmet=(*unmet, *rest),
            hopeless=self._hopeless,
            firm=len(firm),
            least_price=None if beside_all is None else beside_all[2] + self._price_in_use(),
        )

    def _firm(self) -> dict[str, Recipe]:
        """Find those that cannot be given up, as more run than may move, with what they run on."""
        most = self._situation.rules.most_moves
        return {
            model: recipe
            for model, recipe in self._running.items()
            if most is not None and size_of(recipe) > most
        }

    def _longest(
        self,
        met: Sequence[Demand],
        rest: Sequence[Demand],
        firm: Mapping[str, Recipe],
        served: Sequence[Portion],
    ) -> tuple[int, _Choice | None]:
        """Find out how many more can be met, in order; fixed demands of less priority make way."""
        low, high, best = 0, len(rest) + 1, None
        while high - low > 1:
            middle = (low + high) // 2
            least = rest[middle - 1].priority
            beside = [portion for portion in served if portion.demand.priority >= least]
            found = self._choose((*met, *rest[:middle]), firm, beside)
            if found is None:
                high = middle
            else:
                low, best = middle, found
        return low, best

    def _served(self) -> list[Portion]:
        """Count how many of each fixed portion are served where there are no targets."""
        try:
            attempt = decide(self._situation, self._fixed, self._allowance)
        except PlanningError:  # what runs for the targets may not be given up
            return list(self._fixed)
        if attempt.serves_all:
            return list(self._fixed)
        asked = attempt.asked
        served = Counter(portion.demand.model for portion, _, _ in asked.staying)
        counts = served_by_want(asked.question, attempt.answer)
        for portions, count in zip(asked.portions, counts, strict=True):
            served[portions[0].demand.model] += count  # where not all are served, wants are models
        return [replace(portion, count=served[portion.demand.model]) for portion in self._fixed]

    def _choose(
        self, targets: Sequence[Demand], held: Mapping[str, Recipe], fixed: Sequence[Portion]
    ) -> _Choice | None:
        """Choose recipes for some targets beside what is held; None where they do not all fit."""
        from gpuslice.planner.recipes.choose import (  # noqa: PLC0415 - loads the solver, only with targets
            choose_recipes,
        )

        open_ = [t for t in targets if not meets(t, held.get(t.model, ()))]
        if any(size_of(held.get(t.model, ())) >= t.replicas for t in open_):
            return None
        part = self._allowance.part(_SHARE, 0.0)
        choice = choose_recipes(self._wares.market(open_, held, fixed), part)
        self._allowance.spent_s += part.spent_s
        if choice is None:
            return None
        recipes = dict(held)
        for target, counts in zip(open_, choice.recipes, strict=True):
            more = self._wares.recipe(counts)
            recipes[target.model] = together(held.get(target.model, ()), more)
        return recipes, choice.price, choice.bound

    def _price_in_use(self) -> int:
        """Add up the prices of GPUs that others use anyway; recipes do not count them."""
        prices = self._situation.prices
        return sum(prices[g.gpu.name] for g in self._situation.grounds if g.usable and g.foreign)


def _firm_and_unmet(targets: Sequence[Demand]) -> PlanningError:
    names = ", ".join(target.model for target in targets)
    return PlanningError(
        f"so few replicas may move that {names} cannot be given up, and no layout was found that "
        "keeps what runs and reaches the target",
        hint="Allow more moves, ask for less, or allow more replicas.",
    )


def _as_portions(demand: Demand, recipe: Recipe) -> tuple[Portion, ...]:
    return tuple(
        Portion(
            demand=demand,
            count=count,
            named=NamedProfile(profile=article.profile, board=article.board),
        )
        for article, count in recipe
    )
