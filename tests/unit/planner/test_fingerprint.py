"""What changes the fingerprint of a machine, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, MigMode, SlicePart
from gpuslice.planner.fingerprint import fingerprint

GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 6))
OTHER = a_board_gpu("a30", index=1)


def offering(gpu: Gpu, **changes: object) -> Gpu:
    """The GPU with something else about its first profile."""
    assert gpu.geometry is not None
    first, *rest = gpu.geometry.profiles
    changed = replace(first, **changes)  # type: ignore[arg-type] # names are checked at run time
    return replace(gpu, geometry=Geometry(profiles=(changed, *rest)))


def test_the_order_of_gpus_and_slices_does_not_matter() -> None:
    turned = replace(GPU, slices=tuple(reversed(GPU.slices)))
    assert fingerprint(an_observed(GPU, OTHER)) == fingerprint(an_observed(OTHER, turned))


def test_the_index_of_a_gpu_does_not_matter() -> None:
    assert fingerprint(an_observed(GPU)) == fingerprint(an_observed(replace(GPU, index=5)))


def test_a_gpu_more_or_under_another_name_matters() -> None:
    machines = ((GPU,), (GPU, OTHER), (replace(GPU, uuid="GPU-7"),), (replace(GPU, name="A100"),))
    assert len({fingerprint(an_observed(*gpus)) for gpus in machines}) == 4


def test_a_slice_more_or_less_matters() -> None:
    assert fingerprint(an_observed(GPU)) != fingerprint(an_observed(replace(GPU, slices=())))


def test_on_which_of_two_gpus_a_slice_lies_matters() -> None:
    gpus = [a_board_gpu(index=index) for index in range(2)]
    machines = [
        an_observed(*(with_slices(gpu, ("1g.10gb", 0)) if gpu is here else gpu for gpu in gpus))
        for here in gpus
    ]
    assert fingerprint(machines[0]) != fingerprint(machines[1])


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_instance_id": 9},  # made anew at the same place
        {"compute_instance_id": None},  # only half made
        {"placement": Placement(2, 2)},
        {"profile": "1g.20gb"},
    ],
)
def test_another_slice_in_its_place_matters(change: dict[str, object]) -> None:
    first, *rest = GPU.slices
    other = replace(GPU, slices=(replace(first, **change), *rest))  # type: ignore[arg-type] # names are checked at run time
    assert fingerprint(an_observed(GPU)) != fingerprint(an_observed(other))


def test_the_mode_now_and_after_a_reset_matter() -> None:
    modes = [MigMode(current=now, pending=then) for now in (True, False) for then in (True, False)]
    machines = [an_observed(replace(OTHER, mig=mode)) for mode in (*modes, None)]
    assert len({fingerprint(machine) for machine in machines}) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"name": "1g.11gb"},
        {"id": 99},
        {"compute_slices": 2},
        {"memory_mib": 1},
        {"max_instances": 1},
        {"placements": (Placement(0, 1),)},
    ],
)
def test_another_offer_of_a_gpu_matters(change: dict[str, object]) -> None:
    assert fingerprint(an_observed(OTHER)) != fingerprint(an_observed(offering(OTHER, **change)))


def test_a_geometry_of_its_own_that_is_equal_does_not_matter() -> None:
    assert fingerprint(an_observed(OTHER)) == fingerprint(an_observed(offering(OTHER)))


def test_what_plans_do_not_depend_on_does_not_matter() -> None:
    assert fingerprint(an_observed(OTHER)) == fingerprint(an_observed(offering(OTHER, decoders=9)))


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint(an_observed(GPU, OTHER)) == "551e2a251e15685e"


def test_the_compute_instances_that_share_a_slice_matter() -> None:
    halves = tuple(SlicePart(compute_instance_id=n, compute_slices=1, start=n) for n in (0, 1))
    shared = replace(GPU, slices=(replace(GPU.slices[0], parts=halves), GPU.slices[1]))
    one = replace(GPU, slices=(replace(GPU.slices[0], parts=halves[:1]), GPU.slices[1]))

    assert len({fingerprint(an_observed(gpu)) for gpu in (GPU, shared, one)}) == 3
