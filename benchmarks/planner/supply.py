"""The rows and columns of the configuration program: GPUs, what they can hold, who it serves.

Separate from the bounds that are drawn from it (`benchmarks.planner.bounds`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.planner.covers import Kind, cheapest_cover
from benchmarks.planner.instance import Instance, geometry_of
from benchmarks.planner.relaxation import Program
from benchmarks.planner.sorts import options, pinned_slices, sorts

from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.model.gpu import Gpu


class _Kind(NamedTuple):
    """What makes demands alike: which slices serve them, how urgent they are, and any spreading.

    Only a demand that is to be spread has a name here: two of them are never alike.
    """

    profiles: tuple[NamedProfile, ...]
    memory_mib: int | None
    compute_slices: int
    priority: int
    most_per_gpu: int | None
    spread_model: str


class Market:
    """The program of one instance; owned by whoever asks for its bounds.

    Args:
        instance: The instance.
        weights: What the move of a replica of each model counts, or None where moves are not looked
            at, so that GPUs need not be told apart by what lies on them.

    Attributes:
        program: The program, without an objective.
        fixed_cost: Price of the GPUs that are in use whatever is planned.
        moved: For each column, what the moves count that it makes necessary.
    """

    def __init__(self, instance: Instance, weights: Mapping[str, int] | None = None) -> None:
        self.program = Program()
        self.moved: dict[int, float] = {}
        self._weights = weights
        self._instance = instance
        self._stay = _staying(instance)
        self._sample: dict[str, Gpu] = {gpu.name: gpu for gpu in instance.observed.gpus}
        self._in_use: dict[int, tuple[int, bool]] = {}
        self._always_in_use = 0
        self._supply: dict[tuple[str, str], int] = {}
        self._served: dict[_Kind, list[int]] = {}
        self._wanted: Counter[_Kind] = Counter()
        self._reached: dict[str, int] = {}
        self._met: dict[str, int] = {}
        self._count_demands()
        self.fixed_cost = self._add_gpus()
        self._add_replicas()
        self._add_targets()

    def prices(self, *, addable: bool = False) -> dict[int, float]:
        """Return the price of each column that puts a GPU to use, of all or of absent ones."""
        return {
            column: float(price)
            for column, (price, absent) in self._in_use.items()
            if absent or not addable
        }

    def staying(self, demands: Iterable[Demand]) -> int:
        """Count the pinned replicas of some demands; they are served whatever is planned."""
        return sum(self._stay[demand.model] for demand in demands)

    def asked(self, demand: Demand) -> int:
        """Count what a demand asks for beside pinned replicas, 1 for a target."""
        return 1 if demand.target else demand.replicas - self._stay[demand.model]

    def serving(self, demands: Sequence[Demand]) -> list[int]:
        """List the columns that serve some demands, which are all of their kinds."""
        kinds = {_kind(demand) for demand in demands if demand.target is None}
        columns = [column for kind in kinds for column in self._served[kind]]
        return columns + [self._met[d.model] for d in demands if d.target is not None]

    def list_covers(self, duals: Sequence[float]) -> float:
        """Add for each target the cheapest cover at these prices of slices.

        Returns:
            What the new columns could save together at most, 0 or less.
        """
        saving = 0.0
        for demand in self._instance.targets:
            assert demand.target is not None
            names = self._usable_by(demand)
            if not names:
                continue
            kinds = [
                Kind(self._rate(demand, key), max(0.0, duals[self._supply[key]])) for key in names
            ]
            cover = cheapest_cover(kinds, demand.target.milli_per_s)
            reduced = cover.price - duals[self._reached[demand.model]]
            if reduced < -1e-9:
                saving += reduced
                self._add_cover(demand, zip(names, cover.counts, strict=True))
        return saving

    def _count_demands(self) -> None:
        for demand in self._instance.demands:
            if demand.target is None:
                self._wanted[_kind(demand)] += self.asked(demand)

    def _add_gpus(self) -> int:
        """Add a column for each multiset that each sort of GPU can hold; return fixed prices."""
        entries: dict[tuple[str, str], dict[int, float]] = {}
        fixed = 0
        for sort, count in sorts(self._instance, self._weights).items():
            gpu = self._sample[sort.board]
            price = self._instance.price(gpu)
            self._always_in_use += count if sort.lying else 0
            fixed += price * count if sort.lying else 0
            chosen = {}
            for multiset, moved in options(geometry_of(gpu), sort, self._menu(gpu)).items():
                column = self.program.column(count)
                chosen[column] = 1.0
                self.moved[column] = float(moved)
                if multiset and not sort.lying:
                    self._in_use[column] = (price, sort.addable)
                for name, copies in multiset:
                    entries.setdefault((sort.board, name), {})[column] = float(copies)
            self.program.row(count, chosen, count)
        for key, supply in entries.items():
            self._supply[key] = self.program.row(0.0, supply)
        return fixed

    def _menu(self, gpu: Gpu) -> tuple[str, ...]:
        """Name the profiles of a product that anything asked for could use."""
        kinds = [_as_demand(kind) for kind, wanted in self._wanted.items() if wanted]
        asking = [*kinds, *self._instance.targets]
        profiles = geometry_of(gpu).profiles
        return tuple(p.name for p in profiles if any(d.accepts(p, gpu.name) for d in asking))

    def _add_replicas(self) -> None:
        """Let slices serve the kinds of replicas that accept them."""
        for kind, wanted in self._wanted.items():
            columns = [
                self.program.column(wanted, {self._supply[key]: -1.0})
                for key in self._usable_by(_as_demand(kind))
            ]
            self._served[kind] = columns
            self.program.row(0.0, dict.fromkeys(columns, 1.0), wanted)
            if kind.most_per_gpu is not None:
                self._add_spreading(kind, columns)

    def _add_spreading(self, kind: _Kind, columns: Iterable[int]) -> None:
        """Demand as many GPUs in use as the replicas of one model have to be spread over."""
        limit = float(kind.most_per_gpu or 0)
        entries = dict.fromkeys(self._in_use, -limit) | dict.fromkeys(columns, 1.0)
        room = limit * self._always_in_use - self._stay[kind.spread_model]
        self.program.row(-math.inf, entries, room)

    def _add_targets(self) -> None:
        """Add for each target whether it is met, and the row of the covers that can meet it."""
        for demand in self._instance.targets:
            self._met[demand.model] = column = self.program.column(1.0)
            self._reached[demand.model] = self.program.row(0.0, {column: -1.0})
            assert demand.target is not None
            for key in self._usable_by(demand):
                copies = -(-demand.target.milli_per_s // self._rate(demand, key))
                self._add_cover(demand, [(key, copies)])

    def _add_cover(self, demand: Demand, counts: Iterable[tuple[tuple[str, str], int]]) -> None:
        """Add a column for one way to meet a target."""
        entries = {self._supply[key]: -float(copies) for key, copies in counts if copies}
        self.program.column(math.inf, {**entries, self._reached[demand.model]: 1.0})

    def _usable_by(self, demand: Demand) -> list[tuple[str, str]]:
        """List the slices there can be that serve a demand, as (board, profile)."""
        found = []
        for board, name in self._supply:
            profile = geometry_of(self._sample[board]).named(name)
            assert profile is not None, "the menu is made from the geometry"
            if demand.accepts(profile, board):
                found.append((board, name))
        return found

    def _rate(self, demand: Demand, key: tuple[str, str]) -> int:
        profile = geometry_of(self._sample[key[0]]).named(key[1])
        assert profile is not None, "the menu is made from the geometry"
        assert demand.target is not None, "only targets have rates"
        return demand.target.rate(profile, key[0])


def _kind(demand: Demand) -> _Kind:
    return _Kind(
        demand.profiles,
        demand.memory_mib,
        demand.compute_slices,
        demand.priority,
        demand.most_per_gpu,
        "" if demand.most_per_gpu is None else demand.model,
    )


def _as_demand(kind: _Kind) -> Demand:
    return Demand(
        model="",
        replicas=1,
        profiles=kind.profiles,
        memory_mib=kind.memory_mib,
        compute_slices=kind.compute_slices,
    )


def _staying(instance: Instance) -> Counter[str]:
    """Count the pinned replicas of each model."""
    return Counter(model for model in pinned_slices(instance).values())
