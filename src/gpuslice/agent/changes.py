"""The three changes of a machine: bring a stack up, undo that, take it down.

Each is written so that it can be killed anywhere. ``up`` opens the journal before it touches
anything; whoever comes next finds it and undoes. Undoing and taking down look at the world and do
only what is still to be done, so they can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpuslice.agent.launches import lease_ports
from gpuslice.agent.preflight import check_before
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import Check, wait_until_ready
from gpuslice.apply.record import Journal
from gpuslice.apply.slices import Notebook, carry_out, undo
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Change, PortLease, Record
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import Owned
from gpuslice.model.server import RunningServer
from gpuslice.planner.ordering.steps import DestroySlice, EnableMig, by_hand, describe, steps
from gpuslice.runtime.ports import free_port


def bring_up(supervisor: Supervisor, change: Change, report: Report, check: Check) -> None:
    """Carry out a plan and bring every server and the gateway up. Leaves the journal open.

    Servers on slices that stay, and whose launch has not changed, are not touched.

    Args:
        supervisor: The machine.
        change: What is wanted, by which plan.
        report: Where progress goes.
        check: Raises to stop the change.

    Raises:
        GpusliceError: It failed. The journal is open: `roll_back` undoes what was done.
    """
    node = supervisor.node
    before = node.read_record()
    check_before(node, before, change)
    notebook = Notebook(node.store, before)
    record = replace(_record(before, change), owned=_staying(before, change))
    supervisor.gateway.refresh(record)
    _stop_leaving(supervisor, change, report)
    node.store.write_record(record)
    created = carry_out(steps(change.plan), node.driver, notebook, report, check)
    record = replace(record, owned=(*record.owned, *_owned(change.desired.stack, created)))
    node.store.write_record(record)
    wait_until_ready(supervisor, record, report, check)


def commit(supervisor: Supervisor) -> None:
    """Let the change stand."""
    supervisor.node.store.end_journal()


def roll_back(supervisor: Supervisor, report: Report) -> bool:
    """Undo the change under way, if there is one.

    Servers of the stack before are started again by the agent's next look.

    Returns:
        True when there was something to undo.

    Raises:
        ApplyError: Something could not be undone; the journal stays.
    """
    node = supervisor.node
    journal = node.store.read_journal()
    if journal is None:
        return False
    before = _of_this_boot(journal, node.driver.boot_id())
    _stop_unwanted(supervisor, before, report)
    node.store.write_record(undo(replace(journal, before=before), node.driver, report))
    node.store.end_journal()
    report(Event(kind=EventKind.UNDO, text="everything is as it was before"))
    return True


def take_down(
    supervisor: Supervisor, report: Report, *, slices: bool = False, mig_off: bool = False
) -> None:
    """Stop servers and gateway; if asked, remove our slices and switch MIG mode off.

    Args:
        supervisor: The machine.
        report: Where progress goes.
        slices: Destroy the slices that are ours.
        mig_off: Also switch MIG mode off on their GPUs, where nothing else lies on them.

    Raises:
        DriverError: A slice or a mode could not be changed; what was done stays done, and running
            it again goes on.
    """
    node = supervisor.node
    node.store.end_journal()
    record = node.read_record()
    gpus = {owned.slice.gpu_uuid for owned in record.owned} | set(record.mig_enabled)
    _stop(supervisor, node.runtime.list(), report)
    node.machine.gateway_file.unlink(missing_ok=True)  # it holds keys
    stack = record.desired.stack if record.desired else None
    record = replace(record, desired=None)
    node.store.write_record(record)
    if slices or mig_off:
        _destroy_owned(supervisor, record, stack, report)
    if mig_off:
        _disable_mig(supervisor, gpus, report)


def _record(before: Record, change: Change) -> Record:
    replicas = tuple(seat.replica for seat in change.plan.seats)
    held = {lease.replica: lease.port for lease in before.ports}
    taken = [*held.values(), change.desired.gateway.port]
    fresh = {}
    for replica in replicas:
        if replica not in held:
            fresh[replica] = free_port(taken)
            taken.append(fresh[replica])
    leases = lease_ports(replicas, held, fresh)
    enabled = tuple(s.gpu_uuid for s in steps(change.plan) if isinstance(s, EnableMig))
    return replace(
        before,
        desired=change.desired,
        ports=tuple(PortLease(replica=r, port=p) for r, p in leases.items()),
        gateway_metrics_port=before.gateway_metrics_port or free_port(taken),
        mig_enabled=tuple(sorted({*before.mig_enabled, *enabled})),
    )


def _staying(before: Record, change: Change) -> tuple[Owned, ...]:
    """Say which slices stay ours: those the plan keeps, and those of other stacks of ours."""
    stack = change.desired.stack
    replicas = {seat.kept.key: seat.replica for seat in change.plan.seats if seat.kept}
    kept = (
        Owned(slice=s.key, stack=stack, replica=replicas.get(s.key))
        for gpu in change.plan.gpus
        for s in gpu.keep
    )
    return (*kept, *(owned for owned in before.owned if owned.stack != stack))


def _owned(stack: str, created: Sequence[tuple[Slice, ReplicaId | None]]) -> tuple[Owned, ...]:
    return tuple(Owned(slice=s.key, stack=stack, replica=replica) for s, replica in created)


def _stop_leaving(supervisor: Supervisor, change: Change, report: Report) -> None:
    """Stop the servers whose slice is about to go."""
    going = {s.uuid for gpu in change.plan.gpus for s in gpu.destroy if s.uuid}
    processes = supervisor.node.runtime.list()
    _stop(supervisor, tuple(p for p in processes if p.slice_uuid in going), report)


def _stop_unwanted(supervisor: Supervisor, record: Record, report: Report) -> None:
    """Stop what does not belong to a record: before slices are undone, nothing may sit on them."""
    wanted = {(launch.name, launch.config_hash) for launch in supervisor.wanted(record)}
    processes = supervisor.node.runtime.list()
    unwanted = tuple(p for p in processes if (p.name, p.config_hash) not in wanted)
    _stop(supervisor, unwanted, report)


def _stop(supervisor: Supervisor, processes: tuple[RunningServer, ...], report: Report) -> None:
    if processes:
        names = ", ".join(process.name for process in processes)
        report(Event(kind=EventKind.STEP, text=f"stop {names}"))
        supervisor.node.runtime.stop_all(processes)


def _destroy_owned(
    supervisor: Supervisor, record: Record, stack: str | None, report: Report
) -> None:
    """Destroy the slices of a stack (of every one where none ran), forgetting each as it goes."""
    node = supervisor.node
    observed = node.driver.read()
    there = {s.key: s for gpu in observed.gpus for s in gpu.slices}
    for owned in record.owned:
        if not owned.stack or stack not in (None, owned.stack):
            continue  # made by itself, with `gpuslice slices`, or of another stack
        if slice_ := there.get(owned.slice):
            step = DestroySlice(slice=slice_)
            text = describe(step, observed.gpus)
            report(Event(kind=EventKind.STEP, text=text, by_hand=by_hand(step, observed)))
            node.driver.destroy_slice(slice_)
        record = replace(record, owned=tuple(o for o in record.owned if o != owned))
        node.store.write_record(record)


def _disable_mig(supervisor: Supervisor, uuids: set[str], report: Report) -> None:
    """Switch MIG off on these GPUs, except where somebody else's slices lie."""
    node = supervisor.node
    for gpu in node.driver.read().gpus:
        if gpu.uuid not in uuids or gpu.mig is None or not gpu.mig.current:
            continue
        if gpu.slices:
            lying = ", ".join(f"{s.profile} at {s.placement}" for s in gpu.slices)
            text = f"GPU {gpu.index}: MIG mode stays on: {lying} belong to somebody else"
            report(Event(kind=EventKind.NOTE, text=text))
            continue
        typed = f"nvidia-smi -i {gpu.index} -mig 0"
        report(Event(kind=EventKind.STEP, text=f"GPU {gpu.index}: disable MIG mode", by_hand=typed))
        node.driver.set_mig_mode(gpu.uuid, enabled=False)
    record = node.read_record()
    node.store.write_record(replace(record, mig_enabled=()))


def _of_this_boot(journal: Journal, boot_id: str) -> Record:
    before = journal.before
    if before.boot_id in ("", boot_id):
        return before
    return replace(before, boot_id=boot_id, owned=())
