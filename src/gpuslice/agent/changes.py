"""The three changes of a machine: bring a stack up, undo that, take it down.

Each is written so that it can be killed anywhere. ``up`` opens the journal before it touches
anything; whoever comes next finds it and undoes. Undoing and taking down look at the world and do
only what is still to be done, so they can be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gpuslice.agent.around import (
    hooks_around,
    hooks_around_going,
    hooks_around_undoing,
    make_up_for_hooks,
)
from gpuslice.agent.handing_back import hand_back
from gpuslice.agent.handover import Steps, handover, steps_of
from gpuslice.agent.launches import images_of, server_launches
from gpuslice.agent.leaving import stop
from gpuslice.agent.node import Node
from gpuslice.agent.ports import moving_with_a_pinned_port
from gpuslice.agent.preflight import check_before
from gpuslice.agent.recording import record_during
from gpuslice.agent.refusing import check_others
from gpuslice.agent.replacing import Replacement, replaced_in_place, sitting_before
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import Check
from gpuslice.apply.record import Journal
from gpuslice.apply.refusals import Refusal
from gpuslice.apply.slices import Notebook, note_all, undo
from gpuslice.model.desired import Change, Hooks, Record
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.gpu import Observed
from gpuslice.planner.ordering.steps import DestroySlice, DisableMig, Step, by_hand, describe


def bring_up(
    supervisor: Supervisor,
    change: Change,
    report: Report,
    check: Check,
    allow: Collection[str] = (),
) -> None:
    """Carry out a plan and bring every server and the gateway up. Leaves the journal open.

    Servers on slices that stay, and whose launch has not changed, are not touched. Those that move
    answer until their new ones do, where the plan declares no pause.

    Args:
        supervisor: The machine.
        change: What is wanted, by which plan.
        report: Where progress goes.
        check: Raises to stop the change.
        allow: Names of the refusals that are lifted.

    Raises:
        GpusliceError: It failed. The journal is open: `roll_back` undoes what was done.
    """
    node = supervisor.node
    before = node.read_record()
    check_before(node, before, change, allow)
    _fetch(node, change, report, check)
    record, observed = record_during(before, change), node.driver.read()
    uuids = {s.key: s.uuid for gpu in observed.gpus for s in gpu.slices if s.uuid}
    sitting = sitting_before(supervisor, before, observed)
    launches = server_launches(record, observed, node.host)
    replaced = {launch.slice_uuid for launch in replaced_in_place(launches, sitting)}
    acts = handover(
        change.plan,
        {key for key, uuid in uuids.items() if uuid in replaced},
        moving_with_a_pinned_port(change.plan, change.desired, before),
    )
    todo, stack = steps_of(acts), change.desired.stack
    notebook = Notebook(node.store, before, allow=tuple(sorted(allow)), hooks=change.desired.hooks)
    replacement = Replacement(
        supervisor=supervisor,
        record=record,
        notebook=notebook,
        report=report,
        check=check,
        sitting=sitting,
        uuids=uuids,
    )
    last = max((n for n, act in enumerate(acts, start=1) if isinstance(act, Steps)), default=0)
    with hooks_around(notebook, todo, observed, report, stack=stack):
        supervisor.gateway.refresh(record)
        node.store.write_record(record)
        note_all(todo, node.driver, notebook)
        replacement.do(acts[:last])
    replacement.do(acts[last:])
    replacement.settle()


def _fetch(node: Node, change: Change, report: Report, check: Check) -> None:
    """Bring the images of a change here: while nothing has been touched, and told as it goes."""
    desired = change.desired
    if desired.docker is None:
        return

    def tell(text: str) -> None:
        check()
        report(Event(kind=EventKind.WAIT, text=text))

    node.runtime.fetch(images_of(desired), desired.docker, tell)


def commit(supervisor: Supervisor) -> None:
    """Let the change stand."""
    supervisor.node.store.end_journal()


def roll_back(supervisor: Supervisor, report: Report, allow: Collection[str] = ()) -> bool:
    """Undo the change under way, if there is one.

    Servers of the stack before are started again by the agent's next look.

    Args:
        supervisor: The machine.
        report: Where progress goes.
        allow: Names of the refusals that are lifted, besides those the change itself had lifted.

    Returns:
        True when there was something to undo.

    Raises:
        ForeignSlicesError: Somebody else's slice lies where one of ours was.
        ApplyError: Something could not be undone; the journal stays.
    """
    node = supervisor.node
    make_up_for_hooks(node, report)
    journal = node.store.read_journal()
    if journal is None:
        return False
    before = _of_this_boot(journal, node.driver.boot_id())
    hand_back(supervisor, before, report)
    node.runtime.sweep()
    finish = _finishing(node, before)
    with hooks_around_undoing(node, journal, report):
        whole = replace(journal, before=before)
        record = undo(whole, node.driver, report, allow=allow, finish=finish)
        node.store.write_record(record)
        node.runtime.slices_changed()
    node.store.end_journal()
    report(Event(kind=EventKind.UNDO, text="everything is as it was before"))
    return True


def take_down(
    supervisor: Supervisor,
    report: Report,
    *,
    slices: bool = False,
    mig_off: bool = False,
    allow: Collection[str] = (),
) -> None:
    """Stop servers and gateway; if asked, remove our slices and switch MIG mode off.

    Args:
        supervisor: The machine.
        report: Where progress goes.
        slices: Destroy the slices that are ours.
        mig_off: Also switch MIG mode off on their GPUs, where nothing else lies on them.
        allow: Names of the refusals that are lifted.

    Raises:
        SlicesInUseError: A process that is not ours sits on a slice that would go.
        MigModeChangeError: Others use a GPU whose mode would change.
        HookError: A hook failed.
        DriverError: A slice or a mode could not be changed; what was done stays done, and running
            it again goes on.
    """
    node = supervisor.node
    observed, record = node.driver.read(), node.read_record()
    going = leaving(record, observed, slices=slices, mig_off=mig_off)
    check_others(node, going, observed, allow)
    node.store.end_journal()
    stack = record.desired.stack if record.desired else ""
    hooks = record.desired.hooks if record.desired else Hooks()
    with hooks_around_going(node, hooks, going, report, stack):
        stop(supervisor, node.runtime.list(), report)
        node.runtime.sweep()
        node.machine.gateway_file.unlink(missing_ok=True)  # it holds keys
        if mig_off:  # so that a second run, when slices are forgotten, still knows which GPUs
            gpus = {owned.slice.gpu_uuid for owned in record.owned}
            record = replace(record, mig_enabled=tuple(sorted({*record.mig_enabled, *gpus})))
        record = replace(record, desired=None, hooks_due=node.read_record().hooks_due)
        node.store.write_record(record)
        if slices or mig_off:
            _destroy_owned(supervisor, record, going, report)
        if mig_off:
            _disable_mig(supervisor, report, allow)


def leaving(record: Record, observed: Observed, *, slices: bool, mig_off: bool) -> tuple[Step, ...]:
    """Say which slices and modes `take_down` would change, in order.

    Args:
        record: What is recorded about the machine.
        observed: Its GPUs.
        slices: As for `take_down`.
        mig_off: As for `take_down`.
    """
    if not (slices or mig_off):
        return ()
    stack = record.desired.stack if record.desired else None
    # Those without a stack were made by themselves, with `gpuslice slices`, and stay.
    ours = [o for o in record.owned if o.stack and stack in (None, o.stack)]
    there = {s.key: s for gpu in observed.gpus for s in gpu.slices}
    gone = [there[o.slice] for o in ours if o.slice in there]
    steps_: list[Step] = [DestroySlice(slice=s) for s in gone]
    if mig_off:
        gpus = {o.slice.gpu_uuid for o in record.owned} | set(record.mig_enabled)
        steps_ += [
            DisableMig(gpu_uuid=gpu.uuid)
            for gpu in observed.gpus
            if gpu.uuid in gpus
            and gpu.mig is not None
            and gpu.mig.current
            and all(s in gone for s in gpu.slices)
        ]
    return tuple(steps_)


def _destroy_owned(
    supervisor: Supervisor, record: Record, going: Sequence[Step], report: Report
) -> None:
    """Destroy the slices that go, forgetting each as it goes, and those that are gone already."""
    node = supervisor.node
    observed = node.driver.read()
    there = {s.key for gpu in observed.gpus for s in gpu.slices}
    # What lies on a GPU that has fallen off the bus cannot be known before it is back.
    seen = {gpu.uuid for gpu in observed.gpus}
    there |= {o.slice for o in record.owned if o.slice.gpu_uuid not in seen}
    for step in going:
        if not isinstance(step, DestroySlice):
            continue
        text = describe(step, observed.gpus)
        report(Event(kind=EventKind.STEP, text=text, by_hand=by_hand(step, observed)))
        node.driver.destroy_slice(step.slice)
        there.discard(step.slice.key)
        record = replace(record, owned=tuple(o for o in record.owned if o.slice in there))
        node.store.write_record(record)
    node.store.write_record(
        replace(record, owned=tuple(o for o in record.owned if o.slice in there))
    )


def _disable_mig(supervisor: Supervisor, report: Report, allow: Collection[str]) -> None:
    """Switch MIG off where we may, except where somebody else's slices lie."""
    node = supervisor.node
    observed, record = node.driver.read(), node.read_record()
    for gpu in observed.gpus:
        if gpu.uuid not in record.mig_enabled or gpu.mig is None or not gpu.mig.current:
            continue
        if gpu.slices:
            lying = ", ".join(f"{s.profile} at {s.placement}" for s in gpu.slices)
            text = f"GPU {gpu.index}: MIG mode stays on: {lying} belong to somebody else"
            report(Event(kind=EventKind.NOTE, text=text))
            continue
        step = DisableMig(gpu_uuid=gpu.uuid)
        text = describe(step, observed.gpus)
        report(Event(kind=EventKind.STEP, text=text, by_hand=by_hand(step, observed)))
        reset = Refusal.GPU_RESET in allow
        node.driver.set_mig_mode(gpu.uuid, enabled=False, reset=reset)
    seen = {gpu.uuid for gpu in observed.gpus}
    lost = tuple(uuid for uuid in record.mig_enabled if uuid not in seen)
    node.store.write_record(replace(record, mig_enabled=lost))


def _finishing(node: Node, before: Record) -> str:
    """Say which command finishes an undoing that could not be finished."""
    command = "gpuslice down" if before.desired is None else "gpuslice up"
    simulation = node.machine.simulation
    return f"{command} --simulate {simulation}" if simulation else command


def _of_this_boot(journal: Journal, boot_id: str) -> Record:
    before = journal.before
    if before.boot_id in ("", boot_id):
        return before
    return replace(before, boot_id=boot_id, owned=())
