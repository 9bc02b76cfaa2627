"""In which order slices come, servers leave and slices go, so that somebody always answers: pure.

The plan's steps say in which order slices may come and go on each GPU. Here servers are put between
them. Whatever can be ready beforehand is: **before anybody leaves, every server that has a free
slice is started and has answered** (whoever carries this out does so before each `Leave`). Then

- a replica that moves has its new server before its old one leaves;
- a replica that pauses, and one that is replaced on its own slice, leave when all others are ready;
  of several that are replaced, those of one model one after the other;
- a slice is destroyed when its server has left, and those whose room nobody waits for go last of
  all. So as long as the end is not near, a change that fails finds the old servers answering.

*Method.* Everything that comes and is not in anybody's way is let come. While some slice still has
to come, the servers in its way leave: those that have their new slice, and those nobody wants; only
where that helps nobody, those that the plan says pause. Among slices that stay, a chain (one moves
to the slice of another that moves on) is walked from its free end, and a ring is opened by the one
that the plan says pauses. What is left goes at the end.

*Why it ends.* Each round does a step or lets a server leave. The plan's own order shows that there
always is one: the first step not done waits for nothing but a server, and that one either has its
new slice, or is unwanted, or pauses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from gpuslice.apply.lanes import lanes_of
from gpuslice.errors import BadPlanError
from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import SliceKey
from gpuslice.model.plan import Fate, Plan, PlannedSlice, Seat
from gpuslice.planner.ordering.precedence import place
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, DisableMig, Step, steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps that are carried out together, side by side on different GPUs."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """The servers on these slices leave, once everybody who has a free slice is ready."""

    slices: frozenset[SliceKey]


Act = Steps | Leave


def handover(
    plan: Plan,
    replaced: Collection[SliceKey] = (),
    pinned: Collection[ReplicaId] = (),
) -> tuple[Act, ...]:
    """Put the steps of a plan and the leaving of servers into an order.

    Args:
        plan: What changes.
        replaced: Slices whose server is replaced by another form of itself.
        pinned: Replicas that move and whose new server needs the port of the old one.

    Returns:
        What to do, one after the other. The steps are those of the plan, on each GPU in its order.

    Raises:
        BadPlanError: The plan declares too few pauses: somebody would have to leave undeclared.
    """
    handing = _Handover(plan, replaced, pinned)
    handing.make_room()
    handing.walk_chains()
    handing.end()
    return tuple(handing.acts)


def steps_of(acts: Iterable[Act]) -> tuple[Step, ...]:
    """List the steps among what is to be done, in order."""
    return tuple(step for act in acts if isinstance(act, Steps) for step in act.steps)


def steps_in_order(plan: Plan) -> tuple[Step, ...]:
    """List the steps of a plan as they are carried out."""
    return steps_of(handover(plan))


class _Handover:
    """What has been done so far. Owned by one call of `handover`."""

    def __init__(
        self, plan: Plan, replaced: Collection[SliceKey], pinned: Collection[ReplicaId]
    ) -> None:
        self.acts: list[Act] = []
        todo = steps(plan)
        self._steps = [step for step in todo if not isinstance(step, DisableMig)]
        self._last = tuple(step for step in todo if isinstance(step, DisableMig))
        self._lanes = {uuid: list(numbers) for uuid, numbers in lanes_of(self._steps).items()}
        self._there: set[tuple[str, int]] = set()
        self._seats = {seat.replica: seat for seat in plan.seats}
        leaving = [
            (server.origin.key, server)
            for server in plan.servers
            if server.origin is not None and server.fate in (Fate.MOVES, Fate.STOPS)
        ]
        self._sitting = {key: server.replica for key, server in leaving}
        self._stopping = {key for key, server in leaving if server.fate is Fate.STOPS}
        self._pausing = {key for key, server in leaving if server.pause or server.replica in pinned}
        self._replaced = set(replaced) - self._sitting.keys()
        self._kept = {s.kept.key: s.replica for s in plan.seats if s.kept is not None}
        self._claimed = set(self._kept)

    def make_room(self) -> None:
        """Let every slice come, and go what is in the way of one."""
        self._give()
        while self._coming():
            takes = self._takes(self._may_leave)
            if not takes and (self._leave(self._chain()) or self._leave(self._claimed_by_others())):
                continue
            takes = takes or self._takes(lambda key: key in self._pausing or self._may_leave(key))
            if not takes and not self._leave(self._claimed_by_others(self._pausing)):
                raise BadPlanError("the plan has a server leave its slice without declaring it")
            self._take(takes)
            self._give()

    def walk_chains(self) -> None:
        """Let slices that stay change hands; what is replaced in place comes after all others."""
        while self._leave(self._chain()):
            pass
        pausing = self._sitting.keys() & self._pausing
        turn = self._next_turn()
        if self._leave(turn | pausing | self._claimed_by_others()):
            self._replaced -= turn
            self.walk_chains()

    def _next_turn(self) -> set[SliceKey]:
        """Choose who is replaced in place now: of each model the first that has not been."""
        of_model: dict[str, SliceKey] = {}
        for key in sorted(self._replaced, key=lambda key: self._kept[key]):
            of_model.setdefault(self._kept[key].model, key)
        return set(of_model.values())

    def end(self) -> None:
        """Let everybody leave who is left, and go what is left."""
        self._leave(set(self._sitting))
        self._do([number for lane in self._lanes.values() for number in lane])
        if self._last:
            self.acts.append(Steps(steps=self._last))

    def _coming(self) -> bool:
        """Tell whether something still has to come."""
        return any(not self._goes(n) for lane in self._lanes.values() for n in lane)

    def _goes(self, number: int) -> bool:
        return isinstance(self._steps[number], DestroySlice)

    def _give(self) -> None:
        """Let everything come that waits for nothing."""
        numbers = []
        for lane in self._lanes.values():
            while lane and not self._goes(lane[0]):
                numbers.append(lane.pop(0))
        self._do(numbers)
        made = (self._steps[number] for number in numbers)
        self._there |= {place(step.planned) for step in made if isinstance(step, CreateSlice)}

    def _takes(self, may_leave: Callable[[SliceKey], bool]) -> list[int]:
        """Find what may go now and is in the way of something that comes."""
        found = []
        for lane in self._lanes.values():
            if all(map(self._goes, lane)):
                continue  # nobody waits for the room
            for number in lane:
                step = self._steps[number]
                if not isinstance(step, DestroySlice) or not may_leave(step.slice.key):
                    break
                found.append(number)
        return found

    def _take(self, numbers: list[int]) -> None:
        gone = [self._steps[number] for number in numbers]
        keys = {step.slice.key for step in gone if isinstance(step, DestroySlice)}
        self._leave(keys & self._sitting.keys())
        self._do(numbers)
        taken = set(numbers)
        for lane in self._lanes.values():
            lane[:] = [number for number in lane if number not in taken]

    def _do(self, numbers: list[int]) -> None:
        if numbers:
            self.acts.append(Steps(steps=tuple(self._steps[n] for n in sorted(numbers))))

    def _may_leave(self, key: SliceKey) -> bool:
        """Tell whether nobody on a slice is needed there any more."""
        replica = self._sitting.get(key)
        return replica is None or key in self._stopping or self._is_free(self._seats[replica])

    def _is_free(self, seat: Seat) -> bool:
        """Tell whether a replica's new slice is there for it."""
        if isinstance(seat.slice, PlannedSlice):
            return place(seat.slice) in self._there
        return seat.slice.key not in self._sitting

    def _chain(self) -> set[SliceKey]:
        """Find who has a new slice and sits on one that another replica is to have."""
        return {
            key
            for key, replica in self._sitting.items()
            if key in self._claimed
            and key not in self._stopping
            and self._is_free(self._seats[replica])
        }

    def _claimed_by_others(self, those: Collection[SliceKey] | None = None) -> set[SliceKey]:
        """Find who sits on a slice that stays for another; of those nobody wants by default."""
        those = self._stopping if those is None else those
        return {key for key in self._sitting if key in those and key in self._claimed}

    def _leave(self, keys: Collection[SliceKey]) -> bool:
        """Let servers leave; tells whether there were any."""
        if keys:
            self.acts.append(Leave(slices=frozenset(keys)))
        for key in keys:
            self._sitting.pop(key, None)
        return bool(keys)
