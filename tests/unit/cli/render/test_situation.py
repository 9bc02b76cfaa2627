"""What ``ps`` shows: servers, endpoint, and every note that a person needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import (
    a_board_gpu,
    a_desired,
    a_launch,
    a_record,
    a_running_server,
    an_observed,
    owned,
    with_slices,
)
from gpuslice.agent.situation import ServerLine, Situation
from gpuslice.agent.status import AgentStatus
from gpuslice.cli.render.situation import duration, situation_json, situation_view
from gpuslice.model.gpu import SliceUse
from gpuslice.model.server import Role
from terminal import screen

GPU = with_slices(a_board_gpu(), ("2g.20gb", 0))
(SLICE,) = GPU.slices
GATEWAY = a_running_server(name="gpuslice-assistants-gateway", role=Role.GATEWAY, pid=4712)


def a_line(**changes: Any) -> ServerLine:
    """A ready server that uses an eighth of its slice."""
    line = ServerLine(
        launch=a_launch(),
        process=a_running_server(),
        gpu=GPU,
        slice=SLICE,
        use=SliceUse(used_mib=2496, total_mib=19968),
        ready=True,
        restarts=0,
    )
    return replace(line, **changes)


def a_situation(*servers: ServerLine, **changes: Any) -> Situation:
    """A stack whose gateway and agent are well."""
    situation = Situation(
        observed=an_observed(GPU, simulated=True),
        record=a_record(owned(SLICE, "chat")),
        servers=servers or (a_line(),),
        gateway=GATEWAY,
        gateway_ready=True,
        missing=(),
        agent=AgentStatus(pid=4713, stack="assistants"),
        edited=False,
        interrupted=False,
    )
    return replace(situation, **changes)


def cells(situation: Situation) -> list[str]:
    """The cells of the first server's row."""
    text = screen(situation_view(situation))
    return next(line.split() for line in text.splitlines() if "chat/0" in line)


def test_a_ready_server_shows_slice_memory_port_and_pid() -> None:
    row = cells(a_situation())
    assert row[:8] == ["chat/0", "ready", "2g.20gb@0:2", "0", "2,496", "/", "19,968", "20001"]
    assert row[8] == "4711"


@pytest.mark.parametrize(
    ("changes", "state"),
    [({}, "ready"), ({"ready": False}, "starting"), ({"process": None, "ready": False}, "down")],
)
def test_the_state_is_that_of_process_and_health(changes: dict[str, Any], state: str) -> None:
    line = a_line(**changes)
    assert cells(a_situation(line))[1] == state
    assert situation_json(a_situation(line))["servers"][0]["state"] == state


def test_what_is_not_known_is_not_shown_as_zero() -> None:
    row = cells(a_situation(a_line(process=None, use=None, restarts=3)))
    assert row[4:] == ["?", "/", "19,968", "20001", "–", "–", "3"]


def test_the_endpoint_shows_with_its_state() -> None:
    url = "gateway http://127.0.0.1:8080/v1"
    assert f"{url} ready (pid 4712)" in screen(situation_view(a_situation()))
    starting = a_situation(gateway_ready=False)
    assert f"{url} starting (pid 4712)" in screen(situation_view(starting))
    down = a_situation(gateway=None, gateway_ready=False)
    assert f"{url} down\n" in screen(situation_view(down)) + "\n"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"agent": None}, "The agent is not running: nothing restarts a server that ends."),
        ({"agent": AgentStatus(pid=1, changing="taking down")}, "The agent is taking down."),
        ({"edited": True}, "The stack file has been edited since: gpuslice plan shows"),
        ({"interrupted": True}, "A change was interrupted: the next up or down undoes it first."),
        ({"missing": (owned(SLICE, "old"),)}, "The slice of old/0 has gone: gpuslice up makes it"),
    ],
)
def test_each_trouble_has_a_note_that_says_what_to_do(changes: dict[str, Any], note: str) -> None:
    assert note in screen(situation_view(a_situation(**changes)))
    assert note not in screen(situation_view(a_situation()))


def test_json_names_containers_for_dockers_own_tools() -> None:
    inside = a_situation(
        a_line(process=a_running_server(container="3f2a")), gateway=replace(GATEWAY, container="4e")
    )
    found = situation_json(inside)
    assert (found["servers"][0]["container"], found["gateway"]["container"]) == ("3f2a", "4e")


def test_without_a_stack_it_says_how_to_start_one_and_tells_of_an_interrupted_change() -> None:
    idle = a_situation(record=a_record(desired=None), servers=(), gateway=None, interrupted=True)
    text = screen(situation_view(idle))
    assert "No stack is running. Start one: gpuslice up" in text
    assert "A change was interrupted" in text


def test_json_has_everything_a_script_asks_for() -> None:
    found = situation_json(a_situation(missing=(owned(SLICE, "old"),)))
    assert found == {
        "simulated": True,
        "stack": "assistants",
        "servers": [
            {
                "model": "chat",
                "replica": 0,
                "state": "ready",
                "gpu": 0,
                "gpu_uuid": GPU.uuid,
                "slice": "2g.20gb",
                "slice_uuid": SLICE.uuid,
                "placement": "0:2",
                "used_mib": 2496,
                "total_mib": 19968,
                "url": "http://127.0.0.1:20001",
                "pid": 4711,
                "container": None,
                "restarts": 0,
            }
        ],
        "gateway": {
            "url": "http://127.0.0.1:8080/v1",
            "ready": True,
            "pid": 4712,
            "container": None,
        },
        "agent": {"pid": 4713},
        "missing_slices": ["old/0"],
        "stack_file_edited": False,
        "change_interrupted": False,
    }


def test_json_of_an_idle_machine_has_the_same_keys() -> None:
    idle = a_situation(record=a_record(desired=None), gateway=None, agent=None)
    found = situation_json(replace(idle, servers=()))
    assert found.keys() == situation_json(a_situation()).keys()
    assert (found["stack"], found["gateway"], found["agent"]) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (2 * 3600 + 5 * 60, "2 h 5 min"),
        (3 * 86400 + 4 * 3600 + 59 * 60, "3 d 4 h"),
    ],
)
def test_a_time_is_said_in_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_desired_gateway_is_the_one_shown() -> None:
    other = a_desired(gateway=replace(a_desired().gateway, host="0.0.0.0", port=9000))
    situation = a_situation(record=a_record(desired=other))
    assert "http://0.0.0.0:9000/v1" in screen(situation_view(situation))
