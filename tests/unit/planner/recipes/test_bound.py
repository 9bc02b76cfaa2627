"""Prices of slices and what they prove."""

from __future__ import annotations

import highspy
import numpy as np
import pytest

from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.highs import Run
from gpuslice.planner.recipes.bound import Dual, best_dual, first_dual
from gpuslice.planner.recipes.knapsacks import Knapsacks
from gpuslice.planner.recipes.market import (
    Instance,
    Market,
    Offer,
    Order,
    Service,
    instance_of,
    with_substitutes,
)

GPU = Offer(price=6, most=9, layouts=((4, 0), (2, 1), (0, 2)))


def an_instance(*targets: int, offers: tuple[Offer, ...] = (GPU,), orders: int = 0) -> Instance:
    instance = instance_of(
        Market(
            offers=offers,
            services=tuple(Service(target=t, rates=(10, 25), most=99) for t in targets),
            orders=(Order(accepts=(0,), count=orders), Order(accepts=(0,), count=0)),
            articles=2,
        )
    )
    assert instance is not None
    return instance


def the_dual(instance: Instance, limit_s: float = 60.0, run: Run = highspy.Highs.run) -> Dual:
    return best_dual(instance, Knapsacks(instance), Allowance(limit_s=limit_s), run)


def test_the_bound_is_the_value_of_the_relaxation() -> None:
    """Large slices at half a GPU, small ones at a quarter: three services need 4.5 halves."""
    instance = an_instance(50, 50, 25)
    dual = the_dual(instance)
    assert dual.value / instance.ticks == pytest.approx(2.5, abs=1e-5)
    assert dual.bound(instance) == 3
    assert instance.unit == 6


def test_orders_add_their_worth_to_the_bound() -> None:
    instance = an_instance(50, orders=6)
    assert the_dual(instance).value / instance.ticks == pytest.approx(2.5, abs=1e-5)


def test_free_gpus_lower_the_bound_by_what_they_can_supply() -> None:
    free = Offer(price=0, most=1, layouts=((0, 2),))
    instance = an_instance(50, 50, 50, offers=(GPU, free))
    assert the_dual(instance).value / instance.ticks == pytest.approx(2, abs=1e-5)


def test_scarce_gpus_of_the_cheap_kind_do_not_lower_the_bound_below_what_is_paid() -> None:
    cheap = Offer(price=1, most=1, layouts=GPU.layouts)
    instance = an_instance(50, 50, 50, offers=(GPU, cheap))
    assert the_dual(instance).value / instance.ticks == pytest.approx(13, abs=1e-4)


def test_without_a_solver_there_is_a_bound_too() -> None:
    instance = an_instance(50, 50, 50, 50)
    for dual in (first_dual(instance, Knapsacks(instance)), the_dual(instance, limit_s=0.0)):
        assert 0 < dual.value / instance.ticks <= 4


def test_a_solver_that_fails_is_told_of_and_leaves_what_was_proved() -> None:
    def broken(_: highspy.Highs) -> None:
        raise RuntimeError("out of luck")

    instance = an_instance(50, 50, 50, 50)
    dual = the_dual(instance, run=broken)
    assert dual.why == "out of luck"
    assert 0 < dual.value / instance.ticks <= 4


def test_whatever_prices_a_solver_invents_the_bound_holds() -> None:
    """Duals of another program: that of half the supply for the price."""

    def confused(solver: highspy.Highs) -> None:
        solver.changeCoeff(0, 1, 1.0)
        solver.changeCoeff(1, 3, 9.0)
        solver.run()

    instance = an_instance(50, 50, 50, 50)
    assert 0 < the_dual(instance, run=confused).value / instance.ticks <= 4


def test_missing_slices_are_counted_in_substitutes() -> None:
    instance = with_substitutes(
        an_instance(50, 50, offers=(Offer(price=6, most=1, layouts=((0, 2),)),))
    )
    dual = the_dual(instance)
    assert dual.bound(instance) == 2
    assert instance.unit == 6


def test_alike_offers_and_orders_are_put_together() -> None:
    instance = an_instance(10, offers=(GPU, GPU, Offer(price=6, most=5, layouts=((1, 0), (4, 0)))))
    assert instance.prices.tolist() == [1, 1]
    assert np.unique(instance.layouts, axis=0).tolist() == [[0, 2], [2, 1], [4, 0]]
    assert len(instance.wants) == 1
