"""One case told otherwise: under other names or numbers, with one more GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import Plan
from property.case import Case


def with_one_more(case: Case, extra: Gpu) -> Case:
    """The case with a GPU that may be used."""
    rules = case.rules
    chosen = None if rules.gpus is None else rules.gpus | {extra.uuid}
    prices = rules.prices
    if prices is not None and extra.name not in dict(prices.milli_per_hour):
        prices = replace(prices, milli_per_hour=(*prices.milli_per_hour, (extra.name, 1500)))
    return replace(
        case,
        observed=replace(case.observed, gpus=(*case.observed.gpus, extra)),
        rules=replace(rules, gpus=chosen, prices=prices),
    )


def with_indexes(case: Case, order: Sequence[int]) -> Case:
    """The case with the GPUs numbered in another order."""
    machine = tuple(
        replace(gpu, index=index) for gpu, index in zip(case.observed.gpus, order, strict=True)
    )
    by_index = tuple(sorted(machine, key=lambda gpu: gpu.index))
    return replace(case, observed=replace(case.observed, gpus=by_index))


def reversed_lists(case: Case) -> Case:
    """The same facts in another order; that of the demands means something, and stays."""
    machine = tuple(
        replace(gpu, slices=tuple(reversed(gpu.slices))) for gpu in reversed(case.observed.gpus)
    )
    return replace(
        case,
        observed=replace(case.observed, gpus=machine),
        owned=tuple(reversed(case.owned)),
    )


def renamed_case(case: Case, names: Mapping[str, str]) -> Case:
    """The case with other UUIDs."""
    machine = tuple(
        replace(gpu, uuid=names[gpu.uuid], slices=_renamed(gpu.slices, names))
        for gpu in case.observed.gpus
    )
    records = tuple(
        replace(o, slice=replace(o.slice, gpu_uuid=names[o.slice.gpu_uuid])) for o in case.owned
    )
    rules = case.rules
    return replace(
        case,
        observed=replace(case.observed, gpus=machine),
        owned=records,
        rules=replace(
            rules,
            gpus=None if rules.gpus is None else frozenset(names[uuid] for uuid in rules.gpus),
            drained=frozenset(names[uuid] for uuid in rules.drained),
            addable=frozenset(names[uuid] for uuid in rules.addable),
        ),
    )


def renamed_plan(made: Plan, names: Mapping[str, str]) -> Plan:
    """The plan with other UUIDs; its fingerprint is left out."""
    gpu_plans = tuple(
        replace(
            p,
            gpu_uuid=names[p.gpu_uuid],
            destroy=_renamed(p.destroy, names),
            keep=_renamed(p.keep, names),
            foreign=_renamed(p.foreign, names),
            create=tuple(replace(s, gpu_uuid=names[s.gpu_uuid]) for s in p.create),
        )
        for p in made.gpus
    )
    seats = tuple(
        replace(
            s,
            kept=s.kept and replace(s.kept, gpu_uuid=names[s.kept.gpu_uuid]),
            created=s.created and replace(s.created, gpu_uuid=names[s.created.gpu_uuid]),
        )
        for s in made.seats
    )
    servers = tuple(
        replace(s, origin=s.origin and replace(s.origin, gpu_uuid=names[s.origin.gpu_uuid]))
        for s in made.servers
    )
    return replace(made, gpus=gpu_plans, seats=seats, servers=servers, fingerprint="")


def _renamed(slices: Sequence[Slice], names: Mapping[str, str]) -> tuple[Slice, ...]:
    return tuple(replace(s, gpu_uuid=names[s.gpu_uuid]) for s in slices)
