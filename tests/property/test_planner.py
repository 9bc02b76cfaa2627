"""What must hold for every plan: it is legal, it is the best, and nothing but the facts matters."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpuslice.model.gpu import Gpu, Observed, Slice
from gpuslice.model.plan import Certificate, Goal, GpuPlan, Owned, Plan
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.check import check_plan
from gpuslice.planner.enumeration import pack_by_enumeration, work
from gpuslice.planner.greedy import choose_greedily
from gpuslice.planner.grid import compile_grid, union
from gpuslice.planner.objectives import objective_values
from gpuslice.planner.plan import plan
from gpuslice.planner.program import pack_by_program
from gpuslice.planner.question import Answer, Question
from gpuslice.planner.situation import ask, survey
from gpuslice.planner.steps import CreateSlice, DestroySlice, EnableMig, steps
from property.brute_force import best_worth, worth_of_plan
from property.strategies_planner import FEW_SHAPES, Case, applied, cases, crowded_cases, gpus

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def make(case: Case) -> Plan:
    return plan(case.observed, case.demands, case.owned, gpus=case.gpus)


@settings(quick, max_examples=60)
@given(case=cases())
def test_no_way_of_seating_everybody_is_better(case: Case) -> None:
    assert worth_of_plan(case, make(case)) == best_worth(case)


@settings(quick, max_examples=40)
@given(case=cases(most_replicas=4, most_gpus=1, keys=("a30", "rtx-pro-6000")))
def test_no_way_of_seating_four_replicas_on_a_short_grid_is_better(case: Case) -> None:
    assert worth_of_plan(case, make(case)) == best_worth(case)


@settings(quick, max_examples=60)
@given(case=cases() | crowded_cases())
def test_no_plan_whatever_is_better_than_a_certified_bound(case: Case) -> None:
    certificate = make(case).certificate
    assume(certificate is not None)
    assert certificate is not None
    bounds = {goal: bound for goal, bound in stated(certificate) if goal is not Goal.POSITIONS}
    total, _, moves, destroyed, whole, switched, ours, memory, left, compute = best_worth(case)
    usable = len(case.observed.gpus if case.gpus is None else case.gpus)
    assert bounds == {
        Goal.SERVED: -int_of(total),
        Goal.MOVED: moves,
        Goal.DESTROYED: destroyed,
        Goal.OCCUPIED: usable + int_of(whole),
        Goal.SWITCHED: switched,
        Goal.OURS: ours,
        Goal.MEMORY: memory,
        Goal.ROOM: -int_of(left),
        Goal.COMPUTE: -int_of(compute),
    }


@quick
@given(case=cases(most_gpus=3, most_replicas=9, keys=FEW_SHAPES) | crowded_cases())
def test_a_placement_without_proof_is_legal_and_never_better_than_the_proven_one(
    case: Case,
) -> None:
    question = ask(survey(case.observed, case.demands, case.owned, case.gpus), settled=False)
    assume(question.groups and work(question) < 50_000)
    greedy = objective_values(question, choose_greedily(question))
    assert greedy >= objective_values(question, pack_by_enumeration(question))


@quick
@given(case=cases(most_gpus=3, most_replicas=9, keys=FEW_SHAPES) | crowded_cases())
def test_without_time_the_solver_answers_no_worse_than_greedily_and_bounds_the_optimum(
    case: Case,
) -> None:
    question = ask(survey(case.observed, case.demands, case.owned, case.gpus), settled=False)
    assume(question.groups and work(question) < 50_000)
    hasty = pack_by_program(question, Allowance(limit_s=0.0))
    best = objective_values(question, pack_by_enumeration(question))
    reached = objective_values(question, hasty)
    assert reached <= objective_values(question, choose_greedily(question))
    for bound, value, optimum in zip(hasty.proof.bounds, reached, best, strict=True):
        assert bound is not None
        assert bound <= value
        assert bound <= optimum
        if value != optimum:  # what follows is bounded among plans of another kind
            break


@quick
@given(case=crowded_cases())
def test_no_way_of_moving_running_replicas_is_better(case: Case) -> None:
    assert worth_of_plan(case, make(case)) == best_worth(case)


@quick
@given(case=crowded_cases())
def test_plans_that_move_replicas_pass_the_check_and_settle(case: Case) -> None:
    made = make(case)
    check_plan(made, case.observed, case.demands, case.owned, gpus=case.gpus)
    assert not make(carried_out(case, made)).changes


@quick
@given(case=cases(most_gpus=4, most_replicas=12, most_demands=4))
def test_every_plan_passes_the_independent_check(case: Case) -> None:
    check_plan(make(case), case.observed, case.demands, case.owned, gpus=case.gpus)


@quick
@given(
    case=cases(most_gpus=3, most_replicas=9, keys=FEW_SHAPES) | crowded_cases(),
    settled=st.booleans(),
)
def test_both_ways_of_packing_agree_on_every_objective(case: Case, settled: bool) -> None:
    question = ask(survey(case.observed, case.demands, case.owned, case.gpus), settled=settled)
    assume(question.groups and work(question) < 50_000)
    by_trying, by_solving = (
        pack_by_enumeration(question),
        pack_by_program(question, Allowance(limit_s=60.0)),
    )
    assert objectives(question, by_trying) == objectives(question, by_solving)


@quick
@given(case=cases(most_gpus=3, most_replicas=8))
def test_equal_input_gives_an_equal_plan(case: Case) -> None:
    shuffled = replace(case.observed, gpus=tuple(reversed(case.observed.gpus)))
    again = plan(shuffled, list(case.demands), tuple(reversed(case.owned)), gpus=case.gpus)
    assert again == make(case)


@quick
@given(case=cases(most_gpus=3, most_replicas=8))
def test_renaming_gpus_changes_nothing_but_their_names(case: Case) -> None:
    names = {f"GPU-{n}": f"GPU-{9 - n}-renamed" for n in range(len(case.observed.gpus))}
    expected = renamed_plan(make(case), names)
    renamed = make(renamed_case(case, names))
    assert replace(renamed, fingerprint="") == replace(expected, fingerprint="")


@quick
@given(case=cases(most_gpus=2, most_replicas=7), extra=gpus(index=7))
def test_one_more_gpu_never_serves_less(case: Case, extra: Gpu) -> None:
    before = make(case)
    larger = replace(case.observed, gpus=(*case.observed.gpus, extra))
    chosen = None if case.gpus is None else {*case.gpus, extra.uuid}
    after = plan(larger, case.demands, case.owned, gpus=chosen)
    assert len(after.seats) >= len(before.seats)


@quick
@given(case=cases(most_gpus=3, most_replicas=8))
def test_planning_again_after_carrying_a_plan_out_changes_nothing(case: Case) -> None:
    made = make(case)
    again = make(carried_out(case, made))
    assert not again.changes
    assert {seat.replica for seat in again.seats} == {seat.replica for seat in made.seats}
    assert all(seat.kept is not None for seat in again.seats)


@quick
@given(case=cases(most_gpus=3, most_replicas=8))
def test_every_step_is_legal_when_its_turn_comes(case: Case) -> None:
    lying = {gpu.uuid: list(gpu.occupied) for gpu in case.observed.gpus}
    on = {gpu.uuid for gpu in case.observed.gpus if gpu.mig and gpu.mig.current}
    for step in steps(make(case)):
        match step:
            case EnableMig(gpu_uuid=uuid):
                assert uuid not in on
                assert not lying[uuid]
                on.add(uuid)
            case DestroySlice(slice=gone):
                lying[gone.gpu_uuid].remove((gone.profile, gone.placement))
            case CreateSlice(planned=new):
                geometry = case.observed.gpu(new.gpu_uuid).geometry
                assert new.gpu_uuid in on
                assert geometry is not None
                assert geometry.allows(lying[new.gpu_uuid], new.profile, new.placement)
                lying[new.gpu_uuid].append((new.profile, new.placement))


@quick
@given(gpu=gpus(index=0))
def test_the_remainder_by_masks_is_the_remainder_by_the_geometry(gpu: Gpu) -> None:
    geometry = gpu.geometry
    assert geometry is not None
    lying = [(s.profile, s.placement) for s in gpu.slices]
    slow = sum(
        profile.memory_slices * geometry.free(lying, profile)
        for profile in geometry.profiles
        if not profile.attributes
    )
    counts = {name: sum(other == name for other, _ in lying) for name, _ in lying}
    fast = compile_grid(geometry).remainder(union(at for _, at in lying), counts)
    assert fast == slow


def stated(certificate: Certificate) -> list[tuple[Goal, int | None]]:
    """The bound of every goal but those of single models."""
    return [(o.goal, o.bound) for o in certificate.objectives if not o.model]


def int_of(worth: int | tuple[int, ...]) -> int:
    """An entry of a worth that is one number."""
    assert isinstance(worth, int)
    return worth


def objectives(question: Question, answer: Answer) -> tuple[object, ...]:
    """Read every objective from an answer."""
    served = [0] * len(question.wanted)
    stays = 0
    for (kind, demand), count in answer.flow:
        served[demand] += count
        stays += count if kind.incumbent == demand else 0
    costs = [pattern.cost for group in answer.patterns for pattern in group]
    positions = [
        member
        for group, chosen in zip(question.groups, answer.patterns, strict=True)
        for member, pattern in zip(group.members, chosen, strict=True)
        if pattern.slices
    ]
    return sum(served), served, stays, [sum(c) for c in zip(*costs, strict=True)], sum(positions)


def carried_out(case: Case, made: Plan) -> Case:
    """The machine and the records after a plan."""
    replicas = {(s.slice.gpu_uuid, s.slice.placement): s.replica for s in made.seats}
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    machine = tuple(_gpu_after(gpu, plans.get(gpu.uuid)) for gpu in case.observed.gpus)
    records = tuple(
        Owned(slice=s.key, stack="assistants", replica=replicas[s.gpu_uuid, s.placement])
        for gpu in machine
        for s in gpu.slices
        if (s.gpu_uuid, s.placement) in replicas
    )
    return applied(case, replace(case.observed, gpus=machine), records)


def _gpu_after(gpu: Gpu, gpu_plan: GpuPlan | None) -> Gpu:
    if gpu_plan is None:
        return gpu
    came = tuple(
        Slice(
            gpu_uuid=new.gpu_uuid,
            gpu_instance_id=100 + number,
            profile=new.profile,
            placement=new.placement,
            memory_mib=new.memory_mib,
            compute_instance_id=0,
            uuid=f"MIG-new-{gpu.index}-{number}",
        )
        for number, new in enumerate(gpu_plan.create)
    )
    slices = (*gpu_plan.keep, *gpu_plan.foreign, *came)
    on = gpu.mig is not None and (gpu.mig.current or gpu_plan.enable_mig)
    mode = None if gpu.mig is None else replace(gpu.mig, current=on, pending=on)
    return replace(gpu, mig=mode, slices=tuple(sorted(slices, key=lambda s: s.placement)))


def renamed_case(case: Case, names: dict[str, str]) -> Case:
    machine = tuple(
        replace(
            gpu,
            uuid=names[gpu.uuid],
            slices=tuple(replace(s, gpu_uuid=names[s.gpu_uuid]) for s in gpu.slices),
        )
        for gpu in case.observed.gpus
    )
    records = tuple(
        replace(o, slice=replace(o.slice, gpu_uuid=names[o.slice.gpu_uuid])) for o in case.owned
    )
    chosen = None if case.gpus is None else frozenset(names[uuid] for uuid in case.gpus)
    observed: Observed = replace(case.observed, gpus=machine)
    return replace(case, observed=observed, owned=records, gpus=chosen)


def renamed_plan(made: Plan, names: dict[str, str]) -> Plan:
    def renamed_slices(slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
        return tuple(replace(s, gpu_uuid=names[s.gpu_uuid]) for s in slices)

    gpu_plans = tuple(
        replace(
            p,
            gpu_uuid=names[p.gpu_uuid],
            destroy=renamed_slices(p.destroy),
            keep=renamed_slices(p.keep),
            foreign=renamed_slices(p.foreign),
            create=tuple(replace(s, gpu_uuid=names[s.gpu_uuid]) for s in p.create),
        )
        for p in made.gpus
    )
    seats = tuple(
        replace(
            s,
            kept=s.kept and replace(s.kept, gpu_uuid=names[s.kept.gpu_uuid]),
            created=s.created and replace(s.created, gpu_uuid=names[s.created.gpu_uuid]),
        )
        for s in made.seats
    )
    return replace(made, gpus=gpu_plans, seats=seats)
