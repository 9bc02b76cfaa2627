"""Which port each server of a stack listens on.

Separate from the change that writes it down. Where the stack file pins a port, that one; else the
one the replica has, so that it stays over restarts; else a free one. Nobody is promised a port that
is another's, the gateway's, or listened on by a stranger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Desired, PortLease, Record
from gpuslice.model.plan import Fate, Plan
from gpuslice.runtime.ports import free_port


def pinned_ports(desired: Desired, replicas: Sequence[ReplicaId]) -> dict[ReplicaId, int]:
    """Say which replicas have a port of the stack file, and which: the model's, plus the number."""
    first = {model.name: model.port for model in desired.models if model.port}
    return {
        replica: first[replica.model] + replica.replica
        for replica in replicas
        if replica.model in first
    }


def lease_ports(
    desired: Desired,
    replicas: Sequence[ReplicaId],
    held: Mapping[ReplicaId, int],
    taken: Collection[int] = (),
) -> tuple[PortLease, ...]:
    """Give every replica its port.

    Args:
        desired: The stack.
        replicas: Its replicas, in the order of the leases.
        held: Ports that replicas have.
        taken: Further ports that are promised to somebody.

    Raises:
        RuntimeFailure: No port is free.
    """
    ports = pinned_ports(desired, replicas)
    settled = {*ports.values(), desired.gateway.port}
    ports |= {r: port for r, port in held.items() if r not in ports and port not in settled}
    promised = {*taken, *held.values(), *settled}
    for replica in replicas:
        if replica not in ports:
            ports[replica] = free_port(promised)
            promised.add(ports[replica])
    return tuple(PortLease(replica=replica, port=ports[replica]) for replica in replicas)


def moving_with_a_pinned_port(plan: Plan, desired: Desired, before: Record) -> frozenset[ReplicaId]:
    """Find the replicas whose two servers cannot meet, though their slices could.

    Both would listen on the one port that the stack file pins, so the old server leaves first.
    """
    moving = tuple(s.replica for s in plan.servers if s.fate is Fate.MOVES and not s.pause)
    pinned = pinned_ports(desired, moving)
    return frozenset(r for r, port in pinned.items() if before.port_of(r) == port)


def metrics_port(before: int, leases: Sequence[PortLease], taken: Collection[int]) -> int:
    """Keep the port of the gateway's metrics unless it is somebody's now; 0 was none yet."""
    promised = {*taken, *(lease.port for lease in leases)}
    return before if before and before not in promised else free_port(promised)
