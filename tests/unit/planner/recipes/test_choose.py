"""Recipes by hand: small markets whose cheapest answer can be seen."""

from __future__ import annotations

import highspy
import pytest

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.choose import (
    Market,
    Offer,
    Order,
    RecipeChoice,
    Service,
    choose_recipes,
)

SMALL_OR_LARGE = ((4, 0), (2, 1), (0, 2))
"""Layouts of a GPU for four small slices, or a large one in the place of two."""


PAIRS = Offer(
    price=1,
    most=9,
    layouts=tuple(
        tuple(int(article in pair) for article in range(6))
        for pair in ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5))
    ),
)
"""A GPU for two slices of three kinds, or of three other kinds."""

TRIANGLES = tuple(
    Service(target=1, rates=tuple(int(a == own) for a in range(6)), most=1) for own in range(6)
)
"""Each wants a kind of its own: four GPUs, though halves of six would do."""


def an_offer(
    price: int = 1, most: int = 9, layouts: tuple[tuple[int, ...], ...] = SMALL_OR_LARGE
) -> Offer:
    return Offer(price=price, most=most, layouts=layouts)


def a_service(target: int, *rates: int, most: int = 99) -> Service:
    return Service(target=target, rates=rates or (10, 25), most=most)


def choose(
    *services: Service,
    offers: tuple[Offer, ...] = (an_offer(),),
    orders: tuple[Order, ...] = (),
    limit_s: float = 60.0,
    run: Run = highspy.Highs.run,
) -> RecipeChoice | None:
    articles = len(offers[0].layouts[0]) if offers else 2
    market = Market(offers=offers, services=services, orders=orders, articles=articles)
    return choose_recipes(market, Allowance(limit_s=limit_s), run)


def the_price(choice: RecipeChoice | None) -> int:
    """Price of a choice that is proved to be the cheapest."""
    assert choice is not None
    assert (choice.bound, choice.note) == (choice.price, "")
    return choice.price


def test_a_service_gets_the_slices_that_reach_its_target_on_fewest_gpus() -> None:
    choice = choose(a_service(50))
    assert the_price(choice) == 1
    assert choice is not None
    assert choice.recipes == ((0, 2),)


def test_what_is_best_for_a_service_alone_gives_way_to_what_fits_beside_the_others() -> None:
    """Alone, 25 is one large slice; two such services and one of 20 fill a GPU and a half."""
    assert the_price(choose(a_service(25))) == 1
    assert the_price(choose(a_service(25), a_service(25), a_service(40))) == 2
    choice = choose(a_service(24), a_service(10), a_service(10))
    assert the_price(choice) == 1
    assert choice is not None
    assert choice.recipes == ((0, 1), (1, 0), (1, 0))


def test_no_service_gets_more_slices_than_it_may() -> None:
    rates = (10, 15)  # small ones are the better bargain
    assert choose(a_service(40, *rates)) is not None
    choice = choose(a_service(40, *rates, most=3), offers=(an_offer(most=3),))
    assert the_price(choice) == 2
    assert choice is not None
    assert sum(choice.recipes[0]) == 3
    assert choose(a_service(40, *rates, most=2)) is None


def test_cheap_gpus_are_used_while_they_last() -> None:
    cheap, dear = an_offer(price=2, most=1), an_offer(price=5)
    services = (a_service(50),) * 3
    assert the_price(choose(*services, offers=(cheap, dear))) == 2 + 5 + 5


def test_gpus_in_use_anyway_cost_nothing() -> None:
    room = an_offer(price=0, most=2, layouts=((2, 0), (0, 1)))
    choice = choose(a_service(25), a_service(25), offers=(room, an_offer(price=7)))
    assert the_price(choice) == 0


def test_slices_of_several_boards_make_one_recipe() -> None:
    one, other = an_offer(most=1, layouts=((2, 0),)), an_offer(most=1, layouts=((0, 1),))
    choice = choose(a_service(45), offers=(one, other))
    assert the_price(choice) == 2
    assert choice is not None
    assert choice.recipes == ((2, 1),)


def test_orders_take_the_room_that_recipes_could_have_had() -> None:
    both = Order(accepts=(0, 1), count=2)
    assert the_price(choose(a_service(25), orders=(both,))) == 1
    assert the_price(choose(a_service(50), orders=(both,))) == 2
    assert the_price(choose(orders=(Order(accepts=(1,), count=5),))) == 3


def test_an_order_takes_whichever_article_is_to_spare() -> None:
    offers = (an_offer(most=1, layouts=((1, 2),)),)
    choice = choose(a_service(10, 10, 0), offers=offers, orders=(Order(accepts=(0, 1), count=2),))
    assert the_price(choice) == 1


def test_nothing_is_wanted_and_nothing_is_paid() -> None:
    assert choose() == RecipeChoice(recipes=(), price=0, bound=0, note="")
    assert choose(offers=()) == RecipeChoice(recipes=(), price=0, bound=0, note="")
    assert the_price(choose(orders=(Order(accepts=(), count=0),))) == 0


@pytest.mark.parametrize(
    ("offers", "service", "orders"),
    [
        ((an_offer(),), a_service(10, 0, 0), ()),
        ((an_offer(most=0),), a_service(10), ()),
        ((an_offer(most=2),), a_service(101), ()),
        ((an_offer(most=2),), a_service(60), (Order(accepts=(1,), count=2),)),
        ((an_offer(layouts=((4, 0),)),), a_service(10, 0, 25), ()),
        ((an_offer(layouts=((4, 0),)),), a_service(10), (Order(accepts=(1,), count=1),)),
        ((an_offer(),), a_service(10), (Order(accepts=(), count=1),)),
        ((an_offer(most=1),), a_service(10, most=0), ()),
    ],
    ids=[
        "nothing serves it",
        "no GPU",
        "too few GPUs",
        "too few GPUs beside an order",
        "its article is on no layout",
        "an order's article is on no layout",
        "an order accepts nothing",
        "no slice allowed",
    ],
)
def test_what_cannot_be_met_has_no_recipes(
    offers: tuple[Offer, ...], service: Service, orders: tuple[Order, ...]
) -> None:
    assert choose(service, offers=offers, orders=orders) is None


def test_the_last_gpu_is_found_though_cheap_recipes_lead_elsewhere() -> None:
    """Everybody would like the large slices; only the one who needs them may have them."""
    offers = (an_offer(most=1, layouts=((3, 1),)),)
    choice = choose(a_service(20, 10, 0), a_service(10), a_service(25, 0, 25), offers=offers)
    assert the_price(choice) == 1
    assert choice is not None
    assert choice.recipes == ((2, 0), (1, 0), (0, 1))


def test_a_recipe_that_fits_is_found_where_every_quick_one_takes_what_others_need() -> None:
    """One service takes either article, the other is better off with the second."""
    offers = (an_offer(most=2, layouts=((1, 2),)),)
    choice = choose(a_service(20, 10, 10, most=2), a_service(23, 3, 7, most=5), offers=offers)
    assert the_price(choice) == 2
    assert choice is not None
    assert choice.recipes == ((2, 0), (0, 4))


def test_offers_that_are_alike_are_as_many_as_all_of_them() -> None:
    choice = choose(a_service(100), offers=(an_offer(most=1), an_offer(most=1)))
    assert the_price(choice) == 2


def test_a_bound_is_rounded_up_to_the_next_price_that_can_be() -> None:
    """A GPU and a half is two GPUs, at 30 each 60; without proof beyond the relaxation."""
    choice = choose(a_service(75), offers=(an_offer(price=30),))
    assert the_price(choice) == 60


def test_a_gap_that_no_prices_close_is_closed_by_looking_at_everything() -> None:
    assert the_price(choose(*TRIANGLES, offers=(PAIRS,))) == 4


def test_a_target_of_thousands_of_slices_is_met_exactly() -> None:
    """Its recipes are too many to be listed, so its slices are chosen one by one."""
    rates = (1009, 2521)
    choice = choose(a_service(9_999_999, *rates, most=9_999), offers=(an_offer(most=9_999),))
    assert the_price(choice) == 1984  # 1,983 GPUs of two large slices reach 9,998,286
    assert choice is not None
    assert sum(n * rate for n, rate in zip(choice.recipes[0], rates, strict=True)) >= 9_999_999


def test_rates_of_very_different_size_do_no_harm() -> None:
    choice = choose(a_service(10**12, 1, 10**11), offers=(an_offer(most=99),))
    assert the_price(choice) == 5


def test_without_time_the_choice_is_legal_and_the_bound_is_honest() -> None:
    choice = choose(*TRIANGLES, offers=(PAIRS,), limit_s=0.0)
    assert choice is not None
    assert choice.bound < 4 <= choice.price
    assert choice.note == "the solver reached its limit of 0 s"


def test_time_is_taken_off_the_allowance() -> None:
    allowance = Allowance(limit_s=60.0)
    market = Market(offers=(an_offer(),), services=(a_service(61),), orders=(), articles=2)
    choose_recipes(market, allowance)
    assert 0 < allowance.spent_s < 60


def broken(_: highspy.Highs) -> None:
    """A solver that falls over."""
    raise RuntimeError("out of luck")


def idle(_: highspy.Highs) -> None:
    """A solver that answers without having done anything."""


def forgetful(solver: highspy.Highs) -> None:
    """A solver of integer programs that loses the first row."""
    if solver.getLp().integrality_:
        solver.changeRowBounds(0, -highspy.kHighsInf, highspy.kHighsInf)
        solver.changeRowBounds(1, -highspy.kHighsInf, highspy.kHighsInf)
    solver.run()


def boastful(solver: highspy.Highs) -> None:
    """A solver of integer programs that proves more than is true."""
    if solver.getLp().integrality_:
        solver.changeColBounds(0, 8.0, 9.0)
    solver.run()


FAILURES = {
    broken: "out of luck",
    idle: "Not Set",
    forgetful: "breaks a rule",
    boastful: "claims 8",
}


@pytest.mark.parametrize("run", FAILURES, ids=lambda run: run.__name__)
def test_a_solver_that_fails_costs_proof_and_nothing_else(run: Run) -> None:
    choice = choose(*TRIANGLES, offers=(PAIRS,), run=run)
    assert choice is not None
    assert choice.bound < 4 <= choice.price
    assert "failed" in choice.note
    assert FAILURES[run] in choice.note  # type: ignore[index] # keys are these very functions
