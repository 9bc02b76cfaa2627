from __future__ import annotations

from gpuslice.runtime.clock import Clock


class Hands:
    """A clock whose time passes only in `sleep`."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.pauses.append(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(elapsed=lambda: self.elapsed_s, sleep=self.sleep)


def test_pauses_grow_and_end_exactly_at_the_deadline() -> None:
    hands = Hands()
    looks = sum(1 for _ in hands.clock.until(1.0, first_s=0.2, most_s=0.4))
    assert hands.pauses == [0.2, 0.2 * 1.5, 0.4, 1.0 - 0.2 - 0.2 * 1.5 - 0.4]
    assert looks == len(hands.pauses) + 1


def test_one_look_is_taken_without_any_time() -> None:
    hands = Hands()
    assert list(hands.clock.until(0)) == [None]
    assert hands.pauses == []
