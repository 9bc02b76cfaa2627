"""F6, F7 and F9: fleets that have run for a while, of which something new is asked.

Separate because here the question is what to move. All slices are ours and may be moved.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from benchmarks.planner.bounds import fewest_moves
from benchmarks.planner.fleets import (
    MIXES,
    churned_fleet,
    instance_of,
    plain,
    records,
    seeded,
    slices_of,
    wanted,
)
from benchmarks.planner.instance import Instance, geometry_of, running

from gpuslice.model.demand import Rules


def churned(load: float, count: int, seed: int) -> Instance:
    """F6: a churned fleet, and new replicas for about a third of the room that is left."""
    rng = seeded("F6", load, count, seed)
    machine = churned_fleet(count, load, rng)
    profiles = plain(geometry_of(machine[0]))
    room = (1 - load) * 8 * count / 3
    arriving: Counter[str] = Counter()
    while room > 0:
        profile = rng.choices(profiles, MIXES["small"])[0]
        arriving[profile.name] += 1
        room -= profile.memory_slices
    owned = records(slices_of(machine))
    demands = wanted(profiles, owned, arriving)
    return instance_of(f"F6 {load:.0%}", f"{count} GPUs", seed, machine, demands, rng, owned)


def large_request(compute_slices: int, count: int, seed: int) -> Instance:
    """F7: one more large replica on a fleet at 60 % load, with as few moves as can be.

    How few that is comes from the independent bound (`benchmarks.planner.bounds`), and no plan may
    move more. So a plan that serves the request is also proved to move as few as possible; and
    where the bound were too low, none would serve it.
    """
    rng = seeded("F7", compute_slices, count, seed)
    machine = churned_fleet(count, 0.6, rng, mix="small")
    profiles = plain(geometry_of(machine[0]))
    name = next(p.name for p in profiles if p.compute_slices == compute_slices)
    owned = records(slices_of(machine))
    demands = wanted(profiles, owned, Counter({name: 1}))
    family = f"F7 {compute_slices}g"
    instance = instance_of(family, f"{count} GPUs", seed, machine, demands, rng, owned)
    return replace(instance, rules=Rules(most_moves=fewest_moves(instance)))


def drained(share: float, count: int, seed: int) -> Instance:
    """F9: some GPUs of a fleet at 60 % are to be emptied, and are not used any more."""
    rng = seeded("F9", share, count, seed)
    machine = churned_fleet(count, 0.6, rng)
    owned = records(slices_of(machine))
    leaving = rng.sample(machine, max(1, round(share * count)))
    rules = Rules(drained=frozenset(gpu.uuid for gpu in leaving))
    demands = wanted(plain(geometry_of(machine[0])), owned, Counter())
    instance = instance_of(
        f"F9 {share:.0%}", f"{count} GPUs", seed, machine, demands, rng, owned, rules
    )
    displaced = [r for r, s in running(instance).items() if s.gpu_uuid in rules.drained]
    return replace(instance, arrivals=tuple(rng.sample(displaced, len(displaced))))
