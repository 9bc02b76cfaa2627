"""The assignment program: one variable for each replica, GPU, profile and start. Small sizes only.

Separate because it is the formulation that published optimisers use (arXiv 2409.06646 has one; only
its abstract could be read, so this one follows the idea, not its rows) and the measure of what
treating equal things as one is worth. It is also independent of the planner, so that where it
finishes, both must agree.

Goals are settled one after the other, as the planner does: what is served by priority, the price of
GPUs to be added, the price of GPUs in use, what moves count. Each is held before the next begins.
The time is shared by all goals; where it runs out, the best that was found is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import highspy
from benchmarks.planner.claims import incumbents
from benchmarks.planner.instance import Chosen, Instance, geometry_of, running
from benchmarks.planner.plans import Answer
from benchmarks.planner.relaxation import Silent

from gpuslice.model.demand import Demand, ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Slice

MOST_VARIABLES = 4000
"""Larger programs are not tried."""

_LIMIT_S = 10.0
_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """One place that a replica could take."""

    replica: ReplicaId
    gpu: int
    profile: str
    placement: Placement
    stays: bool


class _Assignment:
    """The program of one instance; owned by `assignment`."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._solver = Silent()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._solver.setOptionValue("mip_rel_gap", 0.0)
        self._solver.setOptionValue("mip_abs_gap", _TOLERANCE)
        self.options = list(options(instance))
        for _ in (*self.options, *instance.observed.gpus):
            self._solver.addCol(0.0, 0.0, 1.0, 0, [], [])
        for column in range(len(self.options) + len(instance.observed.gpus)):
            self._solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        self._add_replicas()
        self._add_gpus()
        self._limit_moves()
        self._values: list[float] = []

    def settle(self, costs: Mapping[int, float], limit_s: float) -> None:
        """Minimise one goal and hold what was reached."""
        if not any(costs.values()):
            return
        for column in range(len(self.options) + len(self._instance.observed.gpus)):
            self._solver.changeColCost(column, costs.get(column, 0.0))
        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + max(0.1, limit_s))
        if self._values:
            self._solver.setSolution(_solution(self._values))
        self._solver.run()
        found = list(self._solver.getSolution().col_value)
        if found and self._solver.getInfo().primal_solution_status == 2:
            self._values = [float(round(value)) for value in found]
            reached = sum(cost * self._values[column] for column, cost in costs.items())
            terms = {column: cost for column, cost in costs.items() if cost}
            self._row(terms, high=reached + 1e-6)

    def seated(self) -> list[_Option]:
        """List the places that were taken."""
        return [o for o, value in zip(self.options, self._values, strict=False) if value > 0.5]

    def replicas(self, priority: int) -> dict[int, float]:
        """Reward each replica of a priority that has a place."""
        mine = {d.model for d in self._instance.demands if d.priority == priority}
        return {n: -1.0 for n, option in enumerate(self.options) if option.replica.model in mine}

    def prices(self, *, addable: bool) -> dict[int, float]:
        """Price of each GPU that is in use, or of each that would have to be added."""
        first = len(self.options)
        return {
            first + number: float(self._instance.price(gpu))
            for number, gpu in enumerate(self._instance.observed.gpus)
            if self._instance.usable(gpu) and (not addable or self._instance.addable(gpu))
        }

    def moves(self) -> dict[int, float]:
        """Reward each replica that stays by what its move would count."""
        weights = {demand.model: demand.move_cost for demand in self._instance.demands}
        return {
            number: -float(weights[option.replica.model])
            for number, option in enumerate(self.options)
            if option.stays
        }

    def _add_replicas(self) -> None:
        """Give each replica one place at most, and a pinned one that runs its only one."""
        pinned = {demand.model for demand in self._instance.demands if demand.pinned}
        own = incumbents(self._instance)
        places: dict[ReplicaId, dict[int, float]] = {}
        for number, option in enumerate(self.options):
            places.setdefault(option.replica, {})[number] = 1.0
        for replica, columns in places.items():
            has_to = replica in own and replica.model in pinned
            self._row(columns, low=1.0 if has_to else 0.0, high=1.0)

    def _add_gpus(self) -> None:
        """Let no two slices share a memory slice, and count a GPU with anything on it as used."""
        on: dict[int, list[tuple[int, _Option]]] = {}
        for number, option in enumerate(self.options):
            on.setdefault(option.gpu, []).append((number, option))
        ours = {record.slice for record in self._instance.owned}
        for position, gpu in enumerate(self._instance.observed.gpus):
            used = len(self.options) + position
            foreign = [s.placement for s in gpu.slices if s.key not in ours]
            if foreign and self._instance.usable(gpu):
                self._row({used: 1.0}, low=1.0, high=1.0)
            mine = on.get(position, [])
            for unit in range(geometry_of(gpu).memory_slices):
                there = {n: 1.0 for n, o in mine if o.placement.start <= unit < o.placement.end}
                if there:
                    self._row({**there, used: -1.0}, high=0.0)
            self._add_limits(gpu, mine)

    def _limit_moves(self) -> None:
        """Let no more replicas leave their slice than the rules say."""
        most = self._instance.rules.most_moves
        stays = {number: 1.0 for number, option in enumerate(self.options) if option.stays}
        if most is not None and len(stays) > most:
            self._row(stays, low=float(len(stays) - most), high=float(len(stays)))

    def _add_limits(self, gpu: Gpu, mine: Iterable[tuple[int, _Option]]) -> None:
        """Keep the limits of profiles and of spreading on one GPU."""
        limits = {p.name: p.max_instances for p in geometry_of(gpu).profiles}
        spread = {d.model: d.most_per_gpu for d in self._instance.demands if d.most_per_gpu}
        of_profile: dict[str, dict[int, float]] = {}
        of_model: dict[str, dict[int, float]] = {}
        for number, option in mine:
            of_profile.setdefault(option.profile, {})[number] = 1.0
            if option.replica.model in spread:
                of_model.setdefault(option.replica.model, {})[number] = 1.0
        for name, columns in of_profile.items():
            self._row(columns, high=float(limits[name]))
        for model, columns in of_model.items():
            self._row(columns, high=float(spread[model] or 0))

    def _row(self, terms: Mapping[int, float], *, low: float = -1e30, high: float) -> None:
        self._solver.addRow(low, high, len(terms), list(terms), list(terms.values()))


def assignment(instance: Instance) -> Answer:
    """Answer with the best assignment that could be found in time."""
    began = time.perf_counter()
    program = _Assignment(instance)

    def left() -> float:
        return _LIMIT_S - (time.perf_counter() - began)

    for priority in sorted({d.priority for d in instance.demands}, reverse=True):
        program.settle(program.replicas(priority), left())
    program.settle(program.prices(addable=True) if instance.rules.addable else {}, left())
    program.settle(program.prices(addable=False), left())
    program.settle(program.moves(), left())
    seated = program.seated()
    chosen = [
        Chosen(replica=o.replica, gpu=o.gpu, profile=o.profile, placement=o.placement)
        for o in seated
        if not o.stays
    ]
    stopped = set(running(instance)) - {option.replica for option in seated}
    return Answer(chosen=chosen, stopped=frozenset(stopped))


def variables(instance: Instance) -> int:
    """Count the variables of an instance without making them; an upper bound."""
    count = 0
    for demand in instance.demands:
        for gpu in instance.observed.gpus:
            profiles = (p for p in geometry_of(gpu).profiles if demand.accepts(p, gpu.name))
            count += demand.replicas * sum(len(profile.placements) for profile in profiles)
            if count > MOST_VARIABLES:
                return count
    return count


def options(instance: Instance) -> Iterator[_Option]:
    """Yield every place that each replica could take beside what is somebody else's."""
    own = incumbents(instance)
    ours = {record.slice for record in instance.owned}
    places = [
        (number, gpu, [(s.profile, s.placement) for s in gpu.slices if s.key not in ours])
        for number, gpu in enumerate(instance.observed.gpus)
        if instance.usable(gpu)
    ]
    for demand in instance.demands:
        for number, gpu, foreign in places:
            for name, at in _starts(demand, gpu, foreign):
                for replica in (ReplicaId(demand.model, n) for n in range(demand.replicas)):
                    slice_ = own.get(replica)
                    stays = slice_ is not None and _is_at(slice_, gpu, name, at)
                    if stays or slice_ is None or not demand.pinned:
                        yield _Option(
                            replica=replica, gpu=number, profile=name, placement=at, stays=stays
                        )


def _is_at(slice_: Slice, gpu: Gpu, name: str, at: Placement) -> bool:
    return (slice_.gpu_uuid, slice_.profile, slice_.placement) == (gpu.uuid, name, at)


def _starts(
    demand: Demand, gpu: Gpu, foreign: list[tuple[str, Placement]]
) -> Iterator[tuple[str, Placement]]:
    geometry = geometry_of(gpu)
    for profile in geometry.profiles:
        if demand.accepts(profile, gpu.name):
            for at in profile.placements:
                if geometry.allows(foreign, profile.name, at):
                    yield profile.name, at


def _solution(values: list[float]) -> highspy.HighsSolution:
    """Make a start for the solver of values that are known."""
    solution = highspy.HighsSolution()
    solution.col_value = values
    return solution
