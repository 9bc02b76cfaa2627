"""Articles and recipes: what a throughput target is met with, and how it is reckoned.

Separate because both the market (`gpuslice.planner.recipes.wares`) and the choice of portions
(`gpuslice.planner.portions`) reckon with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.planner.situation import Situation


class Article(NamedTuple):
    """A profile of a board.

    Attributes:
        board: Product name.
        geometry: What the board offers.
        profile: Profile name.
    """

    board: str
    geometry: Geometry
    profile: str

    @property
    def as_profile(self) -> Profile:
        """The profile itself."""
        found = self.geometry.named(self.profile)
        assert found is not None, "articles are made from the geometry"
        return found


Recipe = tuple[tuple[Article, int], ...]
"""How many slices of each article meet a target."""


def rate_of(demand: Demand, recipe: Recipe) -> int:
    """Add up what the slices of a recipe contribute to a target, thousandths per second."""
    assert demand.target is not None, "only demands with targets have recipes"
    return sum(demand.target.rate(a.as_profile, a.board) * count for a, count in recipe)


def size_of(recipe: Recipe) -> int:
    """Count the slices of a recipe."""
    return sum(count for _, count in recipe)


def running_recipes(situation: Situation, targets: Sequence[Demand]) -> dict[str, Recipe]:
    """Find the slices on which replicas run for each target."""
    articles: dict[tuple[str, int, str], Article] = {}  # hashing a geometry for each would be slow
    counts: dict[str, Counter[tuple[str, int, str]]] = {t.model: Counter() for t in targets}
    for replica, ground, own in situation.incumbents:
        if replica.model in counts:
            key = (ground.gpu.name, id(ground.geometry), own.profile)
            articles.setdefault(key, Article(ground.gpu.name, ground.geometry, own.profile))
            counts[replica.model][key] += 1
    recipes = {model: [(articles[key], n) for key, n in c.items()] for model, c in counts.items()}
    return {model: together(recipe, ()) for model, recipe in recipes.items()}


def meets(demand: Demand, recipe: Recipe) -> bool:
    """Tell whether a recipe reaches a target."""
    assert demand.target is not None, "only demands with targets have recipes"
    return rate_of(demand, recipe) >= demand.target.milli_per_s


def trimmed(demand: Demand, recipe: Recipe) -> Recipe:
    """Leave out what is not needed, those that contribute most first, so that the fewest go."""
    assert demand.target is not None, "only demands with targets have recipes"
    spare = max(0, rate_of(demand, recipe) - demand.target.milli_per_s)
    counts = dict(recipe)
    for article in sorted(counts, key=lambda a: -rate_of(demand, ((a, 1),))):
        rate = rate_of(demand, ((article, 1),))
        gone = min(counts[article], spare // rate)
        counts[article] -= gone
        spare -= gone * rate
    return tuple((article, count) for article, count in counts.items() if count)


def without(recipe: Recipe, other: Recipe) -> Recipe:
    """Leave out what another recipe has too."""
    counts = dict(other)
    return tuple((article, n - min(n, counts.get(article, 0))) for article, n in recipe)


def together(one: Iterable[tuple[Article, int]], other: Iterable[tuple[Article, int]]) -> Recipe:
    """Add two recipes up; each article comes once."""
    counts: dict[Article, int] = {}
    for article, count in (*one, *other):
        counts[article] = counts.get(article, 0) + count
    return tuple(counts.items())


def is_sole(demand: Demand, rates: Sequence[int]) -> bool:
    """Tell whether only one multiset of slices meets a target: as many of the best as there may be.

    Any other has one slice less, or a worse one in place of one of them, and none would do.
    """
    assert demand.target is not None, "only demands with targets have recipes"
    second, best = sorted((0, *rates))[-2:]
    return (demand.replicas - 1) * best + second < demand.target.milli_per_s
