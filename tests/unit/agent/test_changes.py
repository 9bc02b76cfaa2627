"""A change that fails or dies anywhere: servers on untouched slices never notice, others come back.

GPUs, plans, record and journal are the shipped parts; servers live in memory, so that a test sees
each that was started or stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from changing import FailingDriver, KilledError
from gpuslice.agent import changes, handing_back, replacing
from gpuslice.agent.changes import bring_up, commit, roll_back, take_down
from gpuslice.agent.node import Node
from gpuslice.agent.proposal import Proposal
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import DriverError, GpuLostError, MigModeChangeError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Change
from gpuslice.model.gpu import GpuProcess
from gpuslice.model.server import Launch, RunningServer
from gpuslice.runtime.ports import free_port
from gpuslice.simulator.machine import set_lost
from machines import layout_of, modes_of, open_simulated, prepared, write_stack
from memory import Fuse, ServersInMemory, ignore, look_after, start_missing

CHAT, CODER = "gpuslice-assistants-chat-0", "gpuslice-assistants-coder-0"


@dataclass(slots=True)
class Machine:
    """A machine on which `assistants` runs: chat, which is to move, and coder, which stays."""

    home: Path
    servers: ServersInMemory
    port: int
    pinned: int = 0

    def agent(self) -> tuple[Supervisor, FailingDriver]:
        """Start an agent as a fresh process would."""
        plain = open_simulated(self.home)
        driver = FailingDriver(plain.driver)
        return Supervisor(replace(plain, driver=driver, runtime=self.servers)), driver

    def change(self, node: Node, folder: Path, chat: str) -> Change:
        """Plan the stack with a slice of that profile for chat."""
        return self.proposal(node, folder, chat).change

    def proposal(self, node: Node, folder: Path, chat: str) -> Proposal:
        """Plan it, with all that is told of the plan."""
        return prepared(node, self.write(folder, chat=chat, coder="1g.10gb"))

    def write(self, folder: Path, *, chat_args: str = "", **profiles: str) -> Path:
        """Write a stack file: each model with its profile, and further arguments for chat."""
        models = []
        for name, profile in profiles.items():
            command = [sys.executable, "{port}", *([chat_args] if name == "chat" else [])]
            pinned = f", port: {self.pinned}" if self.pinned and name == "chat" else ""
            models.append(
                f"{name}: {{engine: command, slice: {profile}, command: {json.dumps(command)}"
                f"{pinned}}}"
            )
        return write_stack(folder, *models, more=f"gateway: {{port: {self.port}}}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(replacing, "wait_until_ready", start_missing)
    monkeypatch.setattr(handing_back, "BACK_S", 0.0)  # nobody is behind that gateway
    machine = Machine(tmp_path / "home", ServersInMemory(), free_port())
    supervisor, _ = machine.agent()
    change = machine.change(supervisor.node, tmp_path, "2g.20gb")
    bring_up(supervisor, change, ignore, lambda: None)
    commit(supervisor)
    assert len(machine.servers.running) == 3
    return machine


def test_a_replica_that_moves_and_keeps_a_pinned_port_leaves_it_first_and_that_is_declared(
    machine: Machine, tmp_path: Path
) -> None:
    machine.pinned = free_port((machine.port,))
    supervisor, _ = machine.agent()
    bring_up(supervisor, machine.change(supervisor.node, tmp_path, "2g.20gb"), ignore, lambda: None)
    commit(supervisor)
    proposal = machine.proposal(supervisor.node, tmp_path, "3g.40gb")
    assert [restart.why for restart in proposal.restarts] == ["its port is pinned"]
    chats: list[int] = []
    machine.servers.before = lambda: chats.append(len(machine.servers.named(CHAT)))

    bring_up(supervisor, proposal.change, ignore, lambda: None)

    (new,) = machine.servers.named(CHAT)
    assert new.port == machine.pinned
    assert max(chats) == 1, "two servers never meet on one port"


MOVING = ("create", "start", "stop", "destroy")
"""What is done, in order, when chat moves."""


@pytest.mark.parametrize("error", [DriverError, KilledError])
@pytest.mark.parametrize("deed", range(len(MOVING) + 1))
def test_wherever_a_move_fails_or_dies_the_neighbour_never_notices_and_the_mover_serves_on(
    machine: Machine, tmp_path: Path, error: type[BaseException], deed: int
) -> None:
    supervisor, driver = machine.agent()
    before, record = layout_of(supervisor.node), supervisor.node.read_record()
    servers = dict(machine.servers.running)
    change = machine.change(supervisor.node, tmp_path, "3g.40gb")
    assert sum(len(gpu.create) + len(gpu.destroy) for gpu in change.plan.gpus) == 2
    fuse = Fuse(deed, lambda: error("on purpose"))
    driver.before = machine.servers.before = fuse

    if deed < len(MOVING):
        with pytest.raises(error):
            bring_up(supervisor, change, ignore, lambda: None)
    else:  # it succeeds, and is undone as Ctrl-C undoes a stack in the foreground
        bring_up(supervisor, change, ignore, lambda: None)
    assert fuse.deeds == min(deed + 1, len(MOVING))
    fuse.burns_at = -1
    supervisor, _ = machine.agent()
    assert roll_back(supervisor, ignore)
    look_after(supervisor)

    assert layout_of(supervisor.node) == before
    assert supervisor.node.store.read_journal() is None
    assert supervisor.node.read_record().ports == record.ports
    same_life = {s.name for key, s in servers.items() if machine.servers.running.get(key) == s}
    others = {"gpuslice-assistants-coder-0", "gpuslice-assistants-gateway"}
    answered_all_the_time = deed <= MOVING.index("stop")
    assert same_life == others | ({CHAT} if answered_all_the_time else set())
    assert machine.servers.places() == {(s.name, s.slice_uuid) for s in servers.values()}


def test_a_replica_that_moves_has_two_servers_until_the_new_one_is_ready(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, _ = machine.agent()
    (old,) = machine.servers.named(CHAT)
    meanwhile: list[tuple[RunningServer, ...]] = []

    def wait(
        supervisor: Supervisor,
        wanted: Sequence[Launch],
        *_: object,
        leaving: Sequence[Launch] = (),
    ) -> None:
        start_missing(supervisor, wanted, leaving=leaving)
        meanwhile.append(machine.servers.named(CHAT))

    monkeypatch.setattr(replacing, "wait_until_ready", wait)
    change = machine.change(supervisor.node, tmp_path, "3g.40gb")
    bring_up(supervisor, change, ignore, lambda: None)

    both, (new,) = meanwhile
    assert set(both) == {old, new}
    assert old.port != new.port
    record = supervisor.node.read_record()
    assert record.port_of(ReplicaId("chat", 0)) == new.port
    assert {o.slice for o in record.owned} == {
        s.key for gpu in supervisor.node.driver.read().gpus for s in gpu.slices
    }


def test_a_server_that_is_replaced_on_its_own_slice_goes_when_all_others_are_ready(
    machine: Machine, tmp_path: Path
) -> None:
    supervisor, _ = machine.agent()
    (old,), (coder,) = machine.servers.named(CHAT), machine.servers.named(CODER)
    path = machine.write(tmp_path, chat="2g.20gb", coder="2g.20gb", chat_args="--more")
    bring_up(supervisor, prepared(supervisor.node, path).change, ignore, lambda: None)

    assert machine.servers.stopped == [CHAT, CODER]
    (new,) = machine.servers.named(CHAT)
    assert (new.slice_uuid, new.port) == (old.slice_uuid, old.port)
    assert new.config_hash != old.config_hash
    assert machine.servers.named(CODER) != (coder,)


def test_what_nobody_wants_any_more_is_stopped_and_its_slice_goes(
    machine: Machine, tmp_path: Path
) -> None:
    supervisor, _ = machine.agent()
    path = machine.write(tmp_path, coder="1g.10gb")
    bring_up(supervisor, prepared(supervisor.node, path).change, ignore, lambda: None)
    assert machine.servers.stopped == [CHAT]
    assert [profile for _, profile, _ in layout_of(supervisor.node)] == ["1g.10gb"]


def test_a_server_that_does_not_run_is_not_waited_for_when_it_is_to_leave(
    machine: Machine, tmp_path: Path
) -> None:
    supervisor, _ = machine.agent()
    machine.servers.stop(machine.servers.named(CHAT)[0])
    bring_up(supervisor, machine.change(supervisor.node, tmp_path, "3g.40gb"), ignore, lambda: None)
    assert machine.servers.stopped == [CHAT]  # by the test
    assert len(machine.servers.named(CHAT)) == 1


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
    monkeypatch.setattr(replacing, "wait_until_ready", start_missing)
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
    monkeypatch.setattr(replacing, "wait_until_ready", start_missing)
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
    monkeypatch.setattr(replacing, "wait_until_ready", start_missing)
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
