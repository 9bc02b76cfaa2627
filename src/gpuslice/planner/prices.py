"""What one more slice of each profile would cost, in GPUs.

Separate from the packing, which chooses a plan; a price is a property of the demands and the
machine around it, and is computed only when it is asked for.

**Model.** The linear relaxation of the packing's own program (`gpuslice.planner.packing`): GPUs may
be split between patterns, the replicas that are served and those that stay are given, and the GPUs
that are not whole afterwards are minimised. Beside the demands there is one for each plain profile
of each board, which nobody has yet; its row is what a price is asked of. Every board may have any
number of fresh GPUs more, each of which counts as one, so that every question has an answer and no
slice costs more than one GPU.

**Method.** The least number of GPUs is computed once, and once more for every profile with one
slice more. The difference is the price. It equals the dual value of the profile's row wherever that
is unique; where a basis is degenerate the dual is only one of several, and this is the one that a
buyer pays.

**How to read it.** A price is an average over many such slices, not what the next one costs: two
``3g.40gb`` fill a card, so each costs half of one, though the second is free once the first is
there. Room that serves nobody and lies on GPUs that are in use costs nothing.

Source: duality of the cutting-stock relaxation (Gilmore and Gomory 1961).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import highspy

from gpuslice.model.geometry import Geometry
from gpuslice.model.plan import SlicePrice
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.certificate import Attempt
from gpuslice.planner.columns import Columns, Terms, columns_of, supplies, total
from gpuslice.planner.question import Question, Site, SiteGroup
from gpuslice.planner.situation import Situation

_DIGITS = 6
"""Decimals of a price: what the solver's tolerances leave."""

_Article = tuple[Geometry, str]
"""A plain profile of a board: what has a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Market:
    """A question in which every article has a demand of its own, so far of nobody.

    Attributes:
        question: The question, with a group of fresh GPUs without members for each board.
        articles: What has a price, in the order of their demands.
        first: Number of the first article's demand.
    """

    question: Question
    articles: tuple[_Article, ...]
    first: int


def price_slices(
    situation: Situation, attempt: Attempt, allowance: Allowance
) -> tuple[SlicePrice, ...]:
    """Price one more slice of each plain profile of each board that the stack may use.

    Args:
        situation: What the plan was made from.
        attempt: The question that was asked about it, and its answer.
        allowance: How long the solver may take; what it takes is noted there.

    Returns:
        Prices by board in the order of the GPUs, then by profile as the board lists them; nothing
        when the solver did not finish.
    """
    boards = {ground.gpu.name: ground.geometry for ground in situation.grounds if ground.usable}
    market = _market(attempt.question, tuple(dict.fromkeys(boards.values())))
    relaxation = _Relaxation(market, attempt, allowance)
    base = relaxation.least_gpus()
    prices: dict[_Article, float] = {}
    for number, article in enumerate(market.articles):
        more = relaxation.least_gpus(market.first + number)
        if base is None or more is None:
            return ()
        prices[article] = round(max(0.0, more - base), _DIGITS)
    return tuple(
        SlicePrice(board=name, profile=profile, gpus=price)
        for name, geometry in boards.items()
        for (priced, profile), price in prices.items()
        if priced == geometry
    )


def _market(question: Question, boards: tuple[Geometry, ...]) -> _Market:
    """Give every article a demand, and every board fresh GPUs."""
    articles = tuple(
        (board, profile.name)
        for board in boards
        for profile in board.profiles
        if not profile.attributes
    )
    first = len(question.wanted)
    numbers = {article: first + number for number, article in enumerate(articles)}
    fresh = (
        Site(geometry=board, mig_on=True, fixed=(), holds_ours=False, own=(), menu=())
        for board in boards
    )
    menus = _menus(question)
    groups = [SiteGroup(site=replace(g.site, menu=()), members=g.members) for g in question.groups]
    groups += [SiteGroup(site=site, members=()) for site in fresh]
    priced = (
        replace(group, site=replace(group.site, menu=_menu(group.site.geometry, menus, numbers)))
        for group in groups
    )
    wanted = (*question.wanted, *(board.memory_slices for board, _ in articles))
    return _Market(
        question=Question(groups=tuple(priced), wanted=wanted), articles=articles, first=first
    )


def _menus(question: Question) -> dict[_Article, tuple[int, ...]]:
    """Tell which demands accept a profile of a board."""
    return {
        (group.site.geometry, name): accepts
        for group in question.groups
        for name, accepts in group.site.menu
    }


def _menu(
    geometry: Geometry, menus: dict[_Article, tuple[int, ...]], numbers: dict[_Article, int]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Write the menu of a board with its articles on it."""
    entries = ((profile.name, (geometry, profile.name)) for profile in geometry.profiles)
    menu = (
        (
            name,
            (*menus.get(article, ()), *((numbers[article],) if article in numbers else ())),
        )
        for name, article in entries
    )
    return tuple((name, accepts) for name, accepts in menu if accepts)


class _Relaxation:
    """The linear program behind the prices; owned by `price_slices`."""

    def __init__(self, market: _Market, attempt: Attempt, allowance: Allowance) -> None:
        self._allowance = allowance
        self._rows = 0
        self._solver = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
            self._solver.setOptionValue(option, value)
        columns = columns_of(market.question)
        width = columns.first_member
        self._solver.addVars(width, [0.0] * width, [highspy.kHighsInf] * width)
        costs = [float(pattern.cost.occupied) for _, pattern in columns.choices]
        self._solver.changeColsCost(len(costs), list(range(len(costs))), costs)
        self._state(market.question, columns, attempt)
        self._row_of = {
            demand: self._require(0.0, total(columns, demand), 0.0)
            for demand in range(market.first, len(market.question.wanted))
        }

    def least_gpus(self, one_more: int | None = None) -> float | None:
        """Minimise the GPUs in use, with one slice more for a demand; None when not finished."""
        if one_more is not None:
            self._solver.changeRowBounds(self._row_of[one_more], -1.0, -1.0)
        least = self._solve()
        if one_more is not None:
            self._solver.changeRowBounds(self._row_of[one_more], 0.0, 0.0)
        return least

    def _solve(self) -> float | None:
        if self._allowance.left_s <= 0:
            return None
        before_s: float = self._solver.getRunTime()
        # HiGHS holds the limit against the run time of all its linear programs together.
        self._solver.setOptionValue("time_limit", before_s + self._allowance.left_s)
        self._solver.run()
        self._allowance.spent_s += self._solver.getRunTime() - before_s
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return float(self._solver.getInfo().objective_function_value)

    def _state(self, question: Question, columns: Columns, attempt: Attempt) -> None:
        """State the rules of the packing, and that the answer's replicas are served and stay."""
        for number, group in enumerate(question.groups):
            if group.members:
                mine = {c: 1 for c, (g, _) in enumerate(columns.choices) if g == number}
                self._require(len(group.members), mine, len(group.members))
        for kind, supply in supplies(columns):
            use = {columns.first_use + n: -1 for n, (k, _) in enumerate(columns.uses) if k == kind}
            self._require(0, supply | use, 0)
        flow = attempt.answer.flow
        for demand in range(len(attempt.question.wanted)):
            served = -sum(count for (_, other), count in flow if other == demand)
            self._require(served, total(columns, demand), served)
        stays = sum(count for (kind, demand), count in flow if kind.incumbent == demand)
        staying = {
            columns.first_use + n: 1
            for n, (kind, demand) in enumerate(columns.uses)
            if kind.incumbent == demand
        }
        self._require(stays, staying, highspy.kHighsInf)

    def _require(self, low: float, terms: Terms, high: float) -> int:
        """Demand ``low <= terms <= high``; return the number of the row."""
        coefficients = [float(c) for c in terms.values()]
        self._solver.addRow(float(low), float(high), len(terms), list(terms), coefficients)
        self._rows += 1
        return self._rows - 1
