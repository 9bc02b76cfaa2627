"""Advice of a plan: GPUs to add that could help, and prices of slices that there are."""

from __future__ import annotations

from dataclasses import replace

from builders import a_board_gpu, a_demand, an_observed
from gpuslice.model.certificate import SlicePrice
from gpuslice.model.plan import Addition, Plan
from plans_by_hand import Given, by_hand, planned

A100 = "NVIDIA A100-SXM4-80GB"
GPU = a_board_gpu()
GIVEN = Given(observed=an_observed(GPU), demands=(a_demand("a", "7g.80gb", 3),))
SHORT = by_hand(GIVEN, {"a/0": planned(GPU, "7g.80gb", 0), "a/1": None, "a/2": None})


def adding(*additions: tuple[str, int]) -> Plan:
    """The plan with that advice."""
    made = tuple(Addition(board=board, count=count) for board, count in additions)
    return replace(SHORT, addition=made)


def pricing(*prices: tuple[str, str, float]) -> Plan:
    """The plan with those prices."""
    made = tuple(SlicePrice(board=b, profile=p, gpus=gpus) for b, p, gpus in prices)
    return replace(SHORT, slice_prices=made)


def test_gpus_that_hold_what_is_missing_help() -> None:
    assert GIVEN.complaints(adding((A100, 2))) == ()


def test_fewer_gpus_than_what_is_missing_fills_do_not_help() -> None:
    assert GIVEN.complaints(adding((A100, 1))) == (
        f"adding 1 {A100} would not make room for everything",
    )


def test_nothing_is_added_where_nothing_is_missing() -> None:
    given = replace(GIVEN, demands=(a_demand("a", "7g.80gb", 1),))
    made = by_hand(given, {"a/0": planned(GPU, "7g.80gb", 0)})
    spoilt = replace(made, addition=(Addition(board=A100, count=1),))
    assert given.complaints(spoilt) == ("GPUs are to be added, though everything has its slice",)


def test_only_products_of_the_machine_are_added() -> None:
    assert GIVEN.complaints(adding(("NVIDIA H200", 2))) == (
        "NVIDIA H200 is to be added, which is no product of this machine",
    )


def test_at_least_one_gpu_is_added_of_a_product_and_it_is_named_once() -> None:
    assert GIVEN.complaints(adding((A100, 0))) == (f"0 of {A100} are to be added",)
    assert GIVEN.complaints(adding((A100, 1), (A100, 1))) == (f"{A100} is to be added 2 times",)


def test_a_price_is_of_a_plain_profile_that_is_offered() -> None:
    assert GIVEN.complaints(pricing((A100, "1g.10gb", 0.14), (A100, "2g.20gb", 0.0))) == ()
    for board, profile in ((A100, "2g.12gb"), (A100, "1g.10gb+me"), ("NVIDIA A30", "1g.10gb")):
        assert GIVEN.complaints(pricing((board, profile, 0.1))) == (
            f"{profile} of {board} has a price, but is not offered",
        )


def test_a_price_is_not_negative_and_given_once() -> None:
    (told,) = GIVEN.complaints(pricing((A100, "1g.10gb", -0.1)))
    assert "has the price -0.1" in told
    (told,) = GIVEN.complaints(pricing((A100, "1g.10gb", float("nan"))))
    assert "has the price nan" in told
    (told,) = GIVEN.complaints(pricing((A100, "1g.10gb", 0.1), (A100, "1g.10gb", 0.1)))
    assert "has 2 prices" in told
