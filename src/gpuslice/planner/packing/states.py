"""What may stay on a GPU, and what may come beside it: the two choices a layout is made of.

Separate from the programs that choose, because this is where the fleet becomes small. A GPU of
today becomes a GPU of tomorrow in two steps that know little of each other: first some of its
slices stay (a `Stay`), then new ones come into the room that is left (an `Arrival`). What may come
depends on the room alone, and rooms repeat: the 723 layouts of an 8-slice GPU leave 27 rooms that
differ in what can be made of them. So a fleet of any size has a few thousand columns, as many as
there are pairs of a state with what stays of it, and of a room with what comes into it.

**Without loss.** Every final layout is one pair of a stay and an arrival. Of several that supply
the same and stand in the same room, one is cheapest, costs add up over GPUs and are compared
lexicographically, so the others are never needed.

In a lenient question (`Question.lenient`) a slice is not taken from a replica that runs on it and
given to another, where everybody who could use it is as easy to please as that replica: in an
answer that serves all, the two could change places, which saves a move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

from gpuslice.model.geometry import Geometry
from gpuslice.planner.packing.layouts import Fixtures, LayoutTable, Part, layout_table
from gpuslice.planner.packing.question import (
    Cost,
    Kind,
    OwnPlace,
    PatternSlice,
    Question,
    Site,
    Supply,
)

_MOST_STAYS, _MOST_WAYS = 5_000, 200_000
"""How many ways to keep slices on one GPU, and how many ways to lay tied wants beside each other on
all GPUs, are looked at: some seconds' worth."""

Tenants = tuple[int, ...]
"""Tied wants on one GPU, one entry for each replica, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Which slices of ours stay on a GPU, and for whom.

    Attributes:
        slices: Those that stay, by start.
        supply: How many of them are free for whom.
        staying: How many replicas of each want stay, as ((want,), count).
        moves: How many running replicas leave their slice.
        cost: What it costs; only ``moved``, ``destroyed``, ``memory`` and ``idle`` are set.
    """

    slices: tuple[PatternSlice, ...]
    supply: Supply
    staying: Supply
    moves: int
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Which slices come.

    Attributes:
        slices: The new ones, by start.
        supply: How many of them are for whom.
        cost: What it costs beside the stay.
    """

    slices: tuple[PatternSlice, ...]
    supply: Supply
    cost: Cost


class Room(NamedTuple):
    """All that an arrival depends on.

    Attributes:
        ground: Number of the ground: geometry, menu, price, mode, and what is strange to the
            table of layouts.
        bits: The parts that lie there already.
        tenants: Tied wants that stay.
        ours: True when slices of ours stay.
        used: True when anything stays.
    """

    ground: int
    bits: int
    tenants: Tenants
    ours: bool
    used: bool


class _Ground(NamedTuple):
    """What all rooms of like sites have in common."""

    geometry: Geometry
    price: int
    addable: bool
    mig_on: bool
    strange: Fixtures
    menu: tuple[tuple[str, Kind], ...]


class States:
    """What may stay and come on the GPUs of one question; owned by whoever answers it.

    Attributes:
        complete: False once there were more ways to lay tied wants beside each other than can be
            looked at; what is listed then is legal, but something better may be missing.
        looked: How many ways to lay tied wants beside each other have been looked at.
    """

    def __init__(self, question: Question) -> None:
        self.complete = True
        self.looked = 0
        self._question = question
        self._names = _names_by_geometry(question)
        self._content = _contentment(question) if question.lenient else frozenset()
        self._tables: dict[int, LayoutTable] = {}
        self._grounds: dict[tuple[object, ...], int] = {}
        self._ground_list: list[_Ground] = []
        self._stays: dict[int, tuple[tuple[Stay, Room], ...]] = {}
        self._arrivals: dict[Room, tuple[Arrival, ...]] = {}
        self._new: dict[tuple[int, int], tuple[tuple[PatternSlice, ...], ...]] = {}
        self._multisets: dict[tuple[int, int], tuple[str, ...]] = {}

    def stays(self, site: Site) -> tuple[tuple[Stay, Room], ...]:
        """List every way to keep slices of ours on a GPU, most kept first, with the room left.

        Args:
            site: A site of the question, the very object.
        """
        found = self._stays.get(id(site))
        if found is None:
            found = self._stays[id(site)] = self._find_stays(site)
        return found

    def _find_stays(self, site: Site) -> tuple[tuple[Stay, Room], ...]:
        ground, table, fixed = self._stand(site)
        crowded = {position for positions, _ in site.crowds for position in positions}
        choices = [
            self._roles(site, own, moves=position in crowded)
            for position, own in enumerate(site.own)
        ]
        ways = prod(map(len, choices))
        if self._question.tied:
            self.looked += ways
        if ways > _MOST_STAYS or not self._may_look_on():
            self.complete = False
            choices = [[roles[0], None] if roles[0] else [None] for roles in choices]
        found = []
        for roles in product(*choices):
            if site.crowds and not _parted(site, roles):
                continue
            kept = tuple(role for role in roles if role is not None)
            stay = _stay(self._question, site, table, kept)
            tenants = tuple(sorted([*site.tenants, *self._tied_in(kept)]))
            bits = fixed
            for part in kept:
                bits |= table.bit(part.profile, part.placement)
            room = Room(
                ground=ground,
                bits=bits,
                tenants=tenants,
                ours=site.holds_ours or bool(kept),
                used=bool(kept or site.fixed),
            )
            found.append((stay, room))
        return tuple(sorted(found, key=lambda pair: -len(pair[0].slices)))

    def arrivals(self, room: Room) -> tuple[Arrival, ...]:
        """List what may come into a room: one arrival for each supply, most slices first."""
        found = self._arrivals.get(room)
        if found is None:
            found = self._arrivals[room] = self._find_arrivals(room)
        return found

    def _table(self, geometry: Geometry) -> LayoutTable:
        """Return the layouts of a geometry of the question, the very object."""
        table = self._tables.get(id(geometry))
        if table is None:
            table = self._tables[id(geometry)] = layout_table(geometry, self._names[id(geometry)])
        return table

    def _stand(self, site: Site) -> tuple[int, LayoutTable, int]:
        """Return the number of a site's ground, its table, and the bits of what is fixed."""
        table = self._table(site.geometry)
        strange = tuple(each for each in site.fixed if not table.bit(*each))
        ground = _Ground(
            geometry=site.geometry,
            price=site.price,
            addable=site.addable,
            mig_on=site.mig_on,
            strange=strange,
            menu=site.menu,
        )
        key = (id(site.geometry), *ground[1:])  # hashing a geometry takes longer than all else here
        number = self._grounds.setdefault(key, len(self._grounds))
        if number == len(self._ground_list):
            self._ground_list.append(ground)
        fixed = 0
        for each in site.fixed:
            fixed |= table.bit(*each)
        return number, table, fixed

    def _roles(self, site: Site, own: OwnPlace, *, moves: bool) -> list[PatternSlice | None]:
        """List what may become of one slice of ours: its replica stays, others get it, it goes.

        Args:
            site: Where it lies.
            own: The slice.
            moves: True where its replica may have to go although the slice stays, also for
                another one of the same want.
        """
        accepts = dict(site.menu).get(own.profile, ())
        roles: list[PatternSlice | None] = []
        if own.incumbent >= 0:
            roles.append(_kept(own, (own.incumbent,), stays=True))
        if own.incumbent < 0 or moves or not self._settles(own.incumbent, accepts):
            others = tuple(want for want in accepts if moves or want != own.incumbent)
            roles += [_kept(own, kind, stays=False) for kind in self._kinds(others)]
        return [*roles, None]

    def _settles(self, incumbent: int, accepts: Kind) -> bool:
        """Tell whether a running replica may be taken to keep its slice if the slice stays."""
        return all((incumbent, other) in self._content for other in accepts)

    def _kinds(self, accepts: Kind) -> list[Kind]:
        """Split those a slice may serve: everybody whose neighbours do not matter, and each other.

        Slices for tied wants are theirs alone, so that a layout says who lies beside whom.
        """
        tied = self._question.tied
        shared = tuple(want for want in accepts if want not in tied)
        return [*([shared] if shared else []), *((want,) for want in accepts if want in tied)]

    def _tied_in(self, slices: tuple[PatternSlice, ...]) -> list[int]:
        tied = self._question.tied
        return [part.kind[0] for part in slices if part.kind[0] in tied] if tied else []

    def _find_arrivals(self, room: Room) -> tuple[Arrival, ...]:
        ground = self._ground_list[room.ground]
        table = self._table(ground.geometry)
        best: dict[Supply, Arrival] = {}
        for bits in self._neatest(room, table):
            if best and not self._may_look_on():
                break
            for slices in self._furnishings(room.ground, bits & ~room.bits):
                self.looked += 1
                if best and not self._may_look_on():
                    break
                if not self._neighbourly(room, slices):
                    continue
                arrival = self._arrival(room, table, bits, slices)
                rival = best.get(arrival.supply)
                if rival is None or _rank(arrival) < _rank(rival):
                    best[arrival.supply] = arrival
        return tuple(sorted(best.values(), key=lambda each: (-len(each.slices), *_rank(each))))

    def _neatest(self, room: Room, table: LayoutTable) -> Iterable[int]:
        """List the layouts around what lies in a room, one for each multiset of what is new.

        Of several with the same new profiles, all cost the same but for what they leave free.
        """
        strange = self._ground_list[room.ground].strange
        best: dict[tuple[str, ...], tuple[int, int]] = {}
        for bits in _around(table, room.bits, strange):
            names = self._names_of(table, bits & ~room.bits)
            waste = -table.room(bits, strange)
            if names not in best or (waste, bits) < best[names]:
                best[names] = (waste, bits)
        return [bits for _, bits in best.values()]

    def _names_of(self, table: LayoutTable, new: int) -> tuple[str, ...]:
        """Name the profiles of some parts, in order."""
        found = self._multisets.get((id(table), new))
        if found is None:
            found = tuple(sorted(part.profile.name for part in table.members(new)))
            self._multisets[id(table), new] = found
        return found

    def _may_look_on(self) -> bool:
        """Tell whether more ways may be looked at; only ties have too many."""
        if not self._question.tied or self.looked <= _MOST_WAYS:
            return True
        self.complete = False
        return False

    def _furnishings(self, ground: int, new: int) -> tuple[tuple[PatternSlice, ...], ...]:
        """List every way to say for whom new parts are; none where nobody wants one of them."""
        found = self._new.get((ground, new))
        if found is None:
            found = self._new[ground, new] = self._furnish(ground, new)
        return found

    def _furnish(self, ground: int, new: int) -> tuple[tuple[PatternSlice, ...], ...]:
        """Give part after part to somebody, keeping one way for each supply; none if too many."""
        where = self._ground_list[ground]
        menu = dict(where.menu)
        ways: dict[Supply, tuple[PatternSlice, ...]] = {(): ()}
        for part in self._table(where.geometry).members(new):
            kinds = self._kinds(menu.get(part.profile.name, ()))
            following: dict[Supply, tuple[PatternSlice, ...]] = {}
            self.looked += len(ways) if len(kinds) > 1 else 0
            if not self._may_look_on():
                return ()
            for supply, slices in ways.items():
                counts = dict(supply)
                for kind in kinds:
                    if counts.get(kind, 0) < self._most(kind):
                        more = tuple(sorted({**counts, kind: counts.get(kind, 0) + 1}.items()))
                        following.setdefault(more, (*slices, _new(part, kind)))
            ways = following
        return tuple(ways.values())

    def _most(self, kind: Kind) -> int:
        """Bound how many slices of a kind are of use on one GPU."""
        wants = self._question.wants
        most = sum(wants[want].count for want in kind)
        limit = wants[kind[0]].most_per_gpu
        return most if limit is None else min(most, limit)

    def _neighbourly(self, room: Room, slices: tuple[PatternSlice, ...]) -> bool:
        """Tell whether the tied wants on a GPU bear each other."""
        if not self._question.tied:
            return True
        lying = Counter([*room.tenants, *self._tied_in(slices)])
        return all(_bears(self._question, want, lying) for want in lying)

    def _arrival(
        self, room: Room, table: LayoutTable, bits: int, slices: tuple[PatternSlice, ...]
    ) -> Arrival:
        ground = self._ground_list[room.ground]
        used = room.used or bool(slices)
        price = ground.price if used else 0
        sizes = (table.grid.profiles[part.profile].compute_slices for part in slices)
        return Arrival(
            slices=slices,
            supply=_count(part.kind for part in slices),
            cost=Cost(
                added=price if ground.addable else 0,
                price=price,
                switched=int(bool(slices) and not ground.mig_on),
                ours=int(room.ours or bool(slices)),
                memory=sum(part.placement.size for part in slices),
                waste=-table.room(bits, ground.strange),
                idle=-sum(sizes),
            ),
        )


def _around(table: LayoutTable, lying: int, strange: Fixtures) -> Iterator[int]:
    """Yield every layout around what lies there, that one itself first.

    What lies there need not be legal: others may have made it so.
    """
    yield lying
    taken = 0
    for _, at in strange:
        taken |= ((1 << at.size) - 1) << at.start
    for bits in table.layouts:
        if bits & lying != lying or bits == lying:
            continue
        if strange and not _beside(table, bits & ~lying, taken, strange):
            continue
        yield bits


def _beside(table: LayoutTable, new: int, taken: int, strange: Fixtures) -> bool:
    """Tell whether new parts may lie beside what the table does not know."""
    return all(
        not part.mask & taken
        and all(table.grid.tolerates(part.profile.name, name) for name, _ in strange)
        for part in table.members(new)
    )


def _stay(
    question: Question, site: Site, table: LayoutTable, kept: tuple[PatternSlice, ...]
) -> Stay:
    """Describe what stays."""
    staying = _count(part.kind for part in kept if part.stays)
    moves, moved = 0, 0
    for own in site.own:
        if own.incumbent >= 0:
            moves += 1
            moved += question.wants[own.incumbent].move_cost
    for (want,), count in staying:
        moves -= count
        moved -= count * question.wants[want].move_cost
    memory, compute = 0, 0
    for part in kept:
        memory += part.placement.size
        compute += table.grid.profiles[part.profile].compute_slices
    destroyed = len(site.own) - len(kept)
    return Stay(
        slices=kept,
        supply=_count(part.kind for part in kept if not part.stays),
        staying=staying,
        moves=moves,
        cost=Cost(moved=moved, destroyed=destroyed, memory=memory, idle=-compute),
    )


def _parted(site: Site, roles: tuple[PatternSlice | None, ...]) -> bool:
    """Tell whether no more replicas of a model stay than may lie together."""
    return all(
        sum(1 for position in positions if (role := roles[position]) and role.stays) <= most
        for positions, most in site.crowds
    )


def _kept(own: OwnPlace, kind: Kind, *, stays: bool) -> PatternSlice:
    return PatternSlice(
        profile=own.profile, placement=own.placement, kind=kind, kept=True, stays=stays
    )


def _new(part: Part, kind: Kind) -> PatternSlice:
    return PatternSlice(profile=part.profile.name, placement=part.placement, kind=kind)


def _count(kinds: Iterator[Kind]) -> Supply:
    """Count kinds; a dict is several times quicker here than a Counter."""
    counts: dict[Kind, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return tuple(sorted(counts.items()))


def _rank(arrival: Arrival) -> tuple[Cost, tuple[tuple[object, ...], ...]]:
    """Order arrivals of one supply: cheaper first, then smaller placements."""
    return arrival.cost, tuple((part.placement, part.profile) for part in arrival.slices)


def _bears(question: Question, want: int, lying: Counter[int]) -> bool:
    """Tell whether a want may lie among its neighbours."""
    asked = question.wants[want]
    if asked.most_per_gpu is not None and lying[want] > asked.most_per_gpu:
        return False
    return all(lying[other] for other in asked.near) and not any(lying[o] for o in asked.away)


def _names_by_geometry(question: Question) -> dict[int, frozenset[str]]:
    """Collect the profiles that matter on each geometry: wanted, ours, or lying there."""
    names: dict[int, set[str]] = {}
    for group in question.groups:
        site = group.site
        known = names.setdefault(id(site.geometry), set())
        known.update(name for name, _ in site.menu)
        known.update(own.profile for own in site.own)
        known.update(name for name, _ in site.fixed)
    return {key: frozenset(found) for key, found in names.items()}


def _contentment(question: Question) -> frozenset[tuple[int, int]]:
    """Find pairs of wants of which the second accepts whatever the first accepts.

    Tied wants are in no pair, as a change of places could break a rule; nor does one come first of
    which more replicas run than are wanted, since whoever leaves a slice need not get another.
    """
    accepted: dict[int, set[tuple[object, str]]] = {n: set() for n in range(len(question.wants))}
    for site in {(id(g.site.geometry), g.site.menu) for g in question.groups}:
        for name, accepts in site[1]:
            for want in accepts:
                accepted[want].add((site, name))
    running: Counter[int] = Counter()
    for group in question.groups:
        for own in group.site.own:
            running[own.incumbent] += len(group.members)
    free = [want for want in accepted if want not in question.tied]
    return frozenset(
        (first, second)
        for first in free
        if running[first] <= question.wants[first].count
        for second in free
        if accepted[first] <= accepted[second]
    )
