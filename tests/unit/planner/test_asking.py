"""A situation in the words of the packing: what is alike is one, and nothing is lost on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.errors import PlanningError
from gpuslice.model.demand import Demand, NamedProfile, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.asking import Asked, Portion, ask, whole_demands
from gpuslice.planner.packing.question import Question
from gpuslice.planner.situation import Situation, survey

ANY = Rules()


def look(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Situation:
    return survey(an_observed(*gpus), demands, ours, rules)


def asked(
    gpus: tuple[Gpu, ...],
    *demands: Demand,
    ours: tuple[Owned, ...] = (),
    rules: Rules = ANY,
    settled: bool = False,
    lenient: bool = False,
) -> Asked:
    situation = look(gpus, *demands, ours=ours, rules=rules)
    return ask(situation, whole_demands(situation), settled=settled, lenient=lenient)


def members(found: Asked) -> list[tuple[int, ...]]:
    return [group.members for group in found.question.groups]


def running_in(question: Question) -> int:
    """How many replicas of a question run on slices that may stay."""
    return sum(
        own.incumbent >= 0
        for group in question.groups
        for own in group.site.own
        for _ in group.members
    )


def models(found: Asked) -> list[list[str]]:
    """The models in each want."""
    return [[portion.demand.model for portion in portions] for portions in found.portions]


def running(
    *places: tuple[str, int], model: str = "a", index: int = 0
) -> tuple[Gpu, tuple[Owned, ...]]:
    """An A100 with a replica on each of those places."""
    gpu = with_slices(a_board_gpu(index=index), *places)
    return gpu, tuple(owned(s, model, number) for number, s in enumerate(gpu.slices))


# --- GPUs -----------------------------------------------------------------------------------------


def test_gpus_that_look_alike_are_one_group_whatever_they_are_called() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    assert members(asked(gpus, a_demand("a"))) == [(0, 1, 2, 3)]


def test_gpus_differ_by_board_mode_price_and_what_lies_on_them() -> None:
    gpus = (
        a_board_gpu(),
        a_board_gpu("a30", index=1),
        a_board_gpu(index=2, mig_on=False),
        with_slices(a_board_gpu(index=3), ("1g.10gb", 0)),
        with_slices(a_board_gpu(index=4), ("1g.10gb", 1)),
        a_board_gpu(index=5),
        a_board_gpu(index=6),
    )
    rules = Rules(addable=frozenset({"GPU-5"}))
    assert members(asked(gpus, a_demand("a"), rules=rules)) == [
        (0, 6),
        (1,),
        (2,),
        (3,),
        (4,),
        (5,),
    ]


def test_two_products_of_one_geometry_are_told_apart_by_name_and_price() -> None:
    other = replace(a_board_gpu(index=1), name="Another A100")
    prices = Prices(currency="EUR", milli_per_hour=((a_board_gpu().name, 5), (other.name, 7)))
    only = Demand(
        model="a", replicas=1, profiles=(NamedProfile(profile="1g.10gb", board=other.name),)
    )
    found = asked((a_board_gpu(), other), only, rules=Rules(prices=prices))
    assert [group.site.price for group in found.question.groups] == [5, 7]
    assert [len(group.site.menu) for group in found.question.groups] == [0, 1]


def test_barred_gpus_are_not_asked_about() -> None:
    gpu, records = running(("1g.10gb", 0))
    found = asked(
        (a_board_gpu(index=1), gpu),
        a_demand("a", "1g.10gb"),
        ours=records,
        rules=Rules(drained=frozenset({"GPU-0"})),
    )
    assert members(found) == [(1,)]


def test_slices_of_others_and_replicas_that_stay_are_fixed() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2))
    records = (owned(gpu.slices[0], "a"), owned(gpu.slices[1]))
    (group,) = asked((gpu,), a_demand("a", "1g.10gb"), ours=records, settled=True).question.groups
    assert [at.start for _, at in group.site.fixed] == [0, 2]
    assert group.site.holds_ours
    assert [own.placement.start for own in group.site.own] == [1]


# --- Who stays ------------------------------------------------------------------------------------


def test_when_settled_only_those_whose_move_counts_stay() -> None:
    gpu, records = running(("1g.10gb", 0))
    counts = asked((gpu,), a_demand("a", "1g.10gb"), ours=records, settled=True)
    assert len(counts.staying) == 1
    free = asked((gpu,), a_demand("a", "1g.10gb", move_cost=0), ours=records, settled=True)
    assert not free.staying
    assert running_in(free.question) == 1


def test_pinned_replicas_are_never_in_question() -> None:
    gpu, records = running(("1g.10gb", 0))
    found = asked((gpu,), a_demand("a", "1g.10gb", 2, pinned=True, move_cost=0), ours=records)
    assert [own.slice for _, _, own in found.staying] == list(gpu.slices)
    assert [want.count for want in found.question.wants] == [1]


def test_who_stays_is_left_out_of_the_wants_but_not_of_the_neighbours() -> None:
    gpu, records = running(("1g.10gb", 0))
    demands = (a_demand("a", "1g.10gb", pinned=True), a_demand("b", "1g.10gb", away=("a",)))
    found = asked((gpu,), *demands, ours=records)
    assert models(found) == [["a"], ["b"]]
    assert [want.count for want in found.question.wants] == [0, 1]
    assert found.question.groups[0].site.tenants == (0,)
    assert found.question.wants[1].away == (0,)


# --- Wants ----------------------------------------------------------------------------------------


def test_wants_stand_by_priority_and_then_as_listed() -> None:
    demands = (a_demand("x"), a_demand("y", priority=2), a_demand("z"))
    found = asked((a_board_gpu(),), *demands)
    assert models(found) == [["y"], ["x"], ["z"]]
    assert [want.priority for want in found.question.wants] == [2, 0, 0]


def test_leniently_replicas_that_count_the_same_are_one_want() -> None:
    named = a_demand("named", "1g.10gb", 2)
    sized = Demand(model="sized", replicas=3, memory_mib=9_728)
    plain = replace(named, model="plain", replicas=1)
    (group,) = models(asked((a_board_gpu(),), named, plain, lenient=True))
    assert group == ["named", "plain"]
    assert models(asked((a_board_gpu(),), named, sized, lenient=True)) == [["named"], ["sized"]]


@pytest.mark.parametrize(
    "other",
    [a_demand("b", priority=1), a_demand("b", move_cost=2), a_demand("b", most_per_gpu=1)],
    ids=["priority", "cost of moves", "spread"],
)
def test_leniently_replicas_that_differ_in_what_counts_are_told_apart(other: Demand) -> None:
    found = asked((a_board_gpu(),), a_demand("a"), other, lenient=True)
    assert len(found.question.wants) == 2


def test_a_demand_that_fits_nowhere_stays_a_want_of_its_own() -> None:
    found = asked((a_board_gpu(),), a_demand("a", "9g.90gb", 3), lenient=True)
    assert [want.count for want in found.question.wants] == [3]
    assert found.question.groups[0].site.menu == ()


def test_a_menu_lists_who_accepts_a_profile() -> None:
    demands = (a_demand("a", "1g.10gb"), Demand(model="b", replicas=1, memory_mib=9_000))
    menu = dict(asked((a_board_gpu(),), *demands).question.groups[0].site.menu)
    assert menu["1g.10gb"] == (0, 1)
    assert menu["2g.20gb"] == (1,)
    assert "1g.10gb+me" not in menu


# --- Portions of recipes --------------------------------------------------------------------------


def portion(demand: Demand, profile: str, count: int) -> Portion:
    return Portion(demand=demand, count=count, named=NamedProfile(profile=profile))


CHAT = a_target("chat", 3000, ("1g.10gb", 1000), ("2g.20gb", 2000))


def test_a_target_has_a_want_for_each_profile_of_its_recipe() -> None:
    portions = (portion(CHAT, "1g.10gb", 1), portion(CHAT, "2g.20gb", 1))
    found = ask(look((a_board_gpu(),), CHAT), portions)
    assert dict(found.question.groups[0].site.menu) == {"1g.10gb": (0,), "2g.20gb": (1,)}


def test_who_of_too_many_running_replicas_stays_is_part_of_the_question() -> None:
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2), model="chat")
    situation = look((gpu,), CHAT, ours=records)
    found = ask(situation, (portion(CHAT, "1g.10gb", 2),), lenient=True)
    assert running_in(found.question) == 3
    assert not found.surplus
    settled = ask(situation, (portion(CHAT, "1g.10gb", 2),), settled=True)
    assert (len(settled.staying), len(settled.surplus)) == (2, 1)


def test_portions_with_too_many_running_replicas_are_told_apart() -> None:
    # As one want of two, both running replicas of the one target would stay for the other.
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 1), model="chat")
    judge = replace(CHAT, model="judge")
    portions = (portion(CHAT, "1g.10gb", 1), portion(judge, "1g.10gb", 1))
    found = ask(look((gpu,), CHAT, judge, ours=records), portions, lenient=True)
    assert models(found) == [["chat"], ["judge"]]


def test_running_replicas_outside_the_recipe_are_surplus_and_count_as_moves() -> None:
    gpu, records = running(("2g.20gb", 0), ("1g.10gb", 4), model="chat")
    situation = look((gpu,), CHAT, ours=records, rules=Rules(most_moves=3))
    found = ask(situation, (portion(CHAT, "1g.10gb", 3),))
    assert [own.slice for own in found.surplus] == [gpu.slices[0]]
    assert found.question.most_moves == 2


def test_more_surplus_than_may_move_is_refused() -> None:
    gpu, records = running(("2g.20gb", 0), model="chat")
    situation = look((gpu,), CHAT, ours=records, rules=Rules(most_moves=0))
    with pytest.raises(PlanningError, match="1 running replicas"):
        ask(situation, (portion(CHAT, "1g.10gb", 3),))


def test_near_a_model_of_which_none_is_wanted_nobody_can_be() -> None:
    demands = (a_demand("a", "1g.10gb", near=("b",)), a_demand("b", "1g.10gb", 0))
    found = asked((a_board_gpu(),), *demands)
    assert [want.count for want in found.question.wants] == [1, 0]
    assert found.question.wants[0].near == (1,)
    assert dict(found.question.groups[0].site.menu) == {"1g.10gb": (0,)}


def test_equal_situations_have_equal_questions_whatever_the_uuids() -> None:
    gpu, records = running(("1g.10gb", 0), ("1g.10gb", 3))
    renamed = replace(
        gpu,
        uuid="GPU-other",
        slices=tuple(replace(s, gpu_uuid="GPU-other") for s in gpu.slices),
    )
    others = tuple(
        replace(record, slice=replace(record.slice, gpu_uuid="GPU-other")) for record in records
    )
    demand = a_demand("a", "1g.10gb", 3)
    one, two = asked((gpu,), demand, ours=records), asked((renamed,), demand, ours=others)
    assert one.question == two.question
