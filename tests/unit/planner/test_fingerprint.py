"""What changes the fingerprint of a machine, and what does not."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.model.gpu import MigMode
from gpuslice.planner.fingerprint import fingerprint

GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 6))
OTHER = a_board_gpu("a30", index=1)


def test_the_order_of_gpus_and_slices_does_not_matter() -> None:
    turned = replace(GPU, slices=tuple(reversed(GPU.slices)))
    assert fingerprint(an_observed(GPU, OTHER)) == fingerprint(an_observed(OTHER, turned))


def test_the_index_of_a_gpu_does_not_matter() -> None:
    assert fingerprint(an_observed(GPU)) == fingerprint(an_observed(replace(GPU, index=5)))


def test_a_slice_more_or_less_matters() -> None:
    assert fingerprint(an_observed(GPU)) != fingerprint(an_observed(replace(GPU, slices=())))


def test_a_slice_made_anew_at_the_same_place_matters() -> None:
    first, *rest = GPU.slices
    anew = replace(GPU, slices=(replace(first, gpu_instance_id=9), *rest))
    assert fingerprint(an_observed(GPU)) != fingerprint(an_observed(anew))


def test_a_slice_that_became_whole_matters() -> None:
    first, *rest = GPU.slices
    half = replace(GPU, slices=(replace(first, compute_instance_id=None), *rest))
    assert fingerprint(an_observed(GPU)) != fingerprint(an_observed(half))


def test_the_mode_now_and_after_a_reset_matter() -> None:
    modes = [MigMode(current=now, pending=then) for now in (True, False) for then in (True, False)]
    assert len({fingerprint(an_observed(replace(OTHER, mig=mode))) for mode in modes}) == 4


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint(an_observed()) == "4f53cda18c2baa0c"
