"""What part of a card a slice takes.

Separate because it is the one decision in all of cost, and the one people argue about. A slice
takes compute and memory in different proportions: 3g.40gb of an A100 has 3/7 of the compute slices
and 4/8 of the memory slices. It is charged for whichever is larger, its *dominant share*, since
that is what nobody else can have any more: two of them fill the card and pay half each.

Source: the idea of the dominant share is that of Dominant Resource Fairness (Ghodsi et al.,
NSDI 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from gpuslice.model.geometry import Geometry, Placement

RULE = (
    "A slice is charged for its larger share of the card's compute slices or memory slices; "
    "where the shares of one card add up to more than the card, they are scaled down to it."
)


def share_of(geometry: Geometry, profile: str, placement: Placement) -> Fraction:
    """Compute the dominant share of one slice.

    Args:
        geometry: The card's geometry.
        profile: Profile name; one that the card no longer offers is judged by its memory alone.
        placement: Where the slice lies.

    Returns:
        The share, from 0 to 1.
    """
    memory = Fraction(placement.size, geometry.memory_slices)
    known = geometry.named(profile)
    if known is None:
        return memory
    return max(memory, Fraction(known.compute_slices, geometry.compute_slices))


def scale(shares: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Scale the shares of one card down to 1 where they add up to more; leave them otherwise."""
    total = sum(shares, Fraction(0))
    return tuple(share / total for share in shares) if total > 1 else tuple(shares)
