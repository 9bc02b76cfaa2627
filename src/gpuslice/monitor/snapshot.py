"""One picture of all slices: what lies where, who serves on it, and how busy it is.

Pure: two readings in, one `Snapshot` out, which a table shows as it is. What is not known is None,
never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceUse
from gpuslice.model.server import RunningServer
from gpuslice.monitor.samples import Rates, Sample, rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything read at one moment.

    Attributes:
        observed: The GPUs and slices.
        use: Use of each slice, by (GPU UUID, GPU instance id).
        servers: The model servers that run.
        sample: What they and the gateway count.
    """

    observed: Observed
    use: Mapping[tuple[str, int], SliceUse] = field(default_factory=dict)
    servers: tuple[RunningServer, ...] = ()
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """One slice as a live table shows it.

    Attributes:
        gpu_index: NVML index of its GPU.
        gpu_instance_id: NVML's GI id.
        profile: Profile name.
        placement: Where it lies.
        uuid: ``MIG-…``, or None for a half-made slice.
        replica: Whom it serves, or None when no server of ours is on it.
        used_mib: Memory used, MiB.
        total_mib: Memory of the slice, MiB.
        sm_utilisation: Share of its SMs that were busy, 0 to 1.
        requests_running: Requests being answered.
        tokens_per_s: Tokens generated per second.
    """

    gpu_index: int
    gpu_instance_id: int
    profile: str
    placement: Placement
    uuid: str | None
    replica: ReplicaId | None
    used_mib: int | None
    total_mib: int
    sm_utilisation: float | None
    requests_running: int | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model as a live table shows it.

    Attributes:
        model: Its name.
        requests_running: Requests being answered by all of its replicas.
        requests_per_s: Requests per second at the gateway.
        tokens_per_s: Tokens generated per second by all of its replicas.
    """

    model: str
    requests_running: int | None
    requests_per_s: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a live table shows.

    Attributes:
        at_s: When, seconds on the readings' clock.
        slices: By GPU and placement.
        models: By name.
        simulated: True when the GPUs are simulated; every screen has to say so.
    """

    at_s: float
    slices: tuple[SliceRow, ...]
    models: tuple[ModelRow, ...]
    simulated: bool


def snapshot(previous: Reading | None, current: Reading) -> Snapshot:
    """Put a reading into rows, with rates since the previous one where there is one."""
    between = rates(previous.sample, current.sample) if previous else _NO_RATES
    return Snapshot(
        at_s=current.sample.at_s,
        slices=tuple(
            _slice_row(gpu, slice_, current, between)
            for gpu in current.observed.gpus
            for slice_ in gpu.slices
        ),
        models=tuple(_model_row(model, current, between) for model in _models(current)),
        simulated=current.observed.simulated,
    )


_NO_RATES = Rates(tokens_per_s={}, requests_per_s={})


def _slice_row(gpu: Gpu, slice_: Slice, current: Reading, between: Rates) -> SliceRow:
    use = current.use.get((gpu.uuid, slice_.gpu_instance_id))
    replica = _replica_on(slice_, current.servers)
    counted = current.sample.server(replica) if replica else None
    return SliceRow(
        gpu_index=gpu.index,
        gpu_instance_id=slice_.gpu_instance_id,
        profile=slice_.profile,
        placement=slice_.placement,
        uuid=slice_.uuid,
        replica=replica,
        used_mib=use.used_mib if use else None,
        total_mib=use.total_mib if use else slice_.memory_mib,
        sm_utilisation=use.sm_utilisation if use else None,
        requests_running=counted.requests_running if counted else None,
        tokens_per_s=between.tokens_per_s.get(replica) if replica else None,
    )


def _replica_on(slice_: Slice, servers: Sequence[RunningServer]) -> ReplicaId | None:
    if slice_.uuid is None:
        return None
    return next((s.replica for s in servers if s.slice_uuid == slice_.uuid), None)


def _models(current: Reading) -> list[str]:
    served = {server.replica.model for server in current.servers if server.replica}
    return sorted(served | set(current.sample.requests_total))


def _model_row(model: str, current: Reading, between: Rates) -> ModelRow:
    running = [
        counted.requests_running
        for counted in current.sample.servers
        if counted.replica.model == model and counted.requests_running is not None
    ]
    return ModelRow(
        model=model,
        requests_running=sum(running) if running else None,
        requests_per_s=between.requests_per_s.get(model),
        tokens_per_s=between.model_tokens_per_s(model),
    )
