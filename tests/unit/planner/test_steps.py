"""The order of steps, and what a person would have typed."""

from __future__ import annotations

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Demand, Owned
from gpuslice.planner.plan import plan
from gpuslice.planner.steps import CreateSlice, DestroySlice, EnableMig, by_hand, steps


def kinds(gpus: tuple[Gpu, ...], demands: tuple[Demand, ...], ours: tuple[Owned, ...]) -> list[str]:
    return [type(step).__name__ for step in steps(plan(an_observed(*gpus), demands, ours))]


def test_mig_is_switched_on_everywhere_before_any_slice_comes() -> None:
    gpus = (a_board_gpu(mig_on=False), a_board_gpu(index=1, mig_on=False))
    demands = (Demand(model="a", replicas=2, profile="7g.80gb"),)
    assert kinds(gpus, demands, ()) == ["EnableMig", "EnableMig", "CreateSlice", "CreateSlice"]


def test_a_slice_that_needs_no_room_comes_before_another_goes() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    demands = (Demand(model="a", replicas=1, profile="3g.40gb"),)
    assert kinds((gpu,), demands, (owned(gpu.slices[0]),)) == ["CreateSlice", "DestroySlice"]


def test_a_slice_comes_after_those_it_takes_the_room_of() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 6))
    demands = (Demand(model="a", replicas=1, profile="7g.80gb"),)
    assert kinds((gpu,), demands, (owned(gpu.slices[0]),)) == ["DestroySlice", "CreateSlice"]


def test_a_step_knows_the_replica_it_is_for() -> None:
    made = plan(an_observed(a_board_gpu()), (Demand(model="a", replicas=1, profile="2g.20gb"),), ())
    step = steps(made)[0]
    assert isinstance(step, CreateSlice)
    assert str(step.replica) == "a/0"


def test_steps_read_as_a_person_would_type_them() -> None:
    gpu = with_slices(a_board_gpu(index=3), ("2g.20gb", 0), ("1g.10gb", 2), half_made=(2,))
    observed = an_observed(gpu)
    made = plan(observed, (Demand(model="a", replicas=1, profile="3g.40gb"),), ())
    create = steps(made)[0]
    assert by_hand(EnableMig(gpu_uuid="GPU-3"), observed) == "nvidia-smi -i 3 -mig 1"
    assert by_hand(create, observed) == "nvidia-smi mig -i 3 -cgi 9:4 -C"
    assert by_hand(DestroySlice(slice=gpu.slices[0]), observed) == (
        "nvidia-smi mig -i 3 -dci -gi 1 && nvidia-smi mig -i 3 -dgi -gi 1"
    )
    assert by_hand(DestroySlice(slice=gpu.slices[1]), observed) == (
        "nvidia-smi mig -i 3 -dgi -gi 2"
    )
