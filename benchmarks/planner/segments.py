"""Throughput targets cut into slices of fixed size, for rivals that know of nothing else.

Separate because it is one published rule with its own source, and because every rule that places
one slice after the other needs it before it can begin. The planner never does: it chooses the
slices of a target and their places together.

The rule is ParvaGPU's (MunQ-Lee/ParvaGPU_SC24, src/configurator.c at 32d4890, read and checked): as
many slices of the size with the best throughput per compute slice as fit below the target, the
smaller size where two are equal, then the smallest one slice that covers the rest. A target that
is a whole multiple is cut one slice earlier, so that there is always a rest. Where there are
several products, which ParvaGPU does not know, each service takes the one on which its slices cost
least, a slice costing its share of the compute slices of its GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.planner.instance import Chosen, Instance, geometry_of

from gpuslice.model.demand import Demand, NamedProfile, ReplicaId
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu

_MARK = "|"
"""Stands between a service and the slice it was cut into, in the names that rivals see."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Segment:
    """One slice of a service.

    Attributes:
        board: Product name of the GPU.
        profile: Profile name.
        compute_slices: Its compute slices.
        milli_per_s: What it contributes, thousandths per second.
    """

    board: str
    profile: str
    compute_slices: int
    milli_per_s: int


def products(instance: Instance) -> list[Gpu]:
    """Return one GPU of each product that may be used, in order."""
    usable = [gpu for gpu in instance.observed.gpus if instance.usable(gpu)]
    return list({gpu.name: gpu for gpu in reversed(usable)}.values())[::-1]


def offers(demand: Demand, gpu: Gpu) -> list[Segment]:
    """List what one slice of each profile of a product contributes to a target, smallest first."""
    target = demand.target
    assert target is not None, "only targets are cut"
    found = []
    for profile in sorted(geometry_of(gpu).profiles, key=_size):
        rate = target.rate(profile, gpu.name)
        if rate:
            found.append(
                Segment(
                    board=gpu.name,
                    profile=profile.name,
                    compute_slices=profile.compute_slices,
                    milli_per_s=rate,
                )
            )
    return found


def cut(demand: Demand, gpu: Gpu) -> list[Segment]:
    """Cut a target into slices of one product, or into none where it cannot run there."""
    target, found = demand.target, offers(demand, gpu)
    assert target is not None, "only targets are cut"
    if not found:
        return []
    best = max(found, key=lambda s: (s.milli_per_s / s.compute_slices, -s.compute_slices))
    full = (target.milli_per_s - 1) // best.milli_per_s
    rest = target.milli_per_s - full * best.milli_per_s
    last = next(segment for segment in found if segment.milli_per_s >= rest)
    return [best] * full + [last]


def cut_cheapest(instance: Instance, demand: Demand) -> list[Segment]:
    """Cut a target into slices of the product on which they cost least."""

    def cost(segments: Sequence[Segment], gpu: Gpu) -> float:
        whole = geometry_of(gpu).compute_slices
        return sum(s.compute_slices for s in segments) * instance.price(gpu) / whole

    cuts = [(cut(demand, gpu), gpu) for gpu in products(instance)]
    return min((c for c in cuts if c[0]), key=lambda pair: cost(*pair))[0]


def in_fixed_sizes(instance: Instance) -> Instance:
    """Replace every target by replicas of fixed size that meet it; they arrive last, in order."""
    if not instance.targets:
        return instance
    demands, arrivals = [d for d in instance.demands if d.target is None], list(instance.arrivals)
    for demand in instance.targets:
        for part in _parts(demand, cut_cheapest(instance, demand)):
            demands.append(part)
            arrivals += [ReplicaId(part.model, number) for number in range(part.replicas)]
    return replace(instance, demands=tuple(demands), arrivals=tuple(arrivals))


def in_services(instance: Instance, chosen: Iterable[Chosen]) -> list[Chosen]:
    """Give slices back to the services they were cut from, and drop those that are not complete."""
    pieces: dict[str, list[Chosen]] = {}
    for choice in chosen:
        pieces.setdefault(choice.replica.model.partition(_MARK)[0], []).append(choice)
    for demand in instance.targets:
        mine = pieces.get(demand.model, [])
        if not _met(instance, demand, mine):
            mine.clear()
        pieces[demand.model] = [
            replace(choice, replica=ReplicaId(demand.model, number))
            for number, choice in enumerate(mine)
        ]
    return [choice for mine in pieces.values() for choice in mine]


def _parts(demand: Demand, segments: Iterable[Segment]) -> list[Demand]:
    """Make one demand of fixed size for each kind of slice of a service."""
    counts: dict[Segment, int] = {}
    for segment in segments:
        counts[segment] = counts.get(segment, 0) + 1
    return [
        replace(
            demand,
            model=_MARK.join((demand.model, segment.board, segment.profile)),
            replicas=count,
            target=None,
            profiles=(NamedProfile(profile=segment.profile, board=segment.board),),
        )
        for segment, count in counts.items()
    ]


def _met(instance: Instance, demand: Demand, chosen: Iterable[Chosen]) -> bool:
    """Tell whether slices reach a target together."""
    assert demand.target is not None
    reached = 0
    for choice in chosen:
        gpu = instance.observed.gpus[choice.gpu]
        profile = geometry_of(gpu).named(choice.profile)
        assert profile is not None, "methods choose among the profiles of the GPU"
        reached += demand.target.rate(profile, gpu.name)
    return reached >= demand.target.milli_per_s


def _size(profile: Profile) -> tuple[int, int, str]:
    return profile.compute_slices, profile.memory_slices, profile.name
