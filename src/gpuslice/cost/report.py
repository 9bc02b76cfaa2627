"""What every slice, model and card of a stack costs, and what it would cost without slices.

Separate from the prices and the rule of sharing. Pure arithmetic in `Decimal` and `Fraction`:
nothing is rounded here, so that parts add up to their whole; whoever shows money rounds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from gpuslice.cost.price import HOURS_PER_MONTH, Price, find_prices
from gpuslice.cost.share import RULE, scale, share_of
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedSlice:
    """A slice that somebody has.

    Attributes:
        gpu_uuid: The GPU it lies on.
        profile: Profile name.
        placement: Where it lies.
        replica: Whose server it is for, or None for a slice that is not of this stack.
    """

    gpu_uuid: str
    profile: str
    placement: Placement
    replica: ReplicaId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceCost:
    """What one slice costs.

    Attributes:
        slice: The slice.
        share: Its part of the card, scaled where the card is over-subscribed.
        per_month: Money for a month.
        currency: Of the money.
    """

    slice: UsedSlice
    share: Fraction
    per_month: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCost:
    """What all replicas of one model cost; one entry for each currency it is paid in.

    Attributes:
        model: The model.
        replicas: How many replicas are counted.
        per_month: Money for all of them.
        own_cards_per_month: What they would cost with a card each, of the kind they lie on.
        currency: Of the money.
    """

    model: str
    replicas: int
    per_month: Decimal
    own_cards_per_month: Decimal
    currency: str

    @property
    def average_per_month(self) -> Decimal:
        """Money for one replica, on average."""
        return self.per_month / self.replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCost:
    """What one card costs, and how much of it nobody uses.

    Attributes:
        gpu_uuid: The card.
        index: Its NVML index.
        name: Product name.
        per_month: Money for the whole card.
        slices: Its slices, by placement.
        unused_share: Part of the card that is given to no slice.
        unused_per_month: Money for that part: the line "not used".
        currency: Of the money.
    """

    gpu_uuid: str
    index: int
    name: str
    per_month: Decimal
    slices: tuple[SliceCost, ...]
    unused_share: Fraction
    unused_per_month: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All cards that are paid in one currency.

    Attributes:
        currency: The currency.
        per_month: Money for the cards, whole.
        unused_per_month: How much of it is for parts that nobody uses.
        own_cards_per_month: What the replicas would cost with a card each, of the same product.
    """

    currency: str
    per_month: Decimal
    unused_per_month: Decimal
    own_cards_per_month: Decimal

    @property
    def per_hour(self) -> Decimal:
        """Money for an hour."""
        return self.per_month / HOURS_PER_MONTH

    @property
    def saving_per_month(self) -> Decimal:
        """Money saved against a card for each replica; negative when cards stand idle."""
        return self.own_cards_per_month - self.per_month

    @property
    def factor(self) -> Decimal | None:
        """How many times dearer a card for each replica would be, or None when this is free."""
        return self.own_cards_per_month / self.per_month if self.per_month else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """The whole answer. Money of different currencies is never added.

    Attributes:
        cards: By index.
        models: By name, then currency.
        totals: By currency.
        rule: How a card's price is shared out, as a sentence.
    """

    cards: tuple[CardCost, ...]
    models: tuple[ModelCost, ...]
    totals: tuple[Total, ...]
    rule: str = RULE

    @property
    def slices(self) -> tuple[SliceCost, ...]:
        """Every slice, by card and placement."""
        return tuple(slice_ for card in self.cards for slice_ in card.slices)


def cost_of(
    gpus: Sequence[Gpu], slices: Sequence[UsedSlice], prices: Mapping[str, Price]
) -> CostReport:
    """Share out what the cards cost among the slices on them.

    Args:
        gpus: The cards that are paid for, whether or not anything lies on them.
        slices: Every slice on them, whoever has it; those on other cards are left out.
        prices: Price by product name.

    Returns:
        The report.

    Raises:
        PriceMissingError: A card has no price; shows the lines to add to the stack file.
    """
    found = find_prices(gpus, prices)
    lying: dict[str, list[UsedSlice]] = {}
    for slice_ in slices:
        lying.setdefault(slice_.gpu_uuid, []).append(slice_)
    cards = tuple(
        _card(gpu, lying.get(gpu.uuid, []), found[gpu.uuid])
        for gpu in sorted(gpus, key=lambda gpu: gpu.index)
    )
    return CostReport(cards=cards, models=_models(cards), totals=_totals(cards))


def _card(gpu: Gpu, slices: Sequence[UsedSlice], price: Price) -> CardCost:
    """Share out one card."""
    geometry = gpu.geometry
    ordered = sorted(slices, key=lambda s: s.placement) if geometry is not None else []
    shares = scale([share_of(geometry, s.profile, s.placement) for s in ordered if geometry])
    unused = 1 - sum(shares, Fraction(0))
    return CardCost(
        gpu_uuid=gpu.uuid,
        index=gpu.index,
        name=gpu.name,
        per_month=price.per_month,
        slices=tuple(
            SliceCost(
                slice=slice_,
                share=share,
                per_month=_part(price.per_month, share),
                currency=price.currency,
            )
            for slice_, share in zip(ordered, shares, strict=True)
        ),
        unused_share=unused,
        unused_per_month=_part(price.per_month, unused),
        currency=price.currency,
    )


def _models(cards: Sequence[CardCost]) -> tuple[ModelCost, ...]:
    """Add up the slices of each model, each currency for itself."""
    parts: dict[tuple[str, str], list[tuple[SliceCost, CardCost]]] = {}
    for card in cards:
        for cost in card.slices:
            if cost.slice.replica is not None:
                key = (cost.slice.replica.model, cost.currency)
                parts.setdefault(key, []).append((cost, card))
    return tuple(
        ModelCost(
            model=model,
            replicas=len(mine),
            per_month=_sum(cost.per_month for cost, _ in mine),
            own_cards_per_month=_sum(card.per_month for _, card in mine),
            currency=currency,
        )
        for (model, currency), mine in sorted(parts.items(), key=lambda item: item[0])
    )


def _totals(cards: Sequence[CardCost]) -> tuple[Total, ...]:
    """Add up the cards, each currency for itself."""
    return tuple(
        Total(
            currency=currency,
            per_month=_sum(card.per_month for card in mine),
            unused_per_month=_sum(card.unused_per_month for card in mine),
            own_cards_per_month=_sum(
                card.per_month * sum(cost.slice.replica is not None for cost in card.slices)
                for card in mine
            ),
        )
        for currency in sorted({card.currency for card in cards})
        for mine in [[card for card in cards if card.currency == currency]]
    )


def _part(money: Decimal, share: Fraction) -> Decimal:
    """Take a share of an amount; multiplied first, so that only one division is inexact."""
    return money * share.numerator / share.denominator


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
