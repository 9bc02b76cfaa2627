from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders import a_launch, wait_until
from gpuslice.errors import EngineMissingError, RuntimeFailure
from gpuslice.model.demand import ReplicaId
from gpuslice.model.machine import Machine
from gpuslice.model.server import Role
from gpuslice.runtime import process
from gpuslice.runtime.clock import Clock
from gpuslice.runtime.process import ProcessRuntime
from gpuslice.runtime.procfs import identify, list_pids

STUBBORN = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")


def wrote(runtime: ProcessRuntime, name: str, line: str) -> None:
    wait_until(lambda: line in runtime.tail(name))


def child_of(runtime: ProcessRuntime, name: str) -> int:
    """The pid in the line ``child PID`` that a test's server writes."""
    wait_until(lambda: runtime.tail(name, lines=1)[0].startswith("child "))
    return int(runtime.tail(name, lines=1)[0].split()[1])


def zombies_of_ours() -> set[int]:
    """Children that have ended and wait for us; other tests of this process may have left some."""

    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in children if state(int(pid)) == "Z"}


def test_started_server_is_found_with_everything_it_was_started_with(
    runtime: ProcessRuntime,
) -> None:
    launch = a_launch(port=20007, host="127.0.0.1")
    started = runtime.start(launch)
    assert runtime.list() == (started,)
    assert started.name == "gpuslice-assistants-chat-0"
    assert (started.port, started.slice_uuid) == (20007, launch.slice_uuid)
    assert started.config_hash == launch.config_hash
    assert not started.headless


def test_servers_are_listed_by_name_and_by_stack(runtime: ProcessRuntime) -> None:
    runtime.start(a_launch(replica=ReplicaId("chat", 1)))
    runtime.start(a_launch(replica=ReplicaId("chat", 0)))
    runtime.start(a_launch(stack="other", role=Role.GATEWAY, replica=None))
    assert [server.name for server in runtime.list()] == [
        "gpuslice-assistants-chat-0",
        "gpuslice-assistants-chat-1",
        "gpuslice-other-gateway",
    ]
    assert [server.role for server in runtime.list("other")] == [Role.GATEWAY]
    assert runtime.list("nobody") == ()


def test_another_runtime_on_the_same_machine_finds_and_stops_it(
    runtime: ProcessRuntime, machine: Machine
) -> None:
    started = runtime.start(a_launch("sh", "-c", "echo hello; exec sleep 60"))
    after_a_crash = ProcessRuntime(machine)
    assert after_a_crash.list() == (started,)
    wrote(after_a_crash, started.name, "hello")
    after_a_crash.stop(started)
    assert after_a_crash.list() == ()


def test_machine_is_the_same_through_a_link(
    runtime: ProcessRuntime, machine: Machine, tmp_path: Path
) -> None:
    started = runtime.start(a_launch())
    (tmp_path / "link").symlink_to(machine.root)
    assert ProcessRuntime(Machine(root=tmp_path / "link")).list() == (started,)


def test_servers_of_another_machine_are_not_ours(runtime: ProcessRuntime, tmp_path: Path) -> None:
    runtime.start(a_launch())
    assert ProcessRuntime(Machine(root=tmp_path / "sim-a100-80gb")).list() == ()


def test_a_name_that_is_alive_is_not_started_twice(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch())
    with pytest.raises(RuntimeFailure, match=f"running already, pid {started.pid}"):
        runtime.start(a_launch())


def test_one_name_lives_on_two_slices_and_each_is_found_and_stopped_by_itself(
    runtime: ProcessRuntime,
) -> None:
    old = runtime.start(a_launch())
    new = runtime.start(a_launch(slice_uuid="MIG-new", port=20002, config_hash="fedcba9876543210"))
    assert old.key != new.key
    assert old.name == new.name
    assert set(runtime.list()) == {old, new}
    runtime.stop(old)
    assert runtime.list() == (new,)


SAYING = (
    "import sys, time; [print(sys.argv[1], flush=True) or time.sleep(0.01) for _ in range(6000)]"
)


@pytest.mark.parametrize("stays", ["old", "new"])
def test_while_two_live_the_log_is_that_of_the_new_one_and_afterwards_of_the_one_that_is_left(
    runtime: ProcessRuntime, stays: str
) -> None:
    def last() -> tuple[str, ...]:
        return runtime.tail(old.name, lines=1)

    old = runtime.start(a_launch(sys.executable, "-c", SAYING, "old"))
    wait_until(lambda: last() == ("old",))
    new = runtime.start(a_launch(sys.executable, "-c", SAYING, "new", slice_uuid="MIG-new"))
    wait_until(lambda: last() == ("new",))
    assert "old" not in runtime.tail(old.name, lines=10)[1:]

    runtime.stop(new if stays == "old" else old)

    wait_until(lambda: last() == (stays,))
    assert {"old", "new"} <= set(runtime.tail(old.name, lines=100_000))
    runtime.stop_all(runtime.list())
    assert last() == (stays,)


def test_server_leads_a_session_of_its_own(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch())
    process = identify(started.pid)
    assert process is not None
    assert process.session == started.pid != os.getsid(0)


def test_missing_program_says_what_to_install(runtime: ProcessRuntime) -> None:
    with pytest.raises(EngineMissingError) as caught:
        runtime.start(a_launch("vllm-that-is-not-there", "serve"))
    assert "needs the program 'vllm-that-is-not-there', which is not installed" in str(caught.value)
    assert "install vllm-that-is-not-there" in caught.value.hint
    assert runtime.list() == ()


def test_program_that_may_not_be_executed_is_named(runtime: ProcessRuntime, tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(EngineMissingError, match="may not be executed"):
        runtime.start(a_launch(str(program)))


def test_server_that_exits_at_once_is_gone_and_its_log_is_there(runtime: ProcessRuntime) -> None:
    before = zombies_of_ours()
    started = runtime.start(a_launch("sh", "-c", "echo no memory >&2; exit 3"))
    wait_until(lambda: runtime.list() == ())
    first, last = runtime.tail(started.name)
    assert first.endswith("gpuslice starts sh -c 'echo no memory >&2; exit 3'")
    assert last == "no memory"
    assert zombies_of_ours() <= before


def test_stop_asks_first(runtime: ProcessRuntime) -> None:
    polite = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    started = runtime.start(a_launch("sh", "-c", polite))
    wrote(runtime, started.name, "up")
    runtime.stop(started)
    assert runtime.tail(started.name, lines=1) == ("asked",)


def test_server_that_ignores_being_asked_is_killed(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch(*STUBBORN))
    wrote(runtime, started.name, "deaf")
    runtime.stop(started, grace_s=0.1)
    assert runtime.list() == ()
    assert identify(started.pid) is None


def test_nothing_is_left_to_reap_after_a_stop(runtime: ProcessRuntime) -> None:
    before = zombies_of_ours()
    runtime.stop(runtime.start(a_launch()))
    assert zombies_of_ours() <= before


def test_stopping_twice_is_fine(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch())
    runtime.stop(started)
    runtime.stop(started)


def test_grandchildren_end_with_their_server(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch("sh", "-c", "sleep 60 & echo child $!; wait"))
    child = child_of(runtime, started.name)
    runtime.stop(started)
    assert identify(child) is None


def test_grandchildren_in_a_session_of_their_own_end_too(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch("sh", "-c", "setsid sleep 60 & echo up; wait"))
    wrote(runtime, started.name, "up")
    wait_until(lambda: len(pids_marked(runtime, started.pid)) == 2)
    stray = next(pid for pid in pids_marked(runtime, started.pid) if pid != started.pid)
    runtime.stop(started)
    assert identify(stray) is None


def pids_marked(runtime: ProcessRuntime, leader: int) -> list[int]:
    """The leader and its direct children."""
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    return [leader, *map(int, children)]


def test_grandchildren_that_cleared_their_environment_end_too(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch("sh", "-c", "env -i sleep 60 & echo child $!; wait"))
    child = child_of(runtime, started.name)
    runtime.stop(started)
    assert identify(child) is None


def test_what_is_left_of_a_group_is_found_and_stopped(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch("sh", "-c", "sleep 60 & echo child $!; wait"))
    child = child_of(runtime, started.name)
    os.kill(started.pid, signal.SIGKILL)
    wait_until(lambda: identify(started.pid) is None)
    (left,) = runtime.list()
    assert (left.name, left.pid, left.headless) == (started.name, child, True)
    with pytest.raises(RuntimeFailure, match="running already"):
        runtime.start(a_launch())
    runtime.stop(left)
    assert identify(child) is None


def test_several_are_stopped_side_by_side(runtime: ProcessRuntime) -> None:
    servers = tuple(
        runtime.start(a_launch(*STUBBORN, replica=ReplicaId("chat", number))) for number in range(3)
    )
    for server in servers:
        wrote(runtime, server.name, "deaf")
    runtime.stop_all(servers, grace_s=0.1)
    assert runtime.list() == ()


def test_what_cannot_be_killed_is_named(
    runtime: ProcessRuntime, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = runtime.start(a_launch())
    seconds = itertools.count()
    hasty = Clock(elapsed=lambda: float(next(seconds)), sleep=lambda _seconds: None)
    with monkeypatch.context() as stuck:
        stuck.setattr(process, "send_signal", lambda *_: None)  # as in a driver call that hangs
        with pytest.raises(RuntimeFailure, match=f"processes {started.pid} outlive") as caught:
            ProcessRuntime(machine, clock=hasty).stop(started)
    assert f"-p {started.pid}" in caught.value.hint


def test_an_older_life_of_a_name_does_not_stop_the_newer_one(runtime: ProcessRuntime) -> None:
    older = runtime.start(a_launch())
    runtime.stop(older)
    newer = runtime.start(a_launch())
    runtime.stop(older)
    assert runtime.list() == (newer,)


def test_a_marker_exported_in_a_shell_does_not_make_the_shell_a_server(
    runtime: ProcessRuntime, machine: Machine
) -> None:
    started = runtime.start(a_launch())
    environ = Path(f"/proc/{started.pid}/environ")
    wait_until(lambda: b"GPUSLICE_" in environ.read_bytes())  # empty in the middle of execve
    marker = environ.read_bytes().decode().split("\0")
    exported = dict(entry.split("=", 1) for entry in marker if entry.startswith("GPUSLICE_"))
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'], env=eval(sys.argv[1]))\n"
        "print(child.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, repr(exported | {"PATH": os.environ["PATH"]})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        assert shell.stdout is not None
        marked = int(shell.stdout.readline())
        runtime.stop(started)
        assert identify(marked) is None
        assert shell.poll() is None
        shell.communicate(b"\n")


def test_only_a_small_environment_is_inherited(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "hunter2")
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("GPUSLICE_STACK", "somebody-else")
    launch = a_launch("sh", "-c", "env; exec sleep 60", environment=(("MINE", "1"),))
    started = runtime.start(launch)
    wait_until(lambda: any(line.startswith("MINE=") for line in runtime.tail(started.name)))
    written = set(runtime.tail(started.name, lines=100))
    assert {"HF_TOKEN=hf_1", "LC_TIME=C", "MINE=1", "GPUSLICE_STACK=assistants"} <= written
    assert not any("hunter2" in line for line in written)


def test_launch_cannot_forge_a_marker(runtime: ProcessRuntime) -> None:
    started = runtime.start(a_launch(environment=(("GPUSLICE_STACK", "other"),)))
    assert runtime.list("assistants") == (started,)


def test_input_is_closed_and_working_folder_is_ours(
    runtime: ProcessRuntime, machine: Machine
) -> None:
    started = runtime.start(a_launch("sh", "-c", "cat; pwd; exec sleep 60"))
    wrote(runtime, started.name, str(machine.root.resolve()))
    assert machine.root.stat().st_mode & 0o777 == 0o700


def test_follow_yields_lines_until_the_process_has_ended(
    runtime: ProcessRuntime, machine: Machine
) -> None:
    machine.root.mkdir()
    os.mkfifo(machine.root / "gate")
    started = runtime.start(a_launch("sh", "-c", "read x < gate; echo one; printf two"))
    lines = runtime.follow(started.name)
    (machine.root / "gate").write_text("open\n")
    assert list(lines) == ["one", "two"]
    assert runtime.list() == ()


def test_a_process_that_has_gone_cannot_be_identified() -> None:
    assert identify(0x7FFFFFFF) is None
    assert os.getpid() in list_pids()
