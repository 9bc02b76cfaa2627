"""Plans for a dozen GPUs and some thirty replicas, compared with an assignment model."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, NamedProfile, Prices, Rate, Rules, Target
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu
from property.assignment import best_worth_to_the_moves
from property.brute_force import best_worth
from property.case import Case, geometry_of, profile_of, status_quo
from property.judge import proved_values, stated_values
from property.legality import faults
from property.planned import certificate_of, make
from property.strategies_planner import FEW_SHAPES

PLAIN = range(4)
MIXED = range(10, 14)
TIED = range(20, 26)
AIMING = range(30, 33)


@pytest.mark.parametrize("seed", PLAIN)
def test_one_product_is_planned_as_well_as_by_assignment(seed: int) -> None:
    compare(running(seed, keys=("a100-80gb",)))


@pytest.mark.parametrize("seed", MIXED)
def test_priced_products_are_planned_as_well_as_by_assignment(seed: int) -> None:
    compare(priced(running(seed, keys=FEW_SHAPES), seed))


@pytest.mark.parametrize("seed", TIED)
def test_tied_replicas_are_planned_as_well_as_by_assignment(seed: int) -> None:
    compare(tied(priced(running(seed, keys=FEW_SHAPES), seed), seed))


@pytest.mark.parametrize("seed", AIMING)
def test_targets_are_planned_as_well_as_by_assignment(seed: int) -> None:
    case = aiming(running(seed, keys=("a100-80gb", "a30")), seed)
    certificate = certificate_of(make(case))
    best, proved = best_worth_to_the_moves(case), proved_values(certificate)
    to_the_price = len(best) - 1  # recipes are chosen by price alone
    assert stated_values(certificate)[:to_the_price] == best[:to_the_price]
    assert proved[: len(best)] == best[: len(proved)]


def test_the_assignment_model_agrees_with_trying_everything() -> None:
    for seed in range(40, 48):
        case = tied(priced(running(seed, keys=FEW_SHAPES, gpus=2, most=2), seed), seed)
        best = best_worth(case)
        assert best is not None
        found = best_worth_to_the_moves(case)
        assert found == best[: len(found)]


def compare(case: Case) -> None:
    """Plan, and hold every goal down to the moves against the assignment model."""
    certificate = certificate_of(make(case))
    best = best_worth_to_the_moves(case)
    assert stated_values(certificate)[: len(best)] == best
    assert proved_values(certificate)[: len(best)] == best


def running(seed: int, *, keys: tuple[str, ...], gpus: int = 11, most: int = 12) -> Case:
    """A machine at about half load, everybody where chance put them, and more to come."""
    random = Random(seed)
    machine = [
        _crowded(a_board_gpu(random.choice(keys), index=index), random) for index in range(gpus)
    ]
    demands = [_demand(f"model-{n}", machine, random, most) for n in range(4)]
    records, waiting = [], {d.model: [*range(d.replicas)] for d in demands}
    for gpu, s in [(g, s) for g in machine for s in g.slices]:
        fitting = [
            d.model
            for d in demands
            if waiting[d.model] and d.accepts(profile_of(gpu, s.profile), gpu.name)
        ]
        if fitting and random.random() < 0.85:
            model = random.choice(fitting)
            records.append(owned(s, model, waiting[model].pop(0)))
        elif random.random() < 0.5:
            records.append(owned(s))
    return Case(observed=an_observed(*machine), demands=tuple(demands), owned=tuple(records))


def priced(case: Case, seed: int) -> Case:
    """Prices for every product, and every third time a GPU that is to be bought or drained."""
    random = Random(seed)
    names = sorted({gpu.name for gpu in case.observed.gpus})
    prices = Prices(
        currency="EUR",
        milli_per_hour=tuple((name, random.choice((900, 2100, 2500))) for name in names),
    )
    first, *_, last = case.observed.gpus
    empty = not last.slices
    return replace(
        case,
        rules=Rules(
            prices=prices,
            addable=frozenset({last.uuid}) if empty else frozenset(),
            drained=frozenset({first.uuid}) if seed % 3 == 0 else frozenset(),
        ),
    )


def tied(case: Case, seed: int) -> Case:
    """One model is spread, one near another, one apart, one pinned; or the moves are limited."""
    one, two, three, four = case.demands
    spread = replace(one, most_per_gpu=2 + seed % 2, priority=seed % 2)
    joined = replace(two, near=(four.model,))
    near = joined if seed % 3 == 1 and _fit_together(case, joined, four) else two
    away = replace(three, away=(one.model,)) if seed % 3 == 2 else three
    bound = replace(case, demands=(spread, near, away, replace(four, move_cost=3)))
    stays = replace(bound, demands=(*bound.demands[:3], replace(four, pinned=True)))
    limited = replace(bound, rules=replace(bound.rules, most_moves=4))
    chosen = limited if seed % 2 == 0 or case.rules.drained else stays
    return chosen if may_stay(chosen) else bound


def aiming(case: Case, seed: int) -> Case:
    """Two of the models are for a throughput."""
    random = Random(seed)
    profiles = _plain(list(case.observed.gpus))
    demands = [
        replace(
            demand,
            memory_mib=None,
            profiles=(),
            replicas=6,
            target=Target(
                milli_per_s=random.randint(4, 12) * 1000,
                rates=tuple(
                    Rate(
                        named=NamedProfile(profile=p.name, board=name),
                        milli_per_s=1000 * p.compute_slices - random.randint(0, 300),
                    )
                    for p, name in profiles
                ),
            ),
        )
        for demand in case.demands[:2]
    ]
    return replace(case, demands=(*demands, *case.demands[2:]))


def may_stay(case: Case) -> bool:
    """Tell whether it is legal that those who run stay and nobody else comes."""
    return not any(faults(case, status_quo(case)))


def _fit_together(case: Case, one: Demand, other: Demand) -> bool:
    """Tell whether some GPU holds a replica of both, were it empty."""
    pair = tuple(replace(demand, replicas=1) for demand in (one, other))
    machine = tuple(replace(gpu, slices=()) for gpu in case.observed.gpus[1:4])
    empty = replace(case, observed=an_observed(*machine), demands=pair, owned=())
    best = best_worth(empty)
    return best is not None and sum(best[1:3]) == -2


def _crowded(gpu: Gpu, random: Random) -> Gpu:
    """Up to four plain slices anywhere; one in five GPUs stays empty."""
    lying: list[tuple[str, int]] = []
    for _ in range(0 if random.random() < 0.2 else random.randint(1, 4)):
        there = with_slices(gpu, *lying).occupied
        places = [
            (p.name, at)
            for p, _ in _plain([gpu])
            for at in p.placements
            if p.memory_slices <= 4 and geometry_of(gpu).allows(there, p.name, at)
        ]
        if places:
            name, at = random.choice(places)
            lying.append((name, at.start))
    return with_slices(gpu, *lying)


def _demand(model: str, machine: list[Gpu], random: Random, most: int) -> Demand:
    """Replicas by memory, or of one profile by name."""
    profile, _ = random.choice(_plain(machine))
    replicas = random.randint(1, max(1, most * 2 // profile.memory_slices + 1))
    if random.random() < 0.5:
        return Demand(model=model, replicas=replicas, memory_mib=profile.memory_mib)
    return Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile.name),))


def _plain(machine: list[Gpu]) -> list[tuple[Profile, str]]:
    """Every profile without attributes, once for each product, with its name."""
    products = {gpu.name: gpu for gpu in machine}
    return [
        (p, gpu.name)
        for gpu in products.values()
        for p in geometry_of(gpu).profiles
        if not p.attributes
    ]
