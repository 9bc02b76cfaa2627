"""A change that fails or dies anywhere: servers on untouched slices never notice, others come back.

GPUs, plans, record and journal are the shipped parts; servers live in memory, so that a test sees
each that was started or stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from builders import the_process_of
from changing import FailingDriver, KilledError
from gpuslice.agent import changes
from gpuslice.agent.changes import bring_up, commit, roll_back, take_down
from gpuslice.agent.node import Node
from gpuslice.agent.reconcile import Start
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import DriverError, GpuLostError, MigModeChangeError
from gpuslice.model.desired import Change, DesiredDocker
from gpuslice.model.event import Event
from gpuslice.model.gpu import GpuProcess
from gpuslice.model.server import Launch, RunningServer
from gpuslice.runtime.ports import free_port
from gpuslice.simulator.machine import set_lost
from machines import layout_of, modes_of, open_simulated, prepared, write_stack


@dataclass(slots=True)
class ServersInMemory:
    """A runtime whose processes are values. Owned by its test.

    Attributes:
        running: What runs, by name.
        stopped: Names of all that were stopped, in order.
    """

    running: dict[str, RunningServer] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    _pids: Iterator[int] = field(default_factory=lambda: count(1_000_000_000))

    def start(self, launch: Launch) -> RunningServer:
        assert launch.name not in self.running
        self.running[launch.name] = the_process_of(launch, pid=next(self._pids))
        return self.running[launch.name]

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        return tuple(self.running[name] for name in sorted(self.running))

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        del self.running[server.name]
        self.stopped.append(server.name)

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        for server in servers:
            self.stop(server)

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        return ()

    def follow(self, name: str) -> Iterator[str]:
        return iter(())

    def rotate_logs(self) -> None:
        """There are no logs."""

    def fetch(
        self, images: Collection[str], engine: DesiredDocker, tell: Callable[[str], None]
    ) -> None:
        """There are no images."""

    def slices_changed(self) -> None:
        """Nobody has to be told."""

    def sweep(self) -> None:
        """Nothing is left behind."""

    def pids(self) -> dict[str, int]:
        return {name: server.pid for name, server in self.running.items()}


@dataclass(slots=True)
class Machine:
    """A machine on which `assistants` runs: chat, which is to move, and coder, which stays."""

    home: Path
    servers: ServersInMemory
    port: int

    def agent(self) -> tuple[Supervisor, FailingDriver]:
        """Start an agent as a fresh process would."""
        plain = open_simulated(self.home)
        driver = FailingDriver(plain.driver)
        return Supervisor(replace(plain, driver=driver, runtime=self.servers)), driver

    def change(self, node: Node, folder: Path, chat: str) -> Change:
        """Plan the stack with a slice of that profile for chat."""
        models = [
            f'{name}: {{engine: command, slice: {profile}, command: ["{sys.executable}", '
            '"{port}"]}'
            for name, profile in (("chat", chat), ("coder", "1g.10gb"))
        ]
        path = write_stack(folder, *models, more=f"gateway: {{port: {self.port}}}")
        return prepared(node, path).change


def start_missing(supervisor: Supervisor, *_: object) -> None:
    """Stand for waiting until everything answers: servers in memory answer at once."""
    record = supervisor.node.read_record()
    for action in supervisor.due(supervisor.wanted(record), supervisor.look(())):
        if isinstance(action, Start):
            supervisor.node.runtime.start(action.launch)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(changes, "wait_until_ready", start_missing)
    machine = Machine(tmp_path / "home", ServersInMemory(), free_port())
    supervisor, _ = machine.agent()
    change = machine.change(supervisor.node, tmp_path, "2g.20gb")
    bring_up(supervisor, change, ignore, lambda: None)
    commit(supervisor)
    assert len(machine.servers.running) == 3
    return machine


def ignore(_event: Event) -> None:
    """Nobody looks on."""


@pytest.mark.parametrize("error", [DriverError, KilledError])
@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_wherever_a_change_fails_or_dies_the_neighbour_never_notices_and_the_mover_comes_back(
    machine: Machine,
    tmp_path: Path,
    error: type[BaseException],
    *,
    afterwards: bool,
    step: int,
) -> None:
    supervisor, driver = machine.agent()
    before = layout_of(supervisor.node)
    pids = machine.servers.pids()
    slices = {name: s.slice_uuid for name, s in machine.servers.running.items()}
    change = machine.change(supervisor.node, tmp_path, "3g.40gb")
    assert sum(len(gpu.create) + len(gpu.destroy) for gpu in change.plan.gpus) == 2
    driver.fails_at = step if step < 2 else None
    driver.error, driver.afterwards = lambda: error("on purpose"), afterwards

    if step < 2:
        with pytest.raises(error):
            bring_up(supervisor, change, ignore, lambda: None)
    else:  # it succeeds, and is undone as Ctrl-C undoes a stack in the foreground
        bring_up(supervisor, change, ignore, lambda: None)
    supervisor, _ = machine.agent()
    assert roll_back(supervisor, ignore)
    start_missing(supervisor)

    assert layout_of(supervisor.node) == before
    assert supervisor.node.store.read_journal() is None
    after = machine.servers.pids()
    chat = "gpuslice-assistants-chat-0"
    assert {name for name in pids if after.get(name) != pids[name]} == {chat}
    assert set(machine.servers.stopped) == {chat}
    assert {name: s.slice_uuid for name, s in machine.servers.running.items()} == slices


@pytest.mark.parametrize("step", range(4))
def test_taking_down_that_is_killed_anywhere_is_finished_by_the_next_one(
    machine: Machine, step: int
) -> None:
    supervisor, driver = machine.agent()
    driver.fails_at, driver.afterwards = step // 2, bool(step % 2)
    with pytest.raises(KilledError):
        take_down(supervisor, ignore, slices=True, mig_off=True)

    supervisor, _ = machine.agent()
    roll_back(supervisor, ignore)
    take_down(supervisor, ignore, slices=True, mig_off=True)
    assert layout_of(supervisor.node) == []
    assert modes_of(supervisor.node) == [False]
    assert machine.servers.running == {}
    record = supervisor.node.read_record()
    assert (record.desired, record.owned, record.mig_enabled) == (None, (), ())


def test_a_refused_change_stops_no_server_and_opens_no_journal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, _ = machine.agent()
    pids = machine.servers.pids()
    training = (GpuProcess(pid=4711, name="train.py"),)
    monkeypatch.setattr(FailingDriver, "read_processes", lambda *_: training)
    with pytest.raises(MigModeChangeError):
        take_down(supervisor, ignore, slices=True, mig_off=True)
    assert machine.servers.pids() == pids
    assert supervisor.node.store.read_journal() is None
    assert supervisor.node.read_record().desired is not None


def a_model_on_whole_cards(folder: Path, replicas: int) -> Path:
    """A stack file of one model, each replica of which takes a card."""
    model = (
        f"chat: {{engine: command, slice: 7g.80gb, replicas: {replicas}, "
        f'command: ["{sys.executable}", "{{port}}"]}}'
    )
    return write_stack(folder, model, more=f"gateway: {{port: {free_port()}}}")


def test_several_gpus_are_changed_through_drivers_of_their_own_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "wait_until_ready", start_missing)
    plain = open_simulated(tmp_path / "home", "a100-80gb:3")
    driver = FailingDriver(plain.driver)
    supervisor = Supervisor(replace(plain, driver=driver, runtime=ServersInMemory()))
    path = a_model_on_whole_cards(tmp_path, 3)
    bring_up(supervisor, prepared(plain, path).change, ignore, lambda: None)

    assert layout_of(plain) == [(index, "7g.80gb", "0:8") for index in range(3)]
    assert driver.changes == 0, "each GPU has a driver of its own"
    replicas = sorted(str(owned.replica) for owned in supervisor.node.read_record().owned)
    assert replicas == ["chat/0", "chat/1", "chat/2"]
    assert roll_back(supervisor, ignore)
    assert layout_of(plain) == []
    assert modes_of(plain) == [False] * 3


def test_what_lies_on_a_lost_gpu_is_not_forgotten_when_the_rest_is_taken_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "wait_until_ready", start_missing)
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    supervisor = Supervisor(replace(node, runtime=ServersInMemory()))
    path = a_model_on_whole_cards(tmp_path, 2)
    bring_up(supervisor, prepared(node, path).change, ignore, lambda: None)
    commit(supervisor)
    lost = node.driver.read().gpus[1]
    set_lost(node.machine.simulator_dir, 1, lost=True)

    take_down(supervisor, ignore, mig_off=True)

    record = supervisor.node.read_record()
    assert [owned.slice for owned in record.owned] == [lost.slices[0].key]
    assert record.mig_enabled == (lost.uuid,)
    set_lost(node.machine.simulator_dir, 1, lost=False)
    take_down(supervisor, ignore, mig_off=True)
    assert layout_of(node) == []
    assert modes_of(node) == [False, False]
    assert supervisor.node.read_record().owned == ()


def test_a_change_on_a_gpu_that_is_lost_meanwhile_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "wait_until_ready", start_missing)
    monkeypatch.setattr(changes, "check_before", lambda *_: None)  # it is lost just afterwards
    node = open_simulated(tmp_path / "home", "a100-80gb:2")
    supervisor = Supervisor(replace(node, runtime=ServersInMemory()))
    path = a_model_on_whole_cards(tmp_path, 2)
    change = prepared(node, path).change
    set_lost(node.machine.simulator_dir, 1, lost=True)
    with pytest.raises(GpuLostError, match="nothing was changed"):
        bring_up(supervisor, change, ignore, lambda: None)
    assert roll_back(supervisor, ignore)
    assert layout_of(node) == []
    assert modes_of(node) == [False]
