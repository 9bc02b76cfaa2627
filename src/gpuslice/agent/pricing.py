"""What a prepared stack costs: the cards it lies on, shared out among their slices."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gpuslice.agent.prepare import Prepared
from gpuslice.cost.price import Per, Price
from gpuslice.cost.report import CostReport, UsedSlice, cost_of
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice, ReplicaId
from gpuslice.stack.schema import PriceEntry


def price_plan(prepared: Prepared) -> CostReport:
    """Price a plan: only the cards that carry a slice of the stack are paid for by it.

    Raises:
        PriceMissingError: A card has no price in the stack file.
    """
    used = {seat.slice.gpu_uuid for seat in prepared.plan.seats}
    gpus = [gpu for gpu in prepared.observed.gpus if gpu.uuid in used]
    replicas = {seat.slice: seat.replica for seat in prepared.plan.seats}
    slices = [slice_ for gpu in prepared.plan.gpus for slice_ in _slices(gpu, replicas)]
    prices = {name: _price(entry) for name, entry in prepared.loaded.stack.prices.items()}
    return cost_of(gpus, slices, prices)


def _slices(gpu: GpuPlan, replicas: Mapping[Slice | PlannedSlice, ReplicaId]) -> list[UsedSlice]:
    lying: tuple[Slice | PlannedSlice, ...] = (*gpu.keep, *gpu.create, *gpu.foreign)
    return [
        UsedSlice(
            gpu_uuid=gpu.gpu_uuid,
            profile=slice_.profile,
            placement=slice_.placement,
            replica=replicas.get(slice_),
        )
        for slice_ in lying
    ]


def _price(entry: PriceEntry) -> Price:
    if entry.per_month is not None:
        return Price(amount=Decimal(str(entry.per_month)), per=Per.MONTH, currency=entry.currency)
    return Price(amount=Decimal(str(entry.per_hour)), per=Per.HOUR, currency=entry.currency)
