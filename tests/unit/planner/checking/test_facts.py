"""Who runs where, and who of them could stay."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Owned
from gpuslice.planner.checking.facts import Facts, gather
from plans_by_hand import NO_RULES

GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("2g.20gb", 2), ("1g.10gb", 6))
FIRST, SECOND, SMALL = GPU.slices
A0 = ReplicaId("a", 0)
DEMAND = a_demand("a")


def facts(
    *records: Owned,
    gpus: tuple[Gpu, ...] = (GPU,),
    demand: Demand = DEMAND,
    rules: Rules = NO_RULES,
) -> Facts:
    return gather(an_observed(*gpus), (demand,), records, rules)


def test_a_replica_recorded_twice_runs_on_its_first_slice() -> None:
    assert facts(owned(SECOND, "a"), owned(FIRST, "a")).incumbents == {A0: FIRST}
    other = replace(GPU, index=7, uuid="GPU-7")
    before = with_slices(a_board_gpu(index=3), ("2g.20gb", 4))
    found = facts(
        owned(FIRST, "a"), owned(before.slices[0], "a"), gpus=(replace(GPU, index=9), before)
    )
    assert found.running == found.incumbents == {A0: before.slices[0]}
    assert other.uuid not in found.machine


def test_who_runs_where_it_may_not_stay_is_no_incumbent_there() -> None:
    barred = with_slices(a_board_gpu(index=1), ("2g.20gb", 0))
    lying: list[tuple[Slice, Gpu, Rules]] = [
        (SMALL, GPU, Rules()),  # too small for the demand
        (barred.slices[0], barred, Rules(drained=frozenset({"GPU-1"}))),
        (barred.slices[0], barred, Rules(gpus=frozenset({"GPU-0"}))),
        (barred.slices[0], replace(barred, geometry=Geometry(profiles=())), Rules()),
        (barred.slices[0], replace(barred, geometry=None), Rules()),
        (barred.slices[0], replace(barred, mig=None), Rules()),
    ]
    for slice_, gpu, rules in lying:
        found = facts(owned(slice_, "a"), gpus=(gpu,), rules=rules)
        assert found.running == {A0: slice_}
        assert not found.incumbents


def test_a_slice_of_a_profile_that_its_gpu_does_not_offer_runs_nothing_that_could_stay() -> None:
    odd = replace(FIRST, profile="2g.21gb")
    found = facts(owned(odd, "a"), gpus=(replace(GPU, slices=(odd,)),))
    assert found.own == {"GPU-0": (odd,)}
    assert not found.incumbents


def test_a_half_made_slice_runs_nothing_that_could_stay() -> None:
    half = with_slices(a_board_gpu(), ("2g.20gb", 0), half_made=(0,))
    assert not facts(owned(half.slices[0], "a"), gpus=(half,)).incumbents


def test_replicas_that_are_not_wanted_are_no_incumbents() -> None:
    for model, number in (("a", 1), ("b", 0), ("a", -1)):
        found = facts(owned(FIRST, model, number))
        assert found.running == {ReplicaId(model, number): FIRST}
        assert not found.incumbents


def test_a_record_is_of_one_slice_only() -> None:
    stale = replace(FIRST, gpu_instance_id=9)
    found = facts(owned(stale, "a"))
    assert not found.running
    assert found.foreign == {"GPU-0": GPU.slices}


def test_equal_geometries_of_different_gpus_count_as_one() -> None:
    geometry = GPU.geometry
    assert geometry is not None
    catalogue = facts().catalogue
    copy = Geometry(profiles=tuple(replace(profile) for profile in geometry.profiles))
    other = Geometry(profiles=geometry.profiles[1:])
    assert catalogue.number(geometry) == catalogue.number(copy) != catalogue.number(other)
