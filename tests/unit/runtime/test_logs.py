from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuslice.errors import RuntimeFailure
from gpuslice.runtime import logs as room
from gpuslice.runtime.clock import Clock
from gpuslice.runtime.logs import Logs

NAME = "gpuslice-assistants-chat-0"


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    monkeypatch.setattr(room, "ROTATE_AT_BYTES", 100)
    return Logs(folder=tmp_path / "logs", clock=Clock(sleep=lambda _seconds: None))


def write(logs: Logs, text: str) -> None:
    descriptor = logs.open_for_append(NAME)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def alive_for(turns: int) -> Iterator[bool]:
    yield from (True for _ in range(turns))
    while True:
        yield False


def test_log_is_readable_by_its_owner_only(logs: Logs) -> None:
    write(logs, "x\n")
    assert logs.file_of(NAME).stat().st_mode & 0o777 == 0o600
    assert logs.folder.stat().st_mode & 0o777 == 0o700


def test_log_that_was_open_to_others_is_closed_to_them(logs: Logs) -> None:
    write(logs, "x\n")
    logs.file_of(NAME).chmod(0o644)
    write(logs, "y\n")
    assert logs.file_of(NAME).stat().st_mode & 0o777 == 0o600


def test_link_in_place_of_a_log_is_refused(logs: Logs, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    logs.folder.mkdir()
    logs.file_of(NAME).symlink_to(victim)
    with pytest.raises(RuntimeFailure, match="cannot write the log"):
        logs.open_for_append(NAME)
    assert victim.read_text() == "precious"


def test_pipe_in_place_of_a_log_is_refused(logs: Logs) -> None:
    logs.folder.mkdir()
    os.mkfifo(logs.file_of(NAME))
    with pytest.raises(RuntimeFailure):
        logs.open_for_append(NAME)


@pytest.mark.parametrize("name", ["../record", "/etc/passwd", "", ".hidden", "a/b", "a\n"])
def test_name_cannot_lead_out_of_the_folder(logs: Logs, name: str) -> None:
    with pytest.raises(RuntimeFailure, match="not the name of a process"):
        logs.tail(name, lines=1)


def test_tail_of_a_process_that_never_was_is_empty(logs: Logs) -> None:
    assert logs.tail(NAME, lines=5) == ()


@pytest.mark.parametrize(("lines", "expected"), [(0, ()), (1, ("c",)), (2, ("b", "c"))])
def test_tail_gives_the_last_lines(logs: Logs, lines: int, expected: tuple[str, ...]) -> None:
    write(logs, "a\nb\nc\n")
    assert logs.tail(NAME, lines=lines) == expected


def test_tail_keeps_empty_and_unfinished_lines(logs: Logs) -> None:
    write(logs, "a\n\nunfinished")
    assert logs.tail(NAME, lines=3) == ("a", "", "unfinished")


def test_tail_reads_only_the_end_of_a_huge_log(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_TAIL_BYTES", 12)
    write(logs, "aaaaaaaaaa\nbbbb\ncccc\n")
    assert logs.tail(NAME, lines=5) == ("bbbb", "cccc")


def test_tail_cannot_drive_a_terminal(logs: Logs) -> None:
    write(logs, "\x1b[31mred\x1b[0m \x1b]0;title\x07and \x08plain\x9b\u202e\n 10%\r 99%\r\n\xff\n")
    assert logs.tail(NAME, lines=3) == ("red and plain", " 99%", "ÿ")


def test_tail_reaches_back_across_a_rotation(logs: Logs) -> None:
    write(logs, "old one\nold two\n" + "x" * 100 + "\n")
    logs.rotate()
    write(logs, "new\n")
    assert logs.tail(NAME, lines=2) == ("x" * 100, "new")


def test_small_log_is_not_rotated(logs: Logs) -> None:
    write(logs, "x" * 99)
    logs.rotate()
    assert [path.name for path in logs.folder.iterdir()] == [f"{NAME}.log"]


def test_three_old_logs_are_kept(logs: Logs) -> None:
    for turn in "abcde":
        write(logs, turn * 100)
        logs.rotate()
    old = [logs.folder / f"{NAME}.log.{number}" for number in (1, 2, 3)]
    assert [path.read_text()[0] for path in old] == ["e", "d", "c"]
    assert len(list(logs.folder.iterdir())) == 4
    assert {path.stat().st_mode & 0o777 for path in old} == {0o600}


def test_writer_goes_on_after_a_rotation(logs: Logs) -> None:
    descriptor = logs.open_for_append(NAME)
    os.write(descriptor, b"x" * 100)
    logs.rotate()
    os.write(descriptor, b"next\n")
    os.close(descriptor)
    assert logs.file_of(NAME).read_text() == "next\n"


def test_follow_starts_at_the_call(logs: Logs) -> None:
    write(logs, "before\n")
    turns = alive_for(1)
    lines = logs.follow(NAME, lambda: next(turns))
    write(logs, "after\nlast")
    assert list(lines) == ["after", "last"]


def test_follow_of_a_process_that_never_was_ends(logs: Logs) -> None:
    assert list(logs.follow(NAME, lambda: False)) == []


def test_follow_joins_a_line_that_came_in_two_pieces(logs: Logs) -> None:
    turns = alive_for(1)
    lines = logs.follow(NAME, lambda: next(turns))
    write(logs, "in two ")
    write(logs, "pieces\n")
    assert list(lines) == ["in two pieces"]


def test_follow_misses_nothing_across_a_rotation(logs: Logs) -> None:
    lines = logs.follow(NAME, lambda: False)
    write(logs, "one\n" + "x" * 100 + "\n")
    assert next(lines) == "one"
    write(logs, "two\n")
    logs.rotate()
    write(logs, "three\n")
    assert list(lines) == ["x" * 100, "two", "three"]
