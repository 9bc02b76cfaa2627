"""From counted slices back to replicas: everybody keeps a number and a slice of the right sort."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from builders import a_board_gpu, a_demand, a_target, an_observed, owned, with_slices
from gpuslice.model.demand import Demand, NamedProfile, ReplicaId, Rules
from gpuslice.model.gpu import Gpu, MigMode
from gpuslice.model.plan import Owned, Seat
from gpuslice.planner.asking import Portion, ask, whole_demands
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.seating import furnish, seat_all
from gpuslice.planner.situation import Situation, survey

ANY = Rules()


def look(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Situation:
    return survey(an_observed(*gpus), demands, ours, rules)


def seated(
    situation: Situation, *portions: Portion, settled: bool = False, lenient: bool = False
) -> tuple[Seat, ...]:
    asked = ask(situation, portions or whole_demands(situation), settled=settled, lenient=lenient)
    return seat_all(asked, pack(asked.question, Allowance(limit_s=60.0)))


def names(seats: tuple[Seat, ...]) -> list[str]:
    return [str(seat.replica) for seat in seats]


def portion(demand: Demand, profile: str, count: int) -> Portion:
    return Portion(demand=demand, count=count, named=NamedProfile(profile=profile))


def test_seats_stand_by_replica() -> None:
    situation = look((a_board_gpu(),), a_demand("b", "1g.10gb", 2), a_demand("a", "1g.10gb"))
    assert names(seated(situation)) == ["a/0", "b/0", "b/1"]


def test_who_was_not_in_question_has_a_seat_too() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 6))
    situation = look((gpu,), a_demand("a", "1g.10gb", 2), ours=(owned(gpu.slices[0], "a", 1),))
    seats = seated(situation, settled=True)
    assert names(seats) == ["a/0", "a/1"]
    assert seats[1].kept == gpu.slices[0]
    assert seats[0].created is not None


def test_the_smallest_free_numbers_are_given_out() -> None:
    situation = look((a_board_gpu(),), a_demand("a", "3g.40gb", 3))
    assert names(seated(situation)) == ["a/0", "a/1"]


def test_whoever_runs_is_moved_before_anybody_starts() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3))
    demands = (a_demand("large", "4g.40gb", priority=1), a_demand("a", "1g.10gb", 9))
    situation = look((gpu,), *demands, ours=(owned(gpu.slices[0], "a", 7),))
    assert names(seated(situation)) == ["a/0", "a/1", "a/7", "large/0"]


def test_whoever_runs_on_a_drained_gpu_is_moved_before_anybody_starts() -> None:
    left = with_slices(a_board_gpu(index=1), ("3g.40gb", 0))
    situation = look(
        (a_board_gpu(), left),
        a_demand("a", "7g.80gb", 3),
        ours=(owned(left.slices[0], "a", 2),),
        rules=Rules(drained=frozenset({"GPU-1"})),
    )
    assert names(seated(situation)) == ["a/2"]


def test_a_want_of_several_models_seats_as_many_of_each_as_are_wanted() -> None:
    situation = look((a_board_gpu(),), a_demand("a", "1g.10gb", 2), a_demand("b", "1g.10gb", 3))
    assert names(seated(situation, lenient=True)) == ["a/0", "a/1", "b/0", "b/1", "b/2"]


# --- Targets --------------------------------------------------------------------------------------


CHAT = a_target("chat", 5000, ("1g.10gb", 1000), ("2g.20gb", 2000), replicas=6)


def test_replicas_of_a_target_that_run_keep_their_numbers() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 6), ("2g.20gb", 4))
    records = (owned(gpu.slices[0], "chat", 4), owned(gpu.slices[1], "chat", 1))
    situation = look((gpu,), CHAT, ours=records)
    portions = (portion(CHAT, "1g.10gb", 1), portion(CHAT, "2g.20gb", 2))
    seats = {str(seat.replica): seat for seat in seated(situation, *portions)}
    assert seats.keys() == {"chat/0", "chat/1", "chat/4"}
    assert seats["chat/4"].kept == gpu.slices[0]
    assert seats["chat/1"].kept == gpu.slices[1]
    assert seats["chat/0"].slice.profile == "2g.20gb"


def test_a_replica_that_changes_to_another_profile_of_its_target_keeps_its_number() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 6))
    situation = look((gpu,), CHAT, ours=(owned(gpu.slices[0], "chat", 3),))
    assert names(seated(situation, portion(CHAT, "2g.20gb", 2))) == ["chat/0", "chat/3"]


def test_portions_of_two_targets_are_never_mixed_up() -> None:
    judge = replace(CHAT, model="judge")
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    records = tuple(owned(s, "chat", number) for number, s in enumerate(gpu.slices))
    situation = look((gpu,), CHAT, judge, ours=records)
    portions = (portion(CHAT, "1g.10gb", 1), portion(judge, "1g.10gb", 1))
    assert names(seated(situation, *portions, lenient=True)) == ["chat/0", "judge/0"]


def test_numbers_are_unique_and_below_the_most_whatever_runs() -> None:
    random = Random(3)
    for _ in range(40):
        starts = random.sample(range(7), random.randint(0, 4))
        gpu = with_slices(a_board_gpu(), *(("1g.10gb", start) for start in starts))
        numbers = random.sample(range(8), len(starts))
        records = tuple(owned(s, "chat", n) for s, n in zip(gpu.slices, numbers, strict=True))
        situation = look((gpu, a_board_gpu(index=1)), CHAT, ours=records)
        ones, twos = random.randint(1, 3), random.randint(0, 3)
        seats = seated(situation, portion(CHAT, "1g.10gb", ones), portion(CHAT, "2g.20gb", twos))
        replicas = [seat.replica for seat in seats]
        assert len(set(replicas)) == ones + twos
        assert all(0 <= replica.replica < 6 for replica in replicas)
        running = {replica for replica, _, _ in situation.incumbents}
        assert len(running & set(replicas)) == min(len(running), ones + twos)


# --- What happens on each GPU ---------------------------------------------------------------------


def test_every_slice_is_kept_destroyed_or_somebody_elses() -> None:
    places = (("1g.10gb", 0), ("1g.10gb", 1), ("1g.10gb", 2), ("1g.10gb", 3))
    gpu = with_slices(a_board_gpu(), *places, half_made=(2,))
    mine, free, half_made, theirs = gpu.slices
    situation = look(
        (gpu,),
        a_demand("a", "1g.10gb"),
        ours=(owned(mine, "a"), owned(free), owned(half_made)),
    )
    (there,) = furnish(situation, (Seat(replica=ReplicaId("a", 0), kept=mine),))
    assert (there.keep, there.destroy, there.foreign) == ((mine,), (free, half_made), (theirs,))
    assert not there.create
    assert not there.enable_mig
    assert not there.barred


def test_a_barred_gpu_loses_what_is_ours_and_says_why() -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 3), ("1g.10gb", 0))
    situation = look(
        (gpu,),
        a_demand("a", "1g.10gb"),
        ours=(owned(gpu.slices[0], "a"), owned(gpu.slices[1])),
        rules=Rules(drained=frozenset({"GPU-0"})),
    )
    (there,) = furnish(situation, ())
    assert there.barred
    assert [s.placement.start for s in there.destroy] == [0, 3]
    assert there.notes == ("is being drained",)


def test_mig_is_switched_on_only_where_something_comes() -> None:
    gpus = tuple(a_board_gpu(index=index, mig_on=False) for index in range(2))
    situation = look(gpus, a_demand("a", "7g.80gb"))
    plans = furnish(situation, seated(situation))
    assert [there.enable_mig for there in plans] == [True, False]


def test_a_mode_that_will_change_is_noted_whichever_way() -> None:
    gpus = tuple(
        replace(a_board_gpu(index=index), mig=MigMode(current=on, pending=not on))
        for index, on in enumerate((True, False))
    )
    notes = [there.notes for there in furnish(look(gpus, a_demand("a")), ())]
    assert notes == [
        ("MIG is on now and will be off after the next GPU reset",),
        ("MIG is off now and will be on after the next GPU reset",),
    ]
