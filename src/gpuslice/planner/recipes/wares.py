"""What recipes can be made of in one situation: the articles, and the market they are traded on.

Separate from the choice of recipes (`gpuslice.planner.recipes.choose`), which knows numbers only,
and from what is done with them (`gpuslice.planner.portions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry
from gpuslice.planner.articles import Article, Recipe, rate_of, size_of
from gpuslice.planner.asking import Portion
from gpuslice.planner.packing.layouts import Fixtures
from gpuslice.planner.packing.question import Question, Site, SiteGroup, Want
from gpuslice.planner.packing.states import States
from gpuslice.planner.situation import Situation

if TYPE_CHECKING:
    from gpuslice.planner.recipes.market import Market, Offer, Order


class Wares:
    """The articles of a situation, numbered; owned by the choice of its portions."""

    def __init__(
        self, situation: Situation, fixed: Sequence[Portion], targets: Sequence[Demand]
    ) -> None:
        self._situation = situation
        usable = [ground for ground in situation.grounds if ground.usable]
        boards = dict.fromkeys((ground.gpu.name, ground.geometry) for ground in usable)
        articles = (
            Article(board, geometry, profile.name)
            for board, geometry in boards
            for profile in geometry.profiles
        )
        self._articles = tuple(
            article
            for article in articles
            if any(portion.accepts(article.as_profile, article.board) for portion in fixed)
            or any(target.accepts(article.as_profile, article.board) for target in targets)
        )
        self._number = {article: number for number, article in enumerate(self._articles)}
        self._offers = tuple(self._find_offers()) if self._articles else ()

    def __bool__(self) -> bool:
        """True when there is anything to make recipes of."""
        return bool(self._articles)

    def recipe(self, counts: Sequence[int]) -> Recipe:
        """Name the articles of a recipe."""
        pairs = zip(self._articles, counts, strict=True)
        return tuple((article, count) for article, count in pairs if count)

    def rates(self, demand: Demand) -> tuple[int, ...]:
        """List what one slice contributes to a target, by article."""
        assert demand.target is not None, "only demands with targets have rates"
        return tuple(demand.target.rate(a.as_profile, a.board) for a in self._articles)

    def market(
        self, targets: Sequence[Demand], held: Mapping[str, Recipe], fixed: Sequence[Portion]
    ) -> Market:
        """Make the market for some targets, each beside the slices it holds anyway.

        Args:
            targets: Targets for which slices are to be chosen; none is met by what it holds.
            held: Slices that are held whatever is chosen, by model.
            fixed: What others want.
        """
        from gpuslice.planner.recipes.market import (  # noqa: PLC0415 - loads numpy, only with targets
            Market,
            Order,
            Service,
        )

        services = (
            Service(
                target=target.target.milli_per_s - rate_of(target, held.get(target.model, ())),
                rates=self.rates(target),
                most=target.replicas - size_of(held.get(target.model, ())),
            )
            for target in targets
            if target.target is not None
        )
        kept = (
            Order(accepts=(self._number[article],), count=count)
            for recipe in held.values()
            for article, count in recipe
        )
        return Market(
            offers=self._offers,
            services=tuple(services),
            orders=(*self._orders(fixed), *kept),
            articles=len(self._articles),
        )

    def _orders(self, fixed: Sequence[Portion]) -> Iterator[Order]:
        from gpuslice.planner.recipes.market import Order  # noqa: PLC0415 - as above

        for portion in fixed:
            accepts = (
                number
                for number, article in enumerate(self._articles)
                if portion.accepts(article.as_profile, article.board)
            )
            if portion.count:
                yield Order(accepts=tuple(accepts), count=portion.count)

    def _find_offers(self) -> Iterator[Offer]:
        """List the kinds of GPUs; those in use anyway cost nothing, and what is there goes first.

        A GPU that would have to be added costs more than all that are there together.
        """
        from gpuslice.planner.recipes.market import Offer  # noqa: PLC0415 - as above

        prices, addable = self._situation.prices, self._situation.rules.addable
        kinds: Counter[tuple[str, Geometry, bool, Fixtures]] = Counter()
        for ground in self._situation.grounds:
            if ground.usable:
                fixed = tuple(sorted((s.profile, s.placement) for s in ground.foreign))
                kinds[ground.gpu.name, ground.geometry, ground.gpu.uuid in addable, fixed] += 1
        dear = 1 + sum(prices[board] * n for (board, *_), n in kinds.items()) if addable else 1
        for (board, geometry, extra, fixed), count in kinds.items():
            price = prices[board] * (dear if extra else 1)
            yield Offer(
                price=0 if fixed else price,
                most=count,
                layouts=self._layouts(board, geometry, fixed),
            )

    def _layouts(
        self, board: str, geometry: Geometry, fixed: Fixtures
    ) -> tuple[tuple[int, ...], ...]:
        """List what one GPU can supply beside what is fixed on it: every article is a want."""
        menu = tuple(
            (article.profile, (number,))
            for article, number in self._number.items()
            if (article.board, article.geometry) == (board, geometry)
        )
        site = Site(geometry=geometry, fixed=fixed, menu=menu)
        question = Question(
            groups=(SiteGroup(site=site, members=(0,)),),
            wants=(Want(count=geometry.memory_slices),) * len(self._articles),
        )
        states = States(question)
        ((_, room),) = states.stays(site)
        supplies = (dict(arrival.supply) for arrival in states.arrivals(room))
        numbers = range(len(self._articles))
        return tuple(tuple(supply.get((n,), 0) for n in numbers) for supply in supplies)
