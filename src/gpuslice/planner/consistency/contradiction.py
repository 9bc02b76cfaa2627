"""Demands and rules that no plan can keep to together, found before anything is planned.

Separate from the check of single numbers and names (`gpuslice.planner.sanity`) and from the reasons
for replicas without a slice (`gpuslice.planner.explain`): here each thing asked for is fine alone,
and only together they are more than any plan could give.

*Model.* A **constraint** is one thing that somebody wrote: near, away, a most per GPU, pinned, a
number of replicas, GPUs that are drained or not chosen, a limit on moves. A **goal** is what has to
be possible: that each model could have a replica somewhere, were all the room there for it; that
all who are pinned on a GPU can stay, with everybody they need; that there are replicas enough for
that; that no more running replicas have to move than may. Whether a goal can be reached is decided
exactly for each GPU by itself (`gpuslice.planner.consistency.coexistence`).

*Method.* Of the constraints that together make a goal impossible, the smallest set that does is
looked for (`gpuslice.planner.consistency.smallest`), which rests on a goal never becoming harder
when something is left out; of all impossible goals, the one with the fewest is told.

*Limits.* That others take the room is no contradiction but an answer of the plan; only who is
pinned has to have it. A model that fits on no usable GPU even alone is the matter of
`gpuslice.planner.admission`. Beyond the number of replicas, what GPUs compete for is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice

from gpuslice.errors import ContradictionError
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Owned
from gpuslice.planner.consistency.coexistence import Host, Tenant, Terms, can_come, can_stay, fits
from gpuslice.planner.consistency.constraints import (
    Constraint,
    Kind,
    Scene,
    Site,
    survey_constraints,
)
from gpuslice.planner.consistency.smallest import smallest_conflict
from gpuslice.planner.offers import label, listed

_EXAMINED = 20
"""For how many impossible goals a set is looked for; more would only be more of the same."""


def check_consistent(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> None:
    """Refuse demands and rules that contradict each other.

    Args:
        observed: The machine.
        demands: What is asked for; numbers and names make sense
            (`gpuslice.planner.admission.check_input`).
        owned: Which slices are ours, and whose.
        rules: What the plan has to keep to.

    Raises:
        ContradictionError: Names the smallest set, one line each, and what it makes
            impossible.
    """
    if not any(demand.near or demand.away or demand.pinned for demand in demands) and (
        rules.most_moves is None or all(demand.most_per_gpu is None for demand in demands)
    ):
        return
    scene = survey_constraints(observed, demands, owned, rules)
    case = _Case(scene, scene.constraints)
    failed = list(islice((g for g in _goals(case) if not g.reached(case)), _EXAMINED))
    if not failed:
        return
    goal, culprits = min(((g, _culprits(scene, g)) for g in failed), key=lambda pair: len(pair[1]))
    texts = [constraint.text for constraint in culprits]
    raise ContradictionError(
        f"{goal.title}: {'; '.join((*texts, *_note(scene, goal, culprits)))}",
        hint="Give up one of these.",
        details=tuple(texts),
    )


class _Case:
    """A scene when only some of its constraints hold. Not changed once it is made."""

    def __init__(self, scene: Scene, held: Collection[Constraint]) -> None:
        self.scene = scene
        self.held = frozenset(held)
        self.pinned = {c.model for c in held if c.kind is Kind.PINNED}
        self.to_come = {
            c.model: scene.demands[c.model].replicas - self._stuck(c.model)
            for c in held
            if c.kind is Kind.NUMBER
        }
        self.terms = Terms(
            near=_pairs(held, Kind.NEAR),
            apart=_pairs(held, Kind.AWAY),
            most_per_gpu={
                c.model: scene.demands[c.model].most_per_gpu or 1
                for c in held
                if c.kind is Kind.SPREAD
            },
            absent={model for model, count in self.to_come.items() if count <= 0},
        )

    def _stuck(self, model: str) -> int:
        """How many replicas of a model have to stay where they are."""
        return self.scene.running.get(model, 0) if model in self.pinned else 0

    def may_use(self, site: Site) -> bool:
        """Tell whether slices may lie there."""
        return not site.barred_by & self.held

    def staying(self, site: Site) -> tuple[Tenant, ...]:
        """Who has to stay there."""
        return tuple(tenant for tenant in site.host.tenants if tenant.model in self.pinned)

    @cached_property
    def needed(self) -> Counter[str]:
        """On how many GPUs a replica of each model has to come beside who has to stay there."""
        counts: Counter[str] = Counter()
        for site in self.scene.sites:
            here = {tenant.model for tenant in self.staying(site)}
            for model in self.terms.company(here) - here:
                counts[model] += site.count
        return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    """Something that has to be possible.

    Attributes:
        title: What it means that it is not.
        reached: Tells whether it is, when only some constraints hold.
        where: Which GPUs it is about, in words.
    """

    title: str
    reached: Callable[[_Case], bool]
    where: str = "on any GPU that may be used"


def _goals(case: _Case) -> Iterator[_Goal]:
    """List what has to be possible, the most concrete first."""
    scene = case.scene
    yield from (_stay(site, case) for site in scene.sites if case.staying(site))
    yield from (_suffice(model) for model in case.needed)
    yield _Goal(title="more running replicas have to move than may", reached=_few_move)
    hosts = [site.host for site in scene.sites if case.may_use(site)]
    alone = {m for m, d in scene.demands.items() if any(fits(host, (), [d]) for host in hosts)}
    for model, demand in scene.demands.items():
        if demand.replicas > 0 and case.terms.company([model]) <= alone:
            yield _come(model)


def _stay(site: Site, case: _Case) -> _Goal:
    """All who are pinned on a GPU have to be able to stay."""

    def reached(case: _Case) -> bool:
        staying = case.staying(site)
        if not staying:
            return True
        return case.may_use(site) and can_stay(site.host, staying, case.terms, case.scene.demands)

    models = listed(list(dict.fromkeys(tenant.model for tenant in case.staying(site))))
    where = f"on {label(site.gpu)}"
    return _Goal(title=f"{models} cannot stay {where}", reached=reached, where=where)


def _suffice(model: str) -> _Goal:
    """There have to be replicas of a model enough for all who have to have it near."""

    def reached(case: _Case) -> bool:
        return model not in case.to_come or case.needed[model] <= case.to_come[model]

    return _Goal(
        title=f"more replicas of {model} have to join pinned ones than there are", reached=reached
    )


def _come(model: str) -> _Goal:
    """A replica of a model has to be possible somewhere."""

    def reached(case: _Case) -> bool:
        return any(
            case.may_use(site)
            and can_come(site.host, model, case.staying(site), case.terms, case.scene.demands)
            for site in case.scene.sites
        )

    return _Goal(title=f"no GPU can ever hold a replica of {model}", reached=reached)


def _few_move(case: _Case) -> bool:
    """Tell whether few enough replicas have to leave their slices."""
    most = case.scene.most_moves
    if most is None or not any(c.kind is Kind.MOVES for c in case.held):
        return True
    sites = (site for site in case.scene.sites if not site.barred_by)
    return sum(site.count * _leaving(site.host, case) for site in sites) <= most


def _leaving(host: Host, case: _Case) -> int:
    """Count how many tenants of a GPU have to leave at least."""
    count = len(host.tenants)
    return next(
        leaving
        for leaving in range(count + 1)
        for staying in combinations(host.tenants, count - leaving)
        if can_stay(host, staying, case.terms, case.scene.demands)
    )


def _culprits(scene: Scene, goal: _Goal) -> tuple[Constraint, ...]:
    """Find the smallest set of constraints that makes a goal impossible."""
    return smallest_conflict(scene.constraints, lambda held: goal.reached(_Case(scene, held)))


def _note(scene: Scene, goal: _Goal, culprits: Sequence[Constraint]) -> Iterator[str]:
    """Say that the room is missing, where nothing of what is told says so."""
    kinds = {constraint.kind for constraint in culprits}
    if kinds <= {Kind.NEAR, Kind.PINNED, Kind.DRAINED, Kind.CHOSEN} and Kind.NEAR in kinds:
        models = (c.model for c in culprits if c.kind is Kind.NEAR)
        company = _Case(scene, culprits).terms.company(models)
        yield f"{listed(sorted(company))} do not fit together {goal.where}"


def _pairs(held: Collection[Constraint], kind: Kind) -> dict[str, tuple[str, ...]]:
    """Collect constraints about two models by the first."""
    found: dict[str, tuple[str, ...]] = {}
    for constraint in held:
        if constraint.kind is kind:
            found[constraint.model] = (*found.get(constraint.model, ()), constraint.other)
    return found
