"""Machines with things lying on them, and demands for them, small enough to try everything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.hardware.boards import load_boards
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Demand, Owned

BOARDS = tuple(board.key for board in load_boards() if board.has_mig)
"""Every board that can be sliced."""

FEW_SHAPES = ("a100-80gb", "a30", "rtx-pro-6000")
"""One board for each shape of grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a plan is made from."""

    observed: Observed
    demands: tuple[Demand, ...]
    owned: tuple[Owned, ...]
    gpus: frozenset[str] | None = None


@st.composite
def gpus(draw: st.DrawFn, *, index: int, keys: tuple[str, ...] = BOARDS) -> Gpu:
    """A GPU with up to five slices somewhere on it, some half-made."""
    gpu = a_board_gpu(
        draw(st.sampled_from(keys)),
        index=index,
        mig_on=draw(st.sampled_from((True, True, True, False))),
    )
    geometry = gpu.geometry
    assert geometry is not None
    if gpu.mig is None or not gpu.mig.current:
        return gpu
    places = [(profile.name, at) for profile in geometry.profiles for at in profile.placements]
    lying: list[tuple[str, int]] = []
    for name, at in draw(st.lists(st.sampled_from(places), max_size=5)):
        if geometry.allows([*_placed(gpu, lying)], name, at):
            lying.append((name, at.start))
    half_made = (
        draw(st.sets(st.sampled_from([start for _, start in lying]), max_size=1))
        if (lying)
        else set()
    )
    return with_slices(gpu, *lying, half_made=tuple(half_made))


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    most_gpus: int = 2,
    most_replicas: int = 3,
    most_demands: int = 3,
    keys: tuple[str, ...] = BOARDS,
) -> Case:
    """A machine, demands, and which of the slices on it are ours and whose."""
    count = draw(st.integers(1, most_gpus))
    machine = [draw(gpus(index=index, keys=keys)) for index in range(count)]
    budget = most_replicas if count == 1 else max(1, most_replicas - 1)
    demands = draw(_demands(machine, budget, most_demands))
    records = draw(_records(machine, demands))
    chosen = draw(st.none() | st.sets(st.sampled_from([gpu.uuid for gpu in machine])))
    return Case(
        observed=an_observed(*machine),
        demands=demands,
        owned=records,
        gpus=None if chosen is None else frozenset(chosen),
    )


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
    running = draw(st.integers(1, min(2, len(slices))))
    demands = (
        Demand(model="small", replicas=running, profile=small),
        Demand(model="large", replicas=1, memory_mib=large.memory_mib),
    )
    return Case(
        observed=an_observed(*machine),
        demands=draw(st.permutations(demands).map(tuple)),
        owned=tuple(owned(s, "small", number) for number, s in enumerate(slices[:3])),
    )


_TWO_OR_THREE = st.integers(2, 3)


def applied(case: Case, machine: Observed, records: tuple[Owned, ...]) -> Case:
    """The case after something was changed."""
    return replace(case, observed=machine, owned=records)


@st.composite
def _demands(
    draw: st.DrawFn, machine: list[Gpu], budget: int, most_demands: int
) -> tuple[Demand, ...]:
    profiles = [p for gpu in machine if gpu.geometry for p in gpu.geometry.profiles]
    lying = {s.profile for gpu in machine for s in gpu.slices}
    profiles += [p for p in profiles if p.name in lying] * 4  # so that what lies there is wanted
    demands = []
    for number in range(draw(st.integers(1, most_demands))):
        replicas = draw(st.integers(min(1, budget), budget))
        budget -= replicas
        wanted = draw(st.sampled_from(profiles))
        by_name = draw(st.booleans())
        demands.append(
            Demand(
                model=f"model-{number}",
                replicas=replicas,
                profile=wanted.name if by_name else None,
                memory_mib=None if by_name else wanted.memory_mib,
            )
        )
    return tuple(demands)


@st.composite
def _records(draw: st.DrawFn, machine: list[Gpu], demands: tuple[Demand, ...]) -> tuple[Owned, ...]:
    """Make some slices ours: of a replica that is wanted, of one that is not, or free."""
    waiting = [(demand.model, number) for demand in demands for number in range(demand.replicas)]
    records = []
    for slice_ in (s for gpu in machine for s in gpu.slices):
        tenant = draw(st.sampled_from(("wanted", "wanted", "wanted", "gone", "free", "foreign")))
        if tenant == "wanted" and waiting:
            records.append(owned(slice_, *waiting.pop(draw(st.integers(0, len(waiting) - 1)))))
        elif tenant == "gone":
            records.append(owned(slice_, "a-model-no-longer-wanted"))
        elif tenant != "foreign":
            records.append(owned(slice_))
    return tuple(records)


def _placed(gpu: Gpu, lying: list[tuple[str, int]]) -> list[tuple[str, Placement]]:
    return [(s.profile, s.placement) for s in with_slices(gpu, *lying).slices]
