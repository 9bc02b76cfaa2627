"""What GPUs cost: for a plan to count in, and shared out among the slices of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from gpuslice.agent.proposal import Prepared
from gpuslice.cost.price import Per, Price, find_prices
from gpuslice.cost.report import CostReport, UsedSlice, cost_of
from gpuslice.errors import PriceMissingError
from gpuslice.model.demand import Prices, ReplicaId
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice
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
    return cost_of(gpus, slices, _prices(prepared.loaded.stack.prices))


def plan_prices(
    gpus: Sequence[Gpu], entries: Mapping[str, PriceEntry]
) -> tuple[Prices | None, str]:
    """Say what every GPU costs in whole thousandths per hour, for a plan to count in.

    Args:
        gpus: The GPUs that a plan may use.
        entries: What a stack file says of prices.

    Returns:
        The prices, or None where GPUs have to count as one each; and why that is, in words, where
        there are prices, but not such as can be compared.
    """
    if not entries:
        return None, ""
    if missing := unpriced(gpus, entries):
        return None, f"GPUs count as one each: no price for {', '.join(missing)}"
    found = find_prices(gpus, _prices(entries))
    by_product = {gpu.name: found[gpu.uuid] for gpu in gpus}
    currencies = sorted({price.currency for price in by_product.values()})
    if len(currencies) != 1:
        return None, f"GPUs count as one each: their prices are in {' and '.join(currencies)}"
    milli = tuple(sorted((name, _milli(price)) for name, price in by_product.items()))
    return Prices(currency=currencies[0], milli_per_hour=milli), ""


def unpriced(gpus: Sequence[Gpu], entries: Mapping[str, PriceEntry]) -> tuple[str, ...]:
    """List the products among the GPUs that have no price, each once, by name."""
    one_of_each = {gpu.name: gpu for gpu in gpus}
    prices = _prices(entries)
    return tuple(name for name, gpu in sorted(one_of_each.items()) if not _has_price(gpu, prices))


def _has_price(gpu: Gpu, prices: Mapping[str, Price]) -> bool:
    try:
        return bool(find_prices([gpu], prices))
    except PriceMissingError:
        return False


def _milli(price: Price) -> int:
    return int((price.per_hour * 1000).to_integral_value(ROUND_HALF_UP))


def _prices(entries: Mapping[str, PriceEntry]) -> dict[str, Price]:
    return {name: _price(entry) for name, entry in entries.items()}


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
