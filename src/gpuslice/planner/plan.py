"""The planner's front door: what is there and what is wanted in, a plan out.

Pure: it reads nothing and changes nothing. How the best layout is found is told in
`gpuslice.planner.packing`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Demand, Owned, Plan, ReplicaId, Seat, Unplaced
from gpuslice.planner.explain import explain_unplaced
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.packing import pack
from gpuslice.planner.seating import furnish, seat_all
from gpuslice.planner.situation import Situation, ask, survey


def plan(
    observed: Observed,
    demands: Sequence[Demand],
    owned: Sequence[Owned],
    *,
    gpus: Collection[str] | None = None,
) -> Plan:
    """Find the layout that serves most replicas with the least disruption.

    Slices that are not in ``owned`` are somebody else's: they stay, and their room is taken.
    Slices of ours stay under a replica that runs on them and still fits, are taken over by another
    that fits, or are destroyed. The objectives and their order are those of
    `gpuslice.planner.packing`.

    Args:
        observed: The machine as read now.
        demands: What each model asks for, most important first.
        owned: Every slice that belongs to this stack, whatever GPU it lies on.
        gpus: UUIDs of the GPUs the stack may use; all that can be sliced where it is None. Slices
            of ours on any other GPU are destroyed.

    Returns:
        The plan. Replicas that find no slice are in ``unplaced`` with the reason; that is no
        error here. Equal arguments give an equal plan.

    Raises:
        PlanningError: A model is asked for twice, or the solver did not finish.
        UnknownGpuError: A chosen GPU is not in the machine.
    """
    situation = survey(observed, demands, owned, gpus)
    seats = _seats(situation)
    gpu_plans = furnish(situation, seats)
    missing = _missing(situation, seats)
    reasons = explain_unplaced(situation, gpu_plans, seats, missing)
    return Plan(
        gpus=gpu_plans,
        seats=seats,
        unplaced=tuple(Unplaced(replica=replica, reason=reasons[replica]) for replica in missing),
        fingerprint=fingerprint(observed),
    )


def _seats(situation: Situation) -> tuple[Seat, ...]:
    """Seat everybody, first with every running replica frozen, then with moves allowed."""
    settled = tuple(Seat(replica=replica, kept=kept) for replica, kept in situation.incumbents)
    question = ask(situation, settled=True)
    answer = pack(question)
    if answer.served == sum(question.wanted) or not settled:
        return seat_all(situation, question, answer, settled)
    question = ask(situation, settled=False)
    return seat_all(situation, question, pack(question), ())


def _missing(situation: Situation, seats: tuple[Seat, ...]) -> tuple[ReplicaId, ...]:
    """List the replicas without a seat, in order."""
    seated = {seat.replica for seat in seats}
    wanted = (
        ReplicaId(demand.model, number)
        for demand in situation.demands
        for number in range(demand.replicas)
    )
    return tuple(sorted(replica for replica in wanted if replica not in seated))
