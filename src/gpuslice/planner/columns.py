"""What the columns of the packing's programs stand for, and the expressions over them.

Separate because two programs have these columns: the integer one that chooses
(`gpuslice.planner.program`) and the relaxed one that prices (`gpuslice.planner.prices`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpuslice.planner.patterns import patterns
from gpuslice.planner.question import Pattern, Question, SliceKind

Terms = dict[int, int]
"""A linear expression: coefficient by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of the program stand for.

    Attributes:
        choices: ``z``: (group, pattern), from column 0.
        uses: ``f``: (kind, demand), behind the choices.
        members: ``w``: 1 when the GPU at a position gets slices, behind the uses.
    """

    choices: tuple[tuple[int, Pattern], ...]
    uses: tuple[tuple[SliceKind, int], ...]
    members: tuple[int, ...]

    @property
    def first_use(self) -> int:
        """Column of the first use."""
        return len(self.choices)

    @property
    def first_member(self) -> int:
        """Column of the first member."""
        return len(self.choices) + len(self.uses)

    @property
    def count(self) -> int:
        """How many columns there are."""
        return self.first_member + len(self.members)


def columns_of(question: Question) -> Columns:
    """Name the columns of the program."""
    choices = tuple(
        (number, pattern)
        for number, group in enumerate(question.groups)
        for pattern in patterns(group.site, question.wanted)
    )
    kinds = sorted({kind for _, pattern in choices for kind, _ in pattern.supply})
    return Columns(
        choices=choices,
        uses=tuple((kind, demand) for kind in kinds for demand in kind.accepts),
        members=tuple(member for group in question.groups for member in group.members),
    )


def supplies(columns: Columns) -> Iterator[tuple[SliceKind, Terms]]:
    """Yield each kind with the expression that counts its slices."""
    for kind in dict.fromkeys(kind for kind, _ in columns.uses):
        yield (
            kind,
            {
                column: count
                for column, (_, pattern) in enumerate(columns.choices)
                for other, count in pattern.supply
                if other == kind
            },
        )


def total(columns: Columns, demand: int | None = None) -> Terms:
    """Replicas served, of one demand or of all, negated for minimising."""
    return {
        columns.first_use + number: -1
        for number, (_, other) in enumerate(columns.uses)
        if demand is None or other == demand
    }
