"""Reasons for replicas without a slice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, NamedProfile, Rate, ReplicaId, Rules, Target
from gpuslice.model.gpu import Gpu, MigMode
from gpuslice.model.plan import GpuPlan, Owned, Seat
from gpuslice.planner.explain import explain_unplaced
from gpuslice.planner.plan import plan
from gpuslice.planner.situation import survey

A100 = "GPU 0 (NVIDIA A100-SXM4-80GB)"


def named(model: str, profile: str, replicas: int = 1, **changes: Any) -> Demand:
    names = (NamedProfile(profile=profile),)
    return replace(Demand(model=model, replicas=replicas, profiles=names), **changes)


def sized(model: str, memory_mib: int, replicas: int = 1, compute_slices: int = 0) -> Demand:
    return Demand(
        model=model, replicas=replicas, memory_mib=memory_mib, compute_slices=compute_slices
    )


def reason(
    *gpus: Gpu,
    demands: tuple[Demand, ...],
    ours: tuple[Owned, ...] = (),
    rules: Rules | None = None,
) -> str:
    """The reason of the first replica without a slice."""
    return plan(an_observed(*gpus), demands, ours, rules or Rules()).unplaced[0].reason


def reason_of(
    model: str,
    *gpus: Gpu,
    demands: tuple[Demand, ...],
    kept: dict[ReplicaId, int] | None = None,
    rules: Rules | None = None,
) -> str:
    """The reason in a plan that keeps all slices as they are, those of the replicas by number."""
    slices = [s for gpu in gpus for s in gpu.slices]
    seats = [Seat(replica=replica, kept=slices[n]) for replica, n in (kept or {}).items()]
    ours = [owned(s.kept, s.replica.model, s.replica.replica) for s in seats if s.kept]
    keys = {record.slice for record in ours}
    situation = survey(an_observed(*gpus), demands, ours, rules or Rules())
    gpu_plans = [
        GpuPlan(
            gpu_uuid=gpu.uuid,
            keep=tuple(s for s in gpu.slices if s.key in keys),
            foreign=tuple(s for s in gpu.slices if s.key not in keys),
        )
        for gpu in gpus
    ]
    missing = ReplicaId(model, 99)
    return explain_unplaced(situation, gpu_plans, seats, [missing])[missing]


def test_nobody_missing_needs_no_reason() -> None:
    situation = survey(an_observed(a_board_gpu()), (), (), Rules())
    assert explain_unplaced(situation, [GpuPlan(gpu_uuid="GPU-0")], (), ()) == {}


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


def test_a_need_of_compute_that_no_large_slice_has_is_told_with_its_compute() -> None:
    gpus = (a_board_gpu("rtx-pro-6000"), a_board_gpu("a100-40gb", index=1))
    text = reason(*gpus, demands=(sized("a", 60_000, compute_slices=7),))
    assert text.startswith("needs 60000 MiB and 7 compute slices, but the largest slice is 4g.96gb")
    assert text.endswith(" and 4 compute slices")


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


def test_of_many_gpus_those_that_could_serve_are_described() -> None:
    useless = tuple(a_board_gpu("a30", index=n) for n in range(6))
    full = with_slices(a_board_gpu(index=6), ("7g.80gb", 0))
    text = reason_of("a", *useless, full, demands=(sized("a", 30_000),))
    assert text.startswith("GPU 6 (NVIDIA A100-SXM4-80GB) has no room for 3g.40gb")
    assert text.endswith("6 other GPUs have no profile that serves it")


def test_a_machine_without_usable_gpus_says_so() -> None:
    plain = replace(a_board_gpu(), mig=None, geometry=None)
    assert reason(plain, demands=(named("a", "1g.10gb"),)) == "no chosen GPU can be sliced"


def test_a_replica_that_is_to_be_spread_is_told_so() -> None:
    text = reason(a_board_gpu(), demands=(named("a", "1g.10gb", 2, most_per_gpu=1),))
    assert text == f"{A100} has room for 1g.10gb, but at most 1 of a may lie on one GPU"


def test_a_replica_that_is_to_be_kept_apart_is_told_from_whom() -> None:
    away = (named("a", "1g.10gb"), named("b", "1g.10gb", away=("a",)))
    text = reason(a_board_gpu(), demands=away)
    assert text == f"{A100} has room for 1g.10gb, but b and a are to be kept apart"
    shunned = (named("a", "1g.10gb", away=("b",)), named("b", "1g.10gb"))
    assert reason(a_board_gpu(), demands=shunned) == text


def test_a_replica_whose_company_is_missing_is_told_who_that_is() -> None:
    gpus = (with_slices(a_board_gpu(), ("1g.10gb", 0)), a_board_gpu(index=1))
    demands = (named("a", "1g.10gb", near=("b",)), named("b", "7g.80gb", 1))
    text = reason_of("a", *gpus, demands=demands)
    assert text.startswith(f"{A100} has room for 1g.10gb, but no b, which a is to be near; GPU 1")


def test_gpus_without_room_are_counted_beside_those_a_rule_bars() -> None:
    gpus = (
        with_slices(a_board_gpu(), ("1g.10gb", 0)),
        with_slices(a_board_gpu(index=1), ("7g.80gb", 0)),
    )
    demands = (named("a", "1g.10gb", 2, most_per_gpu=1),)
    text = reason_of("a", *gpus, demands=demands, kept={ReplicaId("a", 0): 0})
    assert text == (
        f"{A100} has room for 1g.10gb, but at most 1 of a may lie on one GPU; "
        "1 other GPU has no room"
    )


def test_of_a_fleet_that_a_rule_bars_a_few_are_told() -> None:
    gpus = tuple(with_slices(a_board_gpu(index=n), ("1g.10gb", 0)) for n in range(300))
    demands = (named("a", "1g.10gb", 400, most_per_gpu=1),)
    kept = {ReplicaId("a", n): n for n in range(300)}
    text = reason_of("a", *gpus, demands=demands, kept=kept)
    assert text.count("may lie on one GPU") == 4
    assert text.endswith("296 more GPUs have room, but not for it either")


def test_room_that_nothing_bars_was_not_found_in_time() -> None:
    text = reason_of("a", a_board_gpu(), demands=(named("a", "1g.10gb"),))
    assert text == (
        f"{A100} has room for 1g.10gb, but no plan that uses it was found in the time allowed"
    )


def test_a_limit_on_moves_that_is_reached_is_told() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 4))
    ours = tuple(owned(s, "a", n) for n, s in enumerate(gpu.slices))
    demands = (named("a", "1g.10gb", 2), named("b", "3g.40gb"))
    text = reason(gpu, demands=demands, ours=ours, rules=Rules(most_moves=0))
    assert text.endswith(
        "no running replica may move (--moves 0), and with more moves there might be room"
    )


def test_a_limit_on_moves_that_is_not_reached_is_not_to_blame() -> None:
    gpu = with_slices(a_board_gpu(), ("4g.40gb", 0), ("3g.40gb", 4))
    demands = (named("a", "4g.40gb"), named("b", "3g.40gb"), named("c", "1g.10gb"))
    kept = {ReplicaId("a", 0): 0, ReplicaId("b", 0): 1}
    text = reason_of("c", gpu, demands=demands, kept=kept, rules=Rules(most_moves=1))
    assert "--moves" not in text


def test_a_target_that_is_not_reached_says_what_it_needs() -> None:
    rates = (Rate(named=NamedProfile(profile="1g.10gb"), milli_per_s=100_000),)
    target = Target(milli_per_s=1_200_000, rates=rates)
    demand = Demand(model="a", replicas=20, target=target)
    full = with_slices(a_board_gpu(), ("7g.80gb", 0))
    text = reason_of("a", full, a_board_gpu(index=1), demands=(demand,))
    assert text == (
        "it needs 1,200 tokens/s from at most 20 slices, and what is free does not add up to that; "
        "GPU 1 (NVIDIA A100-SXM4-80GB) has room for 1g.10gb, but that is not enough; "
        "1 other GPU has no room"
    )
