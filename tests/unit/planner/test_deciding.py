"""The quick ways to an answer are taken only where nothing is lost by them."""

from __future__ import annotations

from random import Random

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.model.certificate import Goal
from gpuslice.model.demand import Demand, Prices, Rules
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned, Seat
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.certificate import Attempt, certify
from gpuslice.planner.deciding import _frozen, _least_price, decide
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.objectives import objective_values, serve_levels
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.packing.question import Cost
from gpuslice.planner.seating import seat_all
from gpuslice.planner.situation import Situation, survey

ANY = Rules()
BOARDS = ("a100-80gb", "a30", "rtx-pro-6000")


def look(
    gpus: tuple[Gpu, ...], *demands: Demand, ours: tuple[Owned, ...] = (), rules: Rules = ANY
) -> Situation:
    return survey(an_observed(*gpus), demands, ours, rules)


def frozen(situation: Situation) -> Attempt | None:
    return _frozen(situation, whole_demands(situation), Allowance(limit_s=60.0))


def in_full(situation: Situation) -> Attempt:
    """The answer to the whole question, asked exactly."""
    asked = ask(situation, whole_demands(situation))
    return Attempt(asked=asked, answer=pack(asked.question, Allowance(limit_s=60.0)))


def worth(situation: Situation, attempt: Attempt) -> list[tuple[Goal, str, int]]:
    """Every goal with its value; serving is counted so that less is better."""
    seats = seat_all(attempt.asked, attempt.answer)
    certificate = certify(situation, attempt, seats)
    assert certificate is not None
    assert certificate.optimal
    return [(o.goal, o.model, -o.value if o.goal.most else o.value) for o in certificate.objectives]


def random_situation(seed: int) -> Situation:
    """Up to three GPUs, half full of ours and of others, and room for a little more."""
    random = Random(seed)
    gpus, ours = [], []
    demands = [
        a_demand("a", "1g.10gb", 4, move_cost=random.choice((0, 1, 1, 3))),
        Demand(model="b", replicas=random.randint(1, 2), memory_mib=5_000, priority=seed % 2),
        Demand(model="c", replicas=random.randint(0, 1), memory_mib=20_000),
    ]
    numbers = dict.fromkeys("abc", 0)
    for index in range(random.randint(1, 3)):
        gpu = a_board_gpu(random.choice(BOARDS), index=index, mig_on=random.random() < 0.9)
        assert gpu.geometry is not None
        smallest = gpu.geometry.profiles[0]
        if gpu.mig is not None and gpu.mig.current:
            starts = random.sample([at.start for at in smallest.placements], random.randint(0, 3))
            gpu = with_slices(gpu, *((smallest.name, start) for start in starts))
        for s in gpu.slices:
            model = random.choice("aabb-?")
            if model in numbers:
                ours.append(owned(s, model, numbers[model]))
                numbers[model] += 1
            elif model == "-":
                ours.append(owned(s))
        gpus.append(gpu)
    names = sorted({gpu.name for gpu in gpus})
    prices = Prices(
        currency="EUR", milli_per_hour=tuple((name, random.choice((500, 900))) for name in names)
    )
    extra = frozenset({gpus[-1].uuid}) if not gpus[-1].slices and seed % 3 == 0 else frozenset()
    rules = Rules(prices=random.choice((None, prices)), addable=extra)
    return look(tuple(gpus), *demands, ours=tuple(ours), rules=rules)


def test_the_least_price_is_never_above_what_serving_everybody_costs() -> None:
    reached = 0
    for seed in range(150):
        situation = random_situation(seed)
        least = _least_price(situation, whole_demands(situation))
        attempt = in_full(situation)
        if attempt.serves_all:
            question = attempt.asked.question
            costs = objective_values(question, attempt.answer)[len(serve_levels(question)) :]
            assert least <= Cost(*costs).price
            reached += least == Cost(*costs).price
    assert reached > 20, "a bound that is never reached is of no use"


def test_the_frozen_answer_is_as_good_as_that_to_the_whole_question() -> None:
    taken = 0
    for seed in range(150):
        situation = random_situation(seed)
        attempt = frozen(situation)
        if attempt is not None:
            taken += 1
            assert worth(situation, attempt) == worth(situation, in_full(situation))
    assert taken > 20, "a shortcut that is never taken is of no use"


def test_what_is_decided_is_as_good_as_the_answer_to_the_whole_question() -> None:
    for seed in range(100):
        situation = random_situation(seed)
        portions = whole_demands(situation)
        decided = decide(situation, portions, Allowance(limit_s=60.0))
        assert worth(situation, decided) == worth(situation, in_full(situation))


# --- The frozen shortcut --------------------------------------------------------------------------


def seats_of(situation: Situation) -> tuple[Seat, ...]:
    attempt = decide(situation, whole_demands(situation), Allowance(limit_s=60.0))
    return seat_all(attempt.asked, attempt.answer)


def settled_gpu(*places: tuple[str, int]) -> tuple[Gpu, tuple[Owned, ...]]:
    gpu = with_slices(a_board_gpu(), *places)
    return gpu, tuple(owned(s, "a", number) for number, s in enumerate(gpu.slices))


def test_nothing_is_frozen_where_nothing_of_ours_lies() -> None:
    theirs = with_slices(a_board_gpu(), ("1g.10gb", 0))
    assert frozen(look((theirs,), a_demand("a", "1g.10gb"))) is None


def test_running_replicas_are_frozen_where_the_others_find_room_beside_them() -> None:
    gpu, records = settled_gpu(("1g.10gb", 6))
    found = frozen(look((gpu,), a_demand("a", "1g.10gb"), a_demand("b", "4g.40gb"), ours=records))
    assert found is not None
    assert len(found.asked.staying) == 1
    assert found.least_price == 1


def test_nobody_is_frozen_where_that_takes_a_gpu_more() -> None:
    gpu, records = settled_gpu(("1g.10gb", 3))
    gpus = (gpu, a_board_gpu(index=1))
    situation = look(gpus, a_demand("a", "1g.10gb"), a_demand("b", "4g.40gb"), ours=records)
    assert frozen(situation) is None
    assert not any(seat.kept for seat in seats_of(situation))


def test_nobody_is_frozen_where_that_leaves_somebody_out() -> None:
    gpu, records = settled_gpu(("1g.10gb", 3))
    situation = look((gpu,), a_demand("a", "1g.10gb"), a_demand("b", "4g.40gb"), ours=records)
    assert frozen(situation) is None
    assert len(seats_of(situation)) == 2


def test_nobody_is_frozen_where_a_gpu_would_have_to_be_added_for_it() -> None:
    # Two GPUs of 500 cost least, but one of them would have to be bought; moving costs nothing.
    crowded = with_slices(a_board_gpu("a30"), ("1g.6gb", 1))
    gpus = (crowded, a_board_gpu(index=1), a_board_gpu("a30", index=2))
    prices = Prices(
        currency="EUR", milli_per_hour=((crowded.name, 500), (a_board_gpu().name, 5000))
    )
    situation = look(
        gpus,
        Demand(model="small", replicas=1, memory_mib=5_000),
        a_demand("whole", "4g.24gb"),
        ours=(owned(crowded.slices[0], "small"),),
        rules=Rules(addable=frozenset({"GPU-2"}), prices=prices),
    )
    assert frozen(situation) is None
    assert {seat.slice.gpu_uuid for seat in seats_of(situation)} == {"GPU-0", "GPU-1"}


def test_replicas_whose_move_counts_nothing_are_not_frozen() -> None:
    # The replica on the 2g may as well take the free 1g, which leaves more room.
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.10gb", 6))
    demand = Demand(model="a", replicas=1, memory_mib=5_000, move_cost=0)
    records = (owned(gpu.slices[0], "a"), owned(gpu.slices[1]))
    situation = look((gpu,), demand, ours=records)
    (seat,) = seats_of(situation)
    assert seat.kept == gpu.slices[1]


def test_replicas_with_neighbours_that_matter_are_not_frozen() -> None:
    gpu, records = settled_gpu(("1g.10gb", 6))
    situation = look((gpu,), a_demand("a", "1g.10gb", most_per_gpu=1), ours=records)
    assert frozen(situation) is None
    assert len(seats_of(situation)) == 1
