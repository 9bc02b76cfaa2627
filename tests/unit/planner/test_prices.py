"""What one more slice costs: shares of a card where cards are bought, nothing where room lies."""

from __future__ import annotations

import pytest

from builders import a_board_gpu, an_observed, with_slices
from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.model.gpu import Gpu
from gpuslice.planner.plan import plan
from gpuslice.planner.situation import can_be_sliced


def prices(gpus: tuple[Gpu, ...], *demands: Demand, limit_s: float = 60.0) -> dict[str, float]:
    """Prices by profile; of several boards, the last one's."""
    made = plan(an_observed(*gpus), demands, (), prices=True, limit_s=limit_s)
    return {price.profile: price.gpus for price in made.slice_prices}


def wanted(replicas: int, profile: str) -> Demand:
    return Demand(
        model=f"{profile} x{replicas}", replicas=replicas, profiles=(NamedProfile(profile=profile),)
    )


def test_on_fresh_cards_a_slice_costs_its_share_of_one() -> None:
    assert prices((a_board_gpu(),)) == pytest.approx(
        {
            "1g.10gb": 1 / 7,
            "1g.20gb": 1 / 4,
            "2g.20gb": 1 / 3,
            "3g.40gb": 1 / 2,
            "4g.40gb": 1,
            "7g.80gb": 1,
        },
        abs=1e-6,
    )


def test_a_slice_that_completes_the_cards_of_others_costs_less() -> None:
    """Beside each 3g lies room for a 4g, and another 3g would take it: they share a card."""
    found = prices((a_board_gpu(), a_board_gpu(index=1)), wanted(1, "3g.40gb"))
    assert (found["3g.40gb"], found["4g.40gb"]) == (0.5, 0.5)


def test_room_on_a_card_that_somebody_else_uses_costs_nothing() -> None:
    gpu = with_slices(a_board_gpu(), ("4g.40gb", 0))
    found = prices((gpu,))
    assert found["3g.40gb"] == 0
    assert found["7g.80gb"] == 1


def test_a_full_machine_still_has_prices_those_of_another_card() -> None:
    found = prices((a_board_gpu(),), wanted(1, "7g.80gb"))
    assert found["3g.40gb"] == 0.5
    assert found["7g.80gb"] == 1


def test_every_plain_profile_of_every_board_has_a_price_once() -> None:
    gpus = (a_board_gpu(), a_board_gpu("a30", index=1), a_board_gpu(index=2))
    made = plan(an_observed(*gpus), (wanted(2, "1g.10gb"),), (), prices=True)
    expected = [
        (gpu.name, profile.name)
        for gpu in gpus[:2]
        if can_be_sliced(gpu) and gpu.geometry
        for profile in gpu.geometry.profiles
        if not profile.attributes
    ]
    assert [(price.board, price.profile) for price in made.slice_prices] == expected
    assert all(0 <= price.gpus <= 1 for price in made.slice_prices)


def test_a_price_is_that_of_very_many_slices_each() -> None:
    """Hundreds of replicas more really take that many cards more."""
    gpus = tuple(a_board_gpu(index=index) for index in range(60))
    base = (wanted(30, "3g.40gb"), wanted(20, "2g.20gb"))
    price = prices(gpus, *base)["1g.10gb"]
    used = [
        sum(bool(gpu.create) for gpu in plan(an_observed(*gpus), demands, ()).gpus)
        for demands in (base, (*base, wanted(140, "1g.10gb")))
    ]
    assert used[1] - used[0] <= 140 / 7
    assert price <= 1 / 7
    assert (used[1] - used[0]) / 140 >= price - 1 / 140


def test_prices_are_left_out_when_nobody_asks_or_there_is_no_time() -> None:
    assert plan(an_observed(a_board_gpu()), (), ()).slice_prices == ()
    assert prices((a_board_gpu(),), limit_s=0.0) == {}
