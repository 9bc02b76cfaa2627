"""Carry a change out: slices come and go, and servers hand over to each other in between.

`gpuslice.agent.handover` says in which order; here it is done, with the journal and the gateway.
Separate from the changes, which say what happens around it (preflight, hooks, the way back).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from gpuslice.agent.handover import Act, Leave, Steps
from gpuslice.agent.launches import server_launches
from gpuslice.agent.leaving import retire, stop
from gpuslice.agent.supervisor import Supervisor
from gpuslice.agent.waiting import wait_until_ready
from gpuslice.apply.slices import Notebook, carry_out
from gpuslice.model.desired import Record
from gpuslice.model.event import Report
from gpuslice.model.gpu import Observed, SliceKey
from gpuslice.model.plan import Owned
from gpuslice.model.server import Launch, RunningServer
from gpuslice.planner.ordering.steps import DestroySlice


@dataclass(kw_only=True)
class Replacement:
    """One change on its way. Owned by one call of `gpuslice.agent.changes.bring_up`.

    Attributes:
        supervisor: The machine.
        record: What is recorded so far; on disk after each act.
        notebook: The journal.
        report: Where progress goes.
        check: Raises to stop the change.
        sitting: The servers that were there before and have not left, by slice.
        uuids: Of the slices that were there before.
    """

    supervisor: Supervisor
    record: Record
    notebook: Notebook
    report: Report
    check: Callable[[], None]
    sitting: dict[str, Launch]
    uuids: Mapping[SliceKey, str]

    def do(self, acts: Iterable[Act]) -> None:
        """Do one after the other; see `change` and `leave` for what may go wrong."""
        for act in acts:
            match act:
                case Steps():
                    self.change(act)
                case Leave():
                    self.leave(act)
                case _:
                    assert_never(act)

    def change(self, act: Steps) -> None:
        """Carry out steps; what goes is ours no more, what comes is.

        Raises:
            DriverError: A step failed; the journal says how far it came.
        """
        node = self.supervisor.node
        gone = {step.slice.key for step in act.steps if isinstance(step, DestroySlice)}
        self._clear(gone)
        created = carry_out(
            act.steps,
            node.driver,
            self.notebook,
            self.report,
            self.check,
            another=node.another_driver,
        )
        stack = self.record.desired.stack if self.record.desired else ""
        kept = (owned for owned in self.record.owned if owned.slice not in gone)
        made = (Owned(slice=s.key, stack=stack, replica=replica) for s, replica in created)
        self.record = replace(self.record, owned=(*kept, *made))
        for key in gone:  # the driver may give a later slice the same UUID
            self.sitting.pop(self.uuids.get(key, ""), None)
        node.store.write_record(self.record)
        node.runtime.slices_changed()

    def leave(self, act: Leave) -> None:
        """Wait until all others are ready, then let servers leave.

        Raises:
            ServerExitedError: A new server ended by itself.
            ServerTimeoutError: A new server was not ready in time.
        """
        uuids = {self.uuids[key] for key in act.slices if key in self.uuids}
        if not uuids & self.sitting.keys():
            return
        self.settle()
        going = [launch for uuid, launch in self.sitting.items() if uuid in uuids]
        retire(self.supervisor, going, self.report, self.check)
        for uuid in uuids:
            self.sitting.pop(uuid, None)

    def settle(self) -> None:
        """Start everybody who has a free slice, and wait until they are ready.

        Raises:
            ServerExitedError: A server ended by itself.
            ServerTimeoutError: A server was not ready in time.
        """
        alive = {process.key for process in self.supervisor.node.runtime.list()}
        self.sitting = {uuid: old for uuid, old in self.sitting.items() if old.key in alive}
        wanted, leaving = _sorted_out(self.supervisor.wanted(self.record), self.sitting)
        wait_until_ready(self.supervisor, wanted, self.report, self.check, leaving=leaving)

    def _clear(self, gone: Collection[SliceKey]) -> None:
        """Stop whatever of ours is still on slices that go, so that the driver lets go of them."""
        uuids = {self.uuids[key] for key in gone if key in self.uuids}
        processes = self.supervisor.node.runtime.list()
        stop(self.supervisor, [p for p in processes if p.slice_uuid in uuids], self.report)


def sitting_before(supervisor: Supervisor, before: Record, observed: Observed) -> dict[str, Launch]:
    """Describe the servers that run when a change begins, by slice, as they run.

    One that was started by another version of gpuslice, or with other settings than are recorded,
    is taken as it is: it goes on until it leaves.

    Args:
        supervisor: The machine.
        before: What was recorded.
        observed: The GPUs.
    """
    running = {process.key: process for process in supervisor.node.runtime.list()}
    launches = server_launches(before, observed, supervisor.node.host)
    return {
        launch.slice_uuid: _as_it_runs(launch, running[launch.key])
        for launch in launches
        if launch.key in running and not running[launch.key].headless
    }


def replaced_in_place(
    launches: Sequence[Launch], sitting: Mapping[str, Launch]
) -> tuple[Launch, ...]:
    """Find the launches that are to replace a server of the same replica on its own slice."""
    return tuple(
        launch
        for launch in launches
        if (old := sitting.get(launch.slice_uuid)) is not None
        and old.replica == launch.replica
        and old.config_hash != launch.config_hash
    )


def _as_it_runs(launch: Launch, process: RunningServer) -> Launch:
    return replace(launch, config_hash=process.config_hash, host=process.host, port=process.port)


def _sorted_out(
    launches: Sequence[Launch], sitting: Mapping[str, Launch]
) -> tuple[list[Launch], list[Launch]]:
    """Split into those that may run now, and the old ones that go on where they sit."""
    now, listening = [], {old.url: old for old in sitting.values()}
    for launch in launches:
        old = sitting.get(launch.slice_uuid) or listening.get(launch.url)
        if old is None or old.config_hash == launch.config_hash:
            now.append(launch)
    unchanged = {launch.slice_uuid for launch in now}
    return now, [old for uuid, old in sitting.items() if uuid not in unchanged]
