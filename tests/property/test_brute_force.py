"""The judge and the search that judge the planner, judged by facts that a person can check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import (
    Demand,
    NamedProfile,
    Prices,
    Rate,
    ReplicaId,
    Rules,
    Target,
)
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu
from property.brute_force import best_worth, worths_by_moves
from property.case import Case, Place, Seating, geometry_of, incumbents, keepable, usable
from property.judge import Worth, goals, worth
from property.legality import faults
from property.strategies_planner import bound_cases, cases, target_cases

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

ANY = Rules()


def a_case(
    *machine: Gpu, demands: tuple[Demand, ...], running: bool = False, rules: Rules = ANY
) -> Case:
    """A case in which every slice is ours; running the first model's replicas, or free."""
    slices = [s for gpu in machine for s in gpu.slices]
    model = demands[0].model if running else None
    return Case(
        observed=an_observed(*machine),
        demands=demands,
        owned=tuple(owned(s, model, number) for number, s in enumerate(slices)),
        rules=rules,
    )


def wants(profile: str, replicas: int = 1, model: str = "chat") -> Demand:
    return Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile),))


def reached(case: Case) -> dict[Goal, int]:
    """The best of each goal that speaks of no single model, less is better."""
    best = best_worth(case)
    assert best is not None
    return {goal: v for (goal, model, _), v in zip(goals(case), best, strict=True) if not model}


def test_an_empty_a100_holds_seven_of_the_smallest() -> None:
    case = a_case(a_board_gpu("a100-80gb"), demands=(wants("1g.10gb", 9),))
    best = reached(case)
    assert best[Goal.SERVED] == -7
    assert best[Goal.COST] == 1
    assert best[Goal.MEMORY] == 7
    assert best[Goal.COMPUTE] == -7
    assert best[Goal.ROOM] == 0


def test_two_large_slices_need_the_whole_grid_or_two_gpus() -> None:
    one, two = a_board_gpu("a100-80gb"), a_board_gpu("a100-80gb", index=1)
    assert reached(a_case(one, two, demands=(wants("3g.40gb", 2),)))[Goal.COST] == 1
    assert reached(a_case(one, two, demands=(wants("4g.40gb", 2),)))[Goal.COST] == 2


def test_the_cheaper_product_is_taken_and_one_that_has_to_be_bought_is_not() -> None:
    a30, a100 = a_board_gpu("a30"), a_board_gpu("a100-80gb", index=1)
    demands = (Demand(model="chat", replicas=1, memory_mib=5000),)
    prices = Prices(currency="EUR", milli_per_hour=((a30.name, 500), (a100.name, 4000)))
    assert reached(a_case(a30, a100, demands=demands, rules=Rules(prices=prices)))[Goal.COST] == 500
    bought = Rules(prices=prices, addable=frozenset({a30.uuid}))
    best = reached(a_case(a30, a100, demands=demands, rules=bought))
    assert (best[Goal.ADDED], best[Goal.COST]) == (0, 4000)


def test_of_two_scattered_gpus_the_one_with_less_to_move_is_vacated() -> None:
    full = with_slices(a_board_gpu("a30"), ("1g.6gb", 0), ("1g.6gb", 1))
    half = with_slices(a_board_gpu("a30", index=1), ("1g.6gb", 0))
    case = a_case(full, half, demands=(wants("1g.6gb", 3),), running=True)
    best = reached(case)
    assert (best[Goal.COST], best[Goal.MOVED], best[Goal.DESTROYED]) == (1, 1, 1)
    dear = replace(case, demands=(replace(case.demands[0], move_cost=5),))
    assert reached(dear)[Goal.MOVED] == 5
    still = replace(case, rules=Rules(most_moves=0))
    assert (reached(still)[Goal.COST], reached(still)[Goal.MOVED]) == (2, 0)
    pinned = replace(case, demands=(replace(case.demands[0], pinned=True),))
    assert reached(pinned)[Goal.COST] == 2
    assert {moves: w[2] for moves, w in worths_by_moves(case).items()} == {0: 2, 1: 1, 2: 1, 3: 1}


def test_a_slice_in_the_way_of_a_higher_priority_loses_its_replica() -> None:
    gpu = with_slices(a_board_gpu("a30"), ("1g.6gb", 3))
    small, large = wants("1g.6gb"), replace(wants("4g.24gb", model="large"), priority=1)
    best = best_worth(a_case(gpu, demands=(small, large), running=True))
    assert best is not None
    assert best[:6] == (-1, 0, -1, 0, 1, 1)  # by priority, by model, cost, moved
    equal = best_worth(a_case(gpu, demands=(small, replace(large, priority=0)), running=True))
    assert equal is not None
    assert equal[:5] == (-1, -1, 0, 1, 0)


def test_spread_and_company_and_distance_decide_how_many_gpus_are_used() -> None:
    one, two = a_board_gpu("a30"), a_board_gpu("a30", index=1)
    spread = replace(wants("1g.6gb", 2), most_per_gpu=1)
    assert reached(a_case(one, two, demands=(spread,)))[Goal.COST] == 2
    assert reached(a_case(one, demands=(spread,)))[Goal.SERVED] == -1
    other = wants("1g.6gb", model="judge")
    apart = replace(wants("1g.6gb"), away=("judge",))
    assert reached(a_case(one, two, demands=(apart, other)))[Goal.COST] == 2
    joined = replace(wants("1g.6gb", 2), most_per_gpu=1, near=("judge",))
    assert reached(a_case(one, two, demands=(joined, other)))[Goal.SERVED] == -2


def test_a_target_is_met_by_the_slices_that_cost_least_or_not_at_all() -> None:
    rates = (
        Rate(named=NamedProfile(profile="1g.6gb"), milli_per_s=1000),
        Rate(named=NamedProfile(profile="2g.12gb"), milli_per_s=2500),
    )
    chat = Demand(model="chat", replicas=4, target=Target(milli_per_s=3500, rates=rates))
    best = reached(a_case(a_board_gpu("a30"), demands=(chat,)))
    assert (best[Goal.SERVED], best[Goal.MEMORY]) == (-1, 3)
    few = replace(chat, replicas=1)
    best = reached(a_case(a_board_gpu("a30"), demands=(few,)))
    assert (best[Goal.SERVED], best[Goal.COST], best[Goal.MEMORY]) == (0, 0, 0)


def test_a_pinned_replica_that_breaks_a_rule_where_it_is_leaves_no_legal_plan() -> None:
    gpu = with_slices(a_board_gpu("a30"), ("1g.6gb", 0), ("1g.6gb", 1))
    chat = replace(wants("1g.6gb", 2), pinned=True, most_per_gpu=1)
    assert best_worth(a_case(gpu, demands=(chat,), running=True)) is None


def test_a_drained_gpu_and_one_not_to_be_used_lose_what_is_ours() -> None:
    one = with_slices(a_board_gpu("a30"), ("1g.6gb", 0))
    two = with_slices(a_board_gpu("a30", index=1), ("1g.6gb", 0))
    for rules in (Rules(drained=frozenset({"GPU-0"})), Rules(gpus=frozenset({"GPU-1"}))):
        best = reached(a_case(one, two, demands=(wants("1g.6gb", 2),), running=True, rules=rules))
        assert (best[Goal.MOVED], best[Goal.DESTROYED], best[Goal.COST]) == (0, 1, 1)


@quick
@given(
    case=cases(most_gpus=1, most_replicas=2, keys=("a30",))
    | bound_cases(most_gpus=1)
    | target_cases(bound=True, most_gpus=1)
)
def test_seating_one_replica_after_the_other_finds_nothing_better(case: Case) -> None:
    found = _seatings(case)
    assume(found is not None)
    assert found is not None
    legal: list[Worth] = [worth(case, s) for s in found if not any(faults(case, s))]
    assert best_worth(case) == min(legal, default=None)


def _seatings(case: Case, *, most: int = 4_000) -> list[Seating] | None:
    """Every way to seat the replicas one by one; None where there are too many."""
    found: list[Seating] = [()]
    for demand in case.demands:
        for number in range(demand.replicas):
            more = [
                (*seating, (ReplicaId(demand.model, number), place))
                for seating in found
                for place in _places(case, demand)
                if _open(case, seating, place)
            ]
            found += more
            if len(found) > most:
                return None
    return found


def _places(case: Case, demand: Demand) -> Iterator[Place]:
    """Every slice, there or not, that would serve a demand."""
    for gpu in usable(case):
        profiles = [p for p in geometry_of(gpu).profiles if demand.accepts(p, gpu.name)]
        names = {profile.name for profile in profiles}
        yield from (Place(gpu.uuid, p.name, at) for p in profiles for at in p.placements)
        for s in keepable(case, gpu):
            if s.profile in names:
                yield Place(gpu.uuid, s.profile, s.placement, s.gpu_instance_id)


def _open(case: Case, seating: Seating, place: Place) -> bool:
    """Tell whether a slice may come beside those in use, whatever else is asked."""
    lying: list[tuple[str, Placement]] = [
        (p.profile, p.placement) for _, p in seating if p.gpu_uuid == place.gpu_uuid
    ]
    geometry = geometry_of(case.observed.gpu(place.gpu_uuid))
    return geometry.allows(lying, place.profile, place.placement)


def test_a_replica_recorded_twice_runs_at_the_first_place() -> None:
    gpu = with_slices(a_board_gpu("a30"), ("1g.6gb", 2), ("1g.6gb", 1))
    case = a_case(gpu, demands=(wants("1g.6gb", 2),))
    twice = tuple(owned(s, "chat", 0) for s in gpu.slices)
    found = incumbents(replace(case, owned=twice))
    assert {r.replica: s.placement.start for r, s in found.items()} == {0: 1}
