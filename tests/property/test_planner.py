"""What must hold for every plan: it is legal, it is the best, and nothing but the facts matters."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpuslice.model.gpu import Gpu
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, EnableMig, steps
from property.brute_force import best_worth
from property.case import Case
from property.judge import proved_values, seating_of, worth_of_plan
from property.legality import faults
from property.planned import carried_out, certificate_of, make
from property.strategies_planner import (
    FEW_SHAPES,
    bound_cases,
    cases,
    crowded_cases,
    empty_gpus,
    scattered_cases,
    target_cases,
)
from property.variants import (
    renamed_case,
    renamed_plan,
    reversed_lists,
    with_indexes,
    with_one_more,
)

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

ANY = cases() | bound_cases() | crowded_cases() | scattered_cases() | target_cases(bound=True)
"""Everything that can be asked of two GPUs, and one that may be added."""


@settings(quick, max_examples=80)
@given(case=cases())
def test_no_way_of_seating_everybody_is_better(case: Case) -> None:
    made = make(case)
    assert not list(faults(case, seating_of(made)))
    assert worth_of_plan(case, made) == best_worth(case)


@settings(quick, max_examples=60)
@given(case=cases(most_replicas=5, most_gpus=1, keys=("a30", "rtx-pro-6000")))
def test_no_way_of_seating_five_replicas_on_a_short_grid_is_better(case: Case) -> None:
    assert worth_of_plan(case, make(case)) == best_worth(case)


@settings(quick, max_examples=60)
@given(case=crowded_cases() | scattered_cases())
def test_no_way_of_moving_running_replicas_is_better(case: Case) -> None:
    assert worth_of_plan(case, make(case)) == best_worth(case)


@quick
@given(case=cases(most_gpus=4, most_replicas=12, most_demands=4))
def test_every_plan_passes_the_independent_check(case: Case) -> None:
    assert not list(faults(case, seating_of(make(case))))


@quick
@given(case=ANY)
def test_planning_again_after_carrying_a_plan_out_changes_nothing(case: Case) -> None:
    # Under a limit of moves the next plan may go on where this one had to stop.
    case = replace(case, rules=replace(case.rules, most_moves=None))
    made = make(case)
    again = make(carried_out(case, made))
    assert not again.changes
    assert {seat.replica for seat in again.seats} == {seat.replica for seat in made.seats}
    assert all(seat.kept is not None for seat in again.seats)


@quick
@given(case=ANY)
def test_equal_facts_in_another_order_give_an_equal_plan(case: Case) -> None:
    assert make(reversed_lists(case)) == make(case)


@quick
@given(case=ANY)
def test_renaming_gpus_changes_nothing_but_their_names(case: Case) -> None:
    names = {gpu.uuid: f"GPU-{9 - gpu.index}-renamed" for gpu in case.observed.gpus}
    renamed = make(renamed_case(case, names))
    assert replace(renamed, fingerprint="") == renamed_plan(make(case), names)


@quick
@given(case=ANY, data=st.data())
def test_numbering_gpus_otherwise_changes_nothing_that_matters(
    case: Case, data: st.DataObject
) -> None:
    numbers = range(len(case.observed.gpus))
    other = with_indexes(case, data.draw(st.permutations(numbers)))
    one, two = (proved_values(certificate_of(make(c))) for c in (case, other))
    assert all(a == b for a, b in zip(one, two, strict=False))


@quick
@given(case=ANY, extra=empty_gpus(index=7))
def test_one_more_gpu_never_makes_a_plan_worse(case: Case, extra: Gpu) -> None:
    larger = with_one_more(case, extra)
    reached = proved_values(certificate_of(make(larger)))
    assert reached <= worth_of_plan(case, make(case))[: len(reached)]


@quick
@given(case=ANY | cases(most_gpus=3, most_replicas=8, keys=FEW_SHAPES))
def test_every_step_is_legal_when_its_turn_comes(case: Case) -> None:
    lying = {gpu.uuid: list(gpu.occupied) for gpu in case.observed.gpus}
    on = {gpu.uuid for gpu in case.observed.gpus if gpu.mig and gpu.mig.current}
    for step in steps(make(case)):
        match step:
            case EnableMig(gpu_uuid=uuid):
                assert uuid not in on
                assert not lying[uuid]
                on.add(uuid)
            case DestroySlice(slice=gone):
                lying[gone.gpu_uuid].remove((gone.profile, gone.placement))
            case CreateSlice(planned=new):
                geometry = case.observed.gpu(new.gpu_uuid).geometry
                assert new.gpu_uuid in on
                assert geometry is not None
                assert geometry.allows(lying[new.gpu_uuid], new.profile, new.placement)
                lying[new.gpu_uuid].append((new.profile, new.placement))


@quick
@given(case=cases(most_gpus=1))
def test_gpus_that_are_said_to_help_make_room_for_everybody(case: Case) -> None:
    made = make(case)
    assume(made.addition)
    products = {gpu.name: gpu for gpu in case.observed.gpus}
    index = 10
    for addition in made.addition:
        for _ in range(addition.count):
            extra = replace(
                products[addition.board], index=index, uuid=f"GPU-new-{index}", slices=()
            )
            case = with_one_more(case, extra)
            index += 1
    assert not make(case).unplaced
