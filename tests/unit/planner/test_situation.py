"""What is ours, what is somebody else's, who runs where: told the same however it is listed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, Prices, ReplicaId, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.situation import Ground, Situation, can_be_sliced, survey

ANY = Rules()


def look(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Situation:
    return survey(an_observed(*gpus), demands, ours, rules)


def who(ground: Ground) -> list[str | None]:
    """Who runs on each slice of ours that may stay, by placement."""
    return [None if own.incumbent is None else str(own.incumbent) for own in ground.own]


def test_slices_are_ours_or_foreign_staying_or_doomed() -> None:
    places = (("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2), ("1g.10gb", 3))
    gpu = with_slices(a_board_gpu(), *places, half_made=(2,))
    mine, free, half_made, theirs = gpu.slices
    (ground,) = look(
        (gpu,),
        a_demand("a", "1g.10gb"),
        ours=(owned(mine, "a"), owned(free), owned(half_made, "a", 1)),
    ).grounds
    assert ground.foreign == (theirs,)
    assert [own.slice for own in ground.own] == [mine, free]
    assert who(ground) == ["a/0", None]
    assert ground.doomed == (half_made,)


def test_a_slice_of_a_profile_that_is_no_longer_offered_has_to_go() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0))
    assert gpu.geometry is not None
    without = [profile for profile in gpu.geometry.profiles if profile.name != "2g.20gb"]
    changed = replace(gpu, geometry=replace(gpu.geometry, profiles=tuple(without)))
    (ground,) = look((changed,), a_demand("a"), ours=(owned(gpu.slices[0], "a"),)).grounds
    assert ground.doomed == gpu.slices
    assert not ground.own


@pytest.mark.parametrize(
    ("demand", "runs"),
    [
        (a_demand("a", "1g.10gb"), True),
        (a_demand("b", "1g.10gb"), False),
        (a_demand("a", "2g.20gb"), False),
        (a_demand("a", "1g.10gb", replicas=0), False),
        (Demand(model="a", replicas=1, memory_mib=9_000), True),
        (Demand(model="a", replicas=1, memory_mib=20_000), False),
        (a_target("a", 5000, ("1g.10gb", 1000)), True),
        (a_target("a", 5000, ("2g.20gb", 1000)), False),
    ],
    ids=["named", "other model", "other profile", "none wanted", "memory", "large", "rate", "none"],
)
def test_a_replica_runs_where_it_is_recorded_wanted_and_fits(demand: Demand, runs: bool) -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    (ground,) = look((gpu,), demand, ours=(owned(gpu.slices[0], "a"),)).grounds
    assert who(ground) == (["a/0"] if runs else [None])


def test_a_replica_beyond_those_that_are_wanted_does_not_count_as_running() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    records = (owned(gpu.slices[0], "a", 1), owned(gpu.slices[1], "a", 2))
    (ground,) = look((gpu,), a_demand("a", "1g.10gb", 2), ours=records).grounds
    assert who(ground) == ["a/1", None]


def test_a_replica_recorded_twice_runs_on_the_first_of_its_places() -> None:
    second = with_slices(a_board_gpu(index=1), ("1g.10gb", 0))
    first = with_slices(a_board_gpu(), ("1g.10gb", 4), ("1g.10gb", 2))
    records = tuple(owned(s, "a") for s in (*second.slices, *first.slices))
    grounds = look((second, first), a_demand("a", "1g.10gb"), ours=records).grounds
    assert [who(ground) for ground in grounds] == [["a/0", None], [None]]
    assert grounds[0].own[0].slice.placement.start == 2


def test_gpus_that_may_not_be_used_appear_only_for_slices_of_ours() -> None:
    plain = replace(a_board_gpu(index=0), mig=None, geometry=None)
    chosen = a_board_gpu(index=1)
    left = with_slices(a_board_gpu(index=2), ("1g.10gb", 0))
    theirs = with_slices(a_board_gpu(index=3), ("1g.10gb", 0))
    drained = with_slices(a_board_gpu(index=4), ("1g.10gb", 0))
    situation = look(
        (plain, chosen, left, theirs, drained),
        a_demand("a", "1g.10gb"),
        ours=(owned(left.slices[0], "a"), owned(drained.slices[0], "a", 1)),
        rules=Rules(gpus=frozenset({"GPU-1", "GPU-4"}), drained=frozenset({"GPU-4"})),
    )
    assert [(g.gpu.index, g.usable) for g in situation.grounds] == [
        (1, True),
        (2, False),
        (4, False),
    ]
    assert situation.grounds[1].doomed == left.slices
    assert not any(ground.own for ground in situation.grounds)


def test_whoever_runs_on_a_gpu_that_is_emptied_is_no_incumbent_but_runs() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0))
    situation = look(
        (gpu, a_board_gpu(index=1)),
        a_demand("a", "1g.10gb"),
        ours=(owned(gpu.slices[0], "a"),),
        rules=Rules(drained=frozenset({"GPU-0"})),
    )
    assert not list(situation.incumbents)
    assert situation.running == {ReplicaId("a", 0)}


def test_each_product_has_its_price_or_counts_as_one() -> None:
    gpus = (a_board_gpu(), a_board_gpu("a30", index=1))
    assert look(gpus).prices == {gpu.name: 1 for gpu in gpus}
    prices = Prices(currency="EUR", milli_per_hour=((gpus[0].name, 2500), (gpus[1].name, 900)))
    assert look(gpus, rules=Rules(prices=prices)).prices == {gpus[0].name: 2500, gpus[1].name: 900}


def test_the_order_in_which_things_are_listed_does_not_matter() -> None:
    random = Random(5)
    places = (("1g.10gb", 0), ("1g.10gb", 1), ("2g.20gb", 4), ("1g.10gb", 6))
    gpus = [with_slices(a_board_gpu(index=index), *places) for index in range(3)]
    ours = [owned(s, "a", n) for n, s in enumerate(s for gpu in gpus for s in gpu.slices[1:])]
    demands = (a_demand("a", "1g.10gb", 9),)
    once = survey(an_observed(*gpus), demands, ours, ANY)
    for _ in range(5):
        shuffled = [
            replace(gpu, slices=tuple(random.sample(gpu.slices, len(gpu.slices)))) for gpu in gpus
        ]
        random.shuffle(shuffled)
        random.shuffle(ours)
        again = survey(an_observed(*shuffled), demands, ours, ANY)
        for here, there in zip(once.grounds, again.grounds, strict=True):
            assert (here.foreign, here.own, here.doomed) == (there.foreign, there.own, there.doomed)


def test_a_target_can_be_met_where_so_many_of_the_best_slices_reach_it() -> None:
    situation = look((a_board_gpu(), a_board_gpu("a30", index=1)))
    rates = (("1g.10gb", 1000), ("4g.24gb", 1500), ("9g.90gb", 9000))
    assert situation.could_meet(a_target("a", 3000, *rates, replicas=2))
    assert not situation.could_meet(a_target("a", 3001, *rates, replicas=2))
    assert not look((), rules=ANY).could_meet(a_target("a", 1, *rates))
    assert situation.could_meet(a_demand("a", "no such profile"))


def test_a_gpu_is_sliced_by_mig_and_a_profile_that_can_lie_somewhere() -> None:
    gpu = a_board_gpu()
    assert gpu.geometry is not None
    nowhere = tuple(replace(p, placements=()) for p in gpu.geometry.profiles)
    assert can_be_sliced(gpu)
    assert not can_be_sliced(replace(gpu, mig=None))
    assert not can_be_sliced(replace(gpu, geometry=None))
    assert not can_be_sliced(replace(gpu, geometry=replace(gpu.geometry, profiles=nowhere)))
