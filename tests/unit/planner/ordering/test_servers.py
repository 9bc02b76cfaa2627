"""What becomes of every server, and who has to pause."""

from __future__ import annotations

from random import Random

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Fate, GpuPlan, PlannedSlice, Seat, ServerPlan
from gpuslice.planner.ordering.servers import running_now, server_plans
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, steps
from random_plans import RandomChange, fewest_pauses, random_change

A, B, C = (ReplicaId(model, 0) for model in "abc")


def full(index: int, count: int = 1) -> Gpu:
    """An A100 with one large slice, or two halves."""
    places = [("7g.80gb", 0)] if count == 1 else [("3g.40gb", 0), ("3g.40gb", 4)]
    return with_slices(a_board_gpu(index=index), *places)


def large(uuid: str) -> PlannedSlice:
    return PlannedSlice(
        gpu_uuid=uuid, placement=Placement(0, 8), profile="7g.80gb", profile_id=0, memory_mib=80896
    )


def half(uuid: str, start: int) -> PlannedSlice:
    return PlannedSlice(
        gpu_uuid=uuid,
        placement=Placement(start, 4),
        profile="3g.40gb",
        profile_id=9,
        memory_mib=40192,
    )


def pausing(servers: tuple[ServerPlan, ...]) -> list[str]:
    return [str(server.replica) for server in servers if server.pause]


def test_a_replica_runs_on_the_first_slice_recorded_for_it() -> None:
    first = with_slices(a_board_gpu(index=0), ("1g.10gb", 3), ("1g.10gb", 1))
    second = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    records = [owned(s, "a") for gpu in (second, first) for s in gpu.slices]
    assert running_now(an_observed(second, first), records) == {A: first.slices[1]}


def test_a_slice_that_has_gone_or_is_free_or_foreign_carries_nobody() -> None:
    gone = with_slices(a_board_gpu(), ("7g.80gb", 0)).slices[0]
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    assert running_now(an_observed(gpu), [owned(gone, "a"), owned(gpu.slices[0])]) == {}


def test_servers_stay_start_move_and_stop() -> None:
    gpu = full(0, 2)
    keeps, goes = gpu.slices
    stopped = full(1).slices[0]
    gpus = (
        GpuPlan(gpu_uuid="GPU-0", keep=(keeps,), destroy=(goes,)),
        GpuPlan(gpu_uuid="GPU-1", destroy=(stopped,)),
        GpuPlan(gpu_uuid="GPU-2", create=(half("GPU-2", 0), half("GPU-2", 4))),
    )
    new = ReplicaId("d", 0)
    seats = (
        Seat(replica=A, kept=keeps),
        Seat(replica=B, created=half("GPU-2", 0)),
        Seat(replica=new, created=half("GPU-2", 4)),
    )
    assert server_plans(gpus, seats, {A: keeps, B: goes, C: stopped}) == (
        ServerPlan(replica=A, fate=Fate.STAYS, origin=keeps),
        ServerPlan(replica=B, fate=Fate.MOVES, origin=goes),
        ServerPlan(replica=C, fate=Fate.STOPS, origin=stopped),
        ServerPlan(replica=new, fate=Fate.STARTS),
    )


def test_servers_come_by_model_and_number() -> None:
    replicas = [ReplicaId("b", 2), ReplicaId("b", 10), ReplicaId("a", 11)]
    slices = with_slices(a_board_gpu(), *(("1g.10gb", n) for n in range(3))).slices
    running = dict(zip(replicas, slices, strict=True))
    servers = server_plans((GpuPlan(gpu_uuid="GPU-0", destroy=slices),), (), running)
    assert [str(server.replica) for server in servers] == ["a/11", "b/2", "b/10"]


def test_a_replica_whose_new_slice_needs_its_own_old_room_pauses() -> None:
    gpu = with_slices(a_board_gpu(), ("3g.40gb", 0))
    gpus = (GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, create=(large("GPU-0"),)),)
    seats = (Seat(replica=A, created=large("GPU-0")),)
    assert pausing(server_plans(gpus, seats, {A: gpu.slices[0]})) == ["a/0"]


def test_a_small_slice_that_moves_within_its_gpu_does_not_pause() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    new = PlannedSlice(
        gpu_uuid="GPU-0", placement=Placement(6, 1), profile="1g.10gb", profile_id=19, memory_mib=9
    )
    gpus = (GpuPlan(gpu_uuid="GPU-0", destroy=gpu.slices, create=(new,)),)
    seats = (Seat(replica=A, created=new),)
    assert not pausing(server_plans(gpus, seats, {A: gpu.slices[0]}))


def test_of_two_that_change_places_one_pauses() -> None:
    first, second = full(0), full(1)
    gpus = tuple(
        GpuPlan(gpu_uuid=g.uuid, destroy=g.slices, create=(large(g.uuid),)) for g in (first, second)
    )
    seats = (Seat(replica=A, created=large("GPU-1")), Seat(replica=B, created=large("GPU-0")))
    running = {A: first.slices[0], B: second.slices[0]}
    assert pausing(server_plans(gpus, seats, running)) == ["a/0"]


def test_a_replica_that_pauses_anyhow_goes_before_one_that_need_not() -> None:
    first, second = full(0), full(1, 2)
    left, right = second.slices
    new = large("GPU-1")
    gpus = (
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices, create=(half("GPU-0", 0),)),
        GpuPlan(gpu_uuid="GPU-1", destroy=(left, right), create=(new,)),
    )
    # c grows over its own old slice; a and b change places, and that is solved by c's pause.
    seats = (Seat(replica=A, created=half("GPU-0", 0)), Seat(replica=C, created=new))
    running = {A: left, B: first.slices[0], C: right}
    assert pausing(server_plans(gpus, seats, running)) == ["c/0"]


def test_a_replica_that_stops_anyhow_makes_room_for_another() -> None:
    first, second = full(0), full(1)
    gpus = (
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices, create=(large("GPU-0"),)),
        GpuPlan(gpu_uuid="GPU-1", destroy=second.slices),
    )
    seats = (Seat(replica=B, created=large("GPU-0")),)
    running = {A: first.slices[0], B: second.slices[0]}
    assert not pausing(server_plans(gpus, seats, running))


def test_a_chain_onto_slices_that_stay_has_no_pause() -> None:
    first, second, third = full(0), full(1), full(2)
    gpus = (
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices),
        GpuPlan(gpu_uuid="GPU-1", keep=second.slices),
        GpuPlan(gpu_uuid="GPU-2", keep=third.slices),
        GpuPlan(gpu_uuid="GPU-3", create=(large("GPU-3"),)),
    )
    seats = (
        Seat(replica=A, kept=second.slices[0]),
        Seat(replica=B, kept=third.slices[0]),
        Seat(replica=C, created=large("GPU-3")),
    )
    running = {A: first.slices[0], B: second.slices[0], C: third.slices[0]}
    assert not pausing(server_plans(gpus, seats, running))


def test_a_chain_that_closes_over_a_slice_that_goes_pauses_its_tenant() -> None:
    first, second = full(0), full(1)
    gpus = (
        GpuPlan(gpu_uuid="GPU-0", destroy=first.slices, create=(large("GPU-0"),)),
        GpuPlan(gpu_uuid="GPU-1", keep=second.slices),
    )
    seats = (Seat(replica=A, created=large("GPU-0")), Seat(replica=B, kept=second.slices[0]))
    running = {A: second.slices[0], B: first.slices[0]}
    assert pausing(server_plans(gpus, seats, running)) == ["b/0"]


def test_of_a_ring_of_slices_that_all_stay_only_the_first_pauses() -> None:
    slices = [full(index).slices[0] for index in range(5)]
    gpus = tuple(GpuPlan(gpu_uuid=s.gpu_uuid, keep=(s,)) for s in slices)
    d, e = ReplicaId("d", 0), ReplicaId("e", 0)
    running = dict(zip((A, B, C, d, e), slices, strict=True))
    onto = {A: B, B: C, C: A, d: e, e: d}
    seats = tuple(Seat(replica=replica, kept=running[other]) for replica, other in onto.items())
    assert pausing(server_plans(gpus, seats, running)) == ["a/0", "d/0"]


@pytest.mark.parametrize("seed", range(120))
def test_nobody_pauses_in_a_random_plan_that_needs_no_pause(seed: int) -> None:
    change = random_change(Random(seed), boards=("a100-80gb", "a30"))
    pauses = len(pausing(change.plan.servers))
    fewest = fewest_pauses(change)
    assert (pauses == 0) == (fewest == 0)
    assert fewest <= pauses <= fewest + 1  # a heuristic, which misses seldom and by little


@pytest.mark.parametrize("seed", range(120))
def test_a_pause_is_what_the_order_of_the_steps_says(seed: int) -> None:
    change = random_change(Random(seed), boards=("a100-80gb", "rtx-pro-6000"))
    assert all(
        server.pause == _old_goes_before_new_comes(change, server)
        for server in change.plan.servers
        if _seat(change, server).created is not None and server.origin in _destroyed(change)
    )


def _seat(change: RandomChange, server: ServerPlan) -> Seat:
    none = Seat(replica=server.replica)
    return next((seat for seat in change.seats if seat.replica == server.replica), none)


def _destroyed(change: RandomChange) -> list[object]:
    return [slice_ for gpu in change.gpus for slice_ in gpu.destroy]


def _old_goes_before_new_comes(change: RandomChange, server: ServerPlan) -> bool:
    order: list[object] = [
        step.slice if isinstance(step, DestroySlice) else step.planned
        for step in steps(change.plan)
        if isinstance(step, DestroySlice | CreateSlice)
    ]
    return order.index(server.origin) < order.index(_seat(change, server).created)
