from __future__ import annotations

from gpuslice.gateway.client import Worker
from gpuslice.gateway.sync import WorkerChanges, worker_changes

ONE, TWO, THREE = (f"http://127.0.0.1:2000{number}" for number in (1, 2, 3))


def a_worker(id_: str, url: str, *, healthy: bool = True) -> Worker:
    return Worker(id=id_, url=url, model="chat", healthy=healthy)


def test_nothing_changes_when_the_gateway_knows_all_servers() -> None:
    workers = [a_worker("w1", ONE), a_worker("w2", TWO)]
    assert worker_changes(workers, {ONE, TWO}) == WorkerChanges()


def test_new_servers_are_added_and_old_ones_removed() -> None:
    changes = worker_changes([a_worker("w1", ONE), a_worker("w2", TWO)], [THREE, TWO])
    assert changes == WorkerChanges(add=(THREE,), remove=("w1",))


def test_unhealthy_worker_is_left_to_the_gateway() -> None:
    assert worker_changes([a_worker("w1", ONE, healthy=False)], {ONE}) == WorkerChanges()


def test_worker_that_is_there_twice_stays_once() -> None:
    workers = [a_worker("w1", ONE), a_worker("w2", ONE)]
    assert worker_changes(workers, {ONE}) == WorkerChanges(remove=("w2",))


def test_without_servers_all_go() -> None:
    assert worker_changes([a_worker("w2", TWO), a_worker("w1", ONE)], ()) == WorkerChanges(
        remove=("w1", "w2")
    )
