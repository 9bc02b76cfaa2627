"""What a person is told of the servers: no more than is true, and a pause where there is one."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, with_slices
from gpuslice.agent.proposal import Restart
from gpuslice.cli.render.servers import servers_line, servers_view
from gpuslice.model.demand import ReplicaId
from gpuslice.model.plan import Fate, Plan, Unplaced
from proposals import a_planned, a_proposal, a_seat, a_server, on_new_slices
from terminal import screen

GPUS = (with_slices(a_board_gpu(), ("3g.40gb", 0), ("1g.10gb", 4)), a_board_gpu(index=1))
LARGE, SMALL = GPUS[0].slices


def shown(plan: Plan, *restarts: Restart) -> list[str]:
    """The lines, with single spaces."""
    text = screen(servers_view(a_proposal(plan, *GPUS, restarts=restarts)), columns=200)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def moving(*, pause: bool = False) -> Plan:
    """One server moves from GPU 0 to GPU 1."""
    plan = on_new_slices(a_planned(gpu=1))
    return replace(plan, servers=(a_server(Fate.MOVES, LARGE, pause=pause),))


def test_nothing_is_said_where_there_is_no_server() -> None:
    assert shown(Plan(gpus=(), seats=())) == []


def test_servers_that_stay_and_start_are_only_counted() -> None:
    plan = on_new_slices(a_planned(gpu=1), a_planned(gpu=1, start=4))
    stays = a_server(Fate.STAYS, LARGE, replica=2)
    assert shown(replace(plan, servers=(*plan.servers, stays))) == ["Servers: 1 stays, 2 start"]


def test_a_move_says_from_where_to_where_and_that_the_new_slice_comes_first() -> None:
    line, row, honestly = shown(moving())
    assert line == "Servers: 1 moves"
    assert row == (
        "chat/0 moves GPU 0 3g.40gb at 0:4 → GPU 1 3g.40gb at 0:4 "
        "its new slice is there before the old one goes"
    )
    assert honestly.startswith("A server that moves answers until its new one is ready;")


def test_a_model_of_which_everybody_pauses_is_named() -> None:
    assert shown(moving(pause=True))[-1] == "In between nobody answers for: chat."


def test_while_a_replica_stays_its_model_goes_on_answering() -> None:
    plan = moving(pause=True)
    stays = a_server(Fate.STAYS, SMALL, replica=1)
    lines = shown(replace(plan, servers=(*plan.servers, stays)))
    assert not [line for line in lines if line.startswith("In between")]


def test_a_pause_that_cannot_be_avoided_is_declared() -> None:
    line, row, *_ = shown(moving(pause=True))
    assert line == "Servers: 1 moves; 1 with a pause that is unavoidable"
    assert row.endswith("its old slice has to go before the new one can come")


def test_a_move_to_a_slice_that_exists_says_so() -> None:
    plan = Plan(gpus=(), seats=(a_seat(SMALL),), servers=(a_server(Fate.MOVES, LARGE),))
    assert shown(plan)[1].endswith("its new slice is there already")


def test_a_server_that_has_to_make_way_for_another_pauses_too() -> None:
    moves = (a_server(Fate.MOVES, LARGE, pause=True),)
    plan = Plan(gpus=(), seats=(a_seat(SMALL),), servers=moves)
    assert shown(plan)[1].endswith("it has to make way for another server first")


def test_a_server_that_stops_says_whether_it_is_unwanted_or_found_no_slice() -> None:
    stops = tuple(a_server(Fate.STOPS, SMALL, replica=n) for n in range(2))
    left = (Unplaced(replica=ReplicaId("chat", 1), reason="no room"),)
    line, first, second = shown(Plan(gpus=(), seats=(), servers=stops, unplaced=left))
    assert line == "Servers: 2 stop"
    assert first == "chat/0 stops GPU 0 1g.10gb at 4:1 no longer asked for"
    assert second == "chat/1 stops GPU 0 1g.10gb at 4:1 finds no slice"


def test_a_server_that_is_replaced_where_it_sits_is_declared_with_the_reason() -> None:
    servers = tuple(a_server(Fate.STAYS, LARGE, replica=n) for n in range(2))
    plan = Plan(gpus=(), seats=(a_seat(LARGE),), servers=servers)
    restart = Restart(replica=ReplicaId("chat", 0), why="args changed")
    line, row, honestly = shown(plan, restart)
    assert line == "Servers: 1 stays, 1 restarts"
    assert row == (
        "chat/0 restarts GPU 0 3g.40gb at 0:4 args changed; it does not answer meanwhile"
    )
    assert "one that pauses or restarts leaves when all others are ready" in honestly
    both = (restart, Restart(replica=ReplicaId("chat", 1), why="args changed"))
    assert "nobody answers" not in shown(plan, *both)[-1], "they take turns"
    alone = Plan(gpus=(), seats=(a_seat(LARGE),), servers=servers[:1])
    assert shown(alone, restart)[-1] == "In between nobody answers for: chat."


def test_a_gateway_that_restarts_is_declared() -> None:
    plan = Plan(gpus=(), seats=(), servers=(a_server(Fate.STAYS, LARGE),))
    assert shown(plan, Restart(replica=None, why="its address changed"))[-1] == (
        "The gateway restarts: its address changed; nobody is answered until it is back."
    )


def test_many_moves_are_counted_and_the_first_few_named() -> None:
    stops = tuple(a_server(Fate.STOPS, SMALL, replica=n) for n in range(2000))
    lines = shown(Plan(gpus=(), seats=(), servers=stops))
    assert lines[0] == "Servers: 2,000 stop"
    assert len(lines) == 1 + 12 + 1
    assert lines[-1] == "… and 1,988 more (--json has all)"


def test_the_line_for_a_report_has_every_fate() -> None:
    servers = (
        a_server(Fate.STAYS, LARGE),
        a_server(Fate.STARTS, replica=1),
        *(a_server(Fate.MOVES, SMALL, replica=n, pause=True) for n in (2, 3)),
        a_server(Fate.STOPS, SMALL, replica=4),
    )
    line = servers_line(a_proposal(Plan(gpus=(), seats=(), servers=servers), *GPUS))
    assert line == (
        "Servers: 1 stays, 1 starts, 2 move, 1 stops; 2 with a pause that is unavoidable"
    )
