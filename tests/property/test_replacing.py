"""Any change with its servers arrives; stopped anywhere, by an error or a kill, it is undone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_desired, a_desired_model
from changing import FailingDriver, KilledError, layout
from gpuslice.agent import handing_back, replacing
from gpuslice.agent.changes import bring_up, commit, roll_back
from gpuslice.agent.launches import Host
from gpuslice.agent.node import Node, record_store
from gpuslice.agent.supervisor import Supervisor
from gpuslice.errors import DriverError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Change, Desired, DesiredGateway, PortLease
from gpuslice.model.machine import Machine
from gpuslice.model.plan import Fate
from gpuslice.runtime.ports import free_port
from memory import Fuse, ServersInMemory, ignore, look_after, start_missing
from property.strategies_apply import Scene, scenes

PORT = free_port()


def desired(*models: str, args: tuple[str, ...] = ()) -> Desired:
    command = (sys.executable, "{port}", *args)
    return a_desired(
        *(a_desired_model(name, command=command) for name in models),
        gateway=DesiredGateway(host="127.0.0.1", port=PORT),
    )


@contextmanager
def on_stage(scene: Scene, *, edited: bool) -> Iterator[tuple[Node, ServersInMemory, Change]]:
    """Build a scene with a server on every slice that is somebody's; plan what is wanted."""
    with (
        TemporaryDirectory() as folder,
        patch.object(replacing, "wait_until_ready", start_missing),
        patch.object(handing_back, "BACK_S", 0.0),
    ):
        gpus, record = scene.build(Path(folder, "gpus"))
        machine, servers = Machine(root=Path(folder, "machine")), ServersInMemory()
        machine.root.mkdir()
        node = Node(
            machine=machine,
            driver=FailingDriver(gpus.driver),
            runtime=servers,
            store=record_store(machine),
            host=Host(python=sys.executable, cpu_count=2),
        )
        replicas = [owned.replica for owned in record.owned if owned.replica]
        ports = (PortLease(replica=r, port=31000 + n) for n, r in enumerate(replicas))
        record = replace(
            record,
            boot_id=gpus.driver.boot_id(),
            desired=desired("old", "chat"),
            ports=tuple(ports),
        )
        node.store.write_record(record)
        look_after(Supervisor(node))
        models = (demand.model for demand in scene.demands)
        wanted = desired(*models, args=("--edited",) if edited else ())
        yield node, servers, Change(desired=wanted, plan=scene.plan(gpus, record))


def names(servers: ServersInMemory) -> list[str]:
    return sorted(server.name for server in servers.list())


@given(scene=scenes(), edited=st.booleans())
@settings(max_examples=25, derandomize=True, deadline=None)
def test_a_change_ends_with_one_server_on_each_slice_and_who_could_answer_did(
    scene: Scene, edited: bool
) -> None:
    with on_stage(scene, edited=edited) as (node, servers, change):
        before = {p.replica: p for p in servers.list() if p.replica}
        silent: set[ReplicaId | None] = set()

        def look() -> None:
            silent.update(before.keys() - {p.replica for p in servers.list()})

        servers.after = look
        bring_up(Supervisor(node), change, ignore, lambda: None)
        commit(Supervisor(node))

        seats = {str(seat.replica).replace("/", "-") for seat in change.plan.seats}
        assert names(servers) == sorted(
            [f"gpuslice-assistants-{seat}" for seat in seats] + ["gpuslice-assistants-gateway"]
        )
        there = {s.uuid for gpu in node.driver.read().gpus for s in gpu.slices}
        assert {p.slice_uuid for p in servers.list() if p.replica} <= there
        may = {s.replica for s in change.plan.servers if s.pause or s.fate is Fate.STOPS}
        may |= {s.replica for s in change.plan.servers if s.fate is Fate.STAYS and edited}
        assert silent <= may
        stays = {s.replica for s in change.plan.servers if s.fate is Fate.STAYS and not edited}
        assert stays <= {p.replica for p in servers.list() if before.get(p.replica or _NOBODY) == p}
        keys = {s.key for gpu in node.driver.read().gpus for s in gpu.slices}
        assert {owned.slice for owned in node.read_record().owned} <= keys


_NOBODY = ReplicaId("nobody", 0)


@given(scene=scenes(), edited=st.booleans(), data=st.data())
@settings(max_examples=25, derandomize=True, deadline=None)
@pytest.mark.parametrize("error", [DriverError, KilledError])
def test_a_change_that_fails_or_dies_anywhere_ends_with_the_servers_there_were(
    error: type[BaseException], scene: Scene, edited: bool, data: st.DataObject
) -> None:
    with on_stage(scene, edited=edited) as (node, servers, change):
        running, slices = names(servers), layout(node.driver.read())
        ports = node.read_record().ports
        fuse = Fuse(data.draw(st.integers(0, 12), label="deed"), lambda: error("on purpose"))
        assert isinstance(node.driver, FailingDriver)
        node.driver.before = servers.before = fuse
        try:
            bring_up(Supervisor(node), change, ignore, lambda: None)
        except (DriverError, KilledError):
            pass
        else:
            assert fuse.deeds <= fuse.burns_at
        fuse.burns_at = -1
        fresh = Supervisor(node)
        assert roll_back(fresh, ignore)
        wanted = {launch.key for launch in fresh.wanted(node.read_record())}
        assert {p.key for p in servers.list()} <= wanted, "a new server outlived the undoing"
        look_after(fresh)

        assert names(servers) == running
        assert layout(node.driver.read()) == slices
        assert node.read_record().ports == ports
        there = {s.uuid for gpu in node.driver.read().gpus for s in gpu.slices}
        assert {p.slice_uuid for p in servers.list() if p.replica} <= there
