"""What contradicts itself, and the smallest set that is named."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations, product
from random import Random
from typing import Any

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import ContradictionError
from gpuslice.model.demand import Demand, NamedProfile, Rate, Rules, Target
from gpuslice.model.geometry import Geometry
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.consistency.contradiction import check_consistent

A100 = a_board_gpu()
A30 = a_board_gpu("a30", index=1)


def asked(model: str, profile: str = "1g.10gb", **changes: Any) -> Demand:
    names = (NamedProfile(profile=profile),)
    return replace(Demand(model=model, replicas=1, profiles=names), **changes)


def sized(model: str, memory_mib: int, **changes: Any) -> Demand:
    return replace(Demand(model=model, replicas=1, memory_mib=memory_mib), **changes)


def culprits(
    *demands: Demand,
    gpus: tuple[Gpu, ...] = (A100,),
    ours: tuple[Owned, ...] = (),
    rules: Rules | None = None,
) -> set[str]:
    """What is said to contradict itself; nothing where all is well."""
    try:
        check_consistent(an_observed(*gpus), demands, ours, rules or Rules())
    except ContradictionError as error:
        return set(error.details)
    return set()


def test_demands_that_know_nothing_of_each_other_are_consistent() -> None:
    assert not culprits(asked("a", "7g.80gb", replicas=9), asked("b", most_per_gpu=1, replicas=9))


def test_company_that_fits_is_consistent() -> None:
    assert not culprits(
        asked("a", "4g.40gb", near=("b",)), asked("b", "3g.40gb", away=("c",)), asked("c")
    )


def test_to_be_near_and_away_is_a_contradiction() -> None:
    with pytest.raises(ContradictionError) as caught:
        check_consistent(
            an_observed(A100), (asked("a", near=("b",), away=("b",)), asked("b")), (), Rules()
        )
    assert caught.value.message == (
        "no GPU can ever hold a replica of a: a is to be near b; a is to be away from b"
    )
    assert caught.value.details == ("a is to be near b", "a is to be away from b")


def test_only_what_is_to_blame_is_named() -> None:
    found = culprits(
        asked("a", near=("b", "x"), most_per_gpu=2),
        asked("b", near=("c",), away=("y",)),
        asked("c", away=("a",), near=("x",)),
        asked("x", near=("a",)),
        asked("y", away=("x",)),
    )
    # x and a need each other, so any one of a, b and c can be blamed through the same three.
    assert found == {"a is to be near b", "b is to be near c", "c is to be away from a"}


def test_company_that_keeps_apart_is_a_contradiction_however_far_it_is_brought() -> None:
    found = culprits(
        asked("a", near=("b", "c")), asked("b", near=("d",)), asked("c", away=("d",)), asked("d")
    )
    assert found == {
        "a is to be near b",
        "a is to be near c",
        "b is to be near d",
        "c is to be away from d",
    }


def test_company_that_fits_on_no_gpu_together_is_a_contradiction() -> None:
    demands = (asked("a", "4g.40gb", near=("b",)), asked("b", "4g.40gb"))
    with pytest.raises(ContradictionError) as caught:
        check_consistent(an_observed(A100), demands, (), Rules())
    assert caught.value.message == (
        "no GPU can ever hold a replica of a: a is to be near b; "
        "a and b do not fit together on any GPU that may be used"
    )


def test_it_is_enough_that_one_product_has_room_for_the_company() -> None:
    demands = (sized("a", 20_000, near=("b",)), sized("b", 20_000))
    assert culprits(*demands, gpus=(A30,)) == {"a is to be near b"}
    assert not culprits(*demands, gpus=(A30, A100))


def test_a_drained_product_that_alone_has_the_room_is_named() -> None:
    big, small = A100, A30
    demands = (sized("a", 6_000, near=("b",)), sized("b", 23_000))
    drained = Rules(drained=frozenset({"GPU-0"}))
    assert culprits(*demands, gpus=(big, small), rules=drained) == {
        "a is to be near b",
        "GPU 0 (NVIDIA A100-SXM4-80GB) is drained",
    }


def test_a_choice_of_gpus_that_leaves_out_the_room_is_named() -> None:
    demands = (sized("a", 6_000, near=("b",)), sized("b", 23_000))
    chosen = Rules(gpus=frozenset({"GPU-1"}))
    assert culprits(*demands, gpus=(A100, A30), rules=chosen) == {
        "a is to be near b",
        "of those with MIG only GPU 1 (NVIDIA A30) may be used",
    }


def test_a_model_that_fits_nowhere_even_alone_is_no_contradiction() -> None:
    assert not culprits(asked("a", "9g.90gb", near=("b",)), asked("b"))


def test_nearness_to_a_model_without_replicas_is_a_contradiction() -> None:
    assert culprits(asked("a", near=("b",)), asked("b", replicas=0)) == {
        "a is to be near b",
        "b has no replica",
    }


def test_a_model_without_replicas_asks_for_nothing() -> None:
    assert not culprits(asked("a", near=("b",), away=("b",), replicas=0), asked("b"))


def test_a_target_is_company_like_any_other() -> None:
    rates = (Rate(named=NamedProfile(profile="4g.40gb"), milli_per_s=1),)
    fed = Demand(model="b", replicas=9, target=Target(milli_per_s=5, rates=rates))
    assert culprits(asked("a", "4g.40gb", near=("b",)), fed) == {"a is to be near b"}


def pinned_on(*places: tuple[str, int, str], gpu: Gpu = A100) -> tuple[Gpu, tuple[Owned, ...]]:
    """A GPU on which models run; "" is somebody else's slice."""
    full = with_slices(gpu, *((profile, start) for profile, start, _ in places))
    count: dict[str, int] = {}
    records = []
    for slice_, (_, _, model) in zip(full.slices, places, strict=True):
        if model:
            records.append(owned(slice_, model, count.setdefault(model, 0)))
            count[model] += 1
    return full, tuple(records)


def test_who_is_pinned_may_stay() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"), ("1g.10gb", 1, "b"))
    demands = (asked("a", pinned=True, near=("b",)), asked("b", pinned=True, most_per_gpu=1))
    assert not culprits(*demands, gpus=(gpu,), ours=ours)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(drained=frozenset({"GPU-0"})), "GPU 0 (NVIDIA A100-SXM4-80GB) is drained"),
        (
            Rules(gpus=frozenset({"GPU-1"})),
            "of those with MIG only GPU 1 (NVIDIA A30) may be used",
        ),
    ],
)
def test_who_is_pinned_cannot_leave_a_gpu_that_is_given_up(rules: Rules, said: str) -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"))
    found = culprits(asked("a", pinned=True), gpus=(gpu, A30), ours=ours, rules=rules)
    assert found == {"a is pinned", said}


def test_who_is_pinned_but_no_longer_wanted_or_fitting_may_go() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"), ("1g.10gb", 1, "a"))
    rules = Rules(drained=frozenset({"GPU-0"}))
    other = asked("a", "2g.20gb", pinned=True, replicas=2)
    assert not culprits(asked("a", pinned=True, replicas=0), gpus=(gpu,), ours=ours, rules=rules)
    assert not culprits(other, gpus=(gpu,), ours=ours, rules=rules)


def test_a_replica_recorded_twice_is_pinned_where_it_may_stay() -> None:
    gpu, _ = pinned_on(("1g.10gb", 0, "a"))
    other, _ = pinned_on(("1g.10gb", 0, "a"), gpu=a_board_gpu(index=1))
    ours = tuple(owned(g.slices[0], "a") for g in (gpu, other))
    rules = Rules(drained=frozenset({"GPU-0"}))
    assert not culprits(asked("a", pinned=True), gpus=(gpu, other), ours=ours, rules=rules)


def test_pinned_replicas_that_break_their_spread_are_a_contradiction() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"), ("1g.10gb", 1, "a"))
    found = culprits(asked("a", pinned=True, most_per_gpu=1, replicas=2), gpus=(gpu,), ours=ours)
    assert found == {"a is pinned", "at most 1 of a may lie on one GPU"}


def test_pinned_replicas_that_are_to_be_apart_are_a_contradiction() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"), ("1g.10gb", 1, "b"))
    demands = (asked("a", pinned=True, away=("b",)), asked("b", pinned=True))
    with pytest.raises(ContradictionError) as caught:
        check_consistent(an_observed(gpu, a_board_gpu(index=1)), demands, ours, Rules())
    assert caught.value.message == (
        "a and b cannot stay on GPU 0 (NVIDIA A100-SXM4-80GB): "
        "a is to be away from b; a is pinned; b is pinned"
    )


def test_company_that_cannot_join_who_is_pinned_is_a_contradiction() -> None:
    full, ours = pinned_on(("3g.40gb", 4, "a"), ("4g.40gb", 0, ""))
    demands = (asked("a", "3g.40gb", pinned=True, near=("b",)), asked("b"))
    with pytest.raises(ContradictionError) as caught:
        check_consistent(an_observed(full, a_board_gpu(index=1)), demands, ours, Rules())
    assert caught.value.message == (
        "a cannot stay on GPU 0 (NVIDIA A100-SXM4-80GB): a is to be near b; a is pinned; "
        "a and b do not fit together on GPU 0 (NVIDIA A100-SXM4-80GB)"
    )


def test_pinned_replicas_need_company_on_more_gpus_than_there_is() -> None:
    first, records = pinned_on(("1g.10gb", 0, "a"), ("1g.10gb", 1, "a"))
    second = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    ours = (records[0], owned(second.slices[0], "a", 1))
    demands = (asked("a", pinned=True, near=("b",), replicas=2), asked("b"))
    assert culprits(*demands, gpus=(first, second), ours=ours) == {
        "a is pinned",
        "a is to be near b",
        "b has 1 replica",
    }
    enough = (demands[0], asked("b", replicas=2))
    assert not culprits(*enough, gpus=(first, second), ours=ours)


def test_a_model_can_only_be_near_one_that_is_pinned_where_that_one_is() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "b"), ("1g.10gb", 1, "c"))
    demands = (
        asked("a", near=("b",), away=("c",)),
        asked("b", pinned=True),
        asked("c", pinned=True),
    )
    assert culprits(*demands, gpus=(gpu, a_board_gpu(index=1)), ours=ours) == {
        "a is to be near b",
        "a is to be away from c",
        "b has 1 replica",
        "b is pinned",
        "c is pinned",
    }


def test_everybody_kept_away_by_who_is_pinned_everywhere_is_a_contradiction() -> None:
    gpu, ours = pinned_on(("1g.10gb", 0, "a"))
    demands = (asked("a", pinned=True, away=("b",)), asked("b"))
    assert culprits(*demands, gpus=(gpu,), ours=ours) == {"a is pinned", "a is to be away from b"}
    assert not culprits(*demands, gpus=(gpu, a_board_gpu(index=1)), ours=ours)


def test_room_that_others_have_taken_is_no_contradiction() -> None:
    gpu, ours = pinned_on(("4g.40gb", 0, "a"), ("3g.40gb", 4, ""))
    demands = (asked("a", "4g.40gb", pinned=True), asked("b", near=("c",)), asked("c"))
    assert not culprits(*demands, gpus=(gpu,), ours=ours)


def test_more_moves_than_may_be_made_are_a_contradiction() -> None:
    gpu, ours = pinned_on(*(("1g.10gb", n, "a") for n in range(4)))
    demand = asked("a", most_per_gpu=2, replicas=4)
    gpus = (gpu, a_board_gpu(index=1))
    assert culprits(demand, gpus=gpus, ours=ours, rules=Rules(most_moves=1)) == {
        "at most 2 of a may lie on one GPU",
        "at most 1 running replica may move",
    }
    assert not culprits(demand, gpus=gpus, ours=ours, rules=Rules(most_moves=2))


def test_moves_off_gpus_that_are_given_up_do_not_count() -> None:
    gpu, ours = pinned_on(*(("1g.10gb", n, "a") for n in range(4)))
    rules = Rules(most_moves=0, drained=frozenset({"GPU-0"}))
    demand = asked("a", most_per_gpu=1, replicas=4)
    assert not culprits(demand, gpus=(gpu, a_board_gpu(index=1)), ours=ours, rules=rules)


def test_of_a_fleet_only_a_few_gpus_are_named() -> None:
    fleet = tuple(a_board_gpu(index=n) for n in range(1, 500))
    demands = (sized("a", 6_000, near=("b",)), sized("b", 23_000))
    rules = Rules(drained=frozenset(g.uuid for g in fleet))
    found = culprits(*demands, gpus=(a_board_gpu("a30"), *fleet), rules=rules)
    assert any(
        text.endswith("GPU 4 (NVIDIA A100-SXM4-80GB) and 495 more are drained") for text in found
    )


@pytest.mark.parametrize("seed", range(150))
def test_company_is_refused_exactly_where_no_content_of_a_gpu_would_do(seed: int) -> None:
    random = Random(seed)
    demands = _random_demands(random)
    found = culprits(*demands, gpus=(A30,))
    assert bool(found) == any(not _can_live(d.model, demands, A30) for d in demands)
    for text in found:  # without any one of them at least one goal more can be reached
        assert culprits(*_without(demands, text), gpus=(A30,)) != found


def _random_demands(random: Random) -> tuple[Demand, ...]:
    models = "abcd"[: random.randint(2, 4)]
    demands = []
    for model in models:
        others = [other for other in models if other != model]
        demands.append(
            sized(
                model,
                random.choice((3_000, 3_000, 9_000, 20_000)),
                near=tuple(o for o in others if random.random() < 0.25),
                away=tuple(o for o in others if random.random() < 0.15),
            )
        )
    return tuple(demands)


def _can_live(model: str, demands: tuple[Demand, ...], gpu: Gpu) -> bool:
    """Try every set of models, each with one slice, as the whole content of the GPU."""
    subsets = chain.from_iterable(combinations(demands, n) for n in range(1, len(demands) + 1))
    return any(
        model in {d.model for d in content} and _agrees(content) and _lies(content, gpu)
        for content in subsets
    )


def _agrees(content: tuple[Demand, ...]) -> bool:
    here = {demand.model for demand in content}
    return all(here.issuperset(d.near) and here.isdisjoint(d.away) for d in content)


def _lies(content: tuple[Demand, ...], gpu: Gpu) -> bool:
    geometry = gpu.geometry
    assert geometry is not None
    options = [
        [(p.name, at) for p in geometry.profiles if d.accepts(p, gpu.name) for at in p.placements]
        for d in content
    ]
    return any(_legal(geometry, places) for places in product(*options))


def _legal(geometry: Geometry, places: tuple[Any, ...]) -> bool:
    return all(geometry.allows(places[:n], *place) for n, place in enumerate(places))


def _without(demands: tuple[Demand, ...], text: str) -> tuple[Demand, ...]:
    """Take one thing back."""
    model, _, rest = text.partition(" is to be ")
    other = rest.rpartition(" ")[2]
    return tuple(
        demand
        if demand.model != model
        else replace(demand, near=tuple(o for o in demand.near if o != other))
        if rest.startswith("near")
        else replace(demand, away=tuple(o for o in demand.away if o != other))
        for demand in demands
    )
