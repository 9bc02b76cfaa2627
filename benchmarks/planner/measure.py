"""What is measured of one method on one instance.

Separate from running, from putting instances together and from printing. A method is the planner or
a rival; whatever it answers becomes a plan and goes through the independent checker,
`gpuslice.planner.check`, whose time is taken apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.planner.bounds import Bound, is_reached, least_moves
from benchmarks.planner.claims import cost, incumbents, lying, moves, standing
from benchmarks.planner.instance import Instance, asked, geometry_of, served
from benchmarks.planner.patience import patience
from benchmarks.planner.plans import Answer, as_plan
from benchmarks.planner.rivals import RIVALS, applies

from gpuslice.errors import BadPlanError
from gpuslice.model.certificate import Goal
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import GpuPlan, Plan
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan

PLANNER = "gpuslice"
_FEW_GPUS, _FEW_DEMANDS = 150, 50
"""Moves are given a bound of their own where GPUs or demands are so few that enough is alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One method on one instance.

    Attributes:
        family: Family and variant.
        size: Size, in words.
        seed: Seed.
        method: Method.
        waiting: Replicas and targets that need a slice.
        accepted: How many of all are served less those that ran and could have stayed.
        at_most: The independent bound on ``accepted``.
        gpus: Usable GPUs with anybody's slices on them afterwards.
        fleet: GPUs of the instance.
        cost: Their price.
        cost_bound: The independent bound on it, or None where the plan serves less than could be
            served or adds more than has to be added, so that the bound does not speak of it.
        moves: Running replicas that end on another slice or none, those of drained GPUs included.
        moved: What the moves count of those that could have stayed.
        moved_bound: The independent bound on ``moved`` at this cost, or None.
        compute: Compute slices that nobody has, and all, on GPUs in use.
        memory: The same of memory slices.
        seconds: How long the method took.
        check_s: How long the checker took.
        complaint: What the checker says, or "".
        unproved: The first goal that the plan's certificate does not prove, or "".
        gap: Distance of the cost from the certificate's own bound, as a share, or None where it
            has none.
        standing: What the plan reaches in the planner's order of goals, smaller is better.
    """

    family: str
    size: str
    seed: int
    method: str
    waiting: int
    accepted: int
    at_most: int
    gpus: int
    fleet: int
    cost: int
    cost_bound: int | None
    moves: int
    moved: int
    moved_bound: int | None
    compute: tuple[int, int]
    memory: tuple[int, int]
    seconds: float
    check_s: float
    complaint: str
    unproved: str
    gap: float | None
    standing: tuple[int, ...]

    @property
    def above(self) -> float | None:
        """Cost above the independent bound, as a share of it; None where there is none."""
        if self.cost_bound is None:
            return None
        return self.cost / self.cost_bound - 1 if self.cost_bound else 0.0


def methods(instance: Instance) -> tuple[str, ...]:
    """Name the methods that are tried on an instance, the planner first."""
    return (PLANNER, *(name for name in RIVALS if applies(name, instance)))


def answer(name: str, instance: Instance, limit_s: float = 60.0) -> tuple[Plan, float]:
    """Let a method answer; return its plan and the seconds it took.

    The planner is timed from the question to the finished plan with its proof; of a rival only the
    choosing is timed, not what the suite does to make a plan of it.

    Args:
        name: The method.
        instance: The instance.
        limit_s: How long the planner's solver may take, seconds.
    """
    question = instance.observed, instance.demands, instance.owned, instance.rules
    began = time.perf_counter()
    if name == PLANNER:
        made = plan(*question, limit_s=limit_s)
        return made, time.perf_counter() - began
    found = RIVALS[name].answer(instance)
    seconds = time.perf_counter() - began
    return as_plan(instance, found), seconds


def measure(
    name: str,
    instance: Instance,
    limit: Bound,
    limit_s: float = 60.0,
    patience_s: float | None = None,
) -> Result:
    """Run a method on an instance and measure its plan.

    Args:
        name: The method.
        instance: The instance.
        limit: What no plan can do better than.
        limit_s: How long the planner's solver may take, seconds.
        patience_s: After how many seconds a method counts as one that does not answer: nobody who
            arrives is served, and that is a complaint. None waits for ever.
    """
    try:
        with patience(patience_s):
            made, seconds = answer(name, instance, limit_s)
        began = time.perf_counter()
        complaint = complaint_about(instance, made)
        check_s = time.perf_counter() - began
    except TimeoutError:
        made, seconds, check_s = as_plan(instance, Answer(chosen=[])), patience_s or 0.0, 0.0
        complaint = f"no answer in {patience_s} s"
    reached = served(instance.demands, (seat.replica for seat in made.seats))
    has_to_wait = len(instance.arrivals) + len(instance.targets)
    stayers = asked(instance.demands) - has_to_wait
    in_use = _in_use(instance, made)
    price = cost(instance, made)
    idle = [_idle(gpu, gpu_plan) for gpu, gpu_plan in in_use]
    geometries = [geometry_of(gpu) for gpu, _ in in_use]
    return Result(
        family=instance.family,
        size=instance.size,
        seed=instance.seed,
        method=name,
        waiting=has_to_wait,
        accepted=sum(reached.values()) - stayers,
        at_most=sum(limit.served.values()) - stayers,
        gpus=len(in_use),
        fleet=len(instance.observed.gpus),
        cost=price,
        cost_bound=limit.cost if _comparable(instance, made, limit, reached) else None,
        moves=moves(instance, made),
        moved=standing(instance, made)[-1],
        moved_bound=_moved_bound(name, instance, reached, price),
        compute=(sum(one[0] for one in idle), sum(g.compute_slices for g in geometries)),
        memory=(sum(one[1] for one in idle), sum(g.memory_slices for g in geometries)),
        seconds=seconds,
        check_s=check_s,
        complaint=complaint,
        unproved=_unproved(made),
        gap=_own_gap(made),
        standing=standing(instance, made),
    )


def complaint_about(instance: Instance, made: Plan) -> str:
    """Ask the independent checker about a plan, and return what it says or ""."""
    try:
        check_plan(made, instance.observed, instance.demands, instance.owned, instance.rules)
    except BadPlanError as error:
        return str(error)
    return ""


def _comparable(instance: Instance, made: Plan, limit: Bound, reached: dict[str, int]) -> bool:
    """Tell whether the bound on the cost speaks of a plan."""
    if not is_reached(limit, instance.demands, reached):
        return False
    if limit.added is None:
        return True
    added = sum(instance.price(g) for g, _ in _in_use(instance, made) if instance.addable(g))
    return added <= limit.added


def _moved_bound(name: str, instance: Instance, reached: dict[str, int], price: int) -> int | None:
    """Bound the moves of the planner's plan; no rival is asked to move as little as it could."""
    small = len(instance.observed.gpus) <= _FEW_GPUS or len(instance.demands) <= _FEW_DEMANDS
    if name != PLANNER or not small or instance.targets or instance.rules.addable:
        return None
    return least_moves(instance, reached, price) if incumbents(instance) else None


def _in_use(instance: Instance, made: Plan) -> list[tuple[Gpu, GpuPlan]]:
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    usable = ((gpu, plans[gpu.uuid]) for gpu in instance.observed.gpus if instance.usable(gpu))
    return [(gpu, gpu_plan) for gpu, gpu_plan in usable if lying(gpu_plan)]


def _idle(gpu: Gpu, gpu_plan: GpuPlan) -> tuple[int, int]:
    """Count the compute and memory slices of a GPU that nobody has."""
    geometry, parts = geometry_of(gpu), lying(gpu_plan)
    compute = {profile.name: profile.compute_slices for profile in geometry.profiles}
    return (
        geometry.compute_slices - sum(compute[name] for name, _ in parts),
        geometry.memory_slices - sum(at.size for _, at in parts),
    )


def _unproved(made: Plan) -> str:
    """Name the first goal that a certificate leaves open."""
    if made.certificate is None or made.certificate.open is None:
        return ""
    return str(made.certificate.open.goal)


def _own_gap(made: Plan) -> float | None:
    """Return how far the cost is from the certificate's own bound."""
    objectives = () if made.certificate is None else made.certificate.objectives
    for objective in objectives:
        if objective.goal == Goal.COST and objective.gap is not None:
            return objective.gap / objective.value if objective.value else 0.0
    return None
