"""From what is recorded and what exists to what should run: pure.

Every owned slice that exists and has a replica gets that replica's server; the slice's UUID and
memory are read from the world, never remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.engines.api import Place, ServeRequest, Surroundings
from gpuslice.engines.catalogue import engine_named
from gpuslice.engines.images import OWN, image_of
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Desired, DesiredDocker, DesiredModel, Record, RuntimeName
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned
from gpuslice.model.server import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the machine around the GPUs offers to servers.

    Attributes:
        python: Interpreter that has gpuslice installed.
        cpu_count: Processors; an engine that computes on the CPU gets its slice's share of them.
    """

    python: str
    cpu_count: int


def server_launches(record: Record, observed: Observed, host: Host) -> tuple[Launch, ...]:
    """Describe every server that should run, by replica.

    Slices that have gone, or have no compute instance, get no server: `missing_slices` names them.
    """
    if record.desired is None:
        return ()
    slices = {s.key: (gpu, s) for gpu in observed.gpus for s in gpu.slices if s.uuid}
    models = {model.name: model for model in record.desired.models}
    launches = []
    for owned in sorted(record.owned, key=lambda o: str(o.replica)):
        found = slices.get(owned.slice)
        port = record.port_of(owned.replica) if owned.replica else None
        if owned.stack != record.desired.stack or owned.replica is None:
            continue
        if found is None or port is None:
            continue
        if (model := models.get(owned.replica.model)) is None:
            continue
        launches.append(
            server_launch(record.desired, model, owned.replica, *found, port=port, host=host)
        )
    return tuple(launches)


def server_launch(
    desired: Desired,
    model: DesiredModel,
    replica: ReplicaId,
    gpu: Gpu,
    slice_: Slice,
    *,
    port: int,
    host: Host,
) -> Launch:
    """Describe the server of one replica on its slice.

    Raises:
        StackError: The engine cannot serve it.
    """
    request = ServeRequest(
        stack=desired.stack,
        replica=replica,
        source=model.source,
        slice_uuid=slice_.uuid or "",
        slice_memory_mib=slice_.memory_mib,
        port=port,
        context_tokens=model.context_tokens,
        concurrency=model.concurrency,
        args=model.args,
        command=model.command,
        environment=model.environment,
        threads=cpu_threads(slice_, gpu, host.cpu_count),
        program=model.program,
        ready=model.ready,
        beside_mib=model.beside_mib,
        place=Place.CONTAINER if model.runtime is RuntimeName.DOCKER else Place.PROCESS,
        surroundings=_surroundings(desired.docker or DesiredDocker(), model, gpu, slice_),
    )
    return engine_named(model.engine, python=host.python).launch(request)


def images_of(desired: Desired) -> frozenset[str]:
    """Name the images that the containers of a stack are made from."""
    images = {
        image_of(model.engine, model.image)
        for model in desired.models
        if model.runtime is RuntimeName.DOCKER
    }
    if desired.gateway.runtime is RuntimeName.DOCKER:
        images.add(desired.gateway.image or OWN)
    return frozenset(images)


def missing_slices(record: Record, observed: Observed) -> tuple[Owned, ...]:
    """Name the slices that should carry a server and are not there any more."""
    if record.desired is None:
        return ()
    there = {s.key for gpu in observed.gpus for s in gpu.slices if s.uuid}
    mine = (o for o in record.owned if o.stack == record.desired.stack and o.replica is not None)
    return tuple(owned for owned in mine if owned.slice not in there)


def cpu_threads(slice_: Slice, gpu: Gpu, cpu_count: int) -> int:
    """Give a CPU engine the share of the processors that its slice has of the GPU, at least one."""
    memory_slices = gpu.geometry.memory_slices if gpu.geometry else slice_.placement.size
    return max(1, cpu_count * slice_.placement.size // memory_slices)


def _surroundings(
    docker: DesiredDocker, model: DesiredModel, gpu: Gpu, slice_: Slice
) -> Surroundings:
    """Say what a server finds around it in a container: what was settled at ``up``, its slice."""
    return Surroundings(
        image=model.image,
        network=docker.network,
        hand_in=docker.hand_in,
        cache=docker.cache,
        hub=docker.hub,
        folders=model.reads,
        user=model.user,
        token=docker.token,
        memory_mib=model.host_memory_mib or docker.memory_mib or slice_.memory_mib,
        labels=(
            ("gpuslice.gpu", gpu.uuid),
            ("gpuslice.gpu-instance", str(slice_.gpu_instance_id)),
            ("gpuslice.profile", slice_.profile),
            ("gpuslice.placement", str(slice_.placement)),
        ),
    )
