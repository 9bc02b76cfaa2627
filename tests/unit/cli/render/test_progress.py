"""Progress in a pipe: one line for each thing done, and waiting said once; and long thinking."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from builders import wait_until
from gpuslice.cli.render import progress
from gpuslice.cli.render.progress import Progress, Thinking
from gpuslice.model.event import Event, EventKind
from terminal import Terminal


def shown(
    capsys: pytest.CaptureFixture[str], *events: Event, show_commands: bool = False
) -> list[str]:
    with Progress(show_commands=show_commands) as progress:
        for event in events:
            progress.show(event)
    out, err = capsys.readouterr()
    assert out == "", "progress is no answer"
    return [line.rstrip() for line in err.splitlines()]


def an_event(kind: EventKind, text: str = "create 2g.20gb", by_hand: str = "") -> Event:
    return Event(kind=kind, text=text, by_hand=by_hand)


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        (EventKind.STEP, "•"),
        (EventKind.DONE, "✓"),
        (EventKind.NOTE, "i"),
        (EventKind.UNDO, "↩"),
        (EventKind.READY, "✓"),
    ],
)
def test_every_kind_of_event_has_its_sign(
    terminal: Terminal, capsys: pytest.CaptureFixture[str], kind: EventKind, sign: str
) -> None:
    assert shown(capsys, an_event(kind)) == [f"{sign} create 2g.20gb"]


def test_the_command_a_person_would_have_typed_shows_only_when_asked_for(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    step = an_event(EventKind.STEP, by_hand="nvidia-smi mig -i 0 -cgi 14:0 -C")
    assert shown(capsys, step) == ["• create 2g.20gb"]
    assert shown(capsys, step, show_commands=True) == [
        "• create 2g.20gb",
        "  $ nvidia-smi mig -i 0 -cgi 14:0 -C",
    ]


def test_waiting_is_said_once_for_as_long_as_nothing_changes(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = [an_event(EventKind.WAIT, text) for text in ("loading", "loading", "nearly")]
    assert shown(capsys, *waits) == ["… loading", "… nearly"]


def test_markup_in_a_server_s_words_is_shown_as_it_is(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, an_event(EventKind.NOTE, "[red]x[/]")) == ["i [red]x[/]"]


@pytest.fixture
def screen_of_errors(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error as a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress, "err", lambda: console)
    assert isinstance(console.file, io.StringIO)
    return console.file


def test_long_thinking_says_what_is_going_on(screen_of_errors: io.StringIO) -> None:
    with Thinking(after_s=0) as thinking:
        thinking.tell("planning 40 replicas on 9 GPUs")
        wait_until(lambda: "planning 40 replicas" in screen_of_errors.getvalue())


def test_thinking_that_is_soon_over_says_nothing(screen_of_errors: io.StringIO) -> None:
    with Thinking(after_s=600) as thinking:
        thinking.tell("planning")
    assert screen_of_errors.getvalue() == ""


def test_thinking_for_a_script_says_nothing(screen_of_errors: io.StringIO) -> None:
    with Thinking(quiet=True, after_s=0) as thinking:
        thinking.tell("planning")
    assert screen_of_errors.getvalue() == ""


def test_thinking_into_a_pipe_says_nothing(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with Thinking(after_s=0) as thinking:
        thinking.tell("planning")
    assert capsys.readouterr() == ("", "")
