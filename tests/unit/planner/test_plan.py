"""What a plan does on machines a person can picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import BadInputError
from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId, Rules
from gpuslice.model.gpu import Gpu, MigMode, Slice
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan


def make(
    gpus: tuple[Gpu, ...],
    *demands: Demand,
    ours: tuple[Owned, ...] = (),
    chosen: Collection[str] | None = None,
) -> Plan:
    """Plan, and let the independent checker look at it."""
    observed = an_observed(*gpus)
    rules = Rules(gpus=None if chosen is None else frozenset(chosen))
    made = plan(observed, demands, ours, rules)
    check_plan(made, observed, demands, ours, rules)
    return made


def created(made: Plan) -> list[tuple[str, str, int]]:
    """GPU, profile and start of every slice that comes."""
    return [(g.gpu_uuid, s.profile, s.placement.start) for g in made.gpus for s in g.create]


def kept(made: Plan) -> dict[str, Slice | None]:
    """The slice that stays for each replica that keeps one."""
    return {str(seat.replica): seat.kept for seat in made.seats}


def named(model: str, profile: str, replicas: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile),))


def sized(model: str, memory_mib: int, replicas: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, memory_mib=memory_mib)


# --- Fresh GPUs -----------------------------------------------------------------------------------


def test_two_halves_fill_one_gpu_and_switch_mig_on() -> None:
    made = make((a_board_gpu(mig_on=False),), named("a", "3g.40gb"), named("b", "3g.40gb"))
    assert created(made) == [("GPU-0", "3g.40gb", 0), ("GPU-0", "3g.40gb", 4)]
    assert made.gpus[0].enable_mig


def test_mig_is_not_switched_on_where_nothing_comes() -> None:
    made = make((a_board_gpu(mig_on=False), a_board_gpu(index=1)), named("a", "3g.40gb"))
    assert [gpu.enable_mig for gpu in made.gpus] == [False, False]
    assert created(made)[0][0] == "GPU-1"


def test_ids_and_memory_come_from_the_gpu_it_lies_on() -> None:
    made = make((a_board_gpu("a30"),), named("a", "1g.6gb"))
    new = made.gpus[0].create[0]
    assert (new.profile_id, new.memory_mib) == (14, 5952)


def test_what_is_left_free_stays_useful() -> None:
    # A 1g at 0 would forbid the 4g at 0 and one 3g; at 6 it forbids one 3g and no 4g.
    made = make((a_board_gpu(),), named("a", "1g.10gb"))
    assert created(made) == [("GPU-0", "1g.10gb", 6)]


def test_the_order_that_a_greedy_driver_fails_on_is_solved() -> None:
    # 19,19,14,9 in this order leaves no room for the 3g when the driver places them itself.
    made = make(
        (a_board_gpu(),), named("s", "1g.10gb", 2), named("m", "2g.20gb"), named("l", "3g.40gb")
    )
    assert len(made.seats) == 4


def test_a_demand_by_memory_takes_the_least_slice() -> None:
    made = make((a_board_gpu(),), sized("a", 20_000))
    assert created(made)[0][1] == "3g.40gb"


def test_a_demand_by_memory_takes_a_larger_slice_when_that_serves_one_more() -> None:
    made = make((a_board_gpu("a30"),), sized("a", 5_000, 2), sized("b", 11_000))
    assert not made.unplaced


def test_a_whole_gpu_is_left_whole() -> None:
    used = with_slices(a_board_gpu(index=1), ("3g.40gb", 0))
    made = make((a_board_gpu(), used), named("a", "3g.40gb"))
    assert created(made) == [("GPU-1", "3g.40gb", 4)]


def test_one_gpu_is_used_rather_than_two_even_if_mig_has_to_be_switched_on() -> None:
    gpus = (a_board_gpu("a30"), a_board_gpu("a30", index=1), a_board_gpu(index=2, mig_on=False))
    made = make(gpus, sized("a", 20_000, 2))
    assert [gpu.enable_mig for gpu in made.gpus] == [False, False, True]
    assert {gpu for gpu, _, _ in created(made)} == {"GPU-2"}


def test_mixed_boards_serve_what_each_can() -> None:
    made = make(
        (a_board_gpu("a30"), a_board_gpu(index=1)), sized("big", 70_000), sized("small", 5_000, 4)
    )
    assert not made.unplaced
    assert {gpu for gpu, _, _ in created(made)} == {"GPU-0", "GPU-1"}


def test_ties_go_to_the_smallest_index_whatever_the_order_of_gpus() -> None:
    made = make(
        (a_board_gpu(index=2), a_board_gpu(index=1), a_board_gpu(index=3)), named("a", "2g.20gb")
    )
    assert [gpu.gpu_uuid for gpu in made.gpus] == ["GPU-1", "GPU-2", "GPU-3"]
    assert created(made)[0][0] == "GPU-1"


def test_sixteen_gpus_of_four_boards_are_filled_to_the_last_slice() -> None:
    keys = ("a100-80gb", "a30", "h200", "b200")
    gpus = tuple(a_board_gpu(keys[n % 4], index=n) for n in range(16))
    made = make(gpus, sized("s", 5_000, 200))
    assert len(made.seats) == 4 * (7 + 4 + 7 + 7)


def test_only_one_slice_of_a_gpu_gets_the_media_engines() -> None:
    made = make((a_board_gpu(),), named("video", "1g.10gb+me", 2))
    assert len(made.seats) == 1
    assert "at most 1" in made.unplaced[0].reason


def test_zero_replicas_are_a_plan_that_changes_nothing() -> None:
    assert not make((a_board_gpu(),), sized("a", 5_000, 0)).changes


# --- Slices that are there ------------------------------------------------------------------------


def test_a_running_replica_stays_where_it_is() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 4))
    made = make((gpu,), named("a", "2g.20gb", 2), ours=(owned(gpu.slices[0], "a", 1),))
    assert kept(made)["a/1"] == gpu.slices[0]
    assert [seat.replica for seat in made.seats] == [ReplicaId("a", 0), ReplicaId("a", 1)]


def test_everything_in_place_is_a_plan_that_changes_nothing() -> None:
    gpu = with_slices(a_board_gpu(), ("3g.40gb", 0), ("3g.40gb", 4))
    records = tuple(owned(s, "a", number) for number, s in enumerate(gpu.slices))
    assert not make((gpu,), named("a", "3g.40gb", 2), ours=records).changes


def test_a_slice_no_longer_wanted_is_taken_over() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 4))
    made = make((gpu,), named("new", "2g.20gb"), ours=(owned(gpu.slices[0], "old"),))
    assert kept(made)["new/0"] == gpu.slices[0]
    assert not made.changes


def test_slices_of_ours_that_nobody_uses_are_destroyed() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 4), ("1g.10gb", 6))
    records = (owned(gpu.slices[0], "a"), owned(gpu.slices[1], "a", 1))
    made = make((gpu,), named("a", "2g.20gb"), ours=records)
    assert made.gpus[0].destroy == (gpu.slices[1],)


def test_a_half_made_slice_of_ours_is_destroyed_even_if_it_would_fit() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 4), half_made=(4,))
    made = make((gpu,), named("a", "2g.20gb"), ours=(owned(gpu.slices[0], "a"),))
    assert made.gpus[0].destroy == gpu.slices
    assert len(made.gpus[0].create) == 1


def test_a_slice_that_no_longer_fits_the_demand_is_replaced() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    made = make((gpu,), sized("a", 30_000), ours=(owned(gpu.slices[0], "a"),))
    assert made.gpus[0].destroy == gpu.slices
    assert created(made)[0][1] == "3g.40gb"


def test_foreign_slices_are_never_touched() -> None:
    gpu = with_slices(a_board_gpu(), ("4g.40gb", 0), ("2g.20gb", 4))
    made = make((gpu,), named("a", "7g.80gb"), sized("b", 5_000))
    assert made.gpus[0].foreign == gpu.slices
    assert not made.gpus[0].destroy
    assert [str(unplaced.replica) for unplaced in made.unplaced] == ["a/0"]


def test_a_running_replica_moves_only_when_something_could_not_be_served_otherwise() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 1))
    records = (owned(gpu.slices[0], "small"),)
    beside = make((gpu,), named("small", "1g.10gb"), named("half", "3g.40gb"), ours=records)
    assert kept(beside)["small/0"] == gpu.slices[0]
    moved = make((gpu,), named("small", "1g.10gb"), named("large", "4g.40gb"), ours=records)
    assert kept(moved)["small/0"] is None
    assert not moved.unplaced


def test_the_replica_whose_move_suffices_is_the_only_one_that_moves() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 4), ("1g.10gb", 5))
    records = tuple(owned(s, "small", number) for number, s in enumerate(gpu.slices))
    made = make((gpu,), named("small", "1g.10gb", 3), named("half", "3g.40gb"), ours=records)
    stays = kept(made)
    assert [stays[f"small/{n}"] is not None for n in range(3)] == [False, True, True]


def test_two_records_for_one_replica_keep_one_slice() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("2g.20gb", 2))
    records = tuple(owned(s, "a", 0) for s in gpu.slices)
    made = make((gpu,), named("a", "2g.20gb"), ours=records)
    assert made.gpus[0].keep == gpu.slices[:1]
    assert made.gpus[0].destroy == gpu.slices[1:]


def test_slices_of_ours_on_a_gpu_no_longer_chosen_are_destroyed() -> None:
    left = with_slices(a_board_gpu(index=1), ("2g.20gb", 0))
    made = make(
        (a_board_gpu(), left),
        named("a", "2g.20gb"),
        ours=(owned(left.slices[0], "a"),),
        chosen={"GPU-0"},
    )
    assert made.gpus[1].destroy == left.slices
    assert created(made)[0][0] == "GPU-0"


# --- Which GPUs -----------------------------------------------------------------------------------


def test_gpus_without_mig_are_not_used() -> None:
    plain = replace(a_board_gpu(), mig=None, geometry=None)
    made = make((plain, a_board_gpu(index=1)), named("a", "2g.20gb"))
    assert [gpu.gpu_uuid for gpu in made.gpus] == ["GPU-1"]


def test_a_mode_change_that_waits_is_noted_and_the_present_mode_counts() -> None:
    waiting = replace(a_board_gpu(), mig=MigMode(current=False, pending=True))
    made = make((waiting,), named("a", "2g.20gb"))
    assert made.gpus[0].enable_mig
    assert made.gpus[0].notes == ("MIG is off now and will be on after the next GPU reset",)


def test_a_board_nobody_has_seen_needs_no_code() -> None:
    strange = board("a30").geometry
    renamed = replace(
        strange,
        profiles=tuple(replace(p, name=f"x{p.name}", id=p.id + 70) for p in strange.profiles),
    )
    made = make((replace(a_board_gpu(), geometry=renamed),), sized("a", 6_000, 2))
    assert [s.profile for s in made.gpus[0].create] == ["x2g.12gb", "x2g.12gb"]


def test_a_chosen_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(BadInputError, match="GPU-9"):
        make((a_board_gpu(),), named("a", "2g.20gb"), chosen={"GPU-9"})


def test_a_model_asked_for_twice_is_an_error() -> None:
    with pytest.raises(BadInputError, match="asked for 2 times"):
        make((a_board_gpu(),), named("a", "2g.20gb"), named("a", "3g.40gb"))


# --- When not everything fits ---------------------------------------------------------------------


def test_as_many_replicas_as_possible_are_served() -> None:
    made = make((a_board_gpu(),), named("whole", "7g.80gb"), named("small", "1g.10gb", 7))
    assert {seat.replica.model for seat in made.seats} == {"small"}


def test_of_equally_many_replicas_the_first_model_goes_first() -> None:
    made = make((a_board_gpu(),), named("first", "7g.80gb"), named("second", "7g.80gb"))
    assert [str(seat.replica) for seat in made.seats] == ["first/0"]


def test_the_replicas_of_lowest_number_are_served() -> None:
    made = make((a_board_gpu(),), named("a", "3g.40gb", 3))
    assert [str(unplaced.replica) for unplaced in made.unplaced] == ["a/2"]
