"""The fit finds what the numbers were made with."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from benchmarks.fit import Measured, fit, main
from benchmarks.speed import POINTS, Timed

from gpuslice.sizing.architecture import TokenWork
from gpuslice.sizing.calibration import general_efficiency, whole_board
from gpuslice.sizing.throughput import Efficiency, Traffic, estimate

H200 = whole_board("h200")
TRUE = replace(
    general_efficiency("vllm"),
    memory_share=0.74,
    compute_share=0.55,
    step_s=0.0021,
    request_s=0.005,
)


def a_work(parameters: int) -> TokenWork:
    return TokenWork(
        step_bytes=2 * parameters,
        expert_bytes=0,
        experts=0,
        experts_per_token=0,
        kv_bytes_per_token=100_000,
        state_bytes=0,
        flops_per_token=2 * parameters,
        flops_per_context_token=200_000,
    )


def made_with(reached: Efficiency, work: TokenWork, point: Traffic) -> Timed:
    """What would be measured on a card that reached exactly that."""
    made = estimate(work, H200, point, reached)
    prompts_s = point.concurrency * point.prompt_tokens / made.prefill.likely
    more = point.concurrency * (point.answer_tokens - 1)
    return Timed(
        **asdict(point),
        prompts_s=prompts_s,
        whole_s=prompts_s + more / made.decode.likely,
        tries=1,
    )


def servers() -> list[Measured]:
    works = {"small": a_work(135 * 10**6), "large": a_work(14 * 10**9)}
    return [
        Measured(
            model=name,
            work=work,
            speed=H200,
            timed=tuple(made_with(TRUE, work, point) for point in POINTS),
        )
        for name, work in works.items()
    ]


def test_the_constants_that_made_the_numbers_are_found_again() -> None:
    found = fit(servers(), general_efficiency("vllm"))
    # Whole answers count one step more in an estimate than is measured here, hence the slack.
    assert found.compute_share == pytest.approx(0.55, abs=0.02)
    assert found.memory_share == pytest.approx(0.74, abs=0.02)
    assert found.step_s == pytest.approx(0.0021, abs=0.0001)
    assert found.request_s == pytest.approx(0.005, abs=0.001)
    assert found.low > 0.97
    assert found.high < 1.03


def test_the_range_encloses_the_worst(tmp_path: Path) -> None:
    first, *others = servers()
    slow = [replace(one, whole_s=one.whole_s * 2) for one in first.timed]
    found = fit([replace(first, timed=tuple(slow)), *others], general_efficiency("vllm"))
    assert found.low < 0.9


def test_files_are_read_and_the_fit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for server in servers():
        entry = {
            "shape": server.model,
            "engine": "vllm",
            "board": "h200",
            "work": asdict(server.work),
            "timed": [asdict(one) for one in server.timed],
        }
        files.append(tmp_path / f"{server.model}.json")
        files[-1].write_text(json.dumps([entry]))
    monkeypatch.setattr("sys.argv", ["fit", *map(str, files)])
    main()
    said = capsys.readouterr().out
    assert "memory_share 0.7" in said
    assert "step_ms 2.1, request_ms" in said
    assert said.count("| small |") == said.count("| large |") == 11
