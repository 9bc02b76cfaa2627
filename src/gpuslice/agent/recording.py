"""What is recorded while a change is under way: which slices are ours, which port is whose.

Separate from the change, which writes it down and adds what it makes. What was recorded before
lies in the journal; undoing brings that back, ports included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gpuslice.agent.ports import lease_ports, metrics_port
from gpuslice.model.desired import Change, PortLease, Record
from gpuslice.model.plan import Fate, Owned


def record_during(before: Record, change: Change) -> Record:
    """Say what is recorded when a change begins.

    Slices that are to go stay ours until they have gone, with nobody's server recorded on them.

    Args:
        before: What is recorded now.
        change: What is wanted.

    Raises:
        RuntimeFailure: No port is free.
    """
    leases = _leases(before, change)
    taken = [*(lease.port for lease in before.ports), change.desired.gateway.port]
    enabled = {gpu.gpu_uuid for gpu in change.plan.gpus if gpu.enable_mig}
    return replace(
        before,
        desired=change.desired,
        owned=tuple(_owned(before, change)),
        ports=leases,
        gateway_metrics_port=metrics_port(before.gateway_metrics_port, leases, taken),
        mig_enabled=tuple(sorted({*before.mig_enabled, *enabled})),
    )


def _leases(before: Record, change: Change) -> tuple[PortLease, ...]:
    """Give every replica its port; one whose two servers meet for a while gets another one."""
    held = {lease.replica: lease.port for lease in before.ports}
    taken = [*held.values(), before.gateway_metrics_port]
    for server in change.plan.servers:
        if server.fate is Fate.MOVES and not server.pause:
            held.pop(server.replica, None)
    replicas = tuple(seat.replica for seat in change.plan.seats)
    return lease_ports(change.desired, replicas, held, taken)


def _owned(before: Record, change: Change) -> Iterator[Owned]:
    """List slices the plan keeps, those that go, and those of other stacks of ours."""
    stack = change.desired.stack
    replicas = {seat.kept.key: seat.replica for seat in change.plan.seats if seat.kept}
    for gpu in change.plan.gpus:
        for kept in gpu.keep:
            yield Owned(slice=kept.key, stack=stack, replica=replicas.get(kept.key))
        for going in gpu.destroy:
            yield Owned(slice=going.key, stack=stack)
    yield from (owned for owned in before.owned if owned.stack != stack)
