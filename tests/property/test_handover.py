"""Whoever can answer throughout does, whatever moves where; and every step of the plan is done."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from gpuslice.agent.handover import Leave, Steps, handover, steps_in_order, steps_of
from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import SliceKey
from gpuslice.model.plan import Fate, Plan, Seat
from gpuslice.planner.ordering.precedence import place
from gpuslice.planner.ordering.steps import CreateSlice, DestroySlice, gpu_of, steps
from random_plans import RandomChange, random_change

ROUNDS = 400
BOARDS = ("a100-80gb", "a30")


class World:
    """Servers on slices, of which each answers from the moment it starts. Owned by one example."""

    def __init__(self, plan: Plan, replaced: set[SliceKey]) -> None:
        self.plan = plan
        self.replaced = replaced
        self.seats = {seat.replica: seat for seat in plan.seats}
        self.old = {s.origin.key: s.replica for s in plan.servers if s.origin is not None}
        self.new: set[ReplicaId] = set()
        self.made: set[tuple[str, int]] = set()
        self.silent: set[ReplicaId] = set()
        self.most_silent: dict[str, int] = {}

    def settle(self) -> None:
        """Start everybody who has a free slice."""
        for replica, seat in self.seats.items():
            if self.is_free(seat):
                self.new.add(replica)

    def is_free(self, seat: Seat) -> bool:
        if seat.created is not None:
            return place(seat.created) in self.made
        assert seat.kept is not None
        return seat.kept.key not in self.old

    def do(self, act: Steps | Leave) -> None:
        if isinstance(act, Leave):
            self.settle()
            for key in act.slices:
                self.old.pop(key, None)
        else:
            for step in act.steps:
                if isinstance(step, DestroySlice):
                    assert step.slice.key not in self.old, "a server is still on it"
                elif isinstance(step, CreateSlice):
                    self.made.add(place(step.planned))
        answering = self.new | set(self.old.values())
        silent = {s.replica for s in self.plan.servers if s.origin} - answering
        self.silent |= silent
        for model, number in Counter(replica.model for replica in silent).items():
            self.most_silent[model] = max(number, self.most_silent.get(model, 0))


def changes() -> list[RandomChange]:
    return [random_change(Random(seed), most_gpus=4, boards=BOARDS) for seed in range(ROUNDS)]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_only_who_pauses_stops_or_is_replaced_in_place_is_ever_silent(seed: int) -> None:
    random = Random(seed)
    plan = random_change(random, most_gpus=4, boards=BOARDS).plan
    staying = [s for s in plan.servers if s.fate is Fate.STAYS and s.origin]
    replaced = {s.origin.key for s in staying if s.origin and random.random() < 0.3}
    world = World(plan, replaced)

    for act in handover(plan, replaced):
        world.do(act)
    world.settle()

    silent = {s.replica for s in plan.servers if s.pause or s.fate is Fate.STOPS}
    silent |= {s.replica for s in staying if s.origin and s.origin.key in replaced}
    assert world.silent <= silent
    untouched = {s.replica for s in staying if s.origin and s.origin.key not in replaced}
    assert world.new == set(world.seats) - untouched
    assert set(world.old.values()) == untouched


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_replicas_that_restart_in_place_take_turns(seed: int) -> None:
    plan = random_change(Random(seed), most_gpus=4, boards=BOARDS).plan
    staying = [s for s in plan.servers if s.fate is Fate.STAYS and s.origin]
    world = World(plan, {s.origin.key for s in staying if s.origin})

    for act in handover(plan, world.replaced):
        world.do(act)

    pausing = Counter(s.replica.model for s in plan.servers if s.pause or s.fate is Fate.STOPS)
    for model, number in world.most_silent.items():
        assert number <= pausing[model] + 1


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_step_is_done_once_and_on_each_gpu_in_the_order_of_the_plan(seed: int) -> None:
    plan = random_change(Random(seed), most_gpus=4, boards=BOARDS).plan
    done = steps_in_order(plan)
    assert len(done) == len(steps(plan))
    for gpu in plan.gpus:
        uuid = gpu.gpu_uuid
        assert [s for s in done if gpu_of(s) == uuid] == [
            s for s in steps(plan) if gpu_of(s) == uuid
        ]


def test_random_changes_hold_pauses_moves_and_chains() -> None:
    plans = [change.plan for change in changes()]
    assert any(s.pause for plan in plans for s in plan.servers)
    assert any(s.fate is Fate.STOPS for plan in plans for s in plan.servers)
    assert any(sum(isinstance(a, Leave) for a in handover(plan)) > 2 for plan in plans)


def test_who_is_in_nobodys_way_leaves_last_and_then_only_slices_go() -> None:
    """So until then a failure finds all of them still answering on their old slices."""
    seen = 0
    for plan in (change.plan for change in changes()):
        acts = handover(plan)
        leaving = [act for act in acts if isinstance(act, Leave)]
        coming = [n for n, step in enumerate(steps_of(acts)) if isinstance(step, CreateSlice)]
        if not leaving or coming != list(range(len(coming))):
            continue  # somebody has to make room
        seen += 1
        claimed = {seat.kept.key for seat in plan.seats if seat.kept}
        going = {step.slice.key for step in steps_of(acts) if isinstance(step, DestroySlice)}
        early = {key for act in leaving[:-1] for key in act.slices}
        assert early <= claimed - going
        after = steps_of(acts[acts.index(leaving[-1]) :])
        assert all(isinstance(step, DestroySlice) for step in after)
    assert seen > 10
