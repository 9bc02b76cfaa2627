"""From whatever state a machine is in, doing what the loop says ends where it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from builders import a_launch, a_worker, the_process_of
from gpuslice.agent.reconcile import (
    LONGEST_DELAY_S,
    Action,
    Attempts,
    Register,
    Seen,
    Start,
    Stop,
    Unregister,
    attempt,
    reconcile,
)
from gpuslice.gateway.client import Worker
from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch, Role, RunningServer, ServerKey

NAMES = ("chat", "coder")
HASHES = ("one", "two")
SLICES = ("MIG-1", "MIG-2", "MIG-3")


@dataclass(slots=True)
class World:
    """Processes and workers that do what they are told. Owned by one example."""

    processes: dict[ServerKey, RunningServer]
    workers: dict[str, Worker]
    now: float = 0.0
    attempts: dict[ServerKey, Attempts] = field(default_factory=dict)

    def seen(self) -> Seen:
        gateway = any(p.role is Role.GATEWAY for p in self.processes.values())
        return Seen(
            processes=tuple(self.processes.values()),
            ready=frozenset(k for k, p in self.processes.items() if not p.headless),
            workers=tuple(self.workers.values()) if gateway else None,
        )

    def sits_on(self, slice_uuid: str) -> bool:
        return any(slice_uuid and p.slice_uuid == slice_uuid for p in self.processes.values())

    def carry_out(self, action: Action) -> None:
        match action:
            case Stop(process=process):
                del self.processes[process.key]
            case Start(launch=launch):
                assert launch.key not in self.processes, "started twice"
                assert not self.sits_on(launch.slice_uuid), "two on one slice"
                self.attempts[launch.key] = attempt(self.attempts.get(launch.key), self.now)
                self.processes[launch.key] = the_process_of(launch)
            case Register(url=url):
                self.workers[url] = a_worker(id=url, url=url)
            case Unregister(worker_id=worker_id):
                self.workers = {u: w for u, w in self.workers.items() if w.id != worker_id}


def launch_of(slice_uuid: str, name: str, config_hash: str) -> Launch:
    return a_launch(
        replica=ReplicaId(name, 0),
        port=20001 + SLICES.index(slice_uuid),
        slice_uuid=slice_uuid,
        config_hash=config_hash,
    )


def gateway_of(config_hash: str) -> Launch:
    return a_launch(
        role=Role.GATEWAY, replica=None, port=8080, slice_uuid="", config_hash=config_hash
    )


# One server on a slice; a name on several slices is a replica that moves.
launches = st.dictionaries(
    st.sampled_from(SLICES), st.tuples(st.sampled_from(NAMES), st.sampled_from(HASHES))
).map(lambda chosen: tuple(launch_of(uuid, *who) for uuid, who in sorted(chosen.items())))
gateways = st.sampled_from(HASHES).map(gateway_of)
wanted_stacks = st.one_of(
    st.just(()), st.builds(lambda servers, g: (*servers, g), launches, gateways)
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Servers of any version, some of which are headless; a gateway or none; any workers."""
    servers = [the_process_of(launch) for launch in draw(launches)]
    servers = [replace(server, headless=draw(st.booleans())) for server in servers]
    servers += [the_process_of(g) for g in draw(st.lists(gateways, max_size=1))]
    known = draw(st.sets(st.sampled_from([20001, 20002, 20003, 29999])))
    urls = [f"http://127.0.0.1:{port}" for port in known]
    return World(
        processes={server.key: server for server in servers},
        workers={url: a_worker(id=url, url=url, healthy=draw(st.booleans())) for url in urls},
    )


@given(world=worlds(), wanted=wanted_stacks)
def test_every_world_becomes_what_is_wanted_and_then_rests(
    world: World, wanted: Sequence[Launch]
) -> None:
    for _ in range(5):
        for action in reconcile(wanted, world.seen(), world.attempts, world.now):
            world.carry_out(action)
        world.now += LONGEST_DELAY_S

    assert reconcile(wanted, world.seen(), world.attempts, world.now) == ()
    assert {key: p.config_hash for key, p in world.processes.items()} == {
        launch.key: launch.config_hash for launch in wanted
    }
    assert not any(p.headless for p in world.processes.values())
    if wanted:
        servers = {launch.url for launch in wanted if launch.role is Role.SERVER}
        assert set(world.workers) == servers


@given(world=worlds(), wanted=wanted_stacks)
def test_a_process_that_is_as_wanted_is_never_touched(
    world: World, wanted: Sequence[Launch]
) -> None:
    hashes = {launch.key: launch.config_hash for launch in wanted}
    actions = reconcile(wanted, world.seen(), {}, 0.0)
    stopped = {action.process for action in actions if isinstance(action, Stop)}
    for process in world.processes.values():
        good = hashes.get(process.key) == process.config_hash and not process.headless
        assert (process in stopped) != good
    assert reconcile(wanted, world.seen(), {}, 0.0) == actions
