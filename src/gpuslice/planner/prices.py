"""What one more slice of each profile would cost, in GPUs.

Separate from the packing, which chooses a plan; a price is a property of the demands and the
machine around it, and is computed only when it is asked for.

**Model.** The linear relaxation of the packing's own program (`gpuslice.planner.packing.columns`):
GPUs may be split between layouts, the replicas that are served and the moves that are made are
given, and the price of the GPUs that are not whole afterwards is minimised. Beside the wants there
is one for each plain profile of each board, which nobody has yet; its row is what a price is asked
of. Every board may have any number of fresh GPUs more at its price, so that every question has an
answer and no slice costs more than one GPU.

**Method.** The least price is computed once, and once more for every profile with one slice more.
The difference is the slice's price, told as a share of a GPU of its board. It equals the dual value
of the profile's row wherever that is unique; where a basis is degenerate the dual is only one of
several, and this is the one that a buyer pays.

**How to read it.** A price is an average over many such slices, not what the next one costs: two
``3g.40gb`` fill a card, so each costs half of one, though the second is free once the first is
there. Room that serves nobody and lies on GPUs that are in use costs nothing.

Source: duality of the cutting-stock relaxation (Gilmore and Gomory 1961).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import highspy
import numpy as np

from gpuslice.model.certificate import SlicePrice
from gpuslice.planner.certificate import Attempt
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.columns import Columns, Terms, columns_of, rows_of, served, spent
from gpuslice.planner.packing.highs import OverrunError, run_within, silent_solver
from gpuslice.planner.packing.objectives import moves, served_by_want
from gpuslice.planner.packing.question import Cost, Kind, Question, Site, SiteGroup, Want
from gpuslice.planner.packing.states import States
from gpuslice.planner.situation import Situation

_DIGITS = 6
"""Decimals of a price: what the solver's tolerances leave."""

_PRICE = Cost._fields.index("price")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Article:
    """A plain profile of a board: what has a price.

    Attributes:
        board: Product name.
        profile: Profile name.
        price: What a GPU of the board costs.
        want: Number of the want that stands for it.
    """

    board: str
    profile: str
    price: int
    want: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Market:
    """A question in which every article has a want of its own, so far of nobody.

    Attributes:
        question: The question, with a group of fresh GPUs without members for each board.
        articles: What has a price.
        fresh: Number of the first of those groups.
        first: Number of the first article's want.
    """

    question: Question
    articles: tuple[_Article, ...]
    fresh: int
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
    market = _market(situation, attempt)
    relaxation = _Relaxation(market, attempt, allowance)
    base = relaxation.least_price()
    prices = []
    for article in market.articles:
        more = relaxation.least_price(article.want)
        if base is None or more is None:
            return ()
        gpus = round(max(0.0, more - base) / article.price, _DIGITS)
        prices.append(SlicePrice(board=article.board, profile=article.profile, gpus=gpus))
    return tuple(prices)


def _market(situation: Situation, attempt: Attempt) -> _Market:
    """Give every article a want, and every board fresh GPUs."""
    question = attempt.asked.question
    boards: dict[str, Site] = {}
    for group in question.groups:
        boards.setdefault(situation.grounds[group.members[0]].gpu.name, group.site)
    first = len(question.wants)
    names = [
        (board, site, profile.name)
        for board, site in boards.items()
        for profile in site.geometry.profiles
        if not profile.attributes
    ]
    articles = tuple(
        _Article(board=board, profile=name, price=max(1, site.price), want=first + number)
        for number, (board, site, name) in enumerate(names)
    )
    extra = {board: tuple(a for a in articles if a.board == board) for board in boards}
    groups = [
        _with_articles(group, extra[situation.grounds[group.members[0]].gpu.name])
        for group in question.groups
    ]
    fresh = [
        _with_articles(SiteGroup(site=_blank(site), members=()), extra[board])
        for board, site in boards.items()
    ]
    counts = served_by_want(question, attempt.answer)
    wants = (
        *(replace(want, count=n) for want, n in zip(question.wants, counts, strict=True)),
        *(Want(count=site.geometry.memory_slices) for _, site, _ in names),
    )
    return _Market(
        question=replace(question, groups=(*groups, *fresh), wants=wants, most_moves=None),
        articles=articles,
        fresh=len(groups),
        first=first,
    )


def _blank(site: Site) -> Site:
    return replace(site, mig_on=True, fixed=(), holds_ours=False, tenants=(), own=())


def _with_articles(group: SiteGroup, articles: tuple[_Article, ...]) -> SiteGroup:
    """Put the articles of a board on the menu of its GPUs."""
    menu = dict(group.site.menu)
    numbers = {article.profile: article.want for article in articles}
    entries = (
        (profile.name, _accepting(menu.get(profile.name, ()), numbers.get(profile.name)))
        for profile in group.site.geometry.profiles
    )
    site = replace(group.site, menu=tuple((name, kind) for name, kind in entries if kind))
    return replace(group, site=site)


def _accepting(kind: Kind, article: int | None) -> Kind:
    return kind if article is None else (*kind, article)


class _Relaxation:
    """The linear program behind the prices; owned by `price_slices`."""

    def __init__(self, market: _Market, attempt: Attempt, allowance: Allowance) -> None:
        self._allowance = allowance
        self._solver = silent_solver()
        columns = columns_of(market.question, States(market.question))
        nothing, empty = np.zeros(columns.width), np.array([], dtype=np.int32)
        costs = np.zeros(columns.width)
        for column, price in spent(columns, _PRICE).items():
            costs[column] = price
        most = np.full(columns.width, highspy.kHighsInf)
        starts = np.zeros(columns.width, dtype=np.int32)
        self._solver.addCols(columns.width, costs, nothing, most, 0, starts, empty, nothing[:0])
        self._rows = 0
        self._state(market, columns, attempt)
        self._row_of = {
            article.want: self._require(0, served(columns, (article.want,)), 0)
            for article in market.articles
        }

    def least_price(self, one_more: int | None = None) -> float | None:
        """Minimise the price, with one slice more for a want; None when not finished."""
        if one_more is not None:
            self._solver.changeRowBounds(self._row_of[one_more], 1.0, 1.0)
        least = self._solve()
        if one_more is not None:
            self._solver.changeRowBounds(self._row_of[one_more], 0.0, 0.0)
        return least

    def _solve(self) -> float | None:
        left_s = self._allowance.left_s
        if left_s <= 0:
            return None
        try:
            self._allowance.spent_s += run_within(self._solver, left_s)
        except OverrunError:
            self._allowance.spent_s += left_s
            self._solver = silent_solver()  # the old one may not be touched
            return None
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return float(self._solver.getInfo().objective_function_value)

    def _state(self, market: _Market, columns: Columns, attempt: Attempt) -> None:
        """State the rules of the packing, and that the answer's replicas are served and stay.

        A class with fresh GPUs has as many as are needed. The rows of the wants come last and are
        stated otherwise here: what is served is given.
        """
        rows = list(rows_of(columns))
        for number, (low, terms, high) in enumerate(rows[: -len(market.question.wants)]):
            groups = columns.classes[number].groups if number < len(columns.classes) else ()
            if not any(group >= market.fresh for group in groups):
                self._require(low, terms, high)
        for want, asked in enumerate(market.question.wants[: market.first]):
            self._require(asked.count, served(columns, (want,)), asked.count)
        leaving = {c: key.moves for c, (_, key) in enumerate(columns.stays) if key.moves}
        self._require(0, leaving, moves(attempt.answer))

    def _require(self, low: int, terms: Terms, high: int | None) -> int:
        """Demand ``low <= terms <= high``; return the number of the row."""
        most = highspy.kHighsInf if high is None else float(high)
        coefficients = [float(c) for c in terms.values()]
        self._solver.addRow(float(low), most, len(terms), list(terms), coefficients)
        self._rows += 1
        return self._rows - 1
