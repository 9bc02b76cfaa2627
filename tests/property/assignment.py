"""An assignment model for questions too large to try everything: an independent second opinion.

One binary for each demand, GPU and placement of a new slice, one for each demand and slice of ours
that could stay, and one for each GPU that is in use: nothing is aggregated over GPUs or layouts,
and no code is shared with the planner. It settles what a certificate lists down to the cost of the
moves, one goal after the other; what follows depends on layouts and is tried on small questions.

It knows plain profiles only: the rules of media engines are not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import highspy

from gpuslice.model.demand import Demand
from gpuslice.model.gpu import Gpu
from property.case import (
    Case,
    Place,
    foreign,
    geometry_of,
    incumbents,
    keepable,
    price,
    profile_of,
    usable,
)
from property.judge import Worth


def best_worth_to_the_moves(case: Case) -> Worth:
    """The best of every goal down to the cost of the moves, in the order of the certificate.

    Raises:
        AssertionError: The solver did not prove an optimum.
    """
    return _Assignment(case).settle()


class _Assignment:
    """One model; owned by the function above."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._solver: Any = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.0)):
            self._solver.setOptionValue(option, value)
        self._seats: dict[tuple[str, Place], Any] = {}
        self._used = {gpu.uuid: self._solver.addBinary() for gpu in usable(case)}
        self._served = {demand.model: self._count_of(demand) for demand in case.demands}
        for gpu in usable(case):
            self._open_seats(gpu)
            self._lay_side_by_side(gpu)
            self._live_together(gpu)
        for demand in case.demands:
            self._supply(demand)
        self._moves: dict[Place, tuple[Demand, Any]] = {}
        self._move()

    def settle(self) -> Worth:
        """Settle one goal after the other."""
        found = []
        for goal in self._goals():
            self._solver.minimize(goal)
            assert self._solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
            value = round(self._solver.getObjectiveValue())
            self._solver.addConstr(goal <= value)
            found.append(value)
        return tuple(found)

    def _goals(self) -> list[Any]:
        case = self._case
        priorities = sorted({demand.priority for demand in case.demands}, reverse=True)
        by_importance = sorted(case.demands, key=lambda demand: -demand.priority)
        cost = [price(case, gpu) * self._used[gpu.uuid] for gpu in usable(case)]
        added = [
            price(case, gpu) * self._used[gpu.uuid]
            for gpu in usable(case)
            if gpu.uuid in case.rules.addable
        ]
        moved = [demand.move_cost * (1 - stays) for demand, stays in self._moves.values()]
        return [
            *(
                _total([-1 * self._served[d.model] for d in case.demands if d.priority == priority])
                for priority in priorities
            ),
            *(-1 * self._served[demand.model] for demand in by_importance),
            *([_total(added)] if case.rules.addable else []),
            _total(cost),
            _total(moved),
        ]

    def _count_of(self, demand: Demand) -> Any:
        most = 1 if demand.target else demand.replicas
        return self._solver.addIntegral(lb=0, ub=most)

    def _open_seats(self, gpu: Gpu) -> None:
        """Make a binary for everybody who could sit on each slice, there or not."""
        for profile in geometry_of(gpu).profiles:
            takers = [d for d in self._case.demands if d.accepts(profile, gpu.name)]
            assert not (takers and profile.attributes), "media engines are not in this model"
            for demand in takers:
                for at in profile.placements:
                    self._open_seat(demand, Place(gpu.uuid, profile.name, at))
                for s in keepable(self._case, gpu):
                    if s.profile == profile.name:
                        there = Place(gpu.uuid, s.profile, s.placement, s.gpu_instance_id)
                        self._open_seat(demand, there)

    def _open_seat(self, demand: Demand, place: Place) -> None:
        self._seats[demand.model, place] = self._solver.addBinary()

    def _here(self, gpu: Gpu, model: str = "") -> list[tuple[Place, Any]]:
        """The seats on a GPU, of one model or of all."""
        return [
            (place, seat)
            for (whose, place), seat in self._seats.items()
            if place.gpu_uuid == gpu.uuid and model in ("", whose)
        ]

    def _lay_side_by_side(self, gpu: Gpu) -> None:
        """Nothing overlaps, no profile comes too often, and a GPU with slices is in use."""
        theirs = foreign(self._case, gpu)
        if theirs:
            self._solver.addConstr(self._used[gpu.uuid] >= 1)
        for cell in range(geometry_of(gpu).memory_slices):
            over = [
                seat
                for at, seat in self._here(gpu)
                if at.placement.start <= cell < at.placement.end
            ]
            taken = any(s.placement.start <= cell < s.placement.end for s in theirs)
            if over:
                self._solver.addConstr(_total(over) <= (0 if taken else self._used[gpu.uuid]))
        by_profile = defaultdict(list)
        for place, seat in self._here(gpu):
            by_profile[place.profile].append(seat)
        for name, seats in by_profile.items():
            left = profile_of(gpu, name).max_instances - sum(s.profile == name for s in theirs)
            self._solver.addConstr(_total(seats) <= left)

    def _live_together(self, gpu: Gpu) -> None:
        """Replicas are spread, near each other and apart as asked."""
        lives = {}
        for demand in self._case.demands:
            seats = [seat for _, seat in self._here(gpu, demand.model)]
            lives[demand.model] = self._solver.addBinary()
            for seat in seats:
                self._solver.addConstr(seat <= lives[demand.model])
            self._solver.addConstr(lives[demand.model] <= _total(seats))
            if demand.most_per_gpu is not None and seats:
                self._solver.addConstr(_total(seats) <= demand.most_per_gpu)
        for demand in self._case.demands:
            for model in demand.near:
                self._solver.addConstr(lives[demand.model] <= lives[model])
            for model in demand.away:
                self._solver.addConstr(lives[demand.model] + lives[model] <= 1)

    def _supply(self, demand: Demand) -> None:
        """Count who is served: each replica, or all of them together when a target is met."""
        seats = {place: seat for (m, place), seat in self._seats.items() if m == demand.model}
        served = self._served[demand.model]
        if demand.target is None:
            self._solver.addConstr(_total([*seats.values(), -1 * served]) == 0)
            return
        rates = []
        for place, seat in seats.items():
            gpu = self._case.observed.gpu(place.gpu_uuid)
            rates.append(demand.target.rate(profile_of(gpu, place.profile), gpu.name) * seat)
        self._solver.addConstr(_total(rates) >= demand.target.milli_per_s * served)
        self._solver.addConstr(_total([*seats.values()]) <= demand.replicas * served)

    def _move(self) -> None:
        """Note whose running replica stays where, and keep to the limit of moves."""
        for replica, s in incumbents(self._case).items():
            place = Place(s.gpu_uuid, s.profile, s.placement, s.gpu_instance_id)
            demand = self._case.demand(replica.model)
            assert demand is not None
            self._moves[place] = demand, self._seats[replica.model, place]
            if demand.pinned:
                self._solver.addConstr(self._seats[replica.model, place] >= 1)
        limit = self._case.rules.most_moves
        if limit is not None and self._moves:
            stays = [stays for _, stays in self._moves.values()]
            self._solver.addConstr(_total(stays) >= len(stays) - limit)


def _total(terms: Sequence[Any]) -> Any:
    """Add up; an empty sum is an expression too, and each term is left as it was."""
    return highspy.Highs.qsum(terms) if terms else highspy.highs_linear_expression()
