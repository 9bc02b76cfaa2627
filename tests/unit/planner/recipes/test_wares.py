"""The market of a situation: what can be traded, what GPUs offer, and who orders what."""

from __future__ import annotations

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.planner.asking import Portion
from gpuslice.planner.recipes.market import Market, Offer
from gpuslice.planner.recipes.wares import Wares
from gpuslice.planner.situation import Situation, survey

ANY = Rules()
CHAT = a_target("chat", 3000, ("1g.10gb", 1000), ("3g.40gb", 3000))


def look(gpus: tuple[Gpu, ...], *demands: Demand, rules: Rules = ANY) -> Situation:
    return survey(an_observed(*gpus), demands, (), rules)


def market(
    gpus: tuple[Gpu, ...],
    target: Demand = CHAT,
    fixed: tuple[Demand, ...] = (),
    rules: Rules = ANY,
) -> Market:
    """What is traded when one target and some fixed demands have nothing yet."""
    portions = tuple(Portion(demand=demand, count=demand.replicas) for demand in fixed)
    wares = Wares(look(gpus, target, *fixed, rules=rules), portions, [target])
    return wares.market([target], {}, portions)


def richest(offer: Offer) -> tuple[int, ...]:
    """The most that an offer has of each article, each by itself."""
    return tuple(max(counts) for counts in zip(*offer.layouts, strict=True))


def test_only_profiles_that_somebody_accepts_are_traded() -> None:
    assert market((a_board_gpu(),)).articles == 2
    assert market((a_board_gpu(),), fixed=(a_demand("a", "7g.80gb"),)).articles == 3
    nobody = a_target("chat", 1, ("9g.90gb", 1))
    assert not Wares(look((a_board_gpu(),), nobody), (), [nobody])


def test_gpus_of_one_kind_are_one_offer() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1, mig_on=False), a_board_gpu("a30", index=2))
    offers = market(gpus, fixed=(a_demand("a", "1g.6gb"),)).offers
    assert sorted(offer.most for offer in offers) == [1, 2]


def test_an_empty_gpu_offers_every_layout_and_one_in_use_what_is_left_of_it() -> None:
    theirs = with_slices(a_board_gpu(index=1), ("3g.40gb", 4), ("1g.10gb", 0))
    empty, used = market((a_board_gpu(), theirs)).offers
    assert richest(empty) == (7, 2)
    assert richest(used) == (3, 0)
    assert all((0, 0) in offer.layouts for offer in (empty, used))


def test_gpus_in_use_anyway_cost_nothing_and_others_their_price() -> None:
    theirs = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    a30 = a_board_gpu("a30", index=2)
    prices = Prices(currency="EUR", milli_per_hour=((theirs.name, 2500), (a30.name, 900)))
    gpus = (a_board_gpu(), theirs, a30)
    offers = market(gpus, fixed=(a_demand("a", "1g.6gb"),), rules=Rules(prices=prices)).offers
    assert [offer.price for offer in offers] == [2500, 0, 900]


def test_a_gpu_that_would_have_to_be_added_is_dearer_than_all_that_are_there() -> None:
    gpus = tuple(a_board_gpu(index=index) for index in range(4))
    there, extra = market(gpus, rules=Rules(addable=frozenset({"GPU-3"}))).offers
    assert (there.most, extra.most) == (3, 1)
    assert extra.price > there.price * there.most


def test_slices_of_ours_are_no_obstacle() -> None:
    gpu = with_slices(a_board_gpu(), ("7g.80gb", 0))
    situation = survey(an_observed(gpu), (CHAT,), (owned(gpu.slices[0]),), ANY)
    (offer,) = Wares(situation, (), [CHAT]).market([CHAT], {}, ()).offers
    assert richest(offer) == (7, 2)


def test_gpus_that_may_not_be_used_are_not_offered() -> None:
    gpus = (a_board_gpu(), a_board_gpu(index=1))
    (offer,) = market(gpus, rules=Rules(drained=frozenset({"GPU-1"}))).offers
    assert offer.most == 1


def test_fixed_demands_are_orders_for_whatever_they_accept() -> None:
    fixed = (
        a_demand("a", "1g.10gb", 2),
        Demand(model="b", replicas=3, memory_mib=20_000),
        a_demand("nobody", "1g.10gb", 0),
    )
    orders = market((a_board_gpu(),), fixed=fixed).orders
    assert [order.count for order in orders] == [2, 3]
    assert len(orders[0].accepts) == 1
    assert set(orders[0].accepts).isdisjoint(orders[1].accepts)


def test_a_target_asks_for_what_is_missing_beside_what_it_holds() -> None:
    gpu = a_board_gpu()
    wares = Wares(look((gpu,), CHAT), (), [CHAT])
    held = {"chat": wares.recipe((2, 0))}
    (service,) = wares.market([CHAT], held, ()).services
    assert (service.target, service.most) == (1000, CHAT.replicas - 2)
    assert service.rates == (1000, 3000)
    (order,) = wares.market([CHAT], held, ()).orders
    assert (order.accepts, order.count) == ((0,), 2)


def test_a_recipe_names_what_there_is_of_each_article() -> None:
    wares = Wares(look((a_board_gpu(),), CHAT), (), [CHAT])
    assert [(a.profile, count) for a, count in wares.recipe((0, 2))] == [("3g.40gb", 2)]
    assert [(a.profile, count) for a, count in wares.recipe((1, 0))] == [("1g.10gb", 1)]
