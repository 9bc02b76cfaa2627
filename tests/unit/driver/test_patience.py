from __future__ import annotations

import pytest

from gpuslice.driver.patience import Patience
from gpuslice.errors import DriverError, GpuBusyError


class Attempt:
    """Fails a number of times, then answers."""

    def __init__(self, *errors: DriverError) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_pauses_double_up_to_the_longest_and_sum_to_the_limit() -> None:
    patience = Patience(limit_s=4.0, first_s=0.5, longest_s=1.5)
    assert list(patience.pauses()) == [0.5, 1.0, 1.5, 1.0]


def test_transient_in_use_is_waited_out() -> None:
    slept: list[float] = []
    patience = Patience(first_s=0.1, sleep=slept.append)
    assert patience.retry(Attempt(GpuBusyError("1"), GpuBusyError("2"))) == "done"
    assert slept == [0.1, 0.2]


def test_patience_ends_with_the_last_failure() -> None:
    slept: list[float] = []
    patience = Patience(limit_s=0.3, first_s=0.1, sleep=slept.append)
    with pytest.raises(GpuBusyError, match="the last"):
        patience.retry(Attempt(*[GpuBusyError("again")] * 2, GpuBusyError("the last")))
    assert sum(slept) == pytest.approx(0.3)


def test_other_failures_are_not_repeated() -> None:
    slept: list[float] = []
    with pytest.raises(DriverError, match="broken"):
        Patience(sleep=slept.append).retry(Attempt(DriverError("broken")))
    assert slept == []
