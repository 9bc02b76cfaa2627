"""The other end of the socket: an agent that is not there, far away in the tree, or hangs up."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gpuslice.agent.__main__ import _listen, make_private
from gpuslice.agent.client import (
    AgentClient,
    agent_holds,
    coming_agent,
    event_from_json,
    event_to_json,
)
from gpuslice.errors import AgentError, NoRoomError, RecordError
from gpuslice.model.event import Event, EventKind
from gpuslice.model.machine import Machine
from machines import a_machine


def test_an_agent_that_is_not_needed_after_all_is_sent_away(tmp_path: Path) -> None:
    machine = a_machine(tmp_path)
    with pytest.raises(NoRoomError), coming_agent(machine):
        raise NoRoomError("Nothing fits.")
    assert not agent_holds(machine)
    assert "agent has left" in machine.agent_log.read_text()


def test_where_no_agent_is_there_is_no_status(tmp_path: Path) -> None:
    assert AgentClient(Machine(root=tmp_path / "nowhere")).status() is None


def test_an_agent_behind_a_path_longer_than_a_socket_may_have_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 20) / ("longer-" * 10)
    machine = Machine(root=folder)
    make_private(machine.root)
    assert len(str(machine.socket_file)) > 107
    with _listen(machine) as listening:
        asked = threading.Thread(target=AgentClient(machine).status)
        asked.start()
        listening.settimeout(20)
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(100).startswith(b"GET /v1/status")
        asked.join()


def test_an_agent_that_goes_away_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    machine = Machine(root=tmp_path / "host")
    make_private(machine.root)
    with _listen(machine) as listening:
        listening.settimeout(20)

        def hang_up() -> None:
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"}"):  # what is left unread would cut the answer short
                    asked += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"kind": "note", "text": "a"}\n')

        thread = threading.Thread(target=hang_up)
        thread.start()
        events = AgentClient(machine).events("/v1/down", {"slices": False, "mig_off": False})
        assert next(events).text == "a"
        with pytest.raises(AgentError, match="went away") as caught:
            next(events)
        thread.join()
    assert "agent.log" in caught.value.hint


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "host").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="is a link"):
        make_private(tmp_path / "host")


def test_an_event_comes_out_of_the_stream_as_it_went_in() -> None:
    event = Event(
        kind=EventKind.ERROR,
        text="größer\nthan a line",
        code="no-room",
        exit_status=4,
        hint="Try less.",
        details=("one", "two"),
    )
    line = event_to_json(event)
    assert line.count(b"\n") == 1
    assert event_from_json(line) == event
    assert event_from_json(event_to_json(Event(kind=EventKind.END, text=""))).text == ""
