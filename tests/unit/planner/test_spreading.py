"""Replicas kept apart after the layout: where that can be done it is, and where not it is said."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned, Plan, Seat
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.check import check_plan
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.plan import plan
from gpuslice.planner.situation import survey
from gpuslice.planner.spreading import CrowdedError, seat_apart


def spread(model: str, replicas: int, most: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, memory_mib=9_000, most_per_gpu=most)


def parted(
    gpus: tuple[Gpu, ...], records: tuple[Owned, ...], *demands: Demand, least_ours: int = 0
) -> tuple[Seat, ...]:
    """Choose a layout without spreading, and seat everybody apart on it."""
    situation = survey(an_observed(*gpus), demands, records, Rules())
    asked = ask(situation, whole_demands(situation), lenient=True, spread=(), least_ours=least_ours)
    answer = pack(asked.question, Allowance(limit_s=60.0))
    return seat_apart(asked, answer)


def crowd(seats: tuple[Seat, ...]) -> int:
    """The most replicas of one model on one GPU."""
    return max(Counter((s.replica.model, s.slice.gpu_uuid) for s in seats).values())


def test_models_that_fill_the_same_gpus_are_dealt_out() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    seats = parted(gpus, (), *(spread(f"m{number}", 4) for number in range(7)))
    assert len(seats) == 28
    assert crowd(seats) == 1


def test_several_may_be_allowed_on_a_gpu() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(2))
    seats = parted(gpus, (), spread("a", 6, most=3), spread("b", 8, most=4))
    assert Counter((s.replica.model, s.slice.gpu_uuid) for s in seats) == {
        ("a", "GPU-0"): 3,
        ("a", "GPU-1"): 3,
        ("b", "GPU-0"): 4,
        ("b", "GPU-1"): 4,
    }


def test_who_stays_where_it_runs_counts_too() -> None:
    first = with_slices(a_board_gpu(), ("1g.10gb", 0))
    gpus = (first, with_slices(a_board_gpu(index=1), ("1g.10gb", 0)))
    records = tuple(owned(gpu.slices[0], model) for gpu, model in zip(gpus, "ab", strict=True))
    demands = (spread("a", 2), spread("b", 2), replace(spread("c", 10, most=5)))
    seats = parted(gpus, records, *demands)
    kept = {str(seat.replica): seat.slice.gpu_uuid for seat in seats if seat.kept}
    assert kept == {"a/0": "GPU-0", "b/0": "GPU-1"}
    on = {(s.replica.model, s.slice.gpu_uuid) for s in seats if s.replica.model in "ab"}
    assert len(on) == 4


def test_what_only_another_layout_could_part_is_left_to_the_packing() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(2))
    with pytest.raises(CrowdedError, match="a"):
        parted(gpus, (), spread("a", 2))  # one GPU is cheapest without spreading
    made = planned(gpus, (), spread("a", 2))
    assert crowd(made.seats) == 1


def test_replicas_that_run_together_are_parted_by_a_move() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    records = tuple(owned(slice_, "a", number) for number, slice_ in enumerate(gpu.slices))
    gpus = (gpu, a_board_gpu(index=1))
    with pytest.raises(CrowdedError, match="a"):
        parted(gpus, records, spread("a", 2))
    assert crowd(planned(gpus, records, spread("a", 2)).seats) == 1


def test_a_layout_on_as_many_gpus_as_one_model_needs_parts_it() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(3))
    seats = parted(gpus, (), spread("a", 3), least_ours=3)
    assert (len(seats), crowd(seats)) == (3, 1)


def test_the_model_that_takes_most_gpus_is_blamed() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    with pytest.raises(CrowdedError) as found:
        parted(gpus, (), spread("a", 2), spread("b", 4), spread("c", 3, most=2))
    assert found.value.model == "b"


def test_a_fleet_that_filled_up_before_it_was_to_be_spread_is_proved() -> None:
    """Full GPUs of one model each: at least all but one of every GPU have to change places."""
    gpus, records = [], []
    for index, model in enumerate("abcd"):
        gpu = with_slices(a_board_gpu("a30", index=index), *(("1g.6gb", at) for at in range(4)))
        gpus.append(gpu)
        records += [owned(slice_, model, number) for number, slice_ in enumerate(gpu.slices)]
    demands = tuple(
        Demand(model=model, replicas=4, memory_mib=5_000, most_per_gpu=1) for model in "abcd"
    )
    made = planned(tuple(gpus), tuple(records), *demands)
    assert made.certificate is not None
    assert made.certificate.optimal
    values = {o.goal: o.value for o in made.certificate.objectives}
    assert (values[Goal.MOVED], values[Goal.DESTROYED], crowd(made.seats)) == (12, 0, 1)


def test_a_model_that_has_to_be_off_another_does_not_keep_the_rest_from_being_dealt_out() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(24))
    spreads = [spread(f"m{number}", 20) for number in range(6)]
    made = planned(gpus, (), replace(spreads[0], away=("m1",), replicas=4), *spreads[1:])
    assert made.certificate is not None
    assert made.certificate.optimal
    assert (len(made.seats), crowd(made.seats)) == (104, 1)


def test_a_fleet_of_spread_models_is_proved() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(24))
    made = planned(gpus, (), *(spread(f"m{number}", 20) for number in range(7)))
    assert made.certificate is not None
    assert made.certificate.optimal
    assert (len(made.seats), crowd(made.seats)) == (140, 1)


def test_few_models_take_as_many_gpus_as_they_have_replicas() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(24))
    made = planned(gpus, (), *(spread(f"m{number}", 20) for number in range(3)))
    assert sum(bool(gpu.create) for gpu in made.gpus) == 20
    assert (len(made.seats), crowd(made.seats)) == (60, 1)


def planned(gpus: tuple[Gpu, ...], records: tuple[Owned, ...], *demands: Demand) -> Plan:
    """Plan, and have the plan checked."""
    made = plan(an_observed(*gpus), demands, records, limit_s=10.0)
    check_plan(made, an_observed(*gpus), demands, records)
    return made


def test_replicas_that_crowd_in_a_large_fleet_are_parted_without_a_tie() -> None:
    """Two of one model on every third GPU: one of each pair has to go, and no more."""
    gpus, records, counts = [], [], Counter[str]()
    for index in range(60):
        gpu = with_slices(a_board_gpu(index=index), ("1g.10gb", 0), ("1g.10gb", 1))
        gpus.append(gpu)
        models = (f"m{index % 20}", f"m{(index if index % 3 == 0 else index + 7) % 20}")
        for slice_, model in zip(gpu.slices, models, strict=True):
            records.append(owned(slice_, model, counts[model]))
            counts[model] += 1
    demands = tuple(spread(model, count) for model, count in sorted(counts.items()))
    rules = Rules(most_moves=20)
    made = plan(an_observed(*gpus), demands, tuple(records), rules)
    check_plan(made, an_observed(*gpus), demands, tuple(records), rules)
    assert made.certificate is not None
    values = {o.goal: (o.value, o.bound) for o in made.certificate.objectives}
    assert values[Goal.MOVED] == (20, 20)
    assert (len(made.seats), crowd(made.seats)) == (120, 1)
