"""How recipes are reckoned: what runs, what it comes to, and what of it could be left out."""

from __future__ import annotations

from itertools import combinations_with_replacement
from random import Random

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.demand import Rules
from gpuslice.planner.articles import (
    Article,
    Recipe,
    is_sole,
    meets,
    rate_of,
    running_recipes,
    size_of,
    together,
    trimmed,
    without,
)
from gpuslice.planner.situation import survey

GPU = a_board_gpu()
RATES = (("1g.10gb", 1000), ("2g.20gb", 2100), ("3g.40gb", 3000))
CHAT = a_target("chat", 3000, *RATES)


def article(profile: str) -> Article:
    assert GPU.geometry is not None
    return Article(GPU.name, GPU.geometry, profile)


def recipe(**counts: int) -> Recipe:
    """A recipe of ``one``, ``two`` and ``three`` slices of that many compute slices."""
    names = {"one": "1g.10gb", "two": "2g.20gb", "three": "3g.40gb"}
    return tuple((article(names[size]), count) for size, count in counts.items())


def test_a_recipe_comes_to_what_its_slices_contribute() -> None:
    found = recipe(one=2, three=1)
    assert (rate_of(CHAT, found), size_of(found)) == (5000, 3)
    assert meets(CHAT, recipe(one=3))
    assert not meets(CHAT, recipe(two=1))
    assert not meets(CHAT, ())


def test_what_is_not_needed_is_left_out_so_that_the_fewest_go() -> None:
    assert trimmed(CHAT, recipe(one=3, three=1)) == recipe(one=3)
    assert trimmed(CHAT, recipe(one=5)) == recipe(one=3)
    assert trimmed(CHAT, recipe(two=2)) == recipe(two=2)


def test_a_recipe_that_does_not_suffice_is_left_as_it_is() -> None:
    assert trimmed(CHAT, recipe(one=2)) == recipe(one=2)


def test_no_slice_of_what_is_left_could_be_spared() -> None:
    random = Random(2)
    for _ in range(50):
        sizes = {size: random.randint(1, 4) for size in ("one", "two", "three")}
        target = a_target("chat", random.randint(1, 12) * 500, *RATES)
        left = trimmed(target, recipe(**sizes))
        assert meets(target, left) == meets(target, recipe(**sizes))
        for one, _ in left if meets(target, left) else ():
            assert not meets(target, without(left, ((one, 1),)))


def test_recipes_are_added_and_taken_away() -> None:
    assert together(recipe(one=1), recipe(two=1, one=2)) == recipe(one=3, two=1)
    assert without(recipe(one=3, two=1), recipe(one=1)) == recipe(one=2, two=1)
    assert size_of(without(recipe(one=1), recipe(one=4))) == 0


def test_only_what_runs_and_fits_is_part_of_a_running_recipe() -> None:
    places = (("1g.10gb", 0), ("1g.10gb", 1), ("2g.20gb", 2), ("4g.40gb", 0))
    first = with_slices(a_board_gpu(), *places[:3])
    second = with_slices(a_board_gpu(index=1), places[3], ("1g.10gb", 6))
    slices = (*first.slices, *second.slices)
    records = [owned(s, "chat", number) for number, s in enumerate(slices)]
    records[1] = owned(slices[1], "other")
    situation = survey(an_observed(first, second), (CHAT, a_demand("other")), records, Rules())
    assert running_recipes(situation, [CHAT]) == {"chat": recipe(one=2, two=1)}


def test_a_recipe_is_the_only_one_exactly_where_trying_all_finds_one() -> None:
    random = Random(4)
    seen = set()
    for _ in range(300):
        rates = [random.randint(1, 4) for _ in range(random.randint(1, 3))]
        most, wanted = random.randint(1, 4), random.randint(1, 10)
        tried = [
            chosen
            for size in range(1, most + 1)
            for chosen in combinations_with_replacement(range(len(rates)), size)
            if sum(rates[number] for number in chosen) >= wanted
        ]
        demand = a_target("chat", wanted, replicas=most)
        if tried:
            assert is_sole(demand, rates) == (len(tried) == 1)
            seen.add(len(tried) == 1)
    assert seen == {True, False}
