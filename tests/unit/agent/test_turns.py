"""Servers on slices start side by side; those that share a device one after the other."""

from __future__ import annotations

from builders import a_launch
from gpuslice.agent.turns import take_turns
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch

ON_SLICES = tuple(a_launch(replica=ReplicaId("chat", n)) for n in range(3))
SHARING = tuple(a_launch(replica=ReplicaId("judge", n), shared_gpu="GPU-1") for n in range(3))
ELSEWHERE = a_launch(replica=ReplicaId("guard", 0), shared_gpu="GPU-2")
WANTED = (*ON_SLICES, *SHARING, ELSEWHERE)


def starting(
    *,
    alive: tuple[Launch, ...] = (),
    ready: tuple[Launch, ...] = (),
    waiting: tuple[Launch, ...] = (),
) -> list[Launch]:
    """Who starts now, of those that neither run nor wait for their next try."""
    alive_names = {launch.name for launch in (*alive, *ready)}
    ready_names = {launch.name for launch in ready}
    due = [w for w in WANTED if w.name not in alive_names and w not in waiting]
    return list(take_turns(due, WANTED, alive_names, ready_names))


def test_all_on_slices_start_at_once_and_one_for_each_shared_device() -> None:
    assert starting() == [*ON_SLICES, SHARING[0], ELSEWHERE]


def test_nobody_starts_on_a_device_where_one_is_starting() -> None:
    assert starting(alive=(*ON_SLICES, SHARING[0])) == [ELSEWHERE]


def test_the_next_starts_when_the_one_before_is_ready() -> None:
    assert starting(alive=(*ON_SLICES, ELSEWHERE), ready=SHARING[:1]) == [SHARING[1]]


def test_one_that_has_died_takes_its_turn_like_any_other() -> None:
    rest = (*ON_SLICES, ELSEWHERE)
    assert starting(alive=rest, ready=SHARING[1:]) == [SHARING[0]]
    assert starting(alive=(*rest, SHARING[2]), ready=(SHARING[1],)) == []


def test_one_that_keeps_ending_holds_up_nobody_behind_it() -> None:
    rest = (*ON_SLICES, ELSEWHERE)
    assert starting(alive=rest, waiting=SHARING[:1]) == [SHARING[1]]


def test_nobody_starts_where_nobody_is_due() -> None:
    assert starting(ready=WANTED) == []
    assert starting(waiting=WANTED) == []
