"""Sequences of changes to one GPU, as a person or a planner might ask for them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Ask for a slice, whether or not there is room."""

    profile: str
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Destroy the n-th slice there is, counted round; nothing when there is none."""

    which: int


def creates(key: str) -> st.SearchStrategy[Create]:
    """Any profile of a board at any of its placements."""
    return st.sampled_from(
        [
            Create(profile=profile.name, placement=placement)
            for profile in board(key).geometry.profiles
            for placement in profile.placements
        ]
    )


def changes(key: str) -> st.SearchStrategy[list[Create | Destroy]]:
    """A sequence of changes, more creating than destroying."""
    destroys = st.builds(Destroy, which=st.integers(0, 6))
    return st.lists(st.one_of(creates(key), creates(key), destroys), max_size=12)
