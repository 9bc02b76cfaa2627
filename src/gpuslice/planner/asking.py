"""A situation put as a question to the packing, without names, and the way back to them.

Separate from the survey, which looks at the machine, because several questions are asked about one
situation: with everybody frozen in place, leniently, exactly, and with GPUs that could be bought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gpuslice.errors import PlanningError
from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.model.geometry import Geometry, Placement, Profile
from gpuslice.planner.packing.question import Crowd, Kind, OwnPlace, Question, Site, SiteGroup, Want
from gpuslice.planner.situation import Ground, OwnSlice, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Replicas of one model that want slices of the same sort.

    A demand for replicas is one portion. A demand with a target has one for each profile of the
    recipe that was chosen for it.

    Attributes:
        demand: The demand.
        count: How many replicas.
        named: The one profile of the recipe, or None where the demand says what it accepts.
    """

    demand: Demand
    count: int
    named: NamedProfile | None = None

    def accepts(self, profile: Profile, board: str) -> bool:
        """Tell whether a slice serves one replica of the portion."""
        if self.named is not None:
            return self.named.means(profile, board)
        return self.demand.accepts(profile, board)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question about a situation, and what its numbers stand for.

    Attributes:
        situation: The situation.
        question: The question.
        portions: For each want, the portions that are in it, in order.
        staying: Running replicas that were not part of the question, with their slices.
        surplus: Running replicas that no portion asks for.
    """

    situation: Situation
    question: Question
    portions: tuple[tuple[Portion, ...], ...]
    staying: tuple[tuple[Portion, Ground, OwnSlice], ...]
    surplus: tuple[OwnSlice, ...]


class _Look(NamedTuple):
    """What the packing sees of a GPU; GPUs that look alike are one site."""

    board: int
    addable: bool
    mig_on: bool
    fixed: tuple[tuple[str, Placement], ...]
    holds_ours: bool
    tenants: tuple[int, ...]
    own: tuple[tuple[str, Placement, int], ...]
    crowds: tuple[Crowd, ...]


def whole_demands(situation: Situation) -> tuple[Portion, ...]:
    """Make one portion of each demand; there must be no targets among them."""
    return tuple(Portion(demand=demand, count=demand.replicas) for demand in situation.demands)


def ask(
    situation: Situation,
    portions: Sequence[Portion],
    *,
    settled: bool = False,
    lenient: bool = False,
    spread: Collection[str] | None = None,
    least_ours: int = 0,
) -> Asked:
    """Put the situation as a question to the packing.

    Args:
        situation: The situation.
        portions: What is wanted.
        settled: True when every running replica whose move counts is to stay where it is; only the
            others are then in question. Otherwise only the pinned ones stay.
        lenient: True to tell replicas apart no more than is needed when all can be served.
        spread: Models of which no more may lie on one GPU than they allow, or None for all. Of the
            others, those whose neighbours do not matter may lie on one in any number.
        least_ours: How many GPUs have to hold slices of ours at least.
    """
    asked = _Asking(situation, portions, settled, lenient, spread).asked()
    return replace(asked, question=replace(asked.question, least_ours=least_ours))


class _Asking:
    """One question in the making; owned by `ask`."""

    def __init__(
        self,
        situation: Situation,
        portions: Sequence[Portion],
        settled: bool,
        lenient: bool,
        spread: Collection[str] | None,
    ) -> None:
        self._situation = situation
        self._settled = settled
        self._lenient = lenient
        self._portions = sorted(portions, key=lambda portion: -portion.demand.priority)
        self._boards = _Boards(situation)
        self._by_model: dict[str, list[int]] = {}
        for number, portion in enumerate(self._portions):
            self._by_model.setdefault(portion.demand.model, []).append(number)
        self._tied = _tied_models([portion.demand for portion in self._portions], spread)
        self._accepting: dict[tuple[str, str, str], tuple[int, ...]] = {}
        self._seats: Counter[int] = Counter()
        self._staying: list[tuple[int, Ground, OwnSlice]] = []
        self._surplus: list[OwnSlice] = []

    def asked(self) -> Asked:
        """Ask."""
        homes = [self._at_home(ground) for ground in self._situation.grounds]
        left = [portion.count for portion in self._portions]
        for number, _, _ in self._staying:
            left[number] -= 1
        want_of, wants, members = self._wants(left)
        menus = [
            self._menu(name, geometry, want_of, left) for name, geometry in self._boards.boards
        ]
        groups: dict[_Look, list[int]] = {}
        pairs = zip(self._situation.grounds, homes, strict=True)
        for position, (ground, home) in enumerate(pairs):
            if ground.usable:
                groups.setdefault(self._look(ground, home, want_of), []).append(position)
        question = Question(
            groups=tuple(
                SiteGroup(site=self._site(look, menus), members=tuple(members_))
                for look, members_ in groups.items()
            ),
            wants=wants,
            most_moves=self._most_moves(),
            lenient=self._lenient,
        )
        return Asked(
            situation=self._situation,
            question=question,
            portions=members,
            staying=tuple((self._portions[n], g, own) for n, g, own in self._staying),
            surplus=tuple(self._surplus),
        )

    def _most_moves(self) -> int | None:
        most = self._situation.rules.most_moves
        if most is None:
            return None
        if len(self._surplus) > most:
            raise PlanningError(
                f"{len(self._surplus)} running replicas are of no use to any target that can be "
                f"met, and {most} may leave their slice",
                hint="Allow more moves, or ask for less.",
            )
        return most - len(self._surplus)

    def _at_home(self, ground: Ground) -> list[tuple[OwnSlice, int, bool]]:
        """Say of each slice of ours whose portion runs on it, and whether that must stay."""
        found = []
        for own in ground.own:
            number = self._portion_at(ground, own)
            stays = number >= 0 and self._stays(self._portions[number].demand)
            if stays:
                self._staying.append((number, ground, own))
            found.append((own, number, stays))
        return found

    def _stays(self, demand: Demand) -> bool:
        """Tell whether the running replicas of a demand are not in question."""
        return demand.pinned or (self._settled and demand.move_cost > 0)

    def _portion_at(self, ground: Ground, own: OwnSlice) -> int:
        """Return the portion of the replica that runs on a slice, or -1.

        More may run than a portion asks for; who of them stays is then part of the question.
        """
        replica = own.incumbent
        if replica is None:
            return -1
        for number in self._by_model.get(replica.model, ()):
            portion = self._portions[number]
            room = self._seats[number] < portion.count or not self._stays(portion.demand)
            if portion.count and room and self._fits(portion, ground, own):
                self._seats[number] += 1
                return number
        self._surplus.append(own)
        return -1

    def _fits(self, portion: Portion, ground: Ground, own: OwnSlice) -> bool:
        """Tell whether a recipe's portion is of a slice's profile; others fit by the survey."""
        if portion.named is None:
            return True
        profile = ground.geometry.named(own.profile)
        return profile is not None and portion.named.means(profile, ground.gpu.name)

    def _wants(
        self, left: Sequence[int]
    ) -> tuple[list[int], tuple[Want, ...], tuple[tuple[Portion, ...], ...]]:
        """Put portions into wants; return the want of each, the wants, and what is in them."""
        numbers: dict[object, int] = {}
        want_of = [-1] * len(self._portions)
        members: list[list[int]] = []
        for number, portion in enumerate(self._portions):
            demand = portion.demand
            if not left[number] and demand.model not in self._tied:
                continue
            crowded = self._seats[number] > portion.count  # who of them stays has to be told
            alone = not self._lenient or crowded or demand.model in self._tied
            signature: object = (
                number
                if alone
                else (self._boards.accepted(portion), demand.priority, demand.move_cost)
            )
            want = want_of[number] = numbers.setdefault(signature, len(numbers))
            if want == len(members):
                members.append([])
            members[want].append(number)
        wants = tuple(self._want(group, left, want_of) for group in members)
        return want_of, wants, tuple(tuple(self._portions[n] for n in g) for g in members)

    def _want(self, group: list[int], left: Sequence[int], want_of: Sequence[int]) -> Want:
        demand = self._portions[group[0]].demand

        def numbers(models: tuple[str, ...]) -> tuple[int, ...]:
            return tuple(want_of[n] for model in models for n in self._by_model.get(model, ()))

        return Want(
            count=sum(left[number] for number in group),
            priority=demand.priority,
            move_cost=demand.move_cost,
            most_per_gpu=demand.most_per_gpu if demand.model in self._tied else None,
            near=numbers(demand.near),
            away=numbers(demand.away),
        )

    def _menu(
        self, name: str, geometry: Geometry, want_of: Sequence[int], left: Sequence[int]
    ) -> tuple[tuple[str, Kind], ...]:
        """List which wants accept each profile of a board."""
        menu = []
        for profile in geometry.profiles:
            accepting = {
                want_of[number]
                for number, portion in enumerate(self._portions)
                if left[number] > 0 and portion.accepts(profile, name)
            }
            if accepting:
                menu.append((profile.name, tuple(sorted(accepting))))
        return tuple(menu)

    def _look(
        self, ground: Ground, home: list[tuple[OwnSlice, int, bool]], want_of: Sequence[int]
    ) -> _Look:
        """Describe a GPU to the packing, without its name."""
        fixed = [(s.profile, s.placement) for s in ground.foreign]
        fixed += [(own.profile, own.slice.placement) for own, _, stays in home if stays]
        staying = [number for _, number, stays in home if stays]
        return _Look(
            board=self._boards.number(ground),
            addable=ground.gpu.uuid in self._situation.rules.addable,
            mig_on=ground.mig_on,
            fixed=tuple(sorted(fixed)),
            holds_ours=bool(staying),
            tenants=tuple(
                sorted(
                    want_of[number]
                    for number in staying
                    if self._portions[number].demand.model in self._tied
                )
            ),
            own=tuple(
                (own.profile, own.slice.placement, want_of[number] if number >= 0 else -1)
                for own, number, stays in home
                if not stays
            ),
            crowds=self._crowds(home),
        )

    def _crowds(self, home: list[tuple[OwnSlice, int, bool]]) -> tuple[Crowd, ...]:
        """Find models of which more replicas run on a GPU than may, where no tie says so."""
        demands = [portion.demand for portion in self._portions]
        fixed = Counter(demands[number].model for _, number, stays in home if stays)
        running: dict[str, list[int]] = {}
        loose = (number for _, number, stays in home if not stays)
        for position, number in enumerate(loose):
            if number >= 0:
                running.setdefault(demands[number].model, []).append(position)
        crowds = []
        for model, positions in sorted(running.items()):
            limit = demands[self._by_model[model][0]].most_per_gpu
            if limit is None or model in self._tied:
                continue
            if fixed[model] + len(positions) > limit:
                crowds.append((tuple(positions), max(0, limit - fixed[model])))
        return tuple(crowds)

    def _site(self, look: _Look, menus: Sequence[tuple[tuple[str, Kind], ...]]) -> Site:
        """Make the site of all GPUs that look alike."""
        name, geometry = self._boards.boards[look.board]
        return Site(
            geometry=geometry,
            price=self._situation.prices[name],
            addable=look.addable,
            mig_on=look.mig_on,
            fixed=look.fixed,
            holds_ours=look.holds_ours,
            tenants=look.tenants,
            own=tuple(
                OwnPlace(profile=profile, placement=at, incumbent=want)
                for profile, at, want in look.own
            ),
            crowds=look.crowds,
            menu=menus[look.board],
        )


class _Boards:
    """The different boards of a situation, equal geometries being one object."""

    def __init__(self, situation: Situation) -> None:
        self.boards: list[tuple[str, Geometry]] = []
        self._geometries: dict[Geometry, Geometry] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        for ground in situation.grounds:
            if ground.usable:
                self.number(ground)

    def number(self, ground: Ground) -> int:
        """Return the number of a GPU's board."""
        key = (ground.gpu.name, id(ground.gpu.geometry))
        found = self._numbers.get(key)
        if found is None:
            geometry = self._geometries.setdefault(ground.geometry, ground.geometry)
            board = (ground.gpu.name, geometry)
            if board not in self.boards:
                self.boards.append(board)
            found = self._numbers[key] = self.boards.index(board)
        return found

    def accepted(self, portion: Portion) -> tuple[tuple[int, str], ...]:
        """List every profile of every board that serves a portion."""
        return tuple(
            (number, profile.name)
            for number, (name, geometry) in enumerate(self.boards)
            for profile in geometry.profiles
            if portion.accepts(profile, name)
        )


def _tied_models(demands: Sequence[Demand], spread: Collection[str] | None) -> frozenset[str]:
    """Name the models whose neighbours on a GPU matter, and those neighbours."""
    tied = {d.model for d in demands if d.near or d.away}
    limited = {d.model for d in demands if d.most_per_gpu is not None}
    tied |= limited if spread is None else limited.intersection(spread)
    return frozenset(tied | {model for d in demands for model in (*d.near, *d.away)})
