"""What fits of what was asked for, in words, and what would make the rest fit."""

from __future__ import annotations

import pytest

from builders import a_board_gpu, a_slice, an_observed, owned, with_slices
from gpuslice.errors import NoRoomError
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId, Rules
from gpuslice.model.plan import Addition, Plan, Seat, Unplaced
from gpuslice.planner.verdict import check_all_placed, summarise_fit, what_would_fit

CHAT = (Demand(model="chat", replicas=4, memory_mib=1000),)


def named(model: str, profile: str, replicas: int = 1) -> Demand:
    return Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile),))


def a_plan(served: int, left: int, *addition: Addition) -> Plan:
    return Plan(
        gpus=(),
        seats=tuple(Seat(replica=ReplicaId("chat", n), kept=a_slice()) for n in range(served)),
        unplaced=tuple(
            Unplaced(replica=ReplicaId("chat", served + n), reason="all is full")
            for n in range(left)
        ),
        addition=addition,
    )


def test_what_fits_is_counted_by_model() -> None:
    demands = (named("chat", "2g.20gb", 2), named("coder", "3g.40gb", 2))
    text = what_would_fit(an_observed(a_board_gpu()), demands, ())
    assert text.startswith("chat x2 and coder x1 fit; coder x1 does not: GPU 0")


def test_what_fits_may_be_nothing() -> None:
    demands = (Demand(model="chat", replicas=2, memory_mib=90_000),)
    text = what_would_fit(an_observed(a_board_gpu("a30")), demands, ())
    assert text.startswith("nothing fits; chat x2 do not: needs 90000 MiB")


def test_what_fits_may_be_all() -> None:
    gpu = with_slices(a_board_gpu(), ("7g.80gb", 0))
    records = (owned(gpu.slices[0], "chat"),)
    assert what_would_fit(an_observed(gpu), (named("chat", "7g.80gb"),), records) == "chat x1 fits"


def test_what_fits_keeps_to_the_rules() -> None:
    machine = an_observed(a_board_gpu(), a_board_gpu(index=1))
    rules = Rules(drained=frozenset({"GPU-1"}))
    text = what_would_fit(machine, (named("chat", "7g.80gb", 2),), (), rules)
    assert text.startswith("chat x1 fits; chat x1 does not")


def test_what_would_make_all_of_it_fit_is_told() -> None:
    more = Addition(board="NVIDIA A30", count=1), Addition(board="NVIDIA H200", count=2)
    text = summarise_fit(CHAT, a_plan(2, 2, *more))
    assert text.endswith("all is full; with 1 NVIDIA A30 and 2 NVIDIA H200 more all of it fits")


def test_a_plan_that_leaves_somebody_out_can_be_refused() -> None:
    with pytest.raises(NoRoomError, match=r"no slice for chat/2, .* and 2 more$") as caught:
        check_all_placed(CHAT, a_plan(2, 10))
    assert caught.value.hint == "This would fit: chat x2."
    assert caught.value.details == ("chat: all is full",)


def test_the_refusal_names_the_gpus_with_which_all_of_it_fits() -> None:
    with pytest.raises(NoRoomError) as caught:
        check_all_placed(CHAT, a_plan(1, 1, Addition(board="NVIDIA A30", count=1)))
    assert caught.value.hint == ("This would fit: chat x1. Or add 1 NVIDIA A30 and all of it fits.")


def test_the_refusal_of_everything_says_so() -> None:
    with pytest.raises(NoRoomError) as caught:
        check_all_placed(CHAT, a_plan(0, 1))
    assert caught.value.hint == "None of it fits."


def test_a_plan_that_serves_everybody_is_let_through() -> None:
    check_all_placed(CHAT, a_plan(4, 0))
