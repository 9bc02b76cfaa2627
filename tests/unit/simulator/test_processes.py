"""Which processes use a device, read from a made-up ``/proc`` and from the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuslice.simulator.processes import bound_processes, process_name

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def an_entry(
    proc: Path,
    pid: int,
    environment: bytes,
    *,
    pages: int = 10,
    name: str = "python",
    ticks: int = 0,
) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "environ").write_bytes(environment)
    (folder / "statm").write_text(f"9999 {pages} 1 1 0 1 0\n")
    before = " ".join(["0"] * 10)
    (folder / "stat").write_text(f"{pid} ({name}) S {before} {ticks} {ticks} 0 0\n")
    (folder / "cmdline").write_bytes(b"/usr/bin/server\0--port\0001\0")


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        (b"CUDA_VISIBLE_DEVICES=MIG-a\0HOME=/", {"MIG-a"}),
        (b"HOME=/\0NVIDIA_VISIBLE_DEVICES=MIG-a\0", {"MIG-a"}),
        (b"CUDA_VISIBLE_DEVICES=GPU-b, MIG-a\0", {"GPU-b", "MIG-a"}),
        (b"CUDA_VISIBLE_DEVICES=0\0NVIDIA_VISIBLE_DEVICES=all", {"0", "all"}),
    ],
)
def test_devices_are_the_elements_of_the_variables(
    tmp_path: Path, environment: bytes, devices: set[str]
) -> None:
    an_entry(tmp_path, 7, environment)

    (found,) = bound_processes(tmp_path)

    assert found.devices == devices


@pytest.mark.parametrize(
    "environment",
    [b"", b"HOME=/\0", b"CUDA_VISIBLE_DEVICES=\0", b"MY_CUDA_VISIBLE_DEVICES=MIG-a\0"],
    ids=["zombie or kernel", "names nothing", "names none", "another variable"],
)
def test_processes_that_name_no_device_are_left_out(tmp_path: Path, environment: bytes) -> None:
    an_entry(tmp_path, 7, environment)

    assert bound_processes(tmp_path) == ()


def test_memory_and_cpu_time_are_read_behind_any_name(tmp_path: Path) -> None:
    an_entry(tmp_path, 7, b"CUDA_VISIBLE_DEVICES=x", pages=5, name="a) S (b 1 2", ticks=TICKS_PER_S)

    (found,) = bound_processes(tmp_path)

    assert found.resident_bytes == 5 * PAGE_BYTES
    assert found.cpu_s == pytest.approx(2.0)


def test_a_process_that_ends_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    an_entry(tmp_path, 7, b"CUDA_VISIBLE_DEVICES=x")
    an_entry(tmp_path, 8, b"CUDA_VISIBLE_DEVICES=y")
    (tmp_path / "7" / "statm").unlink()
    (tmp_path / "self").mkdir()

    assert [process.pid for process in bound_processes(tmp_path)] == [8]


def test_the_name_is_the_program(tmp_path: Path) -> None:
    an_entry(tmp_path, 7, b"")

    assert process_name(7, tmp_path) == "/usr/bin/server"
    with pytest.raises(ProcessLookupError):
        process_name(8, tmp_path)


def test_a_real_process_is_found_with_its_memory_until_it_ends() -> None:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "MIG-a-real-one"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.readline()
        found = [p for p in bound_processes() if "MIG-a-real-one" in p.devices]
        server.stdin.write("\n")

    assert [process.pid for process in found] == [server.pid]
    assert found[0].resident_bytes > 1024 * 1024
    assert all("MIG-a-real-one" not in process.devices for process in bound_processes())
