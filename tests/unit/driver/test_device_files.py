from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from gpuslice.driver.device_files import find_openers

GPU0 = "/dev/nvidia0"


def a_process(proc: Path, pid: int, *files: str) -> Path:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / str(number)).symlink_to(file)
    return folder


def test_processes_are_found_by_the_files_they_have_open(tmp_path: Path) -> None:
    a_process(tmp_path, 30, "/dev/null", GPU0)
    a_process(tmp_path, 4, GPU0, GPU0)
    a_process(tmp_path, 5, "/dev/nvidia1", "/dev/nvidiactl", "socket:[1]")
    a_process(tmp_path, 6)
    (tmp_path / "self").mkdir()
    assert find_openers({GPU0}, proc=tmp_path).pids == (4, 30)


def test_this_process_is_not_its_own_obstacle(tmp_path: Path) -> None:
    a_process(tmp_path, os.getpid(), GPU0)
    assert find_openers({GPU0}, proc=tmp_path).pids == ()


def test_a_process_that_ended_meanwhile_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    found = find_openers({GPU0}, proc=tmp_path)
    assert (found.pids, found.hidden) == ((), 0)


def test_processes_that_show_nothing_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = a_process(tmp_path, 7, GPU0)
    a_process(tmp_path, 8, GPU0)
    real = os.scandir

    def scandir(path: Path) -> Iterator[os.DirEntry[str]]:
        if path == closed:  # root may look at everything, so a test cannot just change the mode
            raise PermissionError(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_openers({GPU0}, proc=tmp_path)
    assert (found.pids, found.hidden, found.complete) == ((8,), 1, True)


def test_a_search_that_takes_too_long_says_that_it_is_not_complete(tmp_path: Path) -> None:
    for pid in range(1, 10):
        a_process(tmp_path, pid, GPU0)
    ticks = count()
    found = find_openers({GPU0}, proc=tmp_path, limit_s=4, clock=lambda: next(ticks))
    assert not found.complete
    assert len(found.pids) == 3


def test_a_file_that_this_very_process_tree_has_open_is_found(tmp_path: Path) -> None:
    """The real /proc: a child holds a file of its own."""
    import subprocess
    import sys

    file = tmp_path / "nvidia0"
    file.touch()
    program = f"import sys; f = open({str(file)!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert find_openers({str(file)}, limit_s=60).pids == (child.pid,)
        child.communicate()
