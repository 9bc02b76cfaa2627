"""The planner's front door: what is there and what is wanted in, a plan out.

Pure: it reads nothing and changes nothing. How the best layout is found is told in
`gpuslice.planner.packing`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Demand, Owned, Plan, ReplicaId, Seat, SlicePrice, Unplaced
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.certificate import Attempt, certify, plan_values
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
    limit_s: float = 60.0,
    prices: bool = False,
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
        limit_s: How long the solver may take in all, seconds, where it is needed. Whatever happens
            to it, there is a plan; its certificate says how good it is known to be.
        prices: True to compute what one more slice of each profile would cost.

    Returns:
        The plan, with its certificate. Replicas that find no slice are in ``unplaced`` with the
        reason; that is no error here. Equal arguments give an equal plan, unless the solver reaches
        its limit.

    Raises:
        PlanningError: A model is asked for twice.
        UnknownGpuError: A chosen GPU is not in the machine.
    """
    situation = survey(observed, demands, owned, gpus)
    allowance = Allowance(limit_s=limit_s)
    attempt, rival = _decide(situation, allowance)
    seats = _seats(situation, attempt)
    gpu_plans = furnish(situation, seats)
    missing = _missing(situation, seats)
    reasons = explain_unplaced(situation, gpu_plans, seats, missing)
    return Plan(
        gpus=gpu_plans,
        seats=seats,
        unplaced=tuple(Unplaced(replica=replica, reason=reasons[replica]) for replica in missing),
        fingerprint=fingerprint(observed),
        certificate=certify(situation, attempt, rival),
        slice_prices=_prices(situation, attempt, allowance) if prices else (),
    )


def _decide(situation: Situation, allowance: Allowance) -> tuple[Attempt, Attempt | None]:
    """Ask first with every running replica frozen, then, if that does not serve all, with moves.

    Returns:
        The attempt to follow, and the one with moves where it was made but is worse: a solver that
        may not finish can leave that.
    """
    frozen = _attempt(situation, allowance, settled=True)
    if frozen.serves_all or not situation.incumbents:
        return frozen, None
    moving = _attempt(situation, allowance, settled=False)
    if plan_values(situation, frozen) < plan_values(situation, moving):
        return frozen, moving
    return moving, None


def _attempt(situation: Situation, allowance: Allowance, *, settled: bool) -> Attempt:
    question = ask(situation, settled=settled)
    return Attempt(settled=settled, question=question, answer=pack(question, allowance))


def _seats(situation: Situation, attempt: Attempt) -> tuple[Seat, ...]:
    """Seat everybody as an answer says."""
    stay = situation.incumbents if attempt.settled else ()
    settled = tuple(Seat(replica=replica, kept=kept) for replica, kept in stay)
    return seat_all(situation, attempt.question, attempt.answer, settled)


def _prices(situation: Situation, attempt: Attempt, allowance: Allowance) -> tuple[SlicePrice, ...]:
    """Price one more slice of each profile; loads the solver."""
    from gpuslice.planner.prices import price_slices  # noqa: PLC0415 - only where asked for

    return price_slices(situation, attempt, allowance)


def _missing(situation: Situation, seats: tuple[Seat, ...]) -> tuple[ReplicaId, ...]:
    """List the replicas without a seat, in order."""
    seated = {seat.replica for seat in seats}
    wanted = (
        ReplicaId(demand.model, number)
        for demand in situation.demands
        for number in range(demand.replicas)
    )
    return tuple(sorted(replica for replica in wanted if replica not in seated))
