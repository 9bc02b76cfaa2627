"""What priorities, prices, ties, limits and targets do to a plan a person can picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.errors import ContradictionError, PlanningError
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Fate, Owned, Plan
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan

ANY = Rules()


def make(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Plan:
    """Plan, and let the independent checker look at it."""
    observed = an_observed(*gpus)
    made = plan(observed, demands, ours, rules)
    check_plan(made, observed, demands, ours, rules)
    return made


def value(made: Plan, goal: Goal) -> int:
    assert made.certificate is not None
    return next(o.value for o in made.certificate.objectives if o.goal is goal)


def where(made: Plan) -> dict[str, str]:
    """The GPU of each replica."""
    return {str(seat.replica): seat.slice.gpu_uuid for seat in made.seats}


def stays(made: Plan) -> list[str]:
    """The replicas that keep a slice."""
    return [str(seat.replica) for seat in made.seats if seat.kept is not None]


def profiles(made: Plan, model: str) -> dict[str, int]:
    """How many slices of each profile a model gets."""
    return dict(Counter(s.slice.profile for s in made.seats if s.replica.model == model))


def unplaced(made: Plan) -> list[str]:
    return [str(each.replica) for each in made.unplaced]


def running(model: str, *places: tuple[str, int], index: int = 0) -> tuple[Gpu, tuple[Owned, ...]]:
    gpu = with_slices(a_board_gpu(index=index), *places)
    return gpu, tuple(owned(s, model, number) for number, s in enumerate(gpu.slices))


# --- Priority -------------------------------------------------------------------------------------


def test_one_replica_of_higher_priority_comes_before_any_number_of_others() -> None:
    made = make(
        (a_board_gpu(),), a_demand("small", "1g.10gb", 7), a_demand("whole", "7g.80gb", priority=1)
    )
    assert where(made) == {"whole/0": "GPU-0"}


def test_a_running_replica_stops_for_one_of_higher_priority() -> None:
    gpu, records = running("low", ("1g.10gb", 3))
    made = make(
        (gpu,), a_demand("low", "1g.10gb"), a_demand("high", "7g.80gb", priority=1), ours=records
    )
    assert unplaced(made) == ["low/0"]
    assert {str(s.replica): s.fate for s in made.servers} == {
        "high/0": Fate.STARTS,
        "low/0": Fate.STOPS,
    }


def test_priorities_below_nothing_are_priorities_too() -> None:
    made = make((a_board_gpu(),), a_demand("a", "7g.80gb", priority=-1), a_demand("b", "7g.80gb"))
    assert unplaced(made) == ["a/0"]


# --- Prices ---------------------------------------------------------------------------------------


def priced(**changes: int) -> Prices:
    each = {"NVIDIA A100-SXM4-80GB": 2500, "NVIDIA A30": 900} | {
        {"a100": "NVIDIA A100-SXM4-80GB", "a30": "NVIDIA A30"}[key]: v for key, v in changes.items()
    }
    return Prices(currency="EUR", milli_per_hour=tuple(each.items()))


def test_two_cheap_gpus_are_taken_rather_than_a_dear_one() -> None:
    gpus = (a_board_gpu(), a_board_gpu("a30", index=1), a_board_gpu("a30", index=2))
    demand = Demand(model="a", replicas=6, memory_mib=5_000)
    cheap = make(gpus, demand, rules=Rules(prices=priced()))
    assert set(where(cheap).values()) == {"GPU-1", "GPU-2"}
    assert value(cheap, Goal.COST) == 1800
    assert set(where(make(gpus, demand)).values()) == {"GPU-0"}


def test_replicas_move_to_where_it_is_cheaper() -> None:
    gpu, records = running("a", ("1g.10gb", 0))
    a30 = a_board_gpu("a30", index=1)
    demand = Demand(model="a", replicas=1, memory_mib=5_000)
    made = make((gpu, a30), demand, ours=records, rules=Rules(prices=priced()))
    assert where(made) == {"a/0": "GPU-1"}
    still = make((gpu, a30), demand, ours=records, rules=Rules(prices=priced(a30=2500)))
    assert where(still) == {"a/0": "GPU-0"}


def test_a_certificate_is_in_the_currency_of_the_prices() -> None:
    made = make((a_board_gpu(),), a_demand("a"), rules=Rules(prices=priced()))
    assert made.certificate is not None
    assert made.certificate.currency == "EUR"


# --- Moves ----------------------------------------------------------------------------------------


def test_the_replica_whose_move_costs_less_makes_room() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 4))
    records = (owned(gpu.slices[0], "dear"), owned(gpu.slices[1], "cheap"))
    demands = (a_demand("dear", "1g.10gb", move_cost=5), a_demand("cheap", "1g.10gb", move_cost=4))
    made = make((gpu,), *demands, a_demand("half", "3g.40gb"), ours=records)
    assert stays(made) == ["dear/0"]
    assert value(made, Goal.MOVED) == 4


def test_two_cheap_moves_are_better_than_a_dear_one() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 4), ("1g.10gb", 5))
    records = (
        owned(gpu.slices[0], "dear"),
        owned(gpu.slices[1], "cheap"),
        owned(gpu.slices[2], "cheap", 1),
    )
    demands = (a_demand("dear", "1g.10gb", move_cost=3), a_demand("cheap", "1g.10gb", 2))
    made = make((gpu,), *demands, a_demand("half", "3g.40gb"), ours=records)
    assert stays(made) == ["dear/0"]


def test_a_limit_of_moves_leaves_somebody_out_rather_than_pass_it() -> None:
    gpu, records = running("small", ("1g.10gb", 3))
    demands = (a_demand("small", "1g.10gb"), a_demand("large", "4g.40gb"))
    limited = make((gpu,), *demands, ours=records, rules=Rules(most_moves=0))
    assert unplaced(limited) == ["large/0"]
    assert not unplaced(make((gpu,), *demands, ours=records, rules=Rules(most_moves=1)))


def test_a_limit_of_moves_counts_replicas_and_not_what_their_moves_cost() -> None:
    gpu, records = running("small", ("1g.10gb", 3))
    demands = (a_demand("small", "1g.10gb", move_cost=9), a_demand("large", "4g.40gb"))
    made = make((gpu,), *demands, ours=records, rules=Rules(most_moves=1))
    assert not unplaced(made)
    free = (replace(demands[0], move_cost=0), demands[1])
    still = make((gpu,), *free, ours=records, rules=Rules(most_moves=0))
    assert unplaced(still) == ["large/0"]


def test_a_running_replica_is_not_dropped_to_keep_a_limit_of_moves() -> None:
    gpus = [with_slices(a_board_gpu(index=index), ("1g.10gb", 0)) for index in range(3)]
    records = tuple(owned(gpu.slices[0], "a", number) for number, gpu in enumerate(gpus))
    demand = a_demand("a", "1g.10gb", 3)
    made = make(tuple(gpus), demand, ours=records, rules=Rules(most_moves=1))
    assert value(made, Goal.COST) == 2
    assert len(stays(made)) == 2


def test_pinned_replicas_stay_whoever_is_left_out() -> None:
    gpu, records = running("pinned", ("1g.10gb", 3))
    made = make(
        (gpu,),
        a_demand("pinned", "1g.10gb", 2, pinned=True),
        a_demand("large", "4g.40gb", priority=9),
        ours=records,
    )
    assert stays(made) == ["pinned/0"]
    assert unplaced(made) == ["large/0"]


def test_pinned_replicas_that_do_not_run_may_lie_anywhere() -> None:
    assert not unplaced(make((a_board_gpu(),), a_demand("a", "3g.40gb", 2, pinned=True)))


# --- Neighbours -----------------------------------------------------------------------------------


def test_spread_replicas_lie_on_as_many_gpus_as_it_takes() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(3))
    made = make(gpus, a_demand("a", "1g.10gb", 4, most_per_gpu=2))
    assert sorted(Counter(where(made).values()).values()) == [2, 2]


def test_running_replicas_that_lie_too_close_move_apart() -> None:
    gpu, records = running("a", ("1g.10gb", 0), ("1g.10gb", 1))
    made = make(
        (gpu, a_board_gpu(index=1)), a_demand("a", "1g.10gb", 2, most_per_gpu=1), ours=records
    )
    assert sorted(where(made).values()) == ["GPU-0", "GPU-1"]
    assert value(made, Goal.MOVED) == 1


def test_each_gpu_with_one_that_needs_company_holds_its_company() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    demands = (
        a_demand("a", "2g.20gb", 4, most_per_gpu=2, near=("b",)),
        a_demand("b", "1g.10gb", 2),
    )
    made = make(gpus, *demands)
    assert not unplaced(made)
    assert {where(made)["b/0"], where(made)["b/1"]} == {"GPU-0", "GPU-1"}


def test_without_company_nobody_comes_who_needs_it() -> None:
    gpus = (a_board_gpu("a30"), a_board_gpu(index=1))
    demands = (a_demand("a", "1g.6gb", 1, near=("b",)), a_demand("b", "1g.6gb", 0))
    with pytest.raises(ContradictionError):
        make(gpus, *demands)


def test_models_that_avoid_each_other_share_no_gpu_whichever_says_so() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    a, b = a_demand("a", "1g.10gb"), a_demand("b", "1g.10gb")
    for demands in ((replace(a, away=("b",)), b), (a, replace(b, away=("a",)))):
        made = make(gpus, *demands)
        assert len(set(where(made).values())) == 2
        assert unplaced(make(gpus[:1], *demands)) == ["b/0"]


def test_spread_replicas_beside_a_target_of_several_profiles_sit_once_each() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    chat = a_target("chat", 13_000, ("1g.10gb", 1000), ("3g.40gb", 6000), replicas=3)
    made = make(gpus, a_demand("a", "1g.10gb", 2, most_per_gpu=1), chat)
    assert len(made.seats) == 5
    assert not unplaced(made)


# --- GPUs that are emptied, or could be added -----------------------------------------------------


def test_a_drained_gpu_is_emptied_and_its_replica_moves() -> None:
    left, records = running("a", ("2g.20gb", 0))
    made = make(
        (left, a_board_gpu(index=1)),
        a_demand("a"),
        ours=records,
        rules=Rules(drained=frozenset({"GPU-0"}), most_moves=0),
    )
    assert where(made) == {"a/0": "GPU-1"}
    assert made.gpus[0].destroy == left.slices
    assert made.gpus[0].notes == ("is being drained",)
    assert [server.fate for server in made.servers] == [Fate.MOVES]


def test_of_several_replicas_the_one_that_runs_on_a_drained_gpu_goes_on() -> None:
    left = with_slices(a_board_gpu(), ("7g.80gb", 0))
    made = make(
        (left, a_board_gpu(index=1)),
        a_demand("a", "7g.80gb", 3),
        ours=(owned(left.slices[0], "a", 2),),
        rules=Rules(drained=frozenset({"GPU-0"})),
    )
    assert where(made) == {"a/2": "GPU-1"}
    assert unplaced(made) == ["a/0", "a/1"]


def test_slices_of_others_keep_a_drained_gpu_out_of_the_plan() -> None:
    theirs = with_slices(a_board_gpu(), ("7g.80gb", 0))
    made = make(
        (theirs, a_board_gpu(index=1)), a_demand("a"), rules=Rules(drained=frozenset({"GPU-0"}))
    )
    assert [gpu.gpu_uuid for gpu in made.gpus] == ["GPU-1"]


def test_a_gpu_that_may_be_added_comes_last() -> None:
    extra, there = a_board_gpu("a30"), a_board_gpu(index=1)
    rules = Rules(addable=frozenset({"GPU-0"}), prices=priced())
    small = Demand(model="a", replicas=7, memory_mib=5_000)
    assert set(where(make((extra, there), small, rules=rules)).values()) == {"GPU-1"}
    more = make((extra, there), replace(small, replicas=8), rules=rules)
    assert Counter(where(more).values())["GPU-0"] > 0
    assert value(more, Goal.ADDED) == 900


def test_what_is_missing_is_told_beside_the_reason() -> None:
    made = make((a_board_gpu(),), a_demand("a", "7g.80gb", 3))
    assert [(a.board, a.count) for a in made.addition] == [("NVIDIA A100-SXM4-80GB", 2)]
    assert unplaced(made) == ["a/1", "a/2"]


def test_equal_empty_gpus_are_filled_from_the_lowest_index_up() -> None:
    for count, mig_on in ((3, True), (12, False), (40, True)):
        gpus = tuple(a_board_gpu(index=index, mig_on=mig_on) for index in range(count))
        made = make(gpus, a_demand("a", "3g.40gb", count), a_demand("b", "1g.10gb", 1))
        used = [gpu.gpu_uuid for gpu in made.gpus if gpu.create]
        assert used == [f"GPU-{index}" for index in range(len(used))]
        assert len(used) < count


# --- Targets --------------------------------------------------------------------------------------


def test_a_target_takes_whatever_slices_cost_least_beside_the_others() -> None:
    # Three 3g would be enough, but need two GPUs; with two 2g instead of them one is enough.
    chat = a_target("chat", 900, ("2g.20gb", 265), ("3g.40gb", 410))
    made = make((a_board_gpu(), a_board_gpu(index=1)), chat)
    assert value(made, Goal.COST) == 1
    assert profiles(made, "chat") == {"3g.40gb": 1, "2g.20gb": 2}


def test_replicas_of_a_target_are_numbered_from_the_start() -> None:
    made = make((a_board_gpu(),), a_target("chat", 3000, ("1g.10gb", 1000)))
    assert [str(seat.replica) for seat in made.seats] == ["chat/0", "chat/1", "chat/2"]


def test_replicas_of_a_target_that_run_keep_their_numbers_when_more_is_asked_for() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 5), ("1g.10gb", 6))
    records = (owned(gpu.slices[0], "chat", 3), owned(gpu.slices[1], "chat", 1))
    made = make((gpu,), a_target("chat", 4000, ("1g.10gb", 1000)), ours=records)
    assert stays(made) == ["chat/1", "chat/3"]
    assert [str(seat.replica) for seat in made.seats] == ["chat/0", "chat/1", "chat/2", "chat/3"]


def test_a_target_that_is_not_met_is_unplaced_once() -> None:
    made = make((a_board_gpu(),), a_target("chat", 9000, ("1g.10gb", 1000)), a_demand("a"))
    assert unplaced(made) == ["chat/0"]
    assert made.unplaced[0].reason


def test_of_running_replicas_a_target_stops_the_one_that_spares_a_gpu() -> None:
    # Two on one GPU, one on another: a rate of two is met on one GPU with nobody moving but one.
    one = with_slices(a_board_gpu(), ("1g.10gb", 0))
    two = with_slices(a_board_gpu(index=1), ("1g.10gb", 0), ("1g.10gb", 1))
    slices = (*one.slices, *two.slices)
    records = tuple(owned(s, "chat", number) for number, s in enumerate(slices))
    made = make((one, two), a_target("chat", 2000, ("1g.10gb", 1000)), ours=records)
    assert where(made) == {"chat/1": "GPU-1", "chat/2": "GPU-1"}
    assert (value(made, Goal.COST), value(made, Goal.MOVED)) == (1, 1)


def test_replicas_of_a_target_that_cost_nothing_stay_when_less_is_asked_for() -> None:
    gpu, records = running("chat", *(("1g.10gb", start) for start in range(3)))
    made = make((gpu,), a_target("chat", 1000, ("1g.10gb", 1000)), ours=records)
    assert not made.changes


def test_two_targets_with_one_profile_keep_their_own_replicas() -> None:
    gpu, records = running("chat", ("1g.10gb", 0), ("1g.10gb", 1))
    theirs = with_slices(gpu, ("4g.40gb", 4)).slices
    assert len(theirs) == 3
    chat = a_target("chat", 1000, ("1g.10gb", 1000), replicas=2)
    judge = a_target("judge", 1000, ("1g.10gb", 1000))
    made = make((gpu,), chat, judge, ours=records)
    assert {seat.replica.model for seat in made.seats} == {"chat", "judge"}


def test_a_target_beside_fixed_replicas_that_do_not_all_fit_is_met_all_the_same() -> None:
    chat = a_target("chat", 3000, ("1g.10gb", 1000), priority=1)
    made = make((a_board_gpu(),), a_demand("many", "1g.10gb", 9), chat)
    assert profiles(made, "chat") == {"1g.10gb": 3}
    assert profiles(made, "many") == {"1g.10gb": 4}


def test_of_targets_that_do_not_fit_because_moves_are_limited_the_most_important_is_kept() -> None:
    gpu, records = running("small", ("1g.10gb", 3))
    low = a_target("low", 2000, ("1g.10gb", 1000))
    high = a_target("high", 4000, ("4g.40gb", 4000), ("2g.20gb", 1000), priority=1)
    demands = (a_demand("small", "1g.10gb"), low, high)
    free = make((gpu,), *demands, ours=records)
    assert not unplaced(free)
    limited = make((gpu,), *demands, ours=records, rules=Rules(most_moves=0))
    assert stays(limited) == ["small/0"]
    assert unplaced(limited)


def test_what_runs_for_a_target_stays_where_nobody_may_move() -> None:
    one, first = running("chat", ("3g.40gb", 0))
    two, second = running("judge", ("3g.40gb", 0), index=1)
    rates = (("3g.40gb", 3000), ("1g.10gb", 1000))
    demands = (a_target("chat", 3000, *rates), a_target("judge", 3000, *rates))
    ours = (*first, *second)
    assert value(make((one, two), *demands, ours=ours), Goal.COST) == 1
    still = make((one, two), *demands, ours=ours, rules=Rules(most_moves=0))
    assert not still.changes


def test_a_target_that_cannot_be_met_any_more_is_refused_where_its_replicas_may_not_leave() -> None:
    gpu, records = running("chat", ("1g.10gb", 0))
    chat = a_target("chat", 9000, ("1g.10gb", 1000))
    with pytest.raises(PlanningError):
        make((gpu,), chat, ours=records, rules=Rules(most_moves=0))
    assert unplaced(make((gpu,), chat, ours=records)) == ["chat/0"]


# --- Prices of slices, and equal plans ------------------------------------------------------------


def test_prices_of_slices_are_told_when_they_are_asked_for() -> None:
    observed = an_observed(a_board_gpu(), a_board_gpu(index=1))
    demands = (a_demand("a", "3g.40gb"),)
    assert plan(observed, demands, ()).slice_prices == ()
    told = plan(observed, demands, (), prices=True).slice_prices
    assert {price.board for price in told} == {"NVIDIA A100-SXM4-80GB"}
    assert all(price.gpus >= 0 for price in told)


def shuffled(random: Random, slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    return tuple(random.sample(slices, len(slices)))


def test_equal_facts_have_an_equal_plan_in_whatever_order_they_are_listed() -> None:
    random = Random(1)
    places = (("1g.10gb", 0), ("1g.10gb", 1), ("2g.20gb", 2), ("1g.10gb", 6))
    gpus = [with_slices(a_board_gpu(index=index), *places) for index in range(5)]
    gpus += [a_board_gpu("a30", index=5 + index) for index in range(3)]
    slices = [s for gpu in gpus[:4] for s in gpu.slices if s.placement.start]
    ours = [owned(s, "a", n) for n, s in enumerate(slices) if s.profile == "1g.10gb"]
    ours += [owned(s, "chat", n) for n, s in enumerate(slices) if s.profile == "2g.20gb"]
    demands = (
        a_demand("a", "1g.10gb", 12, most_per_gpu=3),
        a_demand("b", "3g.40gb", 2, priority=1),
        a_target("chat", 9000, ("2g.20gb", 2000), ("1g.6gb", 1000), replicas=12),
    )
    rules = Rules(drained=frozenset({"GPU-3"}), addable=frozenset({"GPU-7"}), prices=priced())
    once = make(tuple(gpus), *demands, ours=tuple(ours), rules=rules)
    for _ in range(3):
        random.shuffle(ours)
        mixed = [replace(gpu, slices=shuffled(random, gpu.slices)) for gpu in gpus]
        random.shuffle(mixed)
        assert make(tuple(mixed), *demands, ours=tuple(ours), rules=rules) == once
