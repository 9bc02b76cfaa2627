"""One step of the loop, in every situation it can meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from builders import a_launch, a_worker, the_process_of
from gpuslice.agent.reconcile import (
    LONGEST_DELAY_S,
    STEADY_AFTER_S,
    Action,
    Attempts,
    Register,
    Seen,
    Start,
    Stop,
    Unregister,
    attempt,
    reconcile,
)
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, Role, ServerKey

NOW = 1_000_000.0
CHAT = a_launch()
CODER = a_launch(replica=ReplicaId("coder", 0), port=20002, slice_uuid="MIG-coder")
GATEWAY = a_launch(role=Role.GATEWAY, replica=None, port=8080, slice_uuid="")


def due(
    wanted: Sequence[Launch], seen: Seen, attempts: Mapping[ServerKey, Attempts] | None = None
) -> tuple[Action, ...]:
    return reconcile(wanted, seen, attempts or {}, NOW)


def started(count: int, *, ago_s: float) -> dict[ServerKey, Attempts]:
    return {CHAT.key: Attempts(count=count, last_started_at=NOW - ago_s)}


def test_nothing_is_done_when_everything_runs_as_wanted() -> None:
    seen = Seen(
        processes=(the_process_of(CHAT), the_process_of(GATEWAY)),
        ready=frozenset({CHAT.key, GATEWAY.key}),
        workers=(a_worker(url=CHAT.url),),
    )
    assert due((CHAT, GATEWAY), seen) == ()


def test_nothing_wanted_and_nothing_running_needs_nothing() -> None:
    assert due((), Seen(processes=())) == ()


def test_what_is_missing_is_started_in_the_order_it_is_wanted() -> None:
    seen = Seen(processes=(the_process_of(CHAT),))
    assert due((GATEWAY, CHAT, CODER), seen) == (Start(launch=GATEWAY), Start(launch=CODER))


def test_a_server_that_has_just_been_started_is_not_started_again_at_once() -> None:
    assert due((CHAT,), Seen(processes=()), started(1, ago_s=0.99)) == ()
    assert due((CHAT,), Seen(processes=()), started(1, ago_s=1.0)) == (Start(launch=CHAT),)


@pytest.mark.parametrize(
    ("count", "delay_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (7, 60.0), (400, 60.0)]
)
def test_the_wait_doubles_with_every_start_up_to_a_minute(count: int, delay_s: float) -> None:
    early, late = (started(count, ago_s=delay_s + by) for by in (-0.01, 0.0))
    assert due((CHAT,), Seen(processes=()), early) == ()
    assert due((CHAT,), Seen(processes=()), late) == (Start(launch=CHAT),)
    assert delay_s <= LONGEST_DELAY_S


def test_one_that_keeps_ending_does_not_hold_the_others_back() -> None:
    answer = due((CHAT, CODER), Seen(processes=()), started(5, ago_s=1.0))
    assert answer == (Start(launch=CODER),)


def test_starts_in_short_order_are_counted_and_one_after_a_steady_time_is_the_first() -> None:
    first = attempt(None, NOW)
    second = attempt(first, NOW + 5)
    assert (first.count, second.count) == (1, 2)
    assert attempt(second, NOW + 5 + STEADY_AFTER_S).count == 3
    assert attempt(second, NOW + 5 + STEADY_AFTER_S + 0.1) == Attempts(
        count=1, last_started_at=NOW + 5 + STEADY_AFTER_S + 0.1
    )


def test_a_changed_server_is_stopped_first_and_started_only_in_the_next_round() -> None:
    old = the_process_of(CHAT, config_hash="another")
    assert due((CHAT,), Seen(processes=(old,))) == (Stop(process=old),)
    assert due((CHAT,), Seen(processes=())) == (Start(launch=CHAT),)


def test_a_server_that_nobody_wants_is_stopped() -> None:
    other = the_process_of(a_launch(stack="other"))
    seen = Seen(processes=(the_process_of(CHAT), the_process_of(CODER), other))
    assert due((CHAT,), seen) == (Stop(process=the_process_of(CODER)), Stop(process=other))


def test_what_a_dead_leader_left_behind_is_stopped_and_started_anew_afterwards() -> None:
    rest = the_process_of(CHAT, headless=True)
    assert due((CHAT,), Seen(processes=(rest,))) == (Stop(process=rest),)


def test_stops_come_before_starts() -> None:
    actions = due((CHAT,), Seen(processes=(the_process_of(CODER),)))
    assert actions == (Stop(process=the_process_of(CODER)), Start(launch=CHAT))


def test_a_server_is_registered_at_the_gateway_only_once_it_is_ready() -> None:
    processes = (the_process_of(CHAT), the_process_of(GATEWAY))
    waiting = Seen(processes=processes, workers=())
    assert due((CHAT, GATEWAY), waiting) == ()
    ready = replace(waiting, ready=frozenset({CHAT.key, GATEWAY.key}))
    assert due((CHAT, GATEWAY), ready) == (Register(url=CHAT.url),)


def test_a_dead_server_stays_registered_while_it_is_wanted() -> None:
    seen = Seen(
        processes=(the_process_of(GATEWAY),), workers=(a_worker(url=CHAT.url, healthy=False),)
    )
    assert due((CHAT, GATEWAY), seen) == (Start(launch=CHAT),)


def test_a_worker_that_nobody_wants_is_unregistered() -> None:
    seen = Seen(
        processes=(the_process_of(CHAT), the_process_of(GATEWAY)),
        workers=(a_worker(url=CHAT.url), a_worker(id="old", url=CODER.url)),
    )
    assert due((CHAT, GATEWAY), seen) == (Unregister(worker_id="old"),)


def test_a_restarted_gateway_is_told_about_every_ready_server_again() -> None:
    seen = Seen(
        processes=(the_process_of(CHAT), the_process_of(CODER), the_process_of(GATEWAY)),
        ready=frozenset({CHAT.key, CODER.key, GATEWAY.key}),
        workers=(),
    )
    wanted = (CHAT, CODER, GATEWAY)
    assert due(wanted, seen) == (Register(url=CHAT.url), Register(url=CODER.url))


def test_a_gateway_that_cannot_be_asked_is_told_nothing() -> None:
    seen = Seen(
        processes=(the_process_of(CHAT), the_process_of(GATEWAY)),
        ready=frozenset({CHAT.key}),
        workers=None,
    )
    assert due((CHAT, GATEWAY), seen) == ()


def test_the_gateway_is_never_registered_at_itself() -> None:
    seen = Seen(processes=(the_process_of(GATEWAY),), ready=frozenset({GATEWAY.key}), workers=())
    assert due((GATEWAY,), seen) == ()


def test_the_order_of_what_is_seen_does_not_change_what_is_registered() -> None:
    processes = (the_process_of(CHAT), the_process_of(CODER), the_process_of(GATEWAY))
    workers = (a_worker(id="b", url="http://127.0.0.1:9"), a_worker(id="a", url="http://x:8"))
    seen = Seen(processes=processes, ready=frozenset({CHAT.key, CODER.key}), workers=workers)
    turned = replace(seen, workers=workers[::-1])
    wanted = (CHAT, CODER, GATEWAY)
    assert due(wanted, seen) == due(wanted, turned)
    assert len(due(wanted, seen)) == 4


def test_servers_that_share_a_device_start_one_after_the_other() -> None:
    first, second = (replace(launch, shared_gpu="GPU-1") for launch in (CHAT, CODER))
    assert due((first, second), Seen(processes=())) == (Start(launch=first),)
    starting = Seen(processes=(the_process_of(first),))
    assert due((first, second), starting) == ()
    ready = replace(starting, ready=frozenset({first.key}))
    assert due((first, second), ready) == (Start(launch=second),)


def test_nobody_starts_on_a_shared_device_beside_one_that_is_to_be_stopped() -> None:
    first, second = (replace(launch, shared_gpu="GPU-1") for launch in (CHAT, CODER))
    old = replace(the_process_of(first), config_hash="another")
    seen = Seen(processes=(old,), ready=frozenset({first.key}))
    assert due((first, second), seen) == (Stop(process=old),)
    on_slices = due((CHAT, CODER), seen)
    assert on_slices == (Stop(process=old), Start(launch=CODER))
