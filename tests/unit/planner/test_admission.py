"""Which GPUs can be chosen, and which questions and demands are refused before planning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import a_board_gpu, a_slice, an_observed, owned, with_slices
from gpuslice.errors import (
    BadInputError,
    MigUnsupportedError,
    NoGpuError,
    NoRoomError,
    UnknownGpuError,
    UnknownProfileError,
)
from gpuslice.model.demand import Demand, NamedProfile, Prices, Rate, Rules, Target
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Owned
from gpuslice.planner.admission import check_demands, check_input, choose_gpus

A100 = a_board_gpu()
H200 = a_board_gpu("h200", index=1)
PLAIN = replace(a_board_gpu(index=2), name="NVIDIA L40S", mig=None, geometry=None)
MACHINE = an_observed(A100, H200, PLAIN)


def named(*profiles: str, board: str = "", **changes: Any) -> Demand:
    names = tuple(NamedProfile(profile=profile, board=board) for profile in profiles)
    return replace(Demand(model="chat", replicas=1, profiles=names), **changes)


def fed(*profiles: str, rate: int = 100, target: int = 100, board: str = "") -> Demand:
    """A demand for throughput."""
    rates = (
        Rate(named=NamedProfile(profile=name, board=board), milli_per_s=rate) for name in profiles
    )
    goal = Target(milli_per_s=target, rates=tuple(rates))
    return Demand(model="chat", replicas=4, target=goal)


def findings(
    *demands: Demand,
    observed: Observed = MACHINE,
    ours: tuple[Owned, ...] = (),
    rules: Rules | None = None,
) -> tuple[str, ...]:
    """What is said to make no sense; nothing where all is well."""
    try:
        check_input(observed, demands, ours, rules or Rules())
    except BadInputError as error:
        return error.details
    return ()


def test_all_means_every_gpu_that_can_be_sliced() -> None:
    assert choose_gpus(MACHINE, "all") == ("GPU-0", "GPU-1")


def test_gpus_are_named_by_index_or_uuid_and_come_by_index_once() -> None:
    assert choose_gpus(MACHINE, ["gpu-1", 0, "1"]) == ("GPU-0", "GPU-1")


def test_a_gpu_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownGpuError, match="GPU 7") as caught:
        choose_gpus(MACHINE, [0, 7])
    assert "GPU 1 (NVIDIA H200): GPU-1" in caught.value.details


def test_a_gpu_without_mig_is_refused_with_the_products_that_have_it() -> None:
    with pytest.raises(MigUnsupportedError, match="L40S") as caught:
        choose_gpus(MACHINE, [0, 2], mig_products="A30 and A100")
    assert "A30 and A100" in caught.value.hint


def test_all_is_refused_where_no_gpu_can_be_sliced() -> None:
    with pytest.raises(MigUnsupportedError, match=r"GPU 2 \(NVIDIA L40S\)"):
        choose_gpus(an_observed(PLAIN), "all")


def test_of_many_gpus_that_cannot_be_sliced_a_few_are_named() -> None:
    many = [replace(PLAIN, index=n, uuid=f"GPU-{n}") for n in range(1000)]
    with pytest.raises(MigUnsupportedError, match=r"and 996 more$"):
        choose_gpus(an_observed(*many), "all")


def test_a_machine_without_gpus_is_said_to_have_none() -> None:
    with pytest.raises(NoGpuError):
        choose_gpus(an_observed(), "all")


def test_demands_that_some_gpu_could_meet_are_let_through() -> None:
    check_demands(MACHINE, [named("2g.20gb"), named("9g.90gb", "3g.71gb"), fed("1g.10gb")])


def test_a_profile_that_no_chosen_gpu_has_is_refused_with_those_it_has() -> None:
    with pytest.raises(UnknownProfileError, match=r"chat asks for 2g\.20gb") as caught:
        check_demands(MACHINE, [named("2g.20gb")], gpus=["GPU-1"])
    error = caught.value
    assert error.hint == "Did you mean 2g.35gb?"
    assert "GPU 1 (NVIDIA H200): 1g.18gb (id 19)" in error.details[0]
    assert "2g.35gb (id 14)" in error.details[0]
    assert "id 15 is the double-memory 1g" in error.details[0]


def test_a_profile_of_a_product_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownProfileError, match=r"2g\.20gb on NVIDIA H20O, which") as caught:
        check_demands(MACHINE, [named("2g.20gb", board="NVIDIA H20O")])
    assert caught.value.hint == "Did you mean NVIDIA H200?"


def test_a_profile_that_only_another_product_offers_is_refused() -> None:
    with pytest.raises(UnknownProfileError, match=r"2g\.20gb on NVIDIA H200, which") as caught:
        check_demands(MACHINE, [named("2g.20gb", board="NVIDIA H200")])
    assert caught.value.hint == "Did you mean 2g.35gb?"


def test_a_target_that_no_chosen_gpu_has_a_rate_for_is_refused() -> None:
    with pytest.raises(UnknownProfileError, match=r"chat has rates for 1g\.6gb or 2g\.12gb"):
        check_demands(MACHINE, [fed("1g.6gb", "2g.12gb")])


def test_a_number_is_answered_with_the_profile_it_may_have_meant() -> None:
    with pytest.raises(UnknownProfileError) as caught:
        check_demands(an_observed(A100), [named("15")])
    assert caught.value.hint == "Did you mean 1g.20gb?"


def test_all_unknown_profiles_are_told_at_once() -> None:
    demands = [named("9g.90gb"), named("8g.80gb", model="coder")]
    with pytest.raises(UnknownProfileError) as caught:
        check_demands(MACHINE, demands)
    assert [line.split(":")[0] for line in caught.value.details] == ["chat", "coder"]


def test_what_a_fleet_offers_is_told_in_one_line_for_each_product() -> None:
    fleet = an_observed(*(a_board_gpu(index=n) for n in range(1000)))
    with pytest.raises(UnknownProfileError) as caught:
        check_demands(fleet, [named("9g.90gb")])
    assert "GPU 3 (NVIDIA A100-SXM4-80GB) and 996 more: 1g.10gb (id 19)" in caught.value.details[0]


def test_more_memory_than_any_slice_has_is_refused_with_the_largest() -> None:
    with pytest.raises(NoRoomError, match=r"needs 150000 MiB.*7g\.141gb on GPU 1 .* 143360 MiB$"):
        check_demands(MACHINE, [Demand(model="chat", replicas=1, memory_mib=150_000)])


def test_more_compute_than_any_slice_has_is_refused_with_the_largest() -> None:
    demand = Demand(model="chat", replicas=1, memory_mib=1000, compute_slices=8)
    with pytest.raises(NoRoomError, match=r"1000 MiB and 8 compute slices.* and 7 compute slices"):
        check_demands(MACHINE, [demand])


def test_nothing_can_be_demanded_of_gpus_without_mig() -> None:
    with pytest.raises(MigUnsupportedError):
        check_demands(MACHINE, [named("2g.20gb")], gpus=["GPU-2"])


def test_a_sensible_question_is_let_through() -> None:
    prices = Prices(
        currency="EUR", milli_per_hour=((A100.name, 2000), (H200.name, 4000), ("NVIDIA A30", 500))
    )
    rules = Rules(
        gpus=frozenset({"GPU-0", "GPU-1"}),
        drained=frozenset({"GPU-1"}),
        prices=prices,
        most_moves=0,
    )
    other = named("1g.10gb", model="other", away=("chat",), priority=-5, move_cost=0)
    assert findings(named("2g.20gb", near=("other",), most_per_gpu=1), other, rules=rules) == ()


def test_no_demands_at_all_make_sense() -> None:
    assert findings() == ()


def test_no_replicas_are_fine() -> None:
    assert findings(named("2g.20gb", replicas=0)) == ()


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        (named("2g.20gb", replicas=-1), "chat: replicas -1 is negative"),
        (named("2g.20gb", move_cost=-2), "chat: cost of a move -2 is negative"),
        (
            named("2g.20gb", move_cost=10**7),
            "chat: cost of a move 10000000 is beyond 1,000,000",
        ),
        (named("2g.20gb", priority=-(10**7)), "chat: priority -10000000 is beyond ±1,000,000"),
        (
            named("2g.20gb", most_per_gpu=0),
            "chat: at most 0 replicas on a GPU leave room for none",
        ),
        (named("2g.20gb", near=("x",)), "chat is to be near x, which is not asked for"),
        (named("2g.20gb", away=("x",)), "chat is to be away from x, which is not asked for"),
        (named("2g.20gb", away=("chat",)), "chat is to be away from itself"),
        (named(), "chat gives none of profiles, memory and target; it takes exactly one"),
        (
            named("2g.20gb", memory_mib=1),
            "chat gives two of profiles, memory and target; it takes exactly one",
        ),
        (
            Demand(model="", replicas=1, memory_mib=-1),
            "a model without a name: memory -1 is negative",
        ),
        (fed("1g.10gb", target=0), "chat: a target of 0 tokens/s is not positive"),
        (fed(), "chat: no slice is said to contribute to its target"),
        (
            fed("1g.10gb", rate=-1500),
            "chat: 1g.10gb contributes -1.5 tokens/s, which is not positive",
        ),
    ],
)
def test_numbers_and_names_that_make_no_sense_are_named(demand: Demand, said: str) -> None:
    assert findings(demand) == (said,)


def test_all_that_makes_no_sense_is_told_at_once() -> None:
    with pytest.raises(
        BadInputError, match=r"makes no sense: at most -1 .* \(and 2 more\)$"
    ) as caught:
        check_input(MACHINE, [named("a", replicas=-1), named("a")], (), Rules(most_moves=-1))
    assert caught.value.details == (
        "at most -1 moves are allowed, which is less than none",
        "chat: replicas -1 is negative",
        "chat is asked for 2 times",
    )


def test_gpus_that_cannot_be_told_apart_are_named() -> None:
    twins = an_observed(A100, replace(A100, index=1), replace(H200, index=0))
    assert findings(observed=twins) == (
        "2 GPUs have the UUID GPU-0",
        "2 GPUs have the index 0",
    )


def test_rules_about_gpus_that_are_not_there_are_named() -> None:
    rules = Rules(
        gpus=frozenset({"GPU-0", "GPU-7"}),
        drained=frozenset(f"GPU-{n}" for n in range(100, 200)),
        addable=frozenset({"GPU-8"}),
    )
    assert findings(rules=rules) == (
        "chosen, but not in this machine: GPU-7",
        "drained, but not in this machine: GPU-100, GPU-101, GPU-102, GPU-103 and 96 more",
        "addable, but not in this machine: GPU-8",
    )


def test_a_usable_product_without_a_price_is_named() -> None:
    prices = Prices(currency="EUR", milli_per_hour=((A100.name, 2000),))
    assert findings(rules=Rules(prices=prices)) == ("NVIDIA H200 has no price, but others have",)
    assert findings(rules=Rules(prices=prices, drained=frozenset({"GPU-1"}))) == ()


@pytest.mark.parametrize("milli", [0, -500])
def test_a_price_that_nobody_asks_is_named(milli: int) -> None:
    prices = Prices(currency="EUR", milli_per_hour=((A100.name, milli), (H200.name, 1)))
    (said,) = findings(rules=Rules(prices=prices))
    assert said == f"{A100.name} costs {milli / 1000:g} EUR an hour; a price has to be more than 0"


def test_a_product_with_two_prices_is_named() -> None:
    prices = Prices(currency="EUR", milli_per_hour=((A100.name, 1), (H200.name, 1), (A100.name, 2)))
    assert findings(rules=Rules(prices=prices)) == (f"{A100.name} has 2 prices",)


def test_more_replicas_than_could_be_written_down_are_refused_with_what_fits() -> None:
    (said,) = findings(named("1g.10gb", replicas=10_000_000))
    assert said == (
        "10,000,000 replicas are asked for; a plan has at most 1,000,000, "
        "and all usable GPUs together hold at most 14 slices"
    )


def test_slices_that_overlap_are_named() -> None:
    gpu = with_slices(A100, ("3g.40gb", 0), ("2g.20gb", 2))
    assert findings(observed=an_observed(gpu)) == (
        "GPU 0 (NVIDIA A100-SXM4-80GB): 3g.40gb at 0:4 and 2g.20gb at 2:2 overlap",
    )


def misplaced(profile: str = "2g.20gb") -> Gpu:
    """An A100 with a slice where no such slice can lie."""
    slice_ = a_slice(gpu_uuid="GPU-0", profile=profile, placement=Placement(1, 2))
    return replace(A100, slices=(slice_,))


def test_a_slice_of_ours_that_no_placement_explains_is_named() -> None:
    gpu = misplaced()
    assert findings(observed=an_observed(gpu), ours=(owned(gpu.slices[0]),)) == (
        "GPU 0 (NVIDIA A100-SXM4-80GB): ours is a 2g.20gb at 1:2, where none can lie",
    )


def test_somebody_elses_slice_may_lie_where_it_likes() -> None:
    assert findings(observed=an_observed(misplaced())) == ()


def test_a_slice_of_ours_that_goes_in_any_case_may_lie_where_it_likes() -> None:
    gpu = misplaced()
    drained = Rules(drained=frozenset({"GPU-0"}))
    assert findings(observed=an_observed(gpu), ours=(owned(gpu.slices[0]),), rules=drained) == ()
    unknown = misplaced("2g.24gb")
    assert findings(observed=an_observed(unknown), ours=(owned(unknown.slices[0]),)) == ()


def test_a_board_without_placements_is_merely_not_used() -> None:
    bare = replace(A100, geometry=Geometry(profiles=()))
    assert findings(named("2g.20gb"), observed=an_observed(bare)) == ()
