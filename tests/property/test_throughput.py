"""What must hold of every estimate, whatever the model and the card."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from builders import a_board_gpu, the_small_model
from gpuslice.agent.estimates import Estimated, estimate_target
from gpuslice.errors import GpusliceError, NoRoomError, SizingError
from gpuslice.hardware import Board, load_boards
from gpuslice.model.demand import NamedProfile, Rate
from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.calibration import efficiency, engines
from gpuslice.sizing.throughput import (
    Efficiency,
    Range,
    SliceSpeed,
    Traffic,
    estimate,
    rounded_down,
    slice_speed,
)
from gpuslice.stack.model_entry import ModelEntry, TargetEntry
from gpuslice.stack.notation import milli

BOARDS = [known for known in load_boards() if known.has_mig]
ROUNDING = 1 + 1e-9


@st.composite
def works(draw: st.DrawFn) -> TokenWork:
    experts = draw(st.sampled_from([0, 8, 128]))
    return TokenWork(
        step_bytes=draw(st.integers(10**7, 10**11)),
        expert_bytes=draw(st.integers(1, 10**11)) if experts else 0,
        experts=experts,
        experts_per_token=draw(st.integers(1, experts)) if experts else 0,
        kv_bytes_per_token=draw(st.integers(0, 10**6)),
        state_bytes=draw(st.integers(0, 10**8)),
        flops_per_token=draw(st.integers(10**7, 10**12)),
        flops_per_context_token=draw(st.integers(0, 10**7)),
    )


TRAFFICS = st.builds(
    Traffic,
    concurrency=st.integers(1, 4096),
    prompt_tokens=st.integers(0, 200_000),
    answer_tokens=st.integers(1, 100_000),
)
SPEEDS = st.builds(
    SliceSpeed,
    bytes_per_s=st.floats(1e10, 1e13),
    flops_per_s=st.floats(1e12, 1e16),
)
REACHED = st.sampled_from([efficiency(engine, "h200") for engine in engines()])


@given(work=works(), traffic=TRAFFICS, speed=SPEEDS, more=st.floats(1, 10), where=st.booleans())
def test_more_bandwidth_and_more_arithmetic_are_never_slower(
    work: TokenWork, traffic: Traffic, speed: SliceSpeed, more: float, where: bool
) -> None:
    key = "bytes_per_s" if where else "flops_per_s"
    faster = replace(speed, **{key: getattr(speed, key) * more})
    reached = efficiency("vllm", "h200")
    before, after = (estimate(work, each, traffic, reached) for each in (speed, faster))
    assert before.answers.likely <= after.answers.likely * ROUNDING
    assert before.decode.likely <= after.decode.likely * ROUNDING
    assert before.prefill.likely <= after.prefill.likely * ROUNDING


@given(work=works(), traffic=TRAFFICS, speed=SPEEDS, reached=REACHED, more=st.integers(1, 4096))
def test_a_larger_batch_never_gives_fewer_tokens_in_all(
    work: TokenWork, traffic: Traffic, speed: SliceSpeed, reached: Efficiency, more: int
) -> None:
    larger = replace(traffic, concurrency=traffic.concurrency + more)
    before, after = (estimate(work, speed, each, reached) for each in (traffic, larger))
    assert before.answers.likely <= after.answers.likely * ROUNDING
    assert before.decode.likely <= after.decode.likely * ROUNDING


@given(work=works(), traffic=TRAFFICS, known=st.sampled_from(BOARDS))
def test_a_larger_profile_is_never_slower_than_a_smaller_one_of_its_board(
    work: TokenWork, traffic: Traffic, known: Board
) -> None:
    reached = efficiency("vllm", known.key)
    answers = {
        profile.name: estimate(
            work, slice_speed(known.speed(), profile, known.geometry), traffic, reached
        ).answers.likely
        for profile in known.geometry.profiles
    }
    for one, other in product(known.geometry.profiles, repeat=2):
        if one.memory_slices <= other.memory_slices and one.sm_count <= other.sm_count:
            assert answers[one.name] <= answers[other.name] * ROUNDING


@given(work=works(), traffic=TRAFFICS, speed=SPEEDS, reached=REACHED)
def test_a_range_holds_its_estimate_and_requests_are_answers_by_their_length(
    work: TokenWork, traffic: Traffic, speed: SliceSpeed, reached: Efficiency
) -> None:
    made = estimate(work, speed, traffic, reached)
    for each in (made.answers, made.requests, made.decode):
        assert 0 < each.low <= each.likely <= each.high
    assert made.answers.likely <= made.decode.likely * ROUNDING
    both = made.requests.likely * traffic.answer_tokens
    assert abs(both - made.answers.likely) <= 1e-9 * made.answers.likely


def estimated_or_refused(entry: ModelEntry, aim: TargetEntry) -> Estimated | GpusliceError:
    """Estimate a target; anything but an estimate or a refusal fails the test."""
    try:
        return estimate_target("chat", entry, aim, Path("/"), [a_board_gpu()])
    except (NoRoomError, SizingError) as error:
        return error


@given(
    context=st.integers(1, 200_000),
    concurrency=st.integers(1, 256),
    target=st.sampled_from(["tokens_per_s", "requests_per_s"]),
    data=st.data(),
)
def test_whatever_a_file_asks_for_is_estimated_or_refused_in_words(
    context: int, concurrency: int, target: str, data: st.DataObject
) -> None:
    answer = data.draw(st.integers(1, context))
    aim = TargetEntry.model_validate({target: 9, "answer_tokens": answer})
    entry = ModelEntry.model_validate(
        {
            "model": str(the_small_model()),
            "context_tokens": context,
            "concurrency": concurrency,
            "target": aim.model_dump(exclude_none=True),
        }
    )
    made = estimated_or_refused(entry, aim)
    if isinstance(made, GpusliceError):
        assert made.message
        assert made.hint
        return
    assert made.target.estimated
    assert all(rate.milli_per_s > 0 for rate in made.target.rates)
    assert f"of {context - answer:,} + {answer:,} tokens, {concurrency:,} at a time" in made.reason


@given(
    likely=st.floats(1, 1e7),
    low=st.integers(1, 100),
    high=st.integers(100, 300),
    slices=st.integers(1, 9),
)
def test_the_ends_of_a_range_enclose_its_middle_and_sums_round_as_it_does(
    likely: float, low: int, high: int, slices: int
) -> None:
    made = Range(likely=likely, low=likely * low / 100, high=likely * high / 100)
    assert made.least_percent == low
    assert made.shown_least <= made.shown * low / 100 * ROUNDING
    assert made.shown_most * ROUNDING >= made.shown * high / 100
    rate = Rate(
        named=NamedProfile(profile="1g.10gb"), milli_per_s=milli(made.shown), least_percent=low
    )
    assert rounded_down(Decimal(rate.least_milli_per_s) / 1000) == made.shown_least
    together = rounded_down(Decimal(slices * rate.least_milli_per_s) / 1000)
    assert together <= slices * made.shown * low / 100 * ROUNDING
