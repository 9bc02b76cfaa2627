"""Which GPUs can be chosen, and which demands are refused before planning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed
from gpuslice.errors import (
    MigUnsupportedError,
    NoGpuError,
    NoRoomError,
    UnknownGpuError,
    UnknownProfileError,
)
from gpuslice.model.plan import Demand
from gpuslice.planner.admission import check_demands, choose_gpus

A100 = a_board_gpu()
H200 = a_board_gpu("h200", index=1)
PLAIN = replace(a_board_gpu(index=2), name="NVIDIA L40S", mig=None, geometry=None)
MACHINE = an_observed(A100, H200, PLAIN)


def named(profile: str) -> Demand:
    return Demand(model="chat", replicas=1, profile=profile)


def test_all_means_every_gpu_that_can_be_sliced() -> None:
    assert choose_gpus(MACHINE, "all") == ("GPU-0", "GPU-1")


def test_gpus_are_named_by_index_or_uuid_and_come_by_index_once() -> None:
    assert choose_gpus(MACHINE, ["gpu-1", 0, "1"]) == ("GPU-0", "GPU-1")


def test_a_gpu_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownGpuError, match="GPU 7") as caught:
        choose_gpus(MACHINE, [0, 7])
    assert "GPU 1 (NVIDIA H200): GPU-1" in caught.value.details


def test_a_gpu_without_mig_is_refused_with_the_products_that_have_it() -> None:
    with pytest.raises(MigUnsupportedError, match="L40S") as caught:
        choose_gpus(MACHINE, [0, 2], mig_products="A30 and A100")
    assert "A30 and A100" in caught.value.hint


def test_all_is_refused_where_no_gpu_can_be_sliced() -> None:
    with pytest.raises(MigUnsupportedError, match=r"GPU 2 \(NVIDIA L40S\)"):
        choose_gpus(an_observed(PLAIN), "all")


def test_a_machine_without_gpus_is_said_to_have_none() -> None:
    with pytest.raises(NoGpuError):
        choose_gpus(an_observed(), "all")


def test_demands_that_some_gpu_could_meet_are_let_through() -> None:
    check_demands(MACHINE, [named("2g.20gb"), named("3g.71gb")])


def test_a_profile_that_no_chosen_gpu_has_is_refused_with_those_it_has() -> None:
    with pytest.raises(UnknownProfileError, match=r"chat asks for 2g\.20gb") as caught:
        check_demands(MACHINE, [named("2g.20gb")], gpus=["GPU-1"])
    error = caught.value
    assert error.hint == "Did you mean 2g.35gb?"
    assert "GPU 1 (NVIDIA H200): 1g.18gb (id 19)" in error.details[0]
    assert "2g.35gb (id 14)" in error.details[0]
    assert "id 15 is the double-memory 1g" in error.details[0]


def test_a_number_is_answered_with_the_profile_it_may_have_meant() -> None:
    with pytest.raises(UnknownProfileError) as caught:
        check_demands(an_observed(A100), [named("15")])
    assert caught.value.hint == "Did you mean 1g.20gb?"


def test_all_unknown_profiles_are_told_at_once() -> None:
    demands = [named("9g.90gb"), replace(named("8g.80gb"), model="coder")]
    with pytest.raises(UnknownProfileError) as caught:
        check_demands(MACHINE, demands)
    assert [line.split(":")[0] for line in caught.value.details] == ["chat", "coder"]


def test_more_memory_than_any_slice_has_is_refused_with_the_largest() -> None:
    with pytest.raises(NoRoomError, match=r"needs 150000 MiB.*7g\.141gb on GPU 1 .* 143360 MiB"):
        check_demands(MACHINE, [Demand(model="chat", replicas=1, memory_mib=150_000)])


def test_nothing_can_be_demanded_of_gpus_without_mig() -> None:
    with pytest.raises(MigUnsupportedError):
        check_demands(MACHINE, [named("2g.20gb")], gpus=["GPU-2"])
