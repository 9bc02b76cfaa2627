"""Changes of small machines, drawn at random, for tests of how a plan is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations
from random import Random

from builders import a_board_gpu, with_slices
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice, Seat
from gpuslice.planner.ordering.servers import server_plans

Layout = list[tuple[str, Placement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomChange:
    """A machine, what is to become of it, and who runs where now."""

    machine: tuple[Gpu, ...]
    gpus: tuple[GpuPlan, ...]
    seats: tuple[Seat, ...]
    running: dict[ReplicaId, Slice]

    @property
    def plan(self) -> Plan:
        """The plan, with what becomes of each server."""
        servers = server_plans(self.gpus, self.seats, self.running)
        return Plan(gpus=self.gpus, seats=self.seats, servers=servers)


def random_change(
    random: Random, *, most_gpus: int = 3, boards: tuple[str, ...] = ("a100-80gb",)
) -> RandomChange:
    """Draw a machine full of slices, another layout for it, and who moves where.

    Most slices have a tenant now and another in the end, so that moves depend on each other.
    """
    machine, gpus = [], []
    for index in range(random.randint(1, most_gpus)):
        gpu = a_board_gpu(random.choice(boards), index=index)
        assert gpu.geometry is not None
        gpu = with_slices(gpu, *((n, at.start) for n, at in _layout(random, gpu.geometry, [])))
        machine.append(gpu)
        gpus.append(_gpu_plan(random, gpu))
    running = {
        ReplicaId("chat", number): slice_
        for number, slice_ in enumerate(s for plan in gpus for s in (*plan.keep, *plan.destroy))
        if random.random() < 0.9
    }
    return RandomChange(
        machine=tuple(machine),
        gpus=tuple(gpus),
        seats=_seats(random, gpus, list(running)),
        running=running,
    )


def fewest_pauses(change: RandomChange) -> int:
    """Try every set of replicas that pause, smallest first, until one lets the change be made."""
    moving = [r for r, slice_ in change.running.items() if _leaves(change, r, slice_)]
    for pausing in chain.from_iterable(
        combinations(moving, count) for count in range(len(moving) + 1)
    ):
        if _can_be_made(change, set(pausing)):
            return len(pausing)
    raise AssertionError("everything can be made when everybody pauses")


def _leaves(change: RandomChange, replica: ReplicaId, slice_: Slice) -> bool:
    return all(s.kept != slice_ for s in change.seats if s.replica == replica)


def _can_be_made(change: RandomChange, left: set[ReplicaId]) -> bool:
    """Do all that is possible once some have left their slice; tell whether that is everything."""
    seats = {seat.replica: seat for seat in change.seats}
    tenants = {slice_: replica for replica, slice_ in change.running.items()}
    lying: set[Slice | PlannedSlice] = {s for g in change.gpus for s in (*g.keep, *g.destroy)}
    lying |= {s for g in change.gpus for s in g.foreign}
    coming = [new for gpu in change.gpus for new in gpu.create]
    going = [s for gpu in change.gpus for s in gpu.destroy]
    leaving = {r for r, s in change.running.items() if _leaves(change, r, s)} - left
    while True:
        goes = [r for r in leaving if r not in seats or _free(seats[r], lying, tenants, leaving)]
        gone = [s for s in going if s in lying and tenants.get(s) not in leaving]
        comes = [new for new in coming if new not in lying and _legal(change, lying, new)]
        if not (goes or gone or comes):
            return not leaving and lying.isdisjoint(going) and lying.issuperset(coming)
        leaving -= set(goes)
        lying -= set(gone)
        lying |= set(comes[:1])


def _free(
    seat: Seat,
    lying: set[Slice | PlannedSlice],
    tenants: dict[Slice, ReplicaId],
    leaving: set[ReplicaId],
) -> bool:
    """Tell whether a replica's new slice is there and nobody is on it."""
    if seat.created is not None:
        return seat.created in lying
    assert seat.kept is not None
    return tenants.get(seat.kept) not in leaving


def _legal(change: RandomChange, lying: set[Slice | PlannedSlice], new: PlannedSlice) -> bool:
    geometry = next(gpu.geometry for gpu in change.machine if gpu.uuid == new.gpu_uuid)
    assert geometry is not None
    beside = [(s.profile, s.placement) for s in lying if s.gpu_uuid == new.gpu_uuid]
    return geometry.allows(beside, new.profile, new.placement)


def _layout(random: Random, geometry: Geometry, lying: Layout) -> Layout:
    """Add slices at random to what lies there."""
    places = [(p.name, at) for p in geometry.profiles for at in p.placements]
    fullness = random.choice((0.3, 0.9))
    found = list(lying)
    for name, at in random.sample(places, len(places)):
        if random.random() < fullness and geometry.allows(found, name, at):
            found.append((name, at))
    return found[len(lying) :]


def _gpu_plan(random: Random, gpu: Gpu) -> GpuPlan:
    """Let some slices stay, some be somebody else's, and draw others for the rest of the room."""
    assert gpu.geometry is not None
    fates = random.choices(("goes", "stays", "foreign"), weights=(5, 3, 1), k=len(gpu.slices))
    by_fate = [(fate, s) for fate, s in zip(fates, gpu.slices, strict=True)]
    beside = [(s.profile, s.placement) for fate, s in by_fate if fate != "goes"]
    create = []
    for name, at in sorted(_layout(random, gpu.geometry, beside), key=lambda place: place[1]):
        profile = gpu.geometry.named(name)
        assert profile is not None
        create.append(
            PlannedSlice(
                gpu_uuid=gpu.uuid,
                placement=at,
                profile=name,
                profile_id=profile.id,
                memory_mib=profile.memory_mib,
            )
        )
    return GpuPlan(
        gpu_uuid=gpu.uuid,
        destroy=tuple(s for fate, s in by_fate if fate == "goes"),
        create=tuple(create),
        keep=tuple(s for fate, s in by_fate if fate == "stays"),
        foreign=tuple(s for fate, s in by_fate if fate == "foreign"),
    )


def _seats(random: Random, gpus: list[GpuPlan], running: list[ReplicaId]) -> tuple[Seat, ...]:
    """Seat those who run, and some who do not, on what stays and what comes."""
    fresh = [ReplicaId("new", number) for number in range(3)]
    slices: list[Slice | PlannedSlice] = []
    for gpu in gpus:
        slices += [*gpu.keep, *gpu.create]
    crowd = random.sample([*running, *fresh], len(running) + len(fresh))
    return tuple(
        sorted(
            (
                Seat(replica=replica, kept=s)
                if isinstance(s, Slice)
                else Seat(replica=replica, created=s)
                for replica, s in zip(crowd, slices, strict=False)
            ),
            key=lambda seat: seat.replica,
        )
    )
