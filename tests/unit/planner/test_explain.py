"""Reasons for replicas without a slice, and what would fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import NoRoomError
from gpuslice.model.gpu import Gpu, MigMode
from gpuslice.model.plan import Demand, Owned
from gpuslice.planner.plan import plan
from gpuslice.planner.verdict import check_all_placed, what_would_fit


def named(model: str, profile: str, replicas: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, profile=profile)


def sized(model: str, memory_mib: int, replicas: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, memory_mib=memory_mib)


def reason(*gpus: Gpu, demands: tuple[Demand, ...], ours: tuple[Owned, ...] = ()) -> str:
    """The reason of the first replica without a slice."""
    return plan(an_observed(*gpus), demands, ours).unplaced[0].reason


def test_a_profile_nobody_offers_is_answered_with_those_on_offer() -> None:
    text = reason(a_board_gpu("h200"), demands=(named("a", "2g.20gb"),))
    assert text.startswith("no chosen GPU offers 2g.20gb; there is GPU 0 (NVIDIA H200): 1g.18gb")
    assert "name the profile, never the number" in text


def test_a_need_beyond_the_largest_slice_names_that_slice() -> None:
    text = reason(a_board_gpu("a30"), a_board_gpu(index=1), demands=(sized("a", 90_000),))
    assert text == (
        "needs 90000 MiB, but the largest slice is 7g.80gb on "
        "GPU 1 (NVIDIA A100-SXM4-80GB) with 80896 MiB"
    )


def test_a_full_gpu_says_who_has_its_memory() -> None:
    gpu = with_slices(a_board_gpu(), ("4g.40gb", 0))
    text = reason(gpu, demands=(named("chat", "3g.40gb", 2),))
    assert "all 8 memory slices are taken" in text
    assert "GPU instance 1 of somebody else (4g.40gb at 0-3)" in text
    assert "chat/0 (3g.40gb at 4-7)" in text


def test_compute_slices_that_run_out_are_counted() -> None:
    text = reason(a_board_gpu(), demands=(sized("a", 5_000, 8),))
    assert "no room for 1g.10gb: 7 of 7 compute slices are given" in text


def test_free_memory_in_the_wrong_place_is_named_with_the_right_places() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 4))
    text = reason(gpu, demands=(named("a", "3g.40gb"),))
    assert "free are memory slices 1, 2, 3, 5, 6, 7, but it can only lie at 0-3, 4-7" in text


def test_media_engines_that_are_given_away_are_the_reason() -> None:
    gpu = with_slices(a_board_gpu("a30"), ("2g.12gb+me", 0))
    text = reason(gpu, demands=(named("a", "1g.6gb+me"),))
    assert "its media engines are given to another slice" in text


def test_a_gpu_that_could_never_serve_is_told_apart_from_a_full_one() -> None:
    full = with_slices(a_board_gpu(index=1), ("7g.80gb", 0))
    text = reason(a_board_gpu("a30"), full, demands=(sized("a", 30_000),))
    assert "GPU 0 (NVIDIA A30) has no profile that serves it; GPU 1" in text


def test_a_mode_change_that_waits_is_told() -> None:
    gpu = replace(
        with_slices(a_board_gpu(), ("7g.80gb", 0)), mig=MigMode(current=True, pending=False)
    )
    assert "MIG will be off after a reset" in reason(gpu, demands=(named("a", "1g.10gb"),))


def test_only_the_first_few_of_many_gpus_are_described() -> None:
    gpus = tuple(a_board_gpu(index=n) for n in range(7))
    text = reason(*gpus, demands=(named("a", "7g.80gb", 8),))
    assert text.count("no room for") == 4
    assert text.endswith("3 more GPUs have no room either")


def test_a_machine_without_usable_gpus_says_so() -> None:
    plain = replace(a_board_gpu(), mig=None, geometry=None)
    assert reason(plain, demands=(named("a", "1g.10gb"),)) == "no chosen GPU can be sliced"


def test_what_fits_is_counted_by_model() -> None:
    demands = (named("chat", "2g.20gb", 2), named("coder", "3g.40gb", 2))
    text = what_would_fit(an_observed(a_board_gpu()), demands, ())
    assert text.startswith("chat x2 and coder x1 fit; coder x1 does not: GPU 0")


def test_what_fits_may_be_nothing() -> None:
    text = what_would_fit(an_observed(a_board_gpu("a30")), (sized("chat", 90_000, 2),), ())
    assert text.startswith("nothing fits; chat x2 do not: needs 90000 MiB")


def test_what_fits_may_be_all() -> None:
    gpu = with_slices(a_board_gpu(), ("7g.80gb", 0))
    records = (owned(gpu.slices[0], "chat"),)
    assert what_would_fit(an_observed(gpu), (named("chat", "7g.80gb"),), records) == "chat x1 fits"


def test_a_plan_that_leaves_somebody_out_can_be_refused() -> None:
    demands = (named("chat", "3g.40gb", 12),)
    made = plan(an_observed(a_board_gpu()), demands, ())
    with pytest.raises(NoRoomError, match=r"no slice for chat/2, .* and 2 more") as caught:
        check_all_placed(demands, made)
    assert caught.value.hint == "This would fit: chat x2."
    assert caught.value.details[0].startswith("chat: GPU 0")


def test_a_plan_that_serves_everybody_is_let_through() -> None:
    demands = (named("chat", "3g.40gb", 2),)
    check_all_placed(demands, plan(an_observed(a_board_gpu()), demands, ()))
