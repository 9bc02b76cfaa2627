"""What is measured of one method on one instance, and of many instances together.

Separate from running and from printing. A method is the planner or a rival; whatever it answers
becomes a plan and goes through the independent checker, `gpuslice.planner.check`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.planner.bounds import Bound
from benchmarks.planner.claims import moves, with_claims
from benchmarks.planner.instance import Instance, as_plan, geometry_of
from benchmarks.planner.one_by_one import ONE_BY_ONE
from benchmarks.planner.rearranging import REARRANGING, applies

from gpuslice.errors import BadPlanError
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Plan, PlannedSlice
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan

PLANNER = "gpuslice"
RIVALS = {**ONE_BY_ONE, **REARRANGING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One method on one instance.

    Attributes:
        asked: Replicas that need a slice: new ones, and those on GPUs that are drained.
        served: How many of all replicas are served less those that ran and could have stayed.
        serveable: A bound on ``served``, or on what is left when all is served.
        gpus: GPUs with anybody's slices on them afterwards.
        gpus_bound: A bound on ``gpus`` when all is served, or None.
        gpus_bound_staying: The same where nobody moves without need, or None.
        moves: Running replicas that end on another slice, those of drained GPUs included.
        idle_compute: Compute slices on GPUs in use that nobody has.
        idle_memory: Memory slices on GPUs in use that nobody has.
        seconds: How long the method took.
        legal: The checker's verdict.
        proved: True when the plan's own certificate claims an optimum in every goal.
    """

    asked: int
    served: int
    serveable: int
    gpus: int
    gpus_bound: int | None
    gpus_bound_staying: int | None
    moves: int
    idle_compute: int
    idle_memory: int
    seconds: float
    legal: bool
    proved: bool

    @property
    def gap(self) -> float | None:
        """GPUs in use above the bound, as a share of it; None where not all is served."""
        return self._above(self.gpus_bound)

    @property
    def gap_staying(self) -> float | None:
        """The same above the bound for plans that move nobody without need; may be negative."""
        return self._above(self.gpus_bound_staying)

    def _above(self, limit: int | None) -> float | None:
        if not limit or self.served < self.asked:
            return None
        return self.gpus / limit - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method on all seeds of one family and size; means unless said otherwise.

    Attributes:
        acceptance: Share of what was asked that is served, over all seeds.
        at_most: The bound on it.
        gpus: GPUs in use.
        gap: Gap of GPUs in use to the bound, or None where something is not served.
        gap_staying: The same to the bound for plans that move nobody without need, or None.
        moves: Replicas moved.
        idle_compute: Compute slices idle on GPUs in use.
        idle_memory: Memory slices idle on GPUs in use.
        median_s: Median time.
        worst_s: Longest time.
        legal: Plans that passed the checker, and plans.
        unproved: Plans whose certificate claims no optimum.
    """

    acceptance: float
    at_most: float
    gpus: float
    gap: float | None
    gap_staying: float | None
    moves: float
    idle_compute: float
    idle_memory: float
    median_s: float
    worst_s: float
    legal: tuple[int, int]
    unproved: int


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
    began = time.perf_counter()
    if name == PLANNER:
        made = plan(
            instance.observed,
            instance.demands,
            instance.owned,
            gpus=instance.gpus,
            limit_s=limit_s,
        )
        return made, time.perf_counter() - began
    chosen = RIVALS[name](instance)
    seconds = time.perf_counter() - began
    return with_claims(instance, as_plan(instance, chosen)), seconds


def measure(name: str, instance: Instance, limit: Bound, limit_s: float = 60.0) -> Result:
    """Run a method on an instance and measure its plan."""
    made, seconds = answer(name, instance, limit_s)
    stayers = sum(d.replicas for d in instance.demands) - len(instance.arrivals)
    gpus = {gpu.uuid: gpu for gpu in instance.observed.gpus}
    planned = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    idle = [_idle(gpus[uuid], gpu_plan) for uuid, gpu_plan in planned.items()]
    return Result(
        asked=len(instance.arrivals),
        served=len(made.seats) - stayers,
        serveable=limit.served - stayers,
        gpus=sum(occupied for occupied, _, _ in idle),
        gpus_bound=limit.gpus,
        gpus_bound_staying=limit.gpus_staying,
        moves=moves(instance, made),
        idle_compute=sum(compute for _, compute, _ in idle),
        idle_memory=sum(memory for _, _, memory in idle),
        seconds=seconds,
        legal=is_legal(instance, made),
        proved=made.certificate is not None and made.certificate.optimal,
    )


def is_legal(instance: Instance, made: Plan) -> bool:
    """Ask the independent checker about a plan."""
    try:
        check_plan(made, instance.observed, instance.demands, instance.owned, gpus=instance.gpus)
    except BadPlanError:
        return False
    empty = {gpu.uuid for gpu in instance.observed.gpus if not instance.usable(gpu)}
    return not any(seat.slice.gpu_uuid in empty for seat in made.seats)


def summarise(results: Sequence[Result]) -> Row:
    """Put the seeds of one method, family and size together."""
    asked = sum(result.asked for result in results)

    def mean(value: Callable[[Result], float]) -> float:
        return statistics.fmean(value(result) for result in results)

    return Row(
        acceptance=sum(result.served for result in results) / asked,
        at_most=sum(result.serveable for result in results) / asked,
        gpus=mean(lambda result: result.gpus),
        gap=_mean_if_all(result.gap for result in results),
        gap_staying=_mean_if_all(result.gap_staying for result in results),
        moves=mean(lambda result: result.moves),
        idle_compute=mean(lambda result: result.idle_compute),
        idle_memory=mean(lambda result: result.idle_memory),
        median_s=statistics.median(result.seconds for result in results),
        worst_s=max(result.seconds for result in results),
        legal=(sum(result.legal for result in results), len(results)),
        unproved=sum(not result.proved for result in results),
    )


def _idle(gpu: Gpu, gpu_plan: GpuPlan) -> tuple[bool, int, int]:
    """Say whether a GPU is in use, and how many compute and memory slices of it are idle."""
    geometry = geometry_of(gpu)
    lying: list[Slice | PlannedSlice] = [*gpu_plan.keep, *gpu_plan.create, *gpu_plan.foreign]
    if not lying:
        return False, 0, 0
    compute = {profile.name: profile.compute_slices for profile in geometry.profiles}
    return (
        True,
        geometry.compute_slices - sum(compute[part.profile] for part in lying),
        geometry.memory_slices - sum(part.placement.size for part in lying),
    )


def _mean_if_all(values: Iterable[float | None]) -> float | None:
    """Return the mean, or None where a value is missing."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    return statistics.fmean(known) if len(known) == len(listed) else None
