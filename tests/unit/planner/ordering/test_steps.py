"""The order of steps, and what a person would have typed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.hardware.boards import load_boards
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Fate, GpuPlan, Plan, PlannedSlice, Seat, ServerPlan
from gpuslice.planner.ordering.servers import server_plans
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    by_hand,
    describe,
    steps,
)
from random_plans import random_change

A, B = ReplicaId("a", 0), ReplicaId("b", 0)
BOARDS = tuple(board.key for board in load_boards() if board.has_mig)


def coming(gpu: Gpu, profile: str, start: int) -> PlannedSlice:
    assert gpu.geometry is not None
    found = gpu.geometry.named(profile)
    assert found is not None
    return PlannedSlice(
        gpu_uuid=gpu.uuid,
        placement=Placement(start, found.memory_slices),
        profile=profile,
        profile_id=found.id,
        memory_mib=found.memory_mib,
    )


def a_plan(
    *gpus: GpuPlan, running: dict[ReplicaId, Slice] | None = None, seats: tuple[Seat, ...] = ()
) -> Plan:
    return Plan(gpus=gpus, seats=seats, servers=server_plans(gpus, seats, running or {}))


def told(made: Plan) -> list[str]:
    """The steps in short: ``+`` comes, ``-`` goes, ``on`` and ``off`` are MIG mode."""
    return [_short(step) for step in steps(made)]


def _short(step: Step) -> str:
    match step:
        case EnableMig(gpu_uuid=uuid):
            return f"on {uuid}"
        case DisableMig(gpu_uuid=uuid):
            return f"off {uuid}"
        case DestroySlice(slice=gone):
            return f"- {gone.profile} {gone.gpu_uuid}"
        case CreateSlice(planned=new):
            return f"+ {new.profile} {new.gpu_uuid}"


def test_mig_is_switched_on_everywhere_before_any_slice_comes() -> None:
    gpus = (a_board_gpu(mig_on=False), a_board_gpu(index=1, mig_on=False))
    made = a_plan(
        *(
            GpuPlan(gpu_uuid=g.uuid, enable_mig=True, create=(coming(g, "7g.80gb", 0),))
            for g in gpus
        )
    )
    assert told(made) == ["on GPU-0", "on GPU-1", "+ 7g.80gb GPU-0", "+ 7g.80gb GPU-1"]


def test_a_slice_that_needs_no_room_comes_before_another_goes() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    made = a_plan(
        GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, create=(coming(gpu, "3g.40gb", 4),))
    )
    assert told(made) == ["+ 3g.40gb GPU-0", "- 1g.10gb GPU-0"]


def test_a_slice_comes_after_those_it_takes_the_room_of() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 6))
    made = a_plan(
        GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, create=(coming(gpu, "7g.80gb", 0),))
    )
    assert told(made) == ["- 1g.10gb GPU-0", "+ 7g.80gb GPU-0"]


def test_a_slice_somebody_runs_on_goes_once_its_new_one_is_there() -> None:
    first, second = with_slices(a_board_gpu(), ("3g.40gb", 0)), a_board_gpu(index=1)
    large, new = coming(first, "7g.80gb", 0), coming(second, "3g.40gb", 0)
    made = a_plan(
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices, create=(large,)),
        GpuPlan(gpu_uuid="GPU-1", create=(new,)),
        seats=(Seat(replica=A, created=new), Seat(replica=B, created=large)),
        running={A: first.slices[0]},
    )
    assert told(made) == ["+ 3g.40gb GPU-1", "- 3g.40gb GPU-0", "+ 7g.80gb GPU-0"]


def test_a_chain_of_moves_begins_at_its_free_end() -> None:
    first = with_slices(a_board_gpu(), ("7g.80gb", 0))
    second = with_slices(a_board_gpu(index=1), ("7g.80gb", 0))
    third = a_board_gpu(index=2)
    new = [coming(gpu, "7g.80gb", 0) for gpu in (second, third)]
    made = a_plan(
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices),
        GpuPlan(gpu_uuid="GPU-1", destroy=second.slices, create=(new[0],)),
        GpuPlan(gpu_uuid="GPU-2", create=(new[1],)),
        seats=(Seat(replica=A, created=new[0]), Seat(replica=B, created=new[1])),
        running={A: first.slices[0], B: second.slices[0]},
    )
    assert told(made) == [
        "+ 7g.80gb GPU-2",
        "- 7g.80gb GPU-1",
        "+ 7g.80gb GPU-1",
        "- 7g.80gb GPU-0",
    ]


def test_steps_of_one_gpu_stand_together() -> None:
    gpus = [with_slices(a_board_gpu(index=n), ("3g.40gb", 0), ("3g.40gb", 4)) for n in range(2)]
    made = a_plan(
        *(
            GpuPlan(gpu_uuid=g.uuid, destroy=g.slices, create=(coming(g, "7g.80gb", 0),))
            for g in gpus
        )
    )
    assert told(made) == [
        *["- 3g.40gb GPU-0"] * 2,
        "+ 7g.80gb GPU-0",
        *["- 3g.40gb GPU-1"] * 2,
        "+ 7g.80gb GPU-1",
    ]


def test_everything_that_can_comes_before_anything_goes_anywhere() -> None:
    gpus = [with_slices(a_board_gpu(index=n), ("3g.40gb", 0)) for n in range(2)]
    made = a_plan(
        *(
            GpuPlan(gpu_uuid=g.uuid, destroy=g.slices, create=(coming(g, "3g.40gb", 4),))
            for g in gpus
        )
    )
    assert [line[0] for line in told(made)] == ["+", "+", "-", "-"]


def test_a_plan_without_servers_is_ordered_all_the_same() -> None:
    gpu = with_slices(a_board_gpu(), ("7g.80gb", 0))
    new = coming(gpu, "7g.80gb", 0)
    made = Plan(
        gpus=(GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, create=(new,)),),
        seats=(Seat(replica=A, created=new),),
    )
    assert told(made) == ["- 7g.80gb GPU-0", "+ 7g.80gb GPU-0"]


def test_origins_are_taken_from_the_servers_of_the_plan() -> None:
    first, second = with_slices(a_board_gpu(), ("3g.40gb", 0)), a_board_gpu(index=1)
    new = coming(second, "3g.40gb", 0)
    made = Plan(
        gpus=(
            GpuPlan(gpu_uuid="GPU-0", destroy=first.slices),
            GpuPlan(gpu_uuid="GPU-1", create=(new,)),
        ),
        seats=(Seat(replica=A, created=new),),
        servers=(ServerPlan(replica=A, fate=Fate.MOVES, origin=first.slices[0]),),
    )
    assert told(made) == ["+ 3g.40gb GPU-1", "- 3g.40gb GPU-0"]


@pytest.mark.parametrize("key", BOARDS)
def test_a_slice_waits_for_another_exactly_where_the_board_forbids_both(key: str) -> None:
    gpu = a_board_gpu(key)
    assert gpu.geometry is not None
    places = [(p.name, at) for p in gpu.geometry.profiles for at in p.placements]
    for profile, at in places:
        lying = with_slices(gpu, (profile, at.start)).slices
        for name, there in places:
            new = coming(gpu, name, there.start)
            made = a_plan(GpuPlan(gpu_uuid=gpu.uuid, destroy=lying, create=(new,)))
            both = gpu.geometry.allows([(profile, at)], name, there)
            assert isinstance(steps(made)[0], CreateSlice if both else DestroySlice)


@pytest.mark.parametrize("key", BOARDS)
def test_more_of_a_profile_than_a_board_allows_never_find_a_place(key: str) -> None:
    gpu = a_board_gpu(key)
    assert gpu.geometry is not None
    for profile in gpu.geometry.profiles:
        if "me" not in profile.name:
            taken, count = 0, 0
            for at in sorted(profile.placements, key=lambda at: at.end):
                if at.start >= taken:
                    taken, count = at.end, count + 1
            assert count <= profile.max_instances


@pytest.mark.parametrize("seed", range(150))
def test_each_step_of_a_random_plan_is_legal_and_all_of_it_is_done(seed: int) -> None:
    change = random_change(Random(seed), boards=("a100-80gb", "a30", "rtx-pro-6000"))
    lying = {gpu.uuid: list(gpu.occupied) for gpu in change.machine}
    for step in steps(change.plan):
        match step:
            case EnableMig() | DisableMig():
                raise AssertionError("MIG is on everywhere, and stays on")
            case DestroySlice(slice=gone):
                lying[gone.gpu_uuid].remove((gone.profile, gone.placement))
            case CreateSlice(planned=new, replica=replica):
                geometry = next(g.geometry for g in change.machine if g.uuid == new.gpu_uuid)
                assert geometry is not None
                assert geometry.allows(lying[new.gpu_uuid], new.profile, new.placement)
                lying[new.gpu_uuid].append((new.profile, new.placement))
                assert replica in {None, *(s.replica for s in change.seats if s.created == new)}
    for gpu in change.gpus:
        ours: tuple[Slice | PlannedSlice, ...] = (*gpu.keep, *gpu.create, *gpu.foreign)
        assert sorted(lying[gpu.gpu_uuid]) == sorted((s.profile, s.placement) for s in ours)


@pytest.mark.parametrize("seed", range(10))
def test_equal_plans_have_equal_steps(seed: int) -> None:
    once, again = (random_change(Random(seed)) for _ in range(2))
    assert steps(once.plan) == steps(again.plan)


def test_mig_is_switched_off_when_everything_is_gone() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0))
    other = GpuPlan(gpu_uuid="GPU-1", create=(coming(a_board_gpu(index=1), "1g.10gb", 0),))
    made = a_plan(GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, disable_mig=True), other)
    assert told(made)[-1] == "off GPU-0"
    assert "- 2g.20gb GPU-0" in told(made)


def test_a_step_knows_the_replica_it_is_for() -> None:
    new = coming(a_board_gpu(), "2g.20gb", 0)
    made = a_plan(GpuPlan(gpu_uuid="GPU-0", create=(new,)), seats=(Seat(replica=A, created=new),))
    assert steps(made) == (CreateSlice(planned=new, replica=A),)


def test_steps_are_told_in_words() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0))
    new = coming(gpu, "2g.20gb", 2)
    assert describe(EnableMig(gpu_uuid="GPU-0"), [gpu]) == "GPU 0: enable MIG mode"
    assert describe(DisableMig(gpu_uuid="GPU-0"), [gpu]) == "GPU 0: disable MIG mode"
    assert describe(DestroySlice(slice=gpu.slices[0]), [gpu]) == "GPU 0: destroy 2g.20gb at 0:2"
    step = CreateSlice(planned=new, replica=A)
    assert describe(step, [gpu]) == "GPU 0: create 2g.20gb at 2:2 for a/0"


def test_compute_instances_that_share_a_slice_are_told_and_typed() -> None:
    gpu = a_board_gpu(index=3)
    step = CreateSlice(planned=replace(coming(gpu, "3g.40gb", 4), parts=(2, 1)), replica=None)
    assert describe(step, [gpu]) == "GPU 3: create 3g.40gb (2c + 1c) at 4:4"
    assert by_hand(step, an_observed(gpu)) == (
        "nvidia-smi mig -i 3 -cgi 9:4 && nvidia-smi mig -i 3 -cci 1,0 -gi ID"
    )


def test_steps_read_as_a_person_would_type_them() -> None:
    gpu = with_slices(a_board_gpu(index=3), ("2g.20gb", 0), ("1g.10gb", 2), half_made=(2,))
    observed = an_observed(gpu)
    create = CreateSlice(planned=coming(gpu, "3g.40gb", 4), replica=A)
    assert by_hand(EnableMig(gpu_uuid="GPU-3"), observed) == "nvidia-smi -i 3 -mig 1"
    assert by_hand(DisableMig(gpu_uuid="GPU-3"), observed) == "nvidia-smi -i 3 -mig 0"
    assert by_hand(create, observed) == "nvidia-smi mig -i 3 -cgi 9:4 -C"
    assert by_hand(DestroySlice(slice=gpu.slices[0]), observed) == (
        "nvidia-smi mig -i 3 -dci -gi 1 && nvidia-smi mig -i 3 -dgi -gi 1"
    )
    assert by_hand(DestroySlice(slice=gpu.slices[1]), observed) == (
        "nvidia-smi mig -i 3 -dgi -gi 2"
    )
