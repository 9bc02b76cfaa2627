"""How busy processes were between two moments."""

from __future__ import annotations

import pytest

from gpuslice.simulator.usage import UsageSample, busy_percent


def a_sample(taken_at_s: float, **cpu_s: float) -> UsageSample:
    return UsageSample(
        taken_at_s=taken_at_s, cpu_s={int(pid[1:]): used for pid, used in cpu_s.items()}
    )


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        (a_sample(0, p7=1.0), a_sample(10, p7=6.0), 25.0),
        (a_sample(0, p7=1.0), a_sample(10, p7=6.0, p8=5.0), 50.0),
        (a_sample(0, p7=1.0, p8=9.0), a_sample(10, p7=6.0), 25.0),
        (a_sample(0, p7=9.0), a_sample(10, p7=1.0), 0.0),
        (a_sample(0), a_sample(10, p7=100.0), 100.0),
        (a_sample(0), a_sample(10), 0.0),
        (a_sample(10, p7=1.0), a_sample(10, p7=2.0), 0.0),
        (a_sample(10, p7=1.0), a_sample(0, p7=2.0), 0.0),
    ],
    ids=[
        "one of two cores, half the time",
        "a process that came",
        "a process that went",
        "a pid used again",
        "never above all",
        "nobody",
        "no time between",
        "the wrong way round",
    ],
)
def test_busy_is_cpu_time_over_all_cores(
    before: UsageSample, after: UsageSample, busy: float
) -> None:
    assert busy_percent(before, after, cores=2) == pytest.approx(busy)
