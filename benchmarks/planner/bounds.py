"""Bounds on what any plan could reach, worked out without the planner.

Separate, and sharing no code with `gpuslice.planner`, because a gap is only worth something if the
bound is somebody else's. It is the linear relaxation of choosing for each GPU a multiset of slices
(the configuration program of cutting stock, Gilmore and Gomory 1961). Slices of somebody else stay
where they are; slices of ours are taken as if they could lie anywhere, so the bound also holds for
plans that move all of them, and may be out of reach for those that move few.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import highspy
from benchmarks.planner.instance import Instance, geometry_of

from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Demand

_Lying = tuple[tuple[str, Placement], ...]
_Multiset = tuple[tuple[str, int], ...]


class Bound(NamedTuple):
    """What no plan can do better than.

    Attributes:
        served: Most replicas that can be served.
        gpus: Fewest GPUs that somebody's slices lie on when all replicas are served, or None when
            not all can be.
        gpus_staying: The same where only replicas that have to go leave their slice.
    """

    served: int
    gpus: int | None
    gpus_staying: int | None


def bound(instance: Instance) -> Bound:
    """Work out the bounds of an instance."""
    served = math.floor(_solve(instance, serve_all=False) + 1e-6)
    return Bound(served, _fewest_gpus(instance), _fewest_gpus(_frozen(instance)))


def _fewest_gpus(instance: Instance) -> int | None:
    """Bound the GPUs in use when all is served, or return None where not all can be."""
    wanted = sum(demand.replicas for demand in instance.demands)
    if math.floor(_solve(instance, serve_all=False) + 1e-6) < wanted:
        return None
    fixed = sum(bool(lying) for lying in _fixed(instance).values())
    return fixed + math.ceil(_solve(instance, serve_all=True) - 1e-6)


def _frozen(instance: Instance) -> Instance:
    """Make slices whose replicas could stay somebody else's, and ask for the other replicas."""
    waiting = Counter(replica.model for replica in instance.arrivals)
    return replace(
        instance,
        demands=tuple(replace(d, replicas=waiting[d.model]) for d in instance.demands),
        owned=tuple(record for record in instance.owned if record.replica in instance.arrivals),
    )


def _solve(instance: Instance, *, serve_all: bool) -> float:
    """Minimise GPUs in use beside the fixed ones, or maximise replicas served."""
    model = _Model()
    kinds = list(_kinds(instance).items())
    supply: dict[tuple[Geometry, str], dict[int, float]] = {}
    for (_, lying), (geometry, count) in kinds:
        cost = 0.0 if lying or not serve_all else 1.0
        chosen = {
            model.column(cost, count): multiset
            for multiset in _multisets(geometry, lying, _menu(geometry, instance.demands))
        }
        model.row(-math.inf, dict.fromkeys(chosen, 1.0), count)
        for column, multiset in chosen.items():
            for name, copies in multiset:
                supply.setdefault((geometry, name), {})[column] = float(copies)
    reward = 0.0 if serve_all else -1.0
    for demand, uses in _transport(model, instance, supply, reward).items():
        model.row(demand.replicas if serve_all else 0, uses, demand.replicas)
    return model.minimise() if serve_all else -model.minimise()


def _transport(
    model: _Model,
    instance: Instance,
    supply: dict[tuple[Geometry, str], dict[int, float]],
    reward: float,
) -> dict[Demand, dict[int, float]]:
    """Let slices serve the demands that accept them; return what serves each demand."""
    served: dict[Demand, dict[int, float]] = {d: {} for d in instance.demands if d.replicas}
    for (geometry, name), terms in supply.items():
        profile = geometry.named(name)
        assert profile is not None, "the menu is made from the geometry"
        use = dict(terms)
        for demand in (demand for demand in served if demand.accepts(profile)):
            column = model.column(reward, math.inf)
            served[demand][column] = 1.0
            use[column] = -1.0
        model.row(0.0, use, math.inf)
    return served


class _Model:
    """A linear program under construction; owned by `_solve`."""

    def __init__(self) -> None:
        self._solver = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._count = 0

    def column(self, cost: float, upper: float) -> int:
        """Add a variable between 0 and ``upper``."""
        self._solver.addCol(cost, 0.0, upper, 0, [], [])
        self._count += 1
        return self._count - 1

    def row(self, low: float, terms: dict[int, float], high: float) -> None:
        """Demand ``low <= terms <= high``."""
        self._solver.addRow(low, high, len(terms), list(terms), list(terms.values()))

    def minimise(self) -> float:
        """Return the optimum."""
        self._solver.run()
        optimal = highspy.HighsModelStatus.kOptimal
        assert self._solver.getModelStatus() == optimal, "the relaxation has an optimum"
        return float(self._solver.getObjectiveValue())


def _fixed(instance: Instance) -> dict[str, _Lying]:
    """Say for each GPU that may be used what lies there and stays whatever is planned."""
    ours = {record.slice for record in instance.owned}
    return {
        gpu.uuid: tuple(sorted((s.profile, s.placement) for s in gpu.slices if s.key not in ours))
        for gpu in instance.observed.gpus
        if instance.usable(gpu)
    }


def _kinds(instance: Instance) -> dict[tuple[int, _Lying], tuple[Geometry, int]]:
    """Group GPUs by geometry and by what is fixed on them; say how many of each there are."""
    fixed = _fixed(instance)
    by_uuid: dict[str, Gpu] = {gpu.uuid: gpu for gpu in instance.observed.gpus}
    counts = Counter((id(by_uuid[uuid].geometry), lying) for uuid, lying in fixed.items())
    geometry = {id(gpu.geometry): geometry_of(gpu) for gpu in by_uuid.values()}
    return {key: (geometry[key[0]], count) for key, count in counts.items()}


def _menu(geometry: Geometry, demands: tuple[Demand, ...]) -> tuple[str, ...]:
    wanted = [demand for demand in demands if demand.replicas]
    return tuple(p.name for p in geometry.profiles if any(d.accepts(p) for d in wanted))


@cache
def _multisets(geometry: Geometry, lying: _Lying, names: tuple[str, ...]) -> tuple[_Multiset, ...]:
    """List every multiset of slices that can lie beside what is fixed."""
    found: set[_Multiset] = set()

    def extend(parts: _Lying, least: int) -> None:
        found.add(tuple(sorted(Counter(name for name, _ in parts).items())))
        for profile in (p for p in geometry.profiles if p.name in names):
            for at in profile.placements:
                if at.start >= least and geometry.allows((*lying, *parts), profile.name, at):
                    extend((*parts, (profile.name, at)), at.end)

    extend((), 0)
    return tuple(sorted(found))
