"""The independent check finds every way in which a plan can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import BadPlanError
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import Demand, GpuPlan, Plan, ReplicaId, Seat, Unplaced
from gpuslice.planner.check import check_plan
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.plan import plan

# Ours at 0 (in use), ours at 2 (not in use), somebody else's at 6; a slice comes
# where the second was.
GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.20gb", 2), ("1g.10gb", 6))
OURS, SPARE, THEIRS = GPU.slices
OFF = a_board_gpu(index=1, mig_on=False)
MACHINE = an_observed(GPU, OFF)
DEMANDS = (
    Demand(model="a", replicas=2, profile="2g.20gb"),
    Demand(model="b", replicas=1, profile="4g.40gb"),
)
OWNED = (owned(OURS, "a"), owned(SPARE))
GOOD = plan(MACHINE, DEMANDS, OWNED)


def first(made: Plan, **changes: object) -> Plan:
    """The plan with something else on its first GPU."""
    return replace(made, gpus=(replace(made.gpus[0], **changes), *made.gpus[1:]))  # type: ignore[arg-type] # names are checked at run time


def second(made: Plan, **changes: object) -> Plan:
    """The plan with something else on its second GPU."""
    return replace(made, gpus=(made.gpus[0], replace(made.gpus[1], **changes)))  # type: ignore[arg-type] # names are checked at run time


def moved(made: Plan, placement: Placement, **changes: object) -> Plan:
    """The plan with its new slice on the first GPU elsewhere, and the seat with it."""
    new = replace(made.gpus[0].create[0], placement=placement, **changes)  # type: ignore[arg-type] # names are checked at run time
    seats = tuple(
        replace(s, created=new) if s.created in made.gpus[0].create else s for s in made.seats
    )
    return replace(first(made, create=(new,)), seats=seats)


def test_the_plan_that_is_spoilt_below_is_good_and_has_everything_to_spoil() -> None:
    check_plan(GOOD, MACHINE, DEMANDS, OWNED)
    here, there = GOOD.gpus
    assert (here.keep, here.destroy, here.foreign) == ((OURS,), (SPARE,), (THEIRS,))
    assert here.create
    assert there.enable_mig


SPOILT: dict[str, tuple[Callable[[Plan], Plan], str]] = {
    "overlap": (lambda p: moved(p, Placement(0, 2)), "may not lie there"),
    "overlap with a foreign slice": (
        lambda p: moved(p, Placement(6, 2), profile="1g.20gb", profile_id=15),
        "may not lie there",
    ),
    "illegal start": (lambda p: moved(p, Placement(3, 2)), "may not lie there"),
    "wrong id": (lambda p: moved(p, Placement(4, 2), profile_id=15), "id or the memory"),
    "wrong memory": (lambda p: moved(p, Placement(4, 2), memory_mib=1), "id or the memory"),
    "wrong profile for the demand": (
        lambda p: moved(p, Placement(4, 2), profile="1g.20gb", profile_id=15),
        "does not serve it",
    ),
    "foreign slice destroyed": (
        lambda p: first(p, destroy=(SPARE, THEIRS), foreign=()),
        "its owner forbids it",
    ),
    "foreign slice kept": (lambda p: first(p, keep=(OURS, THEIRS)), "its owner forbids it"),
    "own slice called foreign": (
        lambda p: first(p, foreign=(THEIRS, SPARE), destroy=()),
        "its owner forbids it",
    ),
    "slice forgotten": (lambda p: first(p, destroy=()), "is mentioned 0 times"),
    "slice kept and destroyed": (lambda p: first(p, destroy=(SPARE, OURS)), "is mentioned 2 times"),
    "slice that is not there": (
        lambda p: first(p, destroy=(replace(SPARE, gpu_instance_id=9),)),
        "but not there",
    ),
    "MIG stays off": (lambda p: second(p, enable_mig=False), "is off and stays off"),
    "MIG on already": (lambda p: first(p, enable_mig=True), "without need"),
    "kept without a replica": (
        lambda p: first(moved(p, Placement(4, 2)), keep=(OURS, SPARE), destroy=()),
        "has 0 replicas",
    ),
    "slice of another GPU": (
        lambda p: second(p, create=(replace(p.gpus[1].create[0], gpu_uuid="GPU-0"),)),
        "is created on GPU-1",
    ),
    "GPU twice": (lambda p: replace(p, gpus=(*p.gpus, p.gpus[1])), "planned 2 times"),
    "GPU from elsewhere": (
        lambda p: replace(p, gpus=(*p.gpus, GpuPlan(gpu_uuid="GPU-9"))),
        "not in this machine",
    ),
    "GPU dropped": (lambda p: replace(p, gpus=p.gpus[1:]), "will not be there"),
    "replica forgotten": (lambda p: replace(p, seats=p.seats[1:]), "or unplaced 0 times"),
    "replica seated twice": (
        lambda p: replace(p, seats=(*p.seats, p.seats[0])),
        "or unplaced 2 times",
    ),
    "two replicas on one slice": (
        lambda p: replace(p, seats=(p.seats[0], replace(p.seats[0], replica=p.seats[1].replica))),
        "has 2 replicas",
    ),
    "replica seated and unplaced": (
        lambda p: replace(p, unplaced=(Unplaced(replica=ReplicaId("a", 0), reason="no"),)),
        "or unplaced 2 times",
    ),
    "replica nobody asked for": (
        lambda p: replace(p, unplaced=(Unplaced(replica=ReplicaId("c", 0), reason="no"),)),
        "c/0 was not asked for",
    ),
    "no reason": (
        lambda p: replace(p, unplaced=(Unplaced(replica=ReplicaId("c", 0), reason=""),)),
        "no slice and no reason",
    ),
    "seat without a slice": (
        lambda p: replace(p, seats=(Seat(replica=ReplicaId("a", 0)), *p.seats[1:])),
        "exactly one slice",
    ),
    "another machine": (lambda p: replace(p, fingerprint="0"), "another state"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_plan_is_rejected_for_what_is_wrong(name: str) -> None:
    spoil, complaint = SPOILT[name]
    with pytest.raises(BadPlanError) as caught:
        check_plan(spoil(GOOD), MACHINE, DEMANDS, OWNED)
    assert any(complaint in line for line in caught.value.details), caught.value.details


def test_a_half_made_slice_cannot_be_kept() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), half_made=(0,))
    records = (owned(gpu.slices[0], "a"),)
    observed = an_observed(gpu)
    demands = (Demand(model="a", replicas=1, profile="2g.20gb"),)
    made = plan(observed, demands, records)
    seats = (Seat(replica=ReplicaId("a", 0), kept=gpu.slices[0]),)
    spoilt = replace(first(made, keep=gpu.slices, destroy=(), create=()), seats=seats)
    with pytest.raises(BadPlanError, match="half made"):
        check_plan(spoilt, observed, demands, records)


def test_nothing_is_created_on_a_gpu_that_cannot_be_sliced() -> None:
    plain = an_observed(GPU, replace(OFF, mig=None, geometry=None))
    spoilt = replace(GOOD, fingerprint=fingerprint(plain))
    with pytest.raises(BadPlanError) as caught:
        check_plan(spoilt, plain, DEMANDS, OWNED)
    assert "GPU-1 gets slices, but cannot be sliced" in caught.value.details


def test_all_violations_are_told_at_once() -> None:
    spoilt = replace(first(GOOD, destroy=()), fingerprint="0", seats=GOOD.seats[1:])
    with pytest.raises(BadPlanError) as caught:
        check_plan(spoilt, MACHINE, DEMANDS, OWNED)
    assert len(caught.value.details) >= 3
