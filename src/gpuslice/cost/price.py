"""Prices as a stack file names them, and finding the one for a GPU.

Separate from the sharing-out of a price, which does not care where the price comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from gpuslice.errors import PriceMissingError
from gpuslice.model.gpu import Gpu

HOURS_PER_MONTH = Decimal(730)
"""A year of 8,760 hours in twelve equal months, as cloud price lists have it."""


class Per(StrEnum):
    """What a price is for."""

    MONTH = "month"
    HOUR = "hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one GPU costs.

    Attributes:
        amount: Money, not negative.
        per: For how long.
        currency: Code as the stack file has it, such as ``EUR``.
    """

    amount: Decimal
    per: Per
    currency: str

    @property
    def per_month(self) -> Decimal:
        """Money for one month."""
        return self.amount * HOURS_PER_MONTH if self.per is Per.HOUR else self.amount

    @property
    def per_hour(self) -> Decimal:
        """Money for one hour."""
        return self.amount / HOURS_PER_MONTH if self.per is Per.MONTH else self.amount


def find_prices(gpus: Sequence[Gpu], prices: Mapping[str, Price]) -> dict[str, Price]:
    """Find the price of every GPU by its product name.

    A name matches exactly, or else without regard to case and to a leading ``NVIDIA``.

    Args:
        gpus: The GPUs.
        prices: Price by product name.

    Returns:
        Price by GPU UUID.

    Raises:
        PriceMissingError: A GPU has no price; shows the lines to add to the stack file.
    """
    plain = {_plain(name): price for name, price in prices.items()}
    found = {gpu.uuid: prices.get(gpu.name) or plain.get(_plain(gpu.name)) for gpu in gpus}
    missing = sorted({gpu.name for gpu in gpus if found[gpu.uuid] is None})
    if missing:
        raise PriceMissingError(
            "no price for " + ", ".join(missing),
            hint="Add to the stack file, with what the card costs you:",
            details=("prices:", *(f'  "{n}": {{per_month: 0.00, currency: EUR}}' for n in missing)),
        )
    return {uuid: price for uuid, price in found.items() if price is not None}


def _plain(name: str) -> str:
    """Reduce a product name to what people remember of it."""
    return name.strip().lower().removeprefix("nvidia ")
