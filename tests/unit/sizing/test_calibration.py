"""Measured runs, and what they make of an estimate."""

from __future__ import annotations

import pytest

from documents import ROOT
from gpuslice.engines.catalogue import ENGINE_NAMES
from gpuslice.hardware import board
from gpuslice.sizing.calibration import Run, efficiency, engines, estimated, runs

ELSEWHERE = "a board without a run"


def off(run: Run, key: str) -> float:
    """How far off an estimate was, as a multiple of the end of its range that is nearer; <= 1."""
    reached = efficiency(run.engine, key)
    ratio = run.measured / estimated(run, reached)
    return max(ratio / reached.high, reached.low / ratio)


@pytest.mark.parametrize("run", runs(), ids=lambda run: f"{run.board}-{run.traffic.concurrency}")
def test_every_run_is_of_a_board_that_can_be_sliced_and_says_where_it_was_published(
    run: Run,
) -> None:
    assert board(run.board).has_mig
    assert run.source
    assert run.what in {"answers", "decode", "prefill"}


def test_nine_in_ten_runs_lie_in_the_range_with_and_without_calibration() -> None:
    for keys in ([ELSEWHERE] * len(runs()), [run.board for run in runs()]):
        within = [off(run, key) <= 1 for run, key in zip(runs(), keys, strict=True)]
        assert sum(within) >= 0.9 * len(within)


def test_no_model_that_needs_a_slice_is_far_out_of_its_range() -> None:
    for run in runs():
        if run.work.step_bytes > 10**9:
            assert off(run, ELSEWHERE) <= 1
            assert off(run, run.board) < 1.05


@pytest.mark.parametrize(
    "run", runs(), ids=lambda run: f"{run.board}-{run.traffic.concurrency}-{run.what}"
)
def test_the_documentation_has_every_run_with_what_is_estimated_for_it(run: Run) -> None:
    text = (ROOT / "docs" / "throughput.md").read_text()
    likely, traffic = estimated(run, efficiency(run.engine, ELSEWHERE)), run.traffic
    tokens = f"{traffic.prompt_tokens:,} + {traffic.answer_tokens:,}"
    ratio = f"{run.measured:,.0f} | {likely:,.0f} | {run.measured / likely:.2f}"
    assert f"| {traffic.concurrency} | {tokens} | {run.what} | {ratio} |" in text


def test_the_documentation_says_how_many_runs_lie_in_their_range() -> None:
    text = (ROOT / "docs" / "throughput.md").read_text()
    without = sum(off(run, ELSEWHERE) <= 1 for run in runs())
    calibrated = sum(off(run, run.board) <= 1 for run in runs())
    assert f"{without} of the {len(runs())} rates below lie in the range" in text
    assert f"and {calibrated} in that of a calibrated one" in text


@pytest.mark.parametrize("engine", engines())
def test_the_documentation_has_what_every_engine_reaches(engine: str) -> None:
    reached = efficiency(engine, "a board without a run")
    shares = f"{reached.memory_share:.2f} | {reached.compute_share:.2f}"
    text = (ROOT / "docs" / "throughput.md").read_text()
    times = f"{reached.step_s * 1000:g} ms | {reached.request_s * 1000:g} ms"
    assert f"| {shares} | {times} |" in text


def test_runs_on_a_board_scale_it_and_narrow_its_range() -> None:
    general, calibrated = efficiency("vllm", "b200"), efficiency("vllm", "a100-40gb")
    assert general.scale == 1
    # 75 / 75.8 and 495 / 430.5: their geometric mean.
    assert calibrated.scale == pytest.approx((75 / 75.8 * 495 / 430.5) ** 0.5, rel=0.002)
    assert general.low < calibrated.low < 1 < calibrated.high < general.high
    assert calibrated.basis == "calibrated by 2 runs of vllm 0.23.0 on a whole a100-40gb"


def test_one_run_that_tells_several_rates_is_one_run() -> None:
    assert sum(run.board == "h200" for run in runs()) == 66
    basis = efficiency("vllm", "h200").basis
    assert basis == "calibrated by 36 runs of vllm 0.20.0 on a whole h200"


def test_llama_cpp_has_no_run_yet_and_a_wide_range() -> None:
    reached = efficiency("llama.cpp", "a100-40gb")
    assert (reached.scale, reached.low, reached.high) == (1, 0.5, 1.5)


def test_an_engine_that_nobody_measured_is_not_known() -> None:
    assert {*ENGINE_NAMES} - {*engines()} == {"command"}  # whose server may be anything
    with pytest.raises(KeyError):
        efficiency("command", "h200")
