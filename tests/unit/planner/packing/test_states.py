"""What may stay and come: a fleet of any size has few of both."""

from __future__ import annotations

from gpuslice.hardware.boards import board
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.planner.packing.columns import columns_of
from gpuslice.planner.packing.layouts import layout_table
from gpuslice.planner.packing.question import OwnPlace, Question, Site, SiteGroup, Want
from gpuslice.planner.packing.states import States


def plain_names(geometry: Geometry) -> list[str]:
    return [profile.name for profile in geometry.profiles if not profile.attributes]


def every_state() -> Question:
    """A fleet in which each legal layout of an A100 lies on one GPU, each slice with a replica."""
    geometry = board("a100-80gb").geometry
    names = plain_names(geometry)
    profiles = [geometry.named(name) for name in names]
    menu = tuple(
        (
            name,
            tuple(w for w, other in enumerate(profiles) if here and other and _hosts(here, other)),
        )
        for name, here in zip(names, profiles, strict=True)
    )
    table = layout_table(geometry, frozenset(names))
    groups = []
    for number, bits in enumerate(table.layouts):
        own = tuple(
            OwnPlace(
                profile=part.profile.name,
                placement=part.placement,
                incumbent=names.index(part.profile.name),
            )
            for part in table.members(bits)
        )
        groups.append(
            SiteGroup(site=Site(geometry=geometry, own=own, menu=menu), members=(number,))
        )
    return Question(groups=tuple(groups), wants=(Want(count=5_000),) * len(names), lenient=True)


def _hosts(here: Profile, other: Profile) -> bool:
    large = here.memory_mib >= other.memory_mib
    return large and here.compute_slices >= other.compute_slices


def test_all_states_of_a_board_make_few_classes_and_rooms() -> None:
    question = every_state()
    columns = columns_of(question, States(question))
    rooms = {key.node for key in columns.arrivals}
    assert (len(question.groups), len(columns.classes), len(rooms)) == (723, 273, 27)
    assert columns.width < 4_000


def test_a_slice_may_stay_for_its_replica_for_others_or_go() -> None:
    geometry = board("a30").geometry
    own = OwnPlace(profile="2g.12gb", placement=Placement(0, 2), incumbent=0)
    site = Site(geometry=geometry, own=(own,), menu=(("2g.12gb", (0, 1)),))
    group = SiteGroup(site=site, members=(0,))
    strict = Question(groups=(group,), wants=(Want(count=1), Want(count=1)))
    roles = [
        [(part.kind, part.stays) for part in stay.slices] for stay, _ in States(strict).stays(site)
    ]
    assert roles == [[((0,), True)], [((1,), False)], []]
    lenient = Question(groups=(group,), wants=strict.wants, lenient=True)
    assert len(States(lenient).stays(site)) == 2


def test_tied_wants_lie_beside_each_other_only_as_they_may() -> None:
    geometry = board("a30").geometry
    site = Site(geometry=geometry, menu=(("1g.6gb", (0, 1, 2)),))
    wants = (Want(count=4, most_per_gpu=1), Want(count=4, near=(0,)), Want(count=4, away=(1,)))
    question = Question(groups=(SiteGroup(site=site, members=(0,)),), wants=wants)
    states = States(question)
    ((_, room),) = states.stays(site)
    found = {arrival.supply for arrival in states.arrivals(room)}
    expected = set()
    for a in range(2):
        for b in range(5):
            for c in range(5):
                if a + b + c <= 4 and (not b or a) and not (b and c):
                    counts = (((0,), a), ((1,), b), ((2,), c))
                    expected.add(tuple(pair for pair in counts if pair[1]))
    assert found == expected
