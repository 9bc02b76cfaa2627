"""What becomes of every server that runs or is wanted: it stays, starts, moves or stops.

Separate from the seats, which say only how it is in the end. A server runs on the slice recorded
for its replica, while that slice exists.

A move has a **pause** when in the order of the steps the old slice goes before the new one comes:
there is no room for both, and no way of carrying the plan out avoids it. Where the new slice exists
already, it is there for the taking once the replica on it can leave; in a chain of such moves the
last one goes first, and nobody pauses. Where a chain closes on itself and all its slices stay, one
replica (the first by name) has to make way for the others and pauses. A replica whose old slice
stays, but goes to another, pauses in no other case. `gpuslice.planner.ordering.order` finds all
this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import Observed, Slice
from gpuslice.model.plan import Fate, GpuPlan, Owned, Seat, ServerPlan
from gpuslice.planner.ordering.order import order
from gpuslice.planner.ordering.precedence import Moves


def running_now(observed: Observed, owned: Sequence[Owned]) -> dict[ReplicaId, Slice]:
    """Find the slice on which each replica runs, on whatever GPU, wanted or not.

    Args:
        observed: The machine.
        owned: Slices of ours, with the replica recorded for each.

    Returns:
        Each replica once, with its first slice by GPU index, placement and instance id.
    """
    replica_of = {record.slice: record.replica for record in owned}
    running: dict[ReplicaId, Slice] = {}
    if not replica_of:
        return running
    for gpu in sorted(observed.gpus, key=lambda gpu: gpu.index):
        for slice_ in sorted(gpu.slices, key=lambda s: (s.placement, s.gpu_instance_id)):
            replica = replica_of.get(slice_.key)
            if replica is not None:
                running.setdefault(replica, slice_)
    return running


def server_plans(
    gpus: Sequence[GpuPlan], seats: Sequence[Seat], running: Mapping[ReplicaId, Slice]
) -> tuple[ServerPlan, ...]:
    """Say what becomes of every server.

    Args:
        gpus: What happens on each GPU.
        seats: Who sits where in the end.
        running: Where each replica runs now, as `running_now` finds it.

    Returns:
        One for each replica that runs or has a seat, by replica.
    """
    moves = Moves(seats, running)
    paused = order(gpus, moves).paused
    replicas = list(running.keys() | moves.seats.keys())
    replicas.sort(key=attrgetter("replica"))  # two sorts by plain keys take a third of the time of
    replicas.sort(key=attrgetter("model"))  # one by pairs, which shows on 100,000 GPUs
    return tuple(_server(r, running.get(r), moves, paused) for r in replicas)


def _server(
    replica: ReplicaId, origin: Slice | None, moves: Moves, paused: AbstractSet[ReplicaId]
) -> ServerPlan:
    """Say what becomes of one server."""
    if origin is None:
        return ServerPlan(replica=replica, fate=Fate.STARTS)
    if replica not in moves.leaving:
        return ServerPlan(replica=replica, fate=Fate.STAYS, origin=origin)
    if replica not in moves.seats:
        return ServerPlan(replica=replica, fate=Fate.STOPS, origin=origin)
    return ServerPlan(replica=replica, fate=Fate.MOVES, origin=origin, pause=replica in paused)
