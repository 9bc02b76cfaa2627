from __future__ import annotations

import pytest

from builders import a_board_gpu, with_slices
from gpuslice.errors import BadPlanError, NoRoomError, UnknownProfileError
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import GpuPlan, Plan
from gpuslice.planner.partition.adding import plan_creation, plan_removal
from gpuslice.planner.partition.check import check_partition
from gpuslice.planner.partition.wish import Claims, Device, GpuWish

H100 = a_board_gpu("h100-80gb")


def on(*gpus: Gpu) -> Observed:
    return Observed(gpus=gpus, driver_version="580")


def created(
    gpus: tuple[Gpu, ...], name: str, count: int = 1, start: int | None = None
) -> list[str]:
    """What comes, as (GPU, profile, placement) in words; the plan passes its check."""
    plan = plan_creation(on(*gpus), gpus, name, Claims(), count=count, start=start)
    check_partition(plan, on(*gpus))
    assert not any(gpu.destroy for gpu in plan.gpus)
    return [f"{new.gpu_uuid} {new.profile}@{new.placement}" for g in plan.gpus for new in g.create]


def test_a_slice_comes_where_most_room_is_left() -> None:
    assert created((H100,), "1g.10gb") == ["GPU-0 1g.10gb@6:1"]


def test_a_slice_comes_where_it_is_told_to() -> None:
    assert created((H100,), "1g.10gb", start=3) == ["GPU-0 1g.10gb@3:1"]


def test_gpus_are_filled_one_after_the_other_those_with_mig_first() -> None:
    off, on_ = a_board_gpu("h100-80gb", mig_on=False), a_board_gpu("h100-80gb", index=1)

    assert created((off, on_), "3g.40gb", 3) == [
        "GPU-0 3g.40gb@4:4",
        "GPU-1 3g.40gb@0:4",
        "GPU-1 3g.40gb@4:4",
    ]


def test_gpus_that_have_no_such_profile_are_passed_over() -> None:
    assert created((a_board_gpu("a30"), a_board_gpu("h100-80gb", index=1)), "3g.40gb") == [
        "GPU-1 3g.40gb@4:4"
    ]
    with pytest.raises(UnknownProfileError):
        created((a_board_gpu("a30"),), "3g.40gb")


def test_what_does_not_fit_beside_the_others_is_refused_and_nothing_makes_way() -> None:
    with pytest.raises(NoRoomError, match=r"no room for 2 × 3g.40gb .* 1 would fit") as caught:
        created((with_slices(H100, ("1g.10gb", 0)),), "3g.40gb", 2)

    assert caught.value.details == ("GPU 0: 1g.10gb at 0:1",)


def test_a_place_at_which_no_such_slice_begins_is_answered_with_those_that_do() -> None:
    with pytest.raises(NoRoomError, match="cannot begin at memory slice 1") as caught:
        created((H100,), "2g.20gb", start=1)

    assert caught.value.hint == "It begins at 0, 2, 4."


def test_removing_leaves_everything_else_and_the_mode() -> None:
    gpu = with_slices(H100, ("3g.40gb", 0), ("3g.40gb", 4))
    other = a_board_gpu("h100-80gb", index=1)

    plan = plan_removal(on(gpu, other), {gpu.slices[0].key}, Claims())

    check_partition(plan, on(gpu, other))
    [only] = plan.gpus
    assert (only.destroy, only.foreign) == (gpu.slices[:1], gpu.slices[1:])
    assert not only.disable_mig


@pytest.mark.parametrize(
    ("gpu_plan", "told"),
    [
        (GpuPlan(gpu_uuid="GPU-0"), "is mentioned 0 times"),
        (GpuPlan(gpu_uuid="GPU-9"), "GPU-9 is not in this machine"),
        (
            GpuPlan(gpu_uuid="GPU-0", keep=with_slices(H100, ("3g.40gb", 0)).slices),
            "does not end with 2 × 3g.40gb",
        ),
        (
            GpuPlan(
                gpu_uuid="GPU-0",
                destroy=with_slices(H100, ("3g.40gb", 0)).slices,
                disable_mig=True,
            ),
            "MIG mode of GPU 0 ends another way",
        ),
    ],
)
def test_a_plan_that_is_not_what_is_wished_does_not_pass_its_check(
    gpu_plan: GpuPlan, told: str
) -> None:
    gpu = with_slices(H100, ("3g.40gb", 0))
    wish = GpuWish(gpu_uuid="GPU-0", mig_on=True, devices=(Device("3g.40gb"),) * 2)

    with pytest.raises(BadPlanError) as caught:
        check_partition(Plan(gpus=(gpu_plan,), seats=()), on(gpu), [wish])

    assert any(told in line for line in caught.value.details)
