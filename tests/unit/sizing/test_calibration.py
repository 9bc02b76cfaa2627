"""Measured runs, and what they make of an estimate."""

from __future__ import annotations

import pytest

from documents import ROOT
from gpuslice.engines.catalogue import ENGINE_NAMES
from gpuslice.hardware import board
from gpuslice.sizing.calibration import Run, efficiency, engines, estimated, runs


@pytest.mark.parametrize("run", runs(), ids=lambda run: f"{run.board}-{run.traffic.concurrency}")
def test_what_was_measured_lies_in_the_range_with_and_without_calibration(run: Run) -> None:
    assert board(run.board).has_mig
    assert run.source
    for key in ("a board without a run", run.board):
        reached = efficiency(run.engine, key)
        likely = estimated(run, reached)
        assert likely * reached.low <= run.measured <= likely * reached.high


@pytest.mark.parametrize("run", runs(), ids=lambda run: f"{run.board}-{run.traffic.concurrency}")
def test_the_documentation_has_every_run_with_what_is_estimated_for_it(run: Run) -> None:
    text = (ROOT / "docs" / "throughput.md").read_text()
    likely = estimated(run, efficiency(run.engine, "a board without a run"))
    measured, ratio = f"{run.measured:g} tokens/s", f"{run.measured / likely:.2f}"
    assert f"| {measured} | {likely:.0f} | {ratio} |" in text


@pytest.mark.parametrize("engine", engines())
def test_the_documentation_has_what_every_engine_reaches(engine: str) -> None:
    reached = efficiency(engine, "a board without a run")
    shares = f"{reached.memory_share:.2f} | {reached.compute_share:.2f}"
    text = (ROOT / "docs" / "throughput.md").read_text()
    assert f"| {shares} | {reached.step_s * 1000:g} ms |" in text


def test_runs_on_a_board_scale_it_and_narrow_its_range() -> None:
    general, calibrated = efficiency("vllm", "h200"), efficiency("vllm", "a100-40gb")
    assert general.scale == 1
    # 75 / 72.8 and 495 / 433.4: their geometric mean.
    assert calibrated.scale == pytest.approx((75 / 72.8 * 495 / 433.4) ** 0.5, rel=0.002)
    assert general.low < calibrated.low < 1 < calibrated.high < general.high
    assert calibrated.basis == "calibrated by 2 runs of vllm 0.23.0 on a whole a100-40gb"


def test_llama_cpp_has_no_run_yet_and_a_wide_range() -> None:
    reached = efficiency("llama.cpp", "a100-40gb")
    assert (reached.scale, reached.low, reached.high) == (1, 0.5, 1.5)


def test_an_engine_that_nobody_measured_is_not_known() -> None:
    assert {*ENGINE_NAMES} - {*engines()} == {"command"}  # whose server may be anything
    with pytest.raises(KeyError):
        efficiency("command", "h200")
