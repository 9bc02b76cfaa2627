"""Everything that restricts where slices may lie, one by one and in words, and where it applies.

Separate from the search for contradictions, which tries which of these can hold together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.gpu import Gpu, Observed, Slice, SliceKey
from gpuslice.model.plan import Owned
from gpuslice.planner.consistency.coexistence import Host, Tenant
from gpuslice.planner.offers import label, listed
from gpuslice.planner.situation import can_be_sliced


class Kind(StrEnum):
    """What sort of thing restricts a plan."""

    NEAR = "near"
    AWAY = "away"
    SPREAD = "most_per_gpu"
    NUMBER = "replicas"
    PINNED = "pinned"
    MOVES = "moves"
    DRAINED = "drained"
    CHOSEN = "gpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One thing that somebody wrote and might take back.

    Attributes:
        kind: What sort of thing.
        model: The model it is about, or "".
        other: The other model, or which GPUs are drained, or "".
        text: It in words.
    """

    kind: Kind
    model: str = ""
    other: str = ""
    text: str = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """GPUs that differ in nothing that constraints see.

    Attributes:
        host: What they are like.
        gpu: The first of them.
        count: How many there are.
        barred_by: What forbids using them.
    """

    host: Host
    gpu: Gpu
    count: int
    barred_by: frozenset[Constraint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that contradictions are looked for in.

    Attributes:
        demands: What is asked for, by model.
        constraints: Everything that restricts it.
        sites: All GPUs that can be sliced.
        running: How many replicas of each model run that could stay: pinned ones, and where moves
            are limited all.
        most_moves: How many running replicas may move, or None for any number.
    """

    demands: Mapping[str, Demand]
    constraints: tuple[Constraint, ...]
    sites: tuple[Site, ...]
    running: Mapping[str, int]
    most_moves: int | None


def survey_constraints(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> Scene:
    """List what restricts a plan, and where it applies."""
    gpus = [gpu for gpu in sorted(observed.gpus, key=lambda g: g.index) if can_be_sliced(gpu)]
    by_model = {demand.model: demand for demand in demands}
    tenants = _tenants(gpus, by_model, owned, rules)
    barring = _barring(gpus, rules, tenants.keys())
    bars = dict.fromkeys(bar for gpu in gpus for bar in barring.get(gpu.uuid, ()))
    return Scene(
        demands=by_model,
        constraints=(*(c for d in demands for c in _of_demand(d)), *_of_moves(rules), *bars),
        sites=_sites(gpus, barring, tenants, {record.slice for record in owned}),
        running=Counter(tenant.model for here in tenants.values() for tenant in here),
        most_moves=rules.most_moves,
    )


def _of_demand(demand: Demand) -> Iterator[Constraint]:
    """List what a demand asks for beside slices."""
    model, count = demand.model, demand.replicas
    for other in dict.fromkeys(demand.near):
        text = f"{model} is to be near {other}"
        yield Constraint(kind=Kind.NEAR, model=model, other=other, text=text)
    for other in dict.fromkeys(demand.away):
        text = f"{model} is to be away from {other}"
        yield Constraint(kind=Kind.AWAY, model=model, other=other, text=text)
    if demand.most_per_gpu is not None:
        text = f"at most {demand.most_per_gpu} of {model} may lie on one GPU"
        yield Constraint(kind=Kind.SPREAD, model=model, text=text)
    if demand.pinned:
        yield Constraint(kind=Kind.PINNED, model=model, text=f"{model} is pinned")
    asked = f"{count} replica{'s' * (count > 1)}" if count else "no replica"
    yield Constraint(kind=Kind.NUMBER, model=model, text=f"{model} has {asked}")


def _of_moves(rules: Rules) -> Iterator[Constraint]:
    if (most := rules.most_moves) is not None:
        replicas = f"at most {most} running replica{'s' * (most != 1)}"
        text = f"{replicas if most else 'no running replica'} may move"
        yield Constraint(kind=Kind.MOVES, text=text)


def _tenants(
    gpus: Sequence[Gpu], demands: Mapping[str, Demand], owned: Sequence[Owned], rules: Rules
) -> dict[str, tuple[Tenant, ...]]:
    """Find by GPU who runs where and could stay; rather on a GPU that may be used.

    Only those who are pinned, or where moves are limited: nobody else is bound to a place.
    """
    bound = {d.model for d in demands.values() if d.pinned or rules.most_moves is not None}
    replica_of = {o.slice: o.replica for o in owned if o.replica and o.replica.model in bound}
    seen: set[ReplicaId] = set()
    found: dict[str, tuple[Tenant, ...]] = {}
    for gpu in sorted(gpus, key=lambda gpu: not rules.allow(gpu.uuid)) if replica_of else ():
        here = []
        for slice_ in sorted(gpu.slices, key=lambda s: (s.placement, s.gpu_instance_id)):
            replica = replica_of.get(slice_.key)
            if replica is None or replica in seen or not _serves(gpu, slice_, replica, demands):
                continue
            if rules.allow(gpu.uuid) or demands[replica.model].pinned:
                seen.add(replica)
                here.append(Tenant(model=replica.model, lying=(slice_.profile, slice_.placement)))
        if here:
            found[gpu.uuid] = tuple(here)
    return found


def _serves(gpu: Gpu, slice_: Slice, replica: ReplicaId, demands: Mapping[str, Demand]) -> bool:
    """Tell whether a slice serves the replica recorded for it, as things are asked for now."""
    demand = demands[replica.model]
    profile = gpu.geometry.named(slice_.profile) if gpu.geometry is not None else None
    if profile is None or slice_.compute_instance_id is None:
        return False
    return 0 <= replica.replica < demand.replicas and demand.accepts(profile, gpu.name)


def _barring(
    gpus: Sequence[Gpu], rules: Rules, inhabited: AbstractSet[str]
) -> dict[str, tuple[Constraint, ...]]:
    """Say for each GPU that may not be used what forbids it.

    Drained GPUs on which nobody is bound to stay are one constraint for each product.
    """
    found: dict[str, tuple[Constraint, ...]] = {}
    groups: dict[str, list[Gpu]] = {}
    for gpu in gpus:
        if gpu.uuid in rules.drained:
            groups.setdefault(gpu.uuid if gpu.uuid in inhabited else gpu.name, []).append(gpu)
    for name, group in groups.items():
        text = f"{listed([label(g) for g in group])} {'are' if len(group) > 1 else 'is'} drained"
        drained = Constraint(kind=Kind.DRAINED, other=name, text=text)
        found |= {gpu.uuid: (drained,) for gpu in group}
    if rules.gpus is not None:
        names = listed([label(gpu) for gpu in gpus if gpu.uuid in rules.gpus]) or "no such GPU"
        chosen = Constraint(kind=Kind.CHOSEN, text=f"of those with MIG only {names} may be used")
        left_out = [gpu.uuid for gpu in gpus if gpu.uuid not in rules.gpus]
        found |= {uuid: (*found.get(uuid, ()), chosen) for uuid in left_out}
    return found


def _sites(
    gpus: Sequence[Gpu],
    barring: Mapping[str, tuple[Constraint, ...]],
    tenants: Mapping[str, tuple[Tenant, ...]],
    ours: AbstractSet[SliceKey],
) -> tuple[Site, ...]:
    """Put GPUs that differ in nothing that constraints see together."""
    groups: dict[tuple[object, ...], list[tuple[Host, Gpu]]] = {}
    for gpu in gpus:
        assert gpu.geometry is not None, "only GPUs that can be sliced are looked at"
        here = tenants.get(gpu.uuid, ())
        theirs = (s for s in gpu.slices if here and s.key not in ours)
        host = Host(
            board=gpu.name,
            geometry=gpu.geometry,
            tenants=here,
            foreign=tuple((s.profile, s.placement) for s in theirs),
        )
        like = (gpu.name, id(gpu.geometry), here, host.foreign, barring.get(gpu.uuid))
        groups.setdefault(like, []).append((host, gpu))
    return tuple(
        Site(
            host=group[0][0],
            gpu=group[0][1],
            count=len(group),
            barred_by=frozenset(barring.get(group[0][1].uuid, ())),
        )
        for group in groups.values()
    )
