"""What the slice commands ask of the planner, and what they show and send.

The one path that ``apply``, ``assert``, ``create``, ``destroy`` and ``restore`` share: the machine
is read, wishes are made of what was asked, the least change is planned and checked. Nothing is
changed here; carrying out is `gpuslice.agent.slice_changes`, in the agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuslice.agent.node import Node
from gpuslice.errors import NoRoomError, NothingMatchedError, UnknownSliceError
from gpuslice.hardware import MIG_PRODUCTS
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, GpuProcess, Observed, Slice, SliceKey
from gpuslice.model.plan import Plan
from gpuslice.planner.admission import choose_gpus
from gpuslice.planner.partition.adding import plan_creation, plan_removal
from gpuslice.planner.partition.check import check_partition
from gpuslice.planner.partition.plan import plan_partition
from gpuslice.planner.partition.wish import Claims, GpuWish


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The machine as it is when something is asked of it.

    Attributes:
        node: The machine itself, for further questions.
        observed: The GPUs.
        record: What is recorded about them.
        processes: The processes on each GPU and its slices, by UUID of the GPU.
    """

    node: Node
    observed: Observed
    record: Record
    processes: dict[str, tuple[GpuProcess, ...]]

    @property
    def claims(self) -> Claims:
        """Whose the slices are."""
        return claims_of(self.observed, self.record, self.processes)

    def holders(self, slice_: Slice) -> tuple[GpuProcess, ...]:
        """The processes on a slice."""
        found = self.processes.get(slice_.gpu_uuid, ())
        return tuple(p for p in found if p.gpu_instance_id == slice_.gpu_instance_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A plan of slices with everything that is needed to show it and to carry it out.

    Attributes:
        title: What is being done, in a few words.
        scene: The machine when the plan was made.
        plan: The checked plan.
        wishes: What was asked for; empty where single slices were.
        notes: What a person should know of it, in sentences.
    """

    title: str
    scene: Scene
    plan: Plan
    wishes: tuple[GpuWish, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def observed(self) -> Observed:
        """The GPUs when the plan was made."""
        return self.scene.observed


def look(node: Node) -> Scene:
    """Read the machine.

    Raises:
        DriverError: The GPUs cannot be read.
        RecordError: What is recorded about them cannot.
    """
    observed = node.driver.read()
    return Scene(
        node=node,
        observed=observed,
        record=node.read_record(),
        processes={gpu.uuid: node.driver.read_processes(gpu.uuid) for gpu in observed.gpus},
    )


def claims_of(
    observed: Observed, record: Record, processes: dict[str, tuple[GpuProcess, ...]]
) -> Claims:
    """Say whose the slices of a machine are."""
    stack = record.desired.stack if record.desired else None
    held = {(u, p.gpu_instance_id) for u, found in processes.items() for p in found}
    slices = [slice_ for gpu in observed.gpus for slice_ in gpu.slices]
    return Claims(
        running=frozenset(o.slice for o in record.owned if stack and o.stack == stack),
        in_use=frozenset(s.key for s in slices if (s.gpu_uuid, s.gpu_instance_id) in held),
        ours=frozenset(o.slice for o in record.owned),
    )


def propose(
    scene: Scene, wishes: Sequence[GpuWish], title: str, notes: Sequence[str] = ()
) -> Partition:
    """Plan the least change that makes GPUs what is wished.

    Raises:
        NothingMatchedError: There is no wish: what was asked for is about none of the GPUs here.
        PlanningError: A GPU cannot be what is wished.
    """
    if not wishes:
        raise NothingMatchedError(
            f"{title}: none of the {len(scene.observed.gpus)} GPUs here is meant by it.",
            hint="`gpuslice gpus` lists them; device filters are in docs/slices.md.",
            details=tuple(notes),
        )
    plan = plan_partition(scene.observed, wishes, scene.claims)
    check_partition(plan, scene.observed, wishes)
    return Partition(title=title, scene=scene, plan=plan, wishes=tuple(wishes), notes=tuple(notes))


def propose_creation(
    scene: Scene, name: str, gpus: Sequence[int | str], *, count: int, start: int | None
) -> Partition:
    """Plan some more slices beside what lies there.

    Args:
        scene: The machine.
        name: Such as ``3g.40gb`` or ``1c.3g.40gb``.
        gpus: GPUs that may take them, by index or UUID; empty for those on which MIG is on, or
            all where it is on nowhere.
        count: How many.
        start: Where the one slice is to begin, or None.

    Raises:
        PlanningError: They do not fit, or there is no such profile or GPU.
    """
    chosen = chosen_gpus(scene.observed, gpus) if gpus else _open_gpus(scene.observed)
    try:
        plan = plan_creation(scene.observed, chosen, name, scene.claims, count=count, start=start)
    except NoRoomError as error:
        others = [g.index for g in scene.observed.gpus if g.geometry and g not in chosen]
        if others and not gpus and start is None:
            listed = ", ".join(map(str, others))
            error.hint = f"MIG mode is off on GPU {listed}; --gpu {others[0]} has it switched on."
        raise
    check_partition(plan, scene.observed)
    return Partition(title=f"Create {count} × {name}", scene=scene, plan=plan)


def propose_removal(scene: Scene, going: Sequence[SliceKey]) -> Partition:
    """Plan that some slices go."""
    plan = plan_removal(scene.observed, frozenset(going), scene.claims)
    check_partition(plan, scene.observed)
    title = f"Destroy {len(going)} slice{'s' * (len(going) != 1)}"
    return Partition(title=title, scene=scene, plan=plan)


def chosen_gpus(observed: Observed, gpus: Sequence[int | str]) -> tuple[Gpu, ...]:
    """Look GPUs up by index or UUID; all where none is named.

    Raises:
        UnknownGpuError: One is not in this machine.
        MigUnsupportedError: One that is named has no MIG.
    """
    if not gpus:
        return observed.gpus
    uuids = choose_gpus(observed, gpus, mig_products=MIG_PRODUCTS)
    return tuple(observed.gpu(uuid) for uuid in uuids)


def going_slices(
    scene: Scene, names: Sequence[str], gpus: Sequence[int | str]
) -> tuple[SliceKey, ...]:
    """Look up the slices that are to go.

    Args:
        scene: The machine.
        names: As ``gpuslice slices list`` calls them; none for every slice that was made with
            ``gpuslice slices``.
        gpus: GPUs to look on, by index or UUID; none for all.

    Raises:
        UnknownSliceError: One is not there, or none is ours.
    """
    chosen = chosen_gpus(scene.observed, gpus)
    if names:
        found = [slice_named(scene.observed, name, chosen).key for name in names]
        return tuple(dict.fromkeys(found))
    there = {s.key for gpu in chosen for s in gpu.slices}
    ours = tuple(o.slice for o in scene.record.owned if not o.stack and o.slice in there)
    if not ours:
        raise UnknownSliceError(
            "No slice here was made with `gpuslice slices`.", hint="gpuslice slices list"
        )
    return ours


def slice_named(observed: Observed, name: str, gpus: Sequence[Gpu]) -> Slice:
    """Find a slice by what ``gpuslice slices list`` calls it.

    Args:
        observed: The machine.
        name: ``GPU/ID`` such as ``0/13``, a MIG UUID, or an instance id where one GPU is chosen.
        gpus: The chosen GPUs.

    Raises:
        UnknownSliceError: There is no such slice, or the name may mean several.
    """
    indexes = {gpu.uuid: gpu.index for gpu in gpus}
    slices = [s for gpu in observed.gpus if gpu.uuid in indexes for s in gpu.slices]
    found = [s for s in slices if name in _names(s, indexes[s.gpu_uuid])]
    if len(found) == 1:
        return found[0]
    which = f"{name} may mean several slices" if found else f"there is no slice {name}"
    there = [f"{slice_id(s, indexes[s.gpu_uuid])}  {s.profile} at {s.placement}" for s in slices]
    raise UnknownSliceError(
        f"{which}.",
        hint="Name it as `gpuslice slices list` does: GPU/ID or its UUID.",
        details=tuple(there),
    )


def slice_id(slice_: Slice, index: int) -> str:
    """Name a slice by its GPU's index and its instance id: ``0/13``."""
    return f"{index}/{slice_.gpu_instance_id}"


def _names(slice_: Slice, index: int) -> tuple[str, ...]:
    uuids = (slice_.uuid, *(part.uuid for part in slice_.parts))
    return slice_id(slice_, index), str(slice_.gpu_instance_id), *filter(None, uuids)


def _open_gpus(observed: Observed) -> tuple[Gpu, ...]:
    """GPUs on which MIG is on; all that have it where it is on nowhere."""
    capable = choose_gpus(observed, "all", mig_products=MIG_PRODUCTS)
    gpus = tuple(observed.gpu(uuid) for uuid in capable)
    return tuple(gpu for gpu in gpus if gpu.mig and gpu.mig.current) or gpus
