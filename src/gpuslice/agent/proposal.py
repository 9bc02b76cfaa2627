"""What a command asks of a plan beside the stack file, and the plan with all that goes with it.

Values only. Separate from `prepare`, which makes proposals, because whoever shows or stores one
needs none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gpuslice.agent.handover import Act, handover
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.desired import Change, Desired, Record
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Owned, Plan
from gpuslice.planner.verdict import check_all_placed
from gpuslice.stack.loaded import LoadedStack

Tell = Callable[[str], None]
"""Takes what is going on, in words, for whoever waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a command says of a plan, beside the stack file.

    Attributes:
        most_moves: How many running replicas may change their slice, or None for any number.
        drain: GPUs to be emptied beside those of the file, by index or UUID.
        limit_s: How long the solver may take, seconds.
        slice_prices: True to compute what one more slice of each profile would cost.
    """

    most_moves: int | None = None
    drain: tuple[int | str, ...] = ()
    limit_s: float = 60.0
    slice_prices: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A server that is replaced on its slice, or its port, and does not answer meanwhile.

    Attributes:
        replica: Whose server; None for the gateway.
        why: What is no longer as it was, in words.
    """

    replica: ReplicaId | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A plan with everything that is needed to show it and to carry it out.

    Attributes:
        desired: What the stack asks for, resolved.
        demands: What it asks of the planner.
        record: What was recorded when the plan was made.
        observed: The GPUs when the plan was made.
        plan: The checked answer.
        rules: What the plan keeps to, beside the demands.
        notes: What a person should know of how it was planned, in sentences.
        restarts: Servers that stay on their slice and are replaced there, and the gateway.
        on_paper: True when the GPUs are those of a fleet file: nothing can be carried out there.
    """

    desired: Desired
    demands: tuple[Demand, ...]
    record: Record
    observed: Observed
    plan: Plan
    rules: Rules = field(default_factory=Rules)
    notes: tuple[str, ...] = ()
    restarts: tuple[Restart, ...] = ()
    on_paper: bool = False

    @property
    def acts(self) -> tuple[Act, ...]:
        """What is done, one after the other: slices come and go, servers leave in between."""
        restarting = {restart.replica for restart in self.restarts}
        seats = (seat for seat in self.plan.seats if seat.replica in restarting)
        return handover(self.plan, {seat.kept.key for seat in seats if seat.kept is not None})

    @property
    def change(self) -> Change:
        """What to ask of the agent.

        Raises:
            NoRoomError: Some replicas have no slice: such a plan is shown, never carried out.
        """
        check_all_placed(self.demands, self.plan)
        return Change(desired=self.desired, plan=self.plan)

    @property
    def owned(self) -> tuple[Owned, ...]:
        """The slices that belonged to this stack when the plan was made."""
        return tuple(o for o in self.record.owned if o.stack == self.desired.stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Proposal):
    """A stack file, thought through.

    Attributes:
        loaded: The file.
    """

    loaded: LoadedStack
