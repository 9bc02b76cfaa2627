"""Sequences of what callers do to the instances of a simulated GPU."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from gpuslice.hardware import board


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create an instance; without a placement where the driver likes."""

    profile_id: int
    start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Destroy one of those that exist, counted round."""

    which: int


def sequences(board_key: str) -> st.SearchStrategy[list[Create | Destroy]]:
    """Sequences for one board; about half of the placements asked for will be taken or illegal."""
    profiles = board(board_key).geometry.profiles
    grid = board(board_key).geometry.memory_slices
    create = st.builds(
        Create,
        profile_id=st.sampled_from([profile.id for profile in profiles]),
        start=st.none() | st.integers(0, grid - 1),
    )
    destroy = st.builds(Destroy, which=st.integers(0, 6))
    return st.lists(create | create | destroy, max_size=12)
