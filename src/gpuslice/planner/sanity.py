"""What makes no sense in a question to the planner, found before anything is planned.

Separate from `gpuslice.planner.admission`, which asks whether what is wanted exists. Here is what
can only be a mistake, of a file, of a caller or of a reading: the numbers, the names and the lists
are looked at one by one. Demands that are fine one by one and contradict each other are the matter
of `gpuslice.planner.consistency.contradiction`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpuslice.model.demand import Demand, Prices, Rules, Target
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Owned
from gpuslice.planner.offers import label, listed
from gpuslice.planner.situation import can_be_sliced

MOST_REPLICAS = 1_000_000
"""More in all than any fleet holds; a plan with more could neither be read nor carried out."""

MOST_WEIGHT = 1_000_000
"""Priorities and costs of moving beyond it could not be added up exactly by the solver."""


def findings(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> tuple[str, ...]:
    """List everything that makes no sense, one line each; nothing where all is well."""
    usable = [gpu for gpu in observed.gpus if can_be_sliced(gpu) and rules.allow(gpu.uuid)]
    return (
        *_of_machine(observed),
        *_of_slices(observed, owned, rules),
        *_of_rules(observed, rules),
        *_of_prices(usable, rules.prices),
        *(line for demand in demands for line in _of_demand(demand)),
        *_of_names(demands),
        *_of_number(usable, demands),
    )


def _of_machine(observed: Observed) -> Iterator[str]:
    """Find GPUs that cannot be told apart."""
    uuids = Counter(gpu.uuid for gpu in observed.gpus)
    indexes = Counter(gpu.index for gpu in observed.gpus)
    yield from (f"{n} GPUs have the UUID {uuid}" for uuid, n in uuids.items() if n > 1)
    yield from (f"{n} GPUs have the index {index}" for index, n in indexes.items() if n > 1)


def _of_slices(observed: Observed, owned: Sequence[Owned], rules: Rules) -> Iterator[str]:
    """Find slices that cannot lie as they are said to.

    Ours are believed only where a placement of their profile explains them. Somebody else's merely
    take their room, and a profile that the GPU does not offer at all has to go in any case.
    """
    places: dict[int, frozenset[tuple[str, Placement]]] = {}
    strange = []
    for gpu in observed.gpus:
        yield from _overlaps(gpu)
        if gpu.geometry is not None and gpu.slices and rules.allow(gpu.uuid):
            legal = places.get(id(gpu.geometry)) or _places(gpu.geometry)
            places[id(gpu.geometry)] = legal
            strange += [(gpu, s) for s in gpu.slices if (s.profile, s.placement) not in legal]
    ours = {record.slice for record in owned} if strange else set()
    for gpu, s in strange:
        known = gpu.geometry is not None and gpu.geometry.named(s.profile) is not None
        if known and s.key in ours:
            yield f"{label(gpu)}: ours is a {_name(s)}, where none can lie"


def _overlaps(gpu: Gpu) -> Iterator[str]:
    """Find slices of one GPU that share memory slices."""
    by_start = sorted(gpu.slices, key=_start) if len(gpu.slices) > 1 else ()
    for one, other in pairwise(by_start):
        if one.placement.overlaps(other.placement):
            yield f"{label(gpu)}: {_name(one)} and {_name(other)} overlap"


def _of_rules(observed: Observed, rules: Rules) -> Iterator[str]:
    """Find rules about GPUs that are not there, and numbers that are none."""
    known = {gpu.uuid for gpu in observed.gpus}
    named = {"chosen": rules.gpus or (), "drained": rules.drained, "addable": rules.addable}
    for what, uuids in named.items():
        missing = sorted(set(uuids) - known)
        if missing:
            yield f"{what}, but not in this machine: {listed(missing)}"
    if rules.most_moves is not None and rules.most_moves < 0:
        yield f"at most {rules.most_moves} moves are allowed, which is less than none"


def _of_prices(usable: Sequence[Gpu], prices: Prices | None) -> Iterator[str]:
    """Find prices that are missing or that nobody asks."""
    if prices is None:
        return
    for name, count in Counter(name for name, _ in prices.milli_per_hour).items():
        if count > 1:
            yield f"{name} has {count} prices"
    for name, milli in prices.milli_per_hour:
        if milli <= 0:
            price = f"{milli / 1000:g} {prices.currency}".strip()
            yield f"{name} costs {price} an hour; a price has to be more than 0"
    known = {name for name, _ in prices.milli_per_hour}
    for name in dict.fromkeys(gpu.name for gpu in usable):
        if name not in known:
            yield f"{name} has no price, but others have"


def _of_demand(demand: Demand) -> Iterator[str]:
    """Find numbers of one demand that make no sense."""
    model = demand.model or "a model without a name"
    sources = bool(demand.profiles), demand.memory_mib is not None, demand.target is not None
    if sum(sources) != 1:
        what = "two of" if sum(sources) > 1 else "none of"
        yield f"{model} gives {what} profiles, memory and target; it takes exactly one"
    least = {
        "replicas": demand.replicas,
        "memory": demand.memory_mib or 0,
        "compute slices": demand.compute_slices,
        "cost of a move": demand.move_cost,
    }
    yield from (
        f"{model}: {what} {value} is negative" for what, value in least.items() if value < 0
    )
    if abs(demand.priority) > MOST_WEIGHT:
        yield f"{model}: priority {demand.priority} is beyond ±{MOST_WEIGHT:,}"
    if demand.move_cost > MOST_WEIGHT:
        yield f"{model}: cost of a move {demand.move_cost} is beyond {MOST_WEIGHT:,}"
    if demand.most_per_gpu is not None and demand.most_per_gpu < 1:
        yield f"{model}: at most {demand.most_per_gpu} replicas on a GPU leave room for none"
    if demand.target is not None:
        yield from _of_target(model, demand.target)
        if demand.pinned or demand.most_per_gpu is not None or demand.near or demand.away:
            yield f"{model}: a target cannot be combined with pinned, spread, near or away"


def _of_target(model: str, target: Target) -> Iterator[str]:
    """Find throughputs that are none."""
    if target.milli_per_s <= 0:
        yield f"{model}: a target of {target.milli_per_s / 1000:g} {target.unit}/s is not positive"
    if not target.rates:
        yield f"{model}: no slice is said to contribute to its target"
    for rate in target.rates:
        if rate.milli_per_s <= 0:
            of = f"{rate.named.profile} contributes {rate.milli_per_s / 1000:g} {target.unit}/s"
            yield f"{model}: {of}, which is not positive"


def _of_names(demands: Sequence[Demand]) -> Iterator[str]:
    """Find models that are asked for twice, or that others speak of and nobody asks for."""
    models = Counter(demand.model for demand in demands)
    aiming = {demand.model for demand in demands if demand.target is not None}
    yield from (f"{model} is asked for {n} times" for model, n in models.items() if n > 1)
    for demand in demands:
        for what, others in (("near", demand.near), ("away from", demand.away)):
            for other in dict.fromkeys(others):
                if other == demand.model:
                    yield f"{demand.model} is to be {what} itself"
                elif other not in models:
                    yield f"{demand.model} is to be {what} {other}, which is not asked for"
                elif other in aiming:
                    yield f"{demand.model} is to be {what} {other}, whose slices follow its target"


def _of_number(usable: Sequence[Gpu], demands: Sequence[Demand]) -> Iterator[str]:
    """Find out whether more is asked for than could be written down."""
    total = sum(max(demand.replicas, 0) for demand in demands)
    if total > MOST_REPLICAS:
        most = sum(_most_slices(gpu) for gpu in usable)
        yield (
            f"{total:,} replicas are asked for; a plan has at most {MOST_REPLICAS:,}, "
            f"and all usable GPUs together hold at most {most:,} slices"
        )


def _most_slices(gpu: Gpu) -> int:
    """Count how many slices, whatever their profile, can lie on a GPU."""
    profiles = gpu.geometry.profiles if gpu.geometry is not None else ()
    return max((profile.max_instances for profile in profiles), default=0)


def _places(geometry: Geometry) -> frozenset[tuple[str, Placement]]:
    return frozenset(
        (profile.name, at) for profile in geometry.profiles for at in profile.placements
    )


def _name(slice_: Slice) -> str:
    return f"{slice_.profile} at {slice_.placement}"


def _start(slice_: Slice) -> int:
    return slice_.placement.start
