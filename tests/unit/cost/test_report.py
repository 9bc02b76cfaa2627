"""Cost of slices, models and cards: the sums of the example that everybody quotes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from builders import a_board_gpu
from gpuslice.cost.price import Per, Price
from gpuslice.cost.report import CostReport, UsedSlice, cost_of
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement

EUR = Price(amount=Decimal(1380), per=Per.MONTH, currency="EUR")
A100 = a_board_gpu()


def used(
    profile: str, start: int, size: int, model: str | None = "chat", n: int = 0, gpu: int = 0
) -> UsedSlice:
    replica = None if model is None else ReplicaId(model, n)
    at = Placement(start, size)
    return UsedSlice(gpu_uuid=f"GPU-{gpu}", profile=profile, placement=at, replica=replica)


def on_one_a100(*slices: UsedSlice) -> CostReport:
    return cost_of([A100], slices, {A100.name: EUR})


def cents(money: Decimal) -> str:
    return f"{money:.2f}"


def test_one_model_alone_pays_for_the_card() -> None:
    report = on_one_a100(used("7g.80gb", 0, 8))
    assert cents(report.slices[0].per_month) == "1380.00"
    assert report.cards[0].unused_per_month == 0


def test_two_halves_pay_half_each() -> None:
    report = on_one_a100(used("3g.40gb", 0, 4), used("3g.40gb", 4, 4, "coder"))
    assert [cents(s.per_month) for s in report.slices] == ["690.00", "690.00"]
    assert report.cards[0].unused_share == 0


def test_seven_slices_pay_a_seventh_each_and_not_an_eighth() -> None:
    report = on_one_a100(*(used("1g.10gb", n, 1, n=n) for n in range(7)))
    assert {cents(s.per_month) for s in report.slices} == {"197.14"}
    assert report.cards[0].unused_share == 0


def test_large_and_small_beside_each_other_add_up_to_the_card() -> None:
    report = on_one_a100(used("4g.40gb", 0, 4), used("3g.40gb", 4, 4, "coder"))
    assert sum(s.share for s in report.slices) == 1
    assert [cents(s.per_month) for s in report.slices] == ["736.00", "644.00"]


def test_what_nobody_has_is_a_line_of_its_own() -> None:
    report = on_one_a100(used("2g.20gb", 0, 2))
    card = report.cards[0]
    assert card.unused_share == Fraction(5, 7)
    assert card.unused_per_month + card.slices[0].per_month == 1380


def test_replicas_are_added_up_by_model() -> None:
    report = on_one_a100(
        used("2g.20gb", 0, 2), used("1g.20gb", 2, 2, n=1), used("1g.10gb", 6, 1, "coder")
    )
    chat, coder = report.models
    assert (chat.model, chat.replicas, coder.model, coder.replicas) == ("chat", 2, "coder", 1)
    assert cents(chat.per_month) == "739.29"  # 2/7 and 1/4 of 1380
    assert cents(chat.average_per_month) == "369.64"
    assert chat.own_cards_per_month == 2760


def test_a_slice_of_somebody_else_takes_its_part_and_is_no_model() -> None:
    report = on_one_a100(used("3g.40gb", 0, 4, None), used("3g.40gb", 4, 4))
    assert [model.model for model in report.models] == ["chat"]
    assert cents(report.models[0].per_month) == "690.00"
    assert report.totals[0].own_cards_per_month == 1380


def test_the_saving_is_against_a_card_for_each_replica() -> None:
    total = on_one_a100(used("3g.40gb", 0, 4), used("3g.40gb", 4, 4, "coder")).totals[0]
    assert total.own_cards_per_month == 2760
    assert total.saving_per_month == 1380
    assert total.factor == 2


def test_an_idle_card_makes_the_saving_negative() -> None:
    report = cost_of([A100, a_board_gpu(index=1)], [used("7g.80gb", 0, 8)], {A100.name: EUR})
    assert report.totals[0].saving_per_month == -1380
    assert report.totals[0].unused_per_month == 1380


def test_currencies_are_kept_apart() -> None:
    dollars = Price(amount=Decimal(1), per=Per.HOUR, currency="USD")
    a30 = a_board_gpu("a30", index=1)
    report = cost_of(
        [a30, A100],
        [used("7g.80gb", 0, 8), used("4g.24gb", 0, 4, n=1, gpu=1)],
        {A100.name: EUR, a30.name: dollars},
    )
    assert {t.currency: int(t.per_month) for t in report.totals} == {"EUR": 1380, "USD": 730}
    assert [(m.model, m.currency) for m in report.models] == [("chat", "EUR"), ("chat", "USD")]
    assert [card.index for card in report.cards] == [0, 1]
    assert report.totals[1].per_hour == 1


def test_a_free_card_has_no_factor() -> None:
    free = Price(amount=Decimal(0), per=Per.MONTH, currency="EUR")
    report = cost_of([A100], [used("7g.80gb", 0, 8)], {A100.name: free})
    assert report.totals[0].factor is None


def test_the_rule_is_told() -> None:
    assert "larger share" in on_one_a100().rule
