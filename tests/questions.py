"""Questions to the packing, put directly in its words: sites, wants, who runs where."""

from __future__ import annotations

from typing import Any

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.program import pack_by_program
from gpuslice.planner.packing.question import Answer, OwnPlace, Question, Site, SiteGroup, Want
from gpuslice.planner.packing.states import States

A30 = board("a30").geometry
"""The shortest grid: four memory slices; 1g.6gb, 2g.12gb and 4g.24gb fill it."""


def a_place(profile: str, start: int, *, geometry: Geometry = A30) -> tuple[str, Placement]:
    """A slice of some profile, as it lies on a GPU."""
    found = geometry.named(profile)
    assert found is not None
    return profile, Placement(start, found.memory_slices)


def ours(profile: str, start: int, incumbent: int = -1, *, geometry: Geometry = A30) -> OwnPlace:
    """A slice of ours, on which a replica of a want may run."""
    name, at = a_place(profile, start, geometry=geometry)
    return OwnPlace(profile=name, placement=at, incumbent=incumbent)


def a_site(*own: OwnPlace, **changes: Any) -> Site:
    """An A30 whose 1g.6gb slices want 0 accepts, and whose 2g.12gb slices want 1 accepts."""
    facts: dict[str, Any] = {
        "geometry": A30,
        "own": own,
        "menu": (("1g.6gb", (0,)), ("2g.12gb", (1,))),
    }
    return Site(**(facts | changes))


def plain_menu(geometry: Geometry) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Every plain profile is wanted by a want of its own, so that supplies are multisets."""
    plain = [profile.name for profile in geometry.profiles if not profile.attributes]
    return tuple((name, (number,)) for number, name in enumerate(plain))


def groups_of(*sites: Site | tuple[Site, int]) -> tuple[SiteGroup, ...]:
    """Groups of GPUs that lie one after the other: one of a site, or so many."""
    groups: list[SiteGroup] = []
    first = 0
    for each in sites:
        site, size = each if isinstance(each, tuple) else (each, 1)
        groups.append(SiteGroup(site=site, members=tuple(range(first, first + size))))
        first += size
    return tuple(groups)


def a_question(
    *sites: Site | tuple[Site, int], wants: tuple[Want | int, ...], **changes: Any
) -> Question:
    """A question about those sites; a number is a want of so many replicas."""
    asked = tuple(Want(count=want) if isinstance(want, int) else want for want in wants)
    return Question(groups=groups_of(*sites), wants=asked, **changes)


def by_enumeration(question: Question) -> Answer:
    """Look at everything."""
    return Enumeration(question, States(question)).answer()


def by_program(question: Question, limit_s: float = 60.0) -> Answer:
    """Let the solver answer, with all the time it needs unless told otherwise."""
    return pack_by_program(question, States(question), Allowance(limit_s=limit_s))
