"""Which slices a throughput target gets: cheapest for all together, and what runs where it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.errors import PlanningError
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.portions import Portions, choose_portions
from gpuslice.planner.situation import Situation, survey

ANY = Rules()
RATES = (("1g.10gb", 1000), ("2g.20gb", 2000), ("3g.40gb", 3300))


def look(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Situation:
    return survey(an_observed(*gpus), demands, ours, rules)


def chosen(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Portions:
    return choose_portions(look(gpus, *demands, ours=ours, rules=rules), Allowance(limit_s=60.0))


def recipes(found: Portions) -> dict[str, dict[str, int]]:
    """How many slices of each profile each target that is met gets."""
    return {
        portions[0].demand.model: {p.named.profile: p.count for p in portions if p.named}
        for portions in found.met
    }


def running(
    *places: tuple[str, int], model: str = "chat", index: int = 0
) -> tuple[Gpu, tuple[Owned, ...]]:
    gpu = with_slices(a_board_gpu(index=index), *places)
    return gpu, tuple(owned(s, model, number) for number, s in enumerate(gpu.slices))


def test_without_targets_every_demand_is_a_portion() -> None:
    found = chosen((a_board_gpu(),), a_demand("a", replicas=3), a_demand("b", replicas=0))
    assert [(portion.demand.model, portion.count) for portion in found.all] == [("a", 3), ("b", 0)]
    assert not found.with_targets


def test_targets_are_met_together_on_as_few_gpus_as_can_be() -> None:
    # Alone, each would take three 2g: two GPUs. Together, one takes 1g and both fit on one.
    only = a_target("only", 6000, ("2g.20gb", 2000))
    either = a_target("either", 1000, ("1g.10gb", 1000), ("7g.80gb", 9000))
    found = chosen((a_board_gpu(), a_board_gpu(index=1)), only, either)
    assert recipes(found) == {"only": {"2g.20gb": 3}, "either": {"1g.10gb": 1}}
    assert found.least_price == 1
    assert found.with_targets


def test_the_cheaper_product_is_chosen_as_long_as_there_is_any() -> None:
    a100, a30 = a_board_gpu(), a_board_gpu("a30", index=1)
    prices = Prices(currency="EUR", milli_per_hour=((a100.name, 2500), (a30.name, 900)))
    both = a_target("chat", 4000, ("1g.10gb", 1000), ("1g.6gb", 1000))
    assert recipes(chosen((a100, a30), both, rules=Rules(prices=prices))) == {"chat": {"1g.6gb": 4}}
    more = replace(both, replicas=9, target=a_target("chat", 5000, *RATES).target)
    found = chosen((a100, a30), more, rules=Rules(prices=prices))
    assert found.least_price == 2500


def test_fixed_demands_have_their_slices_beside_the_targets() -> None:
    chat = a_target("chat", 3000, *RATES)
    found = chosen((a_board_gpu(),), chat, a_demand("half", "4g.40gb"))
    assert found.least_price == 1
    assert recipes(found)["chat"]


# --- What runs ------------------------------------------------------------------------------------


def test_what_runs_and_suffices_is_left_as_it_is() -> None:
    gpu, records = running(("2g.20gb", 0), ("1g.10gb", 6))
    found = chosen((gpu,), a_target("chat", 3000, *RATES), ours=records)
    assert recipes(found) == {"chat": {"2g.20gb": 1, "1g.10gb": 1}}


def test_what_runs_stays_when_more_is_asked_for() -> None:
    gpu, records = running(("2g.20gb", 0), ("1g.10gb", 6))
    found = chosen((gpu,), a_target("chat", 4000, *RATES), ours=records)
    (recipe,) = recipes(found).values()
    assert recipe["2g.20gb"] >= 1
    assert recipe["1g.10gb"] >= 1
    assert sum(recipe.values()) == 3


def test_what_runs_stays_when_less_is_asked_for_as_long_as_it_costs_nothing() -> None:
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2))
    found = chosen((gpu,), a_target("chat", 2000, *RATES), ours=records)
    assert recipes(found) == {"chat": {"1g.10gb": 3}}


def test_what_is_not_needed_goes_where_others_want_its_room() -> None:
    gpu, records = running(*(("1g.10gb", start) for start in range(4)))
    chat = a_target("chat", 3000, *RATES)
    found = chosen((gpu,), chat, a_demand("half", "4g.40gb"), ours=records)
    assert recipes(found) == {"chat": {"1g.10gb": 3}}


def test_what_runs_goes_where_another_recipe_needs_a_gpu_less() -> None:
    one, first = running(("3g.40gb", 0))
    two, _ = running(("3g.40gb", 0), index=1)
    records = (*first, owned(two.slices[0], "chat", 1))
    chat = a_target("chat", 6000, *RATES)
    found = chosen((one, two), chat, a_demand("whole", "4g.40gb"), ours=records)
    assert found.least_price == 2
    assert recipes(found) == {"chat": {"3g.40gb": 2}}
    alone = chosen((one, two), chat, ours=records)
    assert alone.least_price == 1


def test_of_two_targets_one_may_stay_and_the_other_make_room() -> None:
    one, first = running(("4g.40gb", 0), model="chat")
    two, second = running(("4g.40gb", 0), model="judge", index=1)
    rates = (("4g.40gb", 4000), ("1g.10gb", 1000))
    demands = (a_target("chat", 1000, *rates), a_target("judge", 1000, *rates))
    found = chosen((one, two), *demands, ours=(*first, *second))
    assert found.least_price == 1
    assert recipes(found) == {"chat": {"4g.40gb": 1}, "judge": {"1g.10gb": 1}}


# --- When not all is met --------------------------------------------------------------------------


def test_a_target_that_nothing_could_meet_keeps_nobody_from_being_met() -> None:
    hopeless = a_target("hopeless", 9000, ("1g.10gb", 1000), replicas=8)
    found = chosen((a_board_gpu(),), hopeless, a_target("chat", 3000, *RATES))
    assert [demand.model for demand in found.hopeless] == ["hopeless"]
    assert not found.unmet
    assert recipes(found).keys() == {"chat"}
    assert found.least_price == 1


def test_of_targets_that_do_not_fit_the_most_important_is_met() -> None:
    low = a_target("low", 7000, ("1g.10gb", 1000))
    high = replace(low, model="high", priority=1)
    found = chosen((a_board_gpu(),), low, high)
    assert recipes(found).keys() == {"high"}
    assert [demand.model for demand in found.unmet] == ["low"]


def test_a_target_that_does_not_fit_is_passed_over() -> None:
    large = a_target("large", 8000, ("1g.10gb", 1000), replicas=8)
    found = chosen((a_board_gpu(),), large, a_target("chat", 3000, *RATES))
    assert recipes(found).keys() == {"chat"}
    assert [demand.model for demand in found.unmet] == ["large"]


def test_fixed_demands_of_less_priority_make_way_for_a_target() -> None:
    many = a_demand("many", "1g.10gb", 9)
    first = a_target("first", 3000, *RATES, priority=1)
    assert recipes(chosen((a_board_gpu(),), many, first)).keys() == {"first"}
    last = replace(first, priority=-1)
    assert not chosen((a_board_gpu(),), many, last).met


def test_a_target_fits_beside_as_many_fixed_replicas_as_are_served() -> None:
    two = a_demand("two", "4g.40gb", 2)
    found = chosen((a_board_gpu(),), two, a_target("chat", 3000, *RATES))
    assert recipes(found).keys() == {"chat"}


def test_the_least_important_is_given_up_first() -> None:
    demands = [a_target(f"t{n}", 1000, *RATES, priority=n) for n in range(3)]
    found = chosen((a_board_gpu(),), *demands)
    assert list(recipes(found)) == ["t2", "t1", "t0"]
    fewer = found.without_least()
    assert list(recipes(fewer)) == ["t2", "t1"]
    assert [demand.model for demand in fewer.unmet] == ["t0"]
    assert fewer.least_price is None


# --- When moves are limited -----------------------------------------------------------------------


def test_before_a_target_is_given_up_what_runs_is_left_where_it_is() -> None:
    one, first = running(("3g.40gb", 0))
    two, _ = running(("3g.40gb", 0), index=1)
    records = (*first, owned(two.slices[0], "chat", 1))
    free = a_target("chat", 6600, *RATES, ("4g.40gb", 6600))
    found = chosen((one, two), free, ours=records, rules=Rules(most_moves=2))
    assert recipes(found) == {"chat": {"3g.40gb": 2}}
    assert found.least_price == 1


def test_where_nobody_may_move_what_runs_stays_whatever_it_costs() -> None:
    one, first = running(("4g.40gb", 0), model="chat")
    two, second = running(("4g.40gb", 0), model="judge", index=1)
    rates = (("4g.40gb", 4000), ("1g.10gb", 1000))
    demands = (a_target("chat", 1000, *rates), a_target("judge", 1000, *rates))
    rules = Rules(most_moves=0)
    found = chosen((one, two), *demands, ours=(*first, *second), rules=rules)
    assert recipes(found) == {"chat": {"4g.40gb": 1}, "judge": {"4g.40gb": 1}}
    assert (found.least_price, found.firm) == (1, 2)


def test_a_target_with_more_running_than_may_move_is_not_given_up() -> None:
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 1), model="low")
    low = a_target("low", 2000, *RATES)
    high = a_target("high", 7000, *RATES, priority=1)
    limited = chosen((gpu,), low, high, ours=records, rules=Rules(most_moves=1))
    assert recipes(limited).keys() == {"low"}
    with pytest.raises(PlanningError, match="low cannot be given up"):
        limited.without_least()
    assert recipes(chosen((gpu,), low, high, ours=records)).keys() == {"high"}


def test_a_target_that_cannot_be_given_up_and_not_be_met_is_refused() -> None:
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 1))
    chat = a_target("chat", 8000, ("1g.10gb", 1000), replicas=8)
    with pytest.raises(PlanningError, match="chat cannot be given up"):
        chosen((gpu,), chat, ours=records, rules=Rules(most_moves=1))
