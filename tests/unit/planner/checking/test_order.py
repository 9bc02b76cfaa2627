"""The steps of a plan are replayed one by one, and each has to be legal at its moment."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Plan
from gpuslice.planner.checking.facts import gather
from gpuslice.planner.checking.order import step_violations
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, EnableMig, Step
from plans_by_hand import Given, Seating, by_hand, planned

# A slice goes where a larger one comes; MIG mode of the second GPU is off.
GPU = with_slices(a_board_gpu(), ("1g.10gb", 2), ("1g.10gb", 6))
OFF = a_board_gpu(index=1, mig_on=False)
GIVEN = Given(
    observed=an_observed(GPU, OFF),
    demands=(a_demand("a", "4g.40gb"), a_demand("b", "3g.40gb"), a_demand("k", "1g.10gb")),
    owned=(owned(GPU.slices[0]), owned(GPU.slices[1], "k")),
)
PLAN = by_hand(
    GIVEN,
    {
        "a/0": planned(GPU, "4g.40gb", 0),
        "b/0": planned(OFF, "3g.40gb", 4),
        "k/0": GPU.slices[1],
    },
)
ENABLE = EnableMig(gpu_uuid="GPU-1")
GO = DestroySlice(slice=GPU.slices[0])
COME = CreateSlice(planned=planned(GPU, "4g.40gb", 0), replica=ReplicaId("a", 0))
OTHER = CreateSlice(planned=planned(OFF, "3g.40gb", 4), replica=ReplicaId("b", 0))


def complaints(*order: Step, made: Plan = PLAN, given: Given = GIVEN) -> list[str]:
    facts = gather(given.observed, given.demands, given.owned, given.rules)
    return list(step_violations(made, order, facts))


def test_the_plan_that_is_carried_out_below_is_good() -> None:
    assert GIVEN.complaints(PLAN) == ()


def test_any_order_that_is_legal_on_each_gpu_will_do() -> None:
    assert complaints(ENABLE, GO, COME, OTHER) == []
    assert complaints(GO, ENABLE, OTHER, COME) == []


def test_no_slice_comes_where_another_still_lies() -> None:
    assert complaints(ENABLE, COME, GO, OTHER) == [
        "4g.40gb at 0:4 of GPU-0 is created while it may not lie there"
    ]


def test_no_slice_comes_before_mig_mode_is_on() -> None:
    assert complaints(GO, COME, OTHER, ENABLE) == [
        "3g.40gb at 4:4 of GPU-1 is created before MIG mode is on"
    ]


def test_mig_mode_is_switched_on_once_and_only_where_the_plan_says() -> None:
    again = "a step switches MIG mode of GPU-1 on, without need or again"
    assert complaints(ENABLE, ENABLE, GO, COME, OTHER) == [again]
    elsewhere = EnableMig(gpu_uuid="GPU-0")
    assert complaints(ENABLE, elsewhere, GO, COME, OTHER) == [again.replace("GPU-1", "GPU-0")]


def test_no_step_may_be_missing() -> None:
    assert "no step switches MIG mode of GPU-1 on" in complaints(GO, COME, OTHER)
    assert "no step destroys 1g.10gb at 2:1 of GPU-0" in complaints(ENABLE, COME, OTHER)
    assert complaints(ENABLE, GO, OTHER) == ["no step creates 4g.40gb at 0:4 of GPU-0"]
    assert len(complaints()) == 4


def test_nothing_is_destroyed_that_the_plan_keeps() -> None:
    kept = DestroySlice(slice=GPU.slices[1])
    assert complaints(ENABLE, GO, kept, COME, OTHER) == [
        "a step destroys 1g.10gb at 6:1 of GPU-0, which is not to go or has gone"
    ]


def test_nothing_is_destroyed_twice() -> None:
    assert complaints(ENABLE, GO, GO, COME, OTHER) == [
        "a step destroys 1g.10gb at 2:1 of GPU-0, which is not to go or has gone"
    ]


def test_nothing_is_created_that_is_not_in_the_plan_or_has_come() -> None:
    stray = replace(OTHER, planned=planned(OFF, "1g.10gb", 0))
    for more in (stray, OTHER):
        (told,) = complaints(ENABLE, GO, COME, OTHER, more)
        assert "which is not to come or has come" in told


def test_a_slice_is_created_for_the_replica_that_sits_on_it() -> None:
    for whom in (None, ReplicaId("a", 1)):
        assert complaints(ENABLE, GO, replace(COME, replica=whom), OTHER) == [
            f"4g.40gb at 0:4 of GPU-0 is created for {whom}, not for a/0"
        ]


def test_no_step_is_on_a_gpu_that_the_plan_does_not_have() -> None:
    assert complaints(ENABLE, GO, COME, OTHER, EnableMig(gpu_uuid="GPU-9")) == [
        "a step is on GPU-9, which the plan does not have"
    ]


def test_media_engines_are_free_when_a_slice_with_them_comes() -> None:
    gpu, given, made = changed(("1g.10gb+me", 0), "1g.10gb+me", 3)
    go = DestroySlice(slice=gpu.slices[0])
    come = CreateSlice(planned=made.gpus[0].create[0], replica=ReplicaId("a", 0))
    assert complaints(go, come, made=made, given=given) == []
    assert complaints(come, go, made=made, given=given) == [
        "1g.10gb+me at 3:1 of GPU-0 is created while it may not lie there"
    ]


def test_a_plan_is_refused_whose_own_order_of_steps_cannot_be_carried_out() -> None:
    # The order of steps goes by place and media engines; this GPU forbids two of a profile.
    gpu = with_slices(a_board_gpu(), ("3g.40gb", 0))
    assert gpu.geometry is not None
    profiles = tuple(
        replace(p, max_instances=1) if p.name == "3g.40gb" else p for p in gpu.geometry.profiles
    )
    strict = replace(gpu, geometry=Geometry(profiles=profiles))
    given = Given(
        observed=an_observed(strict),
        demands=(a_demand("a", "3g.40gb"),),
        owned=(owned(gpu.slices[0]),),
    )
    assert given.complaints(by_hand(given, {"a/0": planned(strict, "3g.40gb", 4)})) == (
        "3g.40gb at 4:4 of GPU-0 is created while it may not lie there",
    )


def changed(lying: tuple[str, int], profile: str, start: int) -> tuple[Gpu, Given, Plan]:
    """A GPU with one slice that goes, for another that comes."""
    gpu = with_slices(a_board_gpu(), lying)
    given = Given(
        observed=an_observed(gpu), demands=(a_demand("a", profile),), owned=(owned(gpu.slices[0]),)
    )
    seating: Seating = {"a/0": planned(gpu, profile, start)}
    return gpu, given, by_hand(given, seating)
