"""Machines with things lying on them, and demands for them, small enough to try everything.

`cases` is what a plan is made from in every day's variety: boards, slices of ours and of others,
GPUs drained, not to be used or to be added, prices, priorities. `bound_cases` adds what ties
replicas to places and to each other, `target_cases` throughput targets, and `crowded_cases` is
where something large fits only if something small moves.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import ContradictionError
from gpuslice.hardware.boards import load_boards
from gpuslice.model.demand import Demand, NamedProfile, Prices, Rules
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu
from gpuslice.model.plan import Owned
from gpuslice.planner.consistency.contradiction import check_consistent
from property.case import Case, geometry_of, status_quo
from property.legality import faults
from property.strategies_demands import (
    MOVE_COSTS,
    OFTEN,
    PRIORITIES,
    SELDOM,
    demands_for,
    profiles_of,
    tied_demands,
)

BOARDS = tuple(board.key for board in load_boards() if board.has_mig)
"""Every board that can be sliced."""

FEW_SHAPES = ("a100-80gb", "a30", "rtx-pro-6000")
"""One board for each shape of grid."""


@st.composite
def gpus(draw: st.DrawFn, *, index: int, keys: tuple[str, ...] = BOARDS) -> Gpu:
    """A GPU with up to five slices somewhere on it, some half-made."""
    gpu = draw(empty_gpus(index=index, keys=keys))
    geometry = gpu.geometry
    assert geometry is not None
    if gpu.mig is None or not gpu.mig.current:
        return gpu
    places = [(profile.name, at) for profile in geometry.profiles for at in profile.placements]
    lying: list[tuple[str, int]] = []
    for _ in range(draw(st.integers(0, 5))):
        places = [p for p in places if geometry.allows(_placed(gpu, lying), *p)]
        if places:
            name, at = draw(st.sampled_from(places))
            lying.append((name, at.start))
    half_made = (
        draw(st.sets(st.sampled_from([start for _, start in lying]), max_size=1))
        if lying
        else set()
    )
    return with_slices(gpu, *lying, half_made=tuple(half_made))


@st.composite
def empty_gpus(draw: st.DrawFn, *, index: int, keys: tuple[str, ...] = BOARDS) -> Gpu:
    """A GPU with nothing on it, now and then with MIG off."""
    mig_on = draw(OFTEN)
    return a_board_gpu(draw(st.sampled_from(keys)), index=index, mig_on=mig_on)


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    most_gpus: int = 2,
    most_replicas: int = 4,
    most_demands: int = 3,
    keys: tuple[str, ...] = BOARDS,
    aiming: bool = False,
) -> Case:
    """A machine, demands, which of the slices on it are ours and whose, and what it costs.

    Args:
        draw: Hypothesis's.
        most_gpus: How many GPUs at most, beside one that may be added.
        most_replicas: How many replicas at most, of all demands.
        most_demands: How many demands at most.
        keys: Boards to choose from.
        aiming: True to let demands be for a throughput instead of a number of slices.
    """
    count = draw(st.integers(1, most_gpus))
    machine = [draw(gpus(index=index, keys=keys)) for index in range(count)]
    added = [draw(empty_gpus(index=count, keys=keys))] if draw(SELDOM) else []
    demands = draw(demands_for([*machine, *added], most_replicas, most_demands, aiming))
    return Case(
        observed=an_observed(*machine, *added),
        demands=demands,
        owned=draw(_records(machine, demands)),
        rules=draw(_rules(machine, added)),
    )


@st.composite
def bound_cases(draw: st.DrawFn, *, contradictory: bool = False, most_gpus: int = 2) -> Case:
    """Replicas that are pinned, spread, near each other or kept apart, and moves that are counted.

    Args:
        draw: Hypothesis's.
        contradictory: True to let what is pinned, or may not move, lie against the other rules.
        most_gpus: How many GPUs at most, beside one that may be added.
    """
    case = draw(cases(most_gpus=most_gpus) | crowded_cases(most_gpus=most_gpus))
    return draw(_tied(case, contradictory=contradictory))


@st.composite
def target_cases(draw: st.DrawFn, *, bound: bool = False, most_gpus: int = 2) -> Case:
    """Some demands are for a throughput; with ``bound``, they are tied as in `bound_cases` too."""
    case = draw(cases(most_gpus=most_gpus, aiming=True))
    return draw(_tied(case)) if bound else case


@st.composite
def crowded_cases(draw: st.DrawFn, *, most_gpus: int = 2) -> Case:
    """Small slices, with replicas running, scattered so that a large one hardly fits."""
    machine, small = [], ""
    for index in range(draw(st.integers(1, most_gpus))):
        gpu = a_board_gpu(draw(st.sampled_from(FEW_SHAPES)), index=index)
        assert gpu.geometry is not None
        plain = [profile for profile in gpu.geometry.profiles if not profile.attributes]
        smallest = plain[0]
        starts = draw(st.permutations([at.start for at in smallest.placements]))
        lying = [(smallest.name, start) for start in starts[: 2 if index else draw(_TWO_OR_THREE)]]
        machine.append(with_slices(gpu, *lying))
        small = small or smallest.name
        large = draw(st.sampled_from(plain[1:]))
    slices = [s for gpu in machine for s in gpu.slices if s.profile == small]
    running = draw(st.integers(1, min(3, len(slices))))
    demands = (
        Demand(
            model="small",
            replicas=running,
            profiles=(NamedProfile(profile=small),),
            move_cost=draw(MOVE_COSTS),
        ),
        Demand(model="large", replicas=1, memory_mib=large.memory_mib, priority=draw(PRIORITIES)),
    )
    return Case(
        observed=an_observed(*machine),
        demands=draw(st.permutations(demands).map(tuple)),
        owned=tuple(owned(s, "small", number) for number, s in enumerate(slices[:3])),
        rules=Rules(prices=draw(_prices(machine))),
    )


@st.composite
def scattered_cases(draw: st.DrawFn, *, most_gpus: int = 3) -> Case:
    """Replicas that run on a slice or two of each GPU, where fewer GPUs would hold them all."""
    key = draw(st.sampled_from(FEW_SHAPES))
    machine, names = [], ("1g", "2g", "3g")
    for index in range(draw(st.integers(2, most_gpus))):
        gpu = a_board_gpu(draw(st.sampled_from((key, key, "a30"))), index=index)
        plain = [p for p, _ in profiles_of([gpu]) if not p.attributes and p.name.startswith(names)]
        lying: list[tuple[str, int]] = []
        for _ in range(draw(st.integers(1, 2))):
            places = [(p.name, at) for p in plain for at in p.placements]
            free = [p for p in places if geometry_of(gpu).allows(_placed(gpu, lying), *p)]
            name, at = draw(st.sampled_from(free))
            lying.append((name, at.start))
        machine.append(with_slices(gpu, *lying))
    running = sorted({s.profile for gpu in machine for s in gpu.slices})
    demands, records = [], []
    for number, name in enumerate(running):
        slices = [s for gpu in machine for s in gpu.slices if s.profile == name]
        demands.append(
            Demand(
                model=f"model-{number}",
                replicas=len(slices),
                profiles=(NamedProfile(profile=name),),
                move_cost=draw(MOVE_COSTS),
                priority=draw(PRIORITIES),
            )
        )
        records += [owned(s, f"model-{number}", n) for n, s in enumerate(slices)]
    return Case(
        observed=an_observed(*machine),
        demands=tuple(demands),
        owned=tuple(records),
        rules=Rules(prices=draw(_prices(machine))),
    )


_TWO_OR_THREE = st.integers(2, 3)


@st.composite
def _records(draw: st.DrawFn, machine: list[Gpu], demands: tuple[Demand, ...]) -> tuple[Owned, ...]:
    """Make some slices ours: of a replica that is wanted, of one that is not, or free."""
    waiting = [(demand, number) for demand in demands for number in range(demand.replicas)]
    records = []
    for gpu, slice_ in [(g, s) for g in machine for s in g.slices]:
        tenant = draw(st.sampled_from((*["wanted"] * 5, "gone", "free", "foreign")))
        if tenant == "wanted" and waiting:
            fitting = [(d, number) for d, number in waiting if _fits(d, gpu, slice_.profile)]
            chosen = draw(st.sampled_from(fitting or waiting))
            waiting.remove(chosen)
            records.append(owned(slice_, chosen[0].model, chosen[1]))
        elif tenant == "gone":
            records.append(owned(slice_, "a-model-no-longer-wanted"))
        elif tenant != "foreign":
            records.append(owned(slice_))
    return tuple(records)


@st.composite
def _rules(draw: st.DrawFn, machine: list[Gpu], added: list[Gpu]) -> Rules:
    """Which GPUs may be used, which are emptied or could be bought, and what they cost."""
    names = [gpu.uuid for gpu in machine]
    chosen = None if draw(OFTEN) else draw(st.sets(st.sampled_from(names)))
    bought = frozenset(gpu.uuid for gpu in added)
    return Rules(
        gpus=None if chosen is None else frozenset(chosen) | bought,
        drained=frozenset(name for name in names if draw(st.integers(0, 5)) == 3),
        addable=bought,
        prices=draw(_prices([*machine, *added])),
    )


@st.composite
def _prices(draw: st.DrawFn, machine: list[Gpu]) -> Prices | None:
    """Now and then a price for every product, some dear and some for next to nothing."""
    if draw(st.booleans()):
        return None
    products = sorted({gpu.name for gpu in machine})
    amounts = [draw(st.sampled_from((2500, 1000, 4000, 1))) for _ in products]
    return Prices(currency="EUR", milli_per_hour=tuple(zip(products, amounts, strict=True)))


@st.composite
def _tied(draw: st.DrawFn, case: Case, *, contradictory: bool = False) -> Case:
    """Tie the replicas of a case; where that contradicts itself, untie them or let them move."""
    tied = replace(
        case,
        demands=draw(tied_demands(case.demands)),
        rules=replace(case.rules, most_moves=draw(st.sampled_from((None, 0, 1, 2)))),
    )
    if contradictory:
        return tied
    tied = tied if _may_stay_as_it_is(tied) else _free_to_move(tied)
    return tied if _consistent(tied) else case


def _may_stay_as_it_is(case: Case) -> bool:
    """Tell whether it is legal that those who run stay and nobody else comes."""
    return not any(faults(case, status_quo(case)))


def _consistent(case: Case) -> bool:
    """Tell whether the planner would not refuse the case; `test_planner_rules.py` judges that."""
    try:
        check_consistent(case.observed, case.demands, case.owned, case.rules)
    except ContradictionError:
        return False
    return True


def _free_to_move(case: Case) -> Case:
    """The same where everybody may move, so that some plan is legal: at least the empty one."""
    return replace(
        case,
        demands=tuple(replace(demand, pinned=False) for demand in case.demands),
        rules=replace(case.rules, most_moves=None),
    )


def _fits(demand: Demand, gpu: Gpu, profile: str) -> bool:
    found = gpu.geometry.named(profile) if gpu.geometry else None
    return found is not None and demand.accepts(found, gpu.name)


def _placed(gpu: Gpu, lying: list[tuple[str, int]]) -> list[tuple[str, Placement]]:
    return [(s.profile, s.placement) for s in with_slices(gpu, *lying).slices]
