"""What would disturb others is refused by name, and goes ahead only where that name is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import pytest

from builders import a_running_server
from changing import FailingDriver
from gpuslice.agent.node import Node
from gpuslice.agent.refusing import check_others
from gpuslice.apply.refusals import ERRORS, Refusal, lifted_by, refuse
from gpuslice.errors import GpuResetError, MigModeChangeError, SlicesInUseError
from gpuslice.model.gpu import Container, GpuProcess, MigMode, Slice
from gpuslice.model.server import RunningServer
from gpuslice.planner.ordering.steps import DestroySlice, DisableMig, EnableMig, Step
from gpuslice.runtime.api import Runtime
from machines import make_slice


@dataclass(slots=True)
class Crowded(FailingDriver):
    """A driver that lists processes of the test's choice."""

    processes: tuple[GpuProcess, ...] = ()

    def read_processes(self, gpu_uuid: str) -> tuple[GpuProcess, ...]:
        return self.processes


class Servers:
    """A runtime that has started these."""

    def __init__(self, *servers: RunningServer) -> None:
        self._servers = servers

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        return self._servers


def crowded(node: Node, *processes: GpuProcess, servers: tuple[RunningServer, ...] = ()) -> Node:
    driver = Crowded(node.driver, processes=processes)
    return replace(node, driver=driver, runtime=cast("Runtime", Servers(*servers)))


def on(slice_: Slice, pid: int = 4711) -> GpuProcess:
    return GpuProcess(pid=pid, name="python", gpu_instance_id=slice_.gpu_instance_id)


def check(node: Node, *steps: Step, allow: tuple[str, ...] = ()) -> None:
    check_others(node, steps, node.driver.read(), allow)


def test_a_slice_that_somebody_uses_does_not_go_unless_that_is_allowed(node: Node) -> None:
    lying, other = make_slice(node, "2g.20gb", 0), make_slice(node, "1g.10gb", 4)
    busy = crowded(node, on(lying))

    check(busy, DestroySlice(slice=other))
    with pytest.raises(SlicesInUseError, match="nothing was changed") as caught:
        check(busy, DestroySlice(slice=lying))
    assert caught.value.details == ("GPU 0: 2g.20gb at 0:2 is used by python (pid 4711)",)
    assert "--allow slices-in-use" in caught.value.hint
    check(busy, DestroySlice(slice=lying), allow=("slices-in-use",))


@pytest.fixture
def server_with_child() -> Iterator[tuple[int, int]]:
    """A process in a session of its own, as the runtime starts them, and a child of it."""
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); "
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        yield server.pid, child
        os.killpg(server.pid, 9)


def test_servers_of_ours_and_what_they_have_started_are_no_strangers(
    node: Node, server_with_child: tuple[int, int]
) -> None:
    leader, child = server_with_child
    lying = make_slice(node, "2g.20gb", 0)
    processes = (on(lying, leader), on(lying, child))

    ours = crowded(node, *processes, servers=(a_running_server(pid=leader),))
    check(ours, DestroySlice(slice=lying))
    with pytest.raises(SlicesInUseError) as caught:
        check(crowded(node, *processes), DestroySlice(slice=lying))
    assert len(caught.value.details) == 2


def test_what_runs_in_a_container_of_ours_is_no_stranger_whatever_its_session(
    node: Node, server_with_child: tuple[int, int]
) -> None:
    _, worker = server_with_child  # in a session of its own, as a server's workers may be
    ours, theirs = Container(id="3" * 64), Container(id="4" * 64)
    lying = make_slice(node, "2g.20gb", 0)
    servers = (a_running_server(pid=1, container=ours.id), a_running_server(pid=2))

    inside = replace(on(lying, worker), container=ours)
    check(crowded(node, inside, servers=servers), DestroySlice(slice=lying))
    for container in (theirs, None):
        stranger = replace(inside, container=container)
        with pytest.raises(SlicesInUseError):
            check(crowded(node, stranger, servers=servers), DestroySlice(slice=lying))


def test_a_mode_does_not_change_under_others_and_changes_on_an_idle_gpu_without_a_word(
    node: Node,
) -> None:
    uuid = node.driver.read().gpus[0].uuid
    check(node, EnableMig(gpu_uuid=uuid))
    working = crowded(node, GpuProcess(pid=4711, name="train.py"))
    for step in (EnableMig(gpu_uuid=uuid), DisableMig(gpu_uuid=uuid)):
        with pytest.raises(MigModeChangeError) as caught:
            check(working, step)
        assert caught.value.details == ("GPU 0: used by train.py (pid 4711)",)
        check(working, step, allow=("mig-mode-change",))


def test_a_mode_that_waits_for_a_reset_already_is_refused_beforehand(node: Node) -> None:
    observed = node.driver.read()
    gpu = replace(observed.gpus[0], mig=MigMode(current=False, pending=True))
    waiting = replace(observed, gpus=(gpu,))
    steps = (EnableMig(gpu_uuid=gpu.uuid),)
    with pytest.raises(GpuResetError, match="only changes with a reset"):
        check_others(node, steps, waiting, ())
    check_others(node, steps, waiting, ("gpu-reset",))


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_the_code_of_its_name_and_says_how_it_is_lifted(
    refusal: Refusal,
) -> None:
    assert ERRORS[refusal].code == refusal
    with pytest.raises(ERRORS[refusal]) as caught:
        refuse(refusal, "No.", allow=(), otherwise="Wait")
    assert caught.value.hint == f"Wait, or repeat the command with {lifted_by(refusal)}."
    refuse(refusal, "No.", allow=(str(refusal),), otherwise="Wait")
