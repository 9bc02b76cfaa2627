"""What a change would do to others, and whether it may: the refusals that are known beforehand.

Separate from the preflight, which asks whether a change *can* succeed. Here it is asked whose work
it would disturb; each answer has a name and can be allowed (`gpuslice.apply.refusals`). Processes
of our own servers are no strangers: they are stopped and started by the change itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gpuslice.agent.node import Node
from gpuslice.apply.refusals import Refusal, refuse
from gpuslice.model.gpu import Gpu, GpuProcess, Observed
from gpuslice.planner.ordering.steps import DestroySlice, DisableMig, EnableMig, Step, gpu_of
from gpuslice.runtime.procfs import identify

_UNTOUCHED = "nothing was changed"


def check_others(
    node: Node, steps: Sequence[Step], observed: Observed, allow: Collection[str]
) -> None:
    """Refuse a change that would disturb others, unless that is allowed. Touches nothing.

    Raises:
        SlicesInUseError: A process that is no server of ours sits on a slice that would go.
        MigModeChangeError: A mode would change on a GPU on which others' processes are.
        GpuResetError: A mode waits for a reset already, so it only changes with one.
    """
    touched = dict.fromkeys(gpu_of(step) for step in steps)
    strangers = {uuid: _strangers(node, uuid) for uuid in touched}
    refuse_if(
        Refusal.SLICES_IN_USE,
        tuple(_in_use(steps, observed, strangers)),
        f"Processes that are not gpuslice's are on slices that would go; {_UNTOUCHED}.",
        allow=allow,
        otherwise="Stop those processes",
    )
    switched = [observed.gpu(gpu_of(s)) for s in steps if isinstance(s, EnableMig | DisableMig)]
    refuse_if(
        Refusal.MIG_MODE_CHANGE,
        tuple(_working(switched, strangers)),
        f"MIG mode would change on GPUs that others are using; {_UNTOUCHED}.",
        allow=allow,
        otherwise="Stop those processes",
    )
    refuse_if(
        Refusal.GPU_RESET,
        tuple(
            f"GPU {gpu.index}: its MIG mode waits for a reset already"
            for gpu in switched
            if gpu.mig is not None and gpu.mig.current != gpu.mig.pending
        ),
        f"The MIG mode of GPUs only changes with a reset of them; {_UNTOUCHED}.",
        allow=allow,
        otherwise="Reset them with `nvidia-smi --gpu-reset`",
    )


def refuse_if(
    refusal: Refusal,
    found: tuple[str, ...],
    message: str,
    *,
    allow: Collection[str],
    otherwise: str,
) -> None:
    """Refuse where something was found, unless that is allowed; see `refuse`."""
    if found:
        refuse(refusal, message, allow=allow, otherwise=otherwise, details=found)


def _strangers(node: Node, gpu_uuid: str) -> tuple[GpuProcess, ...]:
    """List the processes on a GPU that are neither servers of ours nor started by them.

    What a server started is told by its session, or in a container by the container: there each
    process may have a session of its own, and its leader is the container's init.
    """
    servers = node.runtime.list()
    ours = {server.pid for server in servers}
    containers = {server.container for server in servers if server.container}
    return tuple(
        process
        for process in node.driver.read_processes(gpu_uuid)
        if process.pid not in ours
        and _session(process.pid) not in ours
        and (process.container is None or process.container.id not in containers)
    )


def _session(pid: int) -> int | None:
    found = identify(pid)
    return found.session if found else None


def _in_use(
    steps: Sequence[Step], observed: Observed, strangers: dict[str, tuple[GpuProcess, ...]]
) -> Iterator[str]:
    for step in steps:
        if not isinstance(step, DestroySlice):
            continue
        lying = step.slice
        for process in strangers[lying.gpu_uuid]:
            if process.gpu_instance_id == lying.gpu_instance_id:
                index = observed.gpu(lying.gpu_uuid).index
                place = f"{lying.profile} at {lying.placement}"
                yield f"GPU {index}: {place} is used by {_name(process)}"


def _working(
    switched: Sequence[Gpu], strangers: dict[str, tuple[GpuProcess, ...]]
) -> Iterator[str]:
    for gpu in switched:
        for process in strangers[gpu.uuid]:
            if process.gpu_instance_id is None:
                yield f"GPU {gpu.index}: used by {_name(process)}"


def _name(process: GpuProcess) -> str:
    return f"{process.name or 'a process'} (pid {process.pid})"
