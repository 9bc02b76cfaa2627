"""The independent check finds every way in which slices and seats of a plan can be wrong."""

from __future__ import annotations

import ast
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_board_gpu, a_demand, an_observed, owned, with_slices
from gpuslice.errors import BadPlanError
from gpuslice.model.demand import ReplicaId, Rules
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import GpuPlan, Plan, Seat, Unplaced
from gpuslice.planner import check
from gpuslice.planner.fingerprint import fingerprint
from plans_by_hand import Given, by_hand, planned

# Ours at 0 (in use), ours at 2 (not in use), somebody else's at 6; a slice comes
# where the second was. MIG mode of the second GPU is off, the third may not be used.
GPU = with_slices(a_board_gpu(), ("2g.20gb", 0), ("1g.20gb", 2), ("1g.10gb", 6))
OURS, SPARE, THEIRS = GPU.slices
OFF = a_board_gpu(index=1, mig_on=False)
BARRED = with_slices(a_board_gpu(index=2), ("3g.40gb", 0))
GIVEN = Given(
    observed=an_observed(GPU, OFF, BARRED),
    demands=(a_demand("a", "2g.20gb", 2), a_demand("b", "4g.40gb"), a_demand("c", "7g.80gb")),
    owned=(owned(OURS, "a"), owned(SPARE), owned(BARRED.slices[0])),
    rules=Rules(drained=frozenset({"GPU-2"})),
)
COMING = planned(GPU, "2g.20gb", 2)
GOOD = by_hand(GIVEN, {"a/0": OURS, "a/1": COMING, "b/0": planned(OFF, "4g.40gb", 0), "c/0": None})


def on(made: Plan, number: int, **changes: object) -> Plan:
    """The plan with something else on one of its GPUs."""
    gpus = list(made.gpus)
    gpus[number] = replace(gpus[number], **changes)  # type: ignore[arg-type] # names are checked at run time
    return replace(made, gpus=tuple(gpus))


def moved(made: Plan, placement: Placement, **changes: object) -> Plan:
    """The plan with its new slice on the first GPU elsewhere, and the seat with it."""
    new = replace(COMING, placement=placement, **changes)  # type: ignore[arg-type] # names are checked at run time
    seats = tuple(replace(s, created=new) if s.created == COMING else s for s in made.seats)
    return replace(on(made, 0, create=(new,)), seats=seats)


def renamed(seat: Seat, model: str, replica: int) -> Seat:
    return replace(seat, replica=ReplicaId(model, replica))


def elsewhere(made: Plan) -> Plan:
    """The plan with its last seat on a GPU that the machine does not have."""
    stray = replace(planned(OFF, "4g.40gb", 0), gpu_uuid="GPU-9")
    seats = (*made.seats[:2], replace(made.seats[2], created=stray))
    return replace(made, seats=seats, gpus=(*made.gpus, GpuPlan(gpu_uuid="GPU-9", create=(stray,))))


def unplaced(model: str, replica: int) -> Unplaced:
    return Unplaced(replica=ReplicaId(model, replica), reason="no")


def test_the_plan_that_is_spoilt_below_is_good_and_has_everything_to_spoil() -> None:
    assert GIVEN.complaints(GOOD) == ()
    here, there, barred = GOOD.gpus
    assert (here.keep, here.destroy, here.foreign) == ((OURS,), (SPARE,), (THEIRS,))
    assert here.create
    assert there.enable_mig
    assert barred.barred
    assert barred.destroy == BARRED.slices
    assert GOOD.unplaced


SPOILT: dict[str, tuple[Callable[[Plan], Plan], str]] = {
    "overlap": (lambda p: moved(p, Placement(0, 2)), "may not lie there"),
    "overlap with a foreign slice": (
        lambda p: moved(p, Placement(6, 2), profile="1g.20gb", profile_id=15),
        "may not lie there",
    ),
    "illegal start": (lambda p: moved(p, Placement(3, 2)), "may not lie there"),
    "wrong id": (lambda p: moved(p, Placement(4, 2), profile_id=15), "id or the memory"),
    "wrong memory": (lambda p: moved(p, Placement(4, 2), memory_mib=1), "id or the memory"),
    "wrong profile for the demand": (
        lambda p: moved(p, Placement(4, 2), profile="1g.20gb", profile_id=15),
        "does not serve it",
    ),
    "foreign slice destroyed": (
        lambda p: on(p, 0, destroy=(SPARE, THEIRS), foreign=()),
        "1g.10gb at 6:1 of GPU-0 is destroyed, but its owner forbids it",
    ),
    "foreign slice kept": (
        lambda p: on(p, 0, keep=(OURS, THEIRS)),
        "1g.10gb at 6:1 of GPU-0 is kept, but its owner forbids it",
    ),
    "own slice called foreign": (
        lambda p: on(p, 0, foreign=(THEIRS, SPARE), destroy=()),
        "1g.20gb at 2:2 of GPU-0 is listed as foreign, but its owner forbids it",
    ),
    "slice forgotten": (lambda p: on(p, 0, destroy=()), "is mentioned 0 times"),
    "foreign slice forgotten": (lambda p: on(p, 0, foreign=()), "is mentioned 0 times"),
    "slice kept and destroyed": (
        lambda p: on(p, 0, destroy=(SPARE, OURS)),
        "is mentioned 2 times",
    ),
    "slice that is not there": (
        lambda p: on(p, 0, destroy=(replace(SPARE, gpu_instance_id=9),)),
        "but not there",
    ),
    "MIG stays off": (lambda p: on(p, 1, enable_mig=False), "is off and stays off"),
    "MIG on already": (lambda p: on(p, 0, enable_mig=True), "without need"),
    "MIG off under slices": (lambda p: on(p, 0, disable_mig=True), "while slices lie there"),
    "kept without a replica": (
        lambda p: on(moved(p, Placement(4, 2)), 0, keep=(OURS, SPARE), destroy=()),
        "has 0 replicas",
    ),
    "slice of another GPU": (
        lambda p: on(p, 1, create=(replace(p.gpus[1].create[0], gpu_uuid="GPU-0"),)),
        "is created on GPU-1",
    ),
    "kept on a GPU that may not be used": (
        lambda p: on(p, 2, keep=BARRED.slices, destroy=()),
        "GPU-2 holds slices of ours, but may not be used",
    ),
    "created on a GPU that may not be used": (
        lambda p: on(p, 2, create=(planned(BARRED, "1g.10gb", 6),)),
        "GPU-2 holds slices of ours, but may not be used",
    ),
    "open GPU called barred": (lambda p: on(p, 1, barred=True), "GPU-1 is barred or open"),
    "barred GPU called open": (lambda p: on(p, 2, barred=False), "GPU-2 is barred or open"),
    "GPU twice": (lambda p: replace(p, gpus=(*p.gpus, p.gpus[1])), "planned 2 times"),
    "GPU from elsewhere": (
        lambda p: replace(p, gpus=(*p.gpus, GpuPlan(gpu_uuid="GPU-9"))),
        "not in this machine",
    ),
    "usable GPU dropped": (
        lambda p: replace(p, gpus=(p.gpus[0], p.gpus[2])),
        "GPU-1 is not in the plan",
    ),
    "GPU with a slice of ours dropped": (
        lambda p: replace(p, gpus=p.gpus[:2]),
        "GPU-2 is not in the plan",
    ),
    "seat on a slice that goes": (
        lambda p: replace(p, seats=(replace(p.seats[0], kept=SPARE), *p.seats[1:])),
        "will not be there",
    ),
    "replica forgotten": (
        lambda p: replace(p, seats=p.seats[1:]),
        "a/0 is seated or unplaced 0 times",
    ),
    "replica below those that were asked for": (
        lambda p: replace(p, seats=(renamed(p.seats[0], "a", -1), *p.seats[1:])),
        "a/-1 was not asked for",
    ),
    "replica above those that were asked for": (
        lambda p: replace(p, seats=(p.seats[0], renamed(p.seats[1], "a", 2), p.seats[2])),
        "a/2 was not asked for",
    ),
    "seat for a model nobody asked for": (
        lambda p: replace(p, seats=(*p.seats[:2], renamed(p.seats[2], "d", 0))),
        "d/0 was not asked for",
    ),
    "seat on a GPU from elsewhere": (
        elsewhere,
        "which does not serve it",
    ),
    "unknown profile": (
        lambda p: moved(p, Placement(4, 2), profile="2g.21gb"),
        "2g.21gb at 4:2 of GPU-0 may not lie there",
    ),
    "MIG on where nothing comes": (
        lambda p: on(p, 1, create=()),
        "GPU-1 has its MIG mode switched on without need",
    ),
    "replica seated twice": (
        lambda p: replace(p, seats=(p.seats[0], *p.seats)),
        "or unplaced 2 times",
    ),
    "two replicas on one slice": (
        lambda p: replace(
            p, seats=(p.seats[0], replace(p.seats[0], replica=p.seats[1].replica), p.seats[2])
        ),
        "has 2 replicas",
    ),
    "replica seated and unplaced": (
        lambda p: replace(p, unplaced=(unplaced("a", 0), *p.unplaced)),
        "or unplaced 2 times",
    ),
    "replica beyond what was asked for": (
        lambda p: replace(p, unplaced=(*p.unplaced, unplaced("c", 1))),
        "c/1 was not asked for",
    ),
    "model nobody asked for": (
        lambda p: replace(p, unplaced=(*p.unplaced, unplaced("d", 0))),
        "d/0 was not asked for",
    ),
    "no reason": (
        lambda p: replace(p, unplaced=(replace(p.unplaced[0], reason=""),)),
        "no slice and no reason",
    ),
    "seat without a slice": (
        lambda p: replace(p, seats=(Seat(replica=ReplicaId("a", 0)), *p.seats[1:])),
        "exactly one slice",
    ),
    "seat with two slices": (
        lambda p: replace(p, seats=(replace(p.seats[0], created=COMING), *p.seats[1:])),
        "exactly one slice",
    ),
    "seats out of order": (
        lambda p: replace(p, seats=tuple(reversed(p.seats))),
        "the seats are not listed by replica",
    ),
    "servers out of order": (
        lambda p: replace(p, servers=tuple(reversed(p.servers))),
        "the servers are not listed by replica",
    ),
    "another machine": (lambda p: replace(p, fingerprint="0"), "another state"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_plan_is_rejected_for_what_is_wrong(name: str) -> None:
    spoil, complaint = SPOILT[name]
    complaints = GIVEN.complaints(spoil(GOOD))
    assert any(complaint in line for line in complaints), complaints


def test_a_plan_of_equal_values_is_as_good() -> None:
    # As it comes from a file: no object of it is one of the machine's.
    assert GIVEN.complaints(deepcopy(GOOD)) == ()


def test_a_half_made_slice_cannot_be_kept() -> None:
    gpu = with_slices(a_board_gpu(), ("2g.20gb", 0), half_made=(0,))
    given = Given(
        observed=an_observed(gpu), demands=(a_demand("a"),), owned=(owned(gpu.slices[0], "a"),)
    )
    complaints = given.complaints(by_hand(given, {"a/0": gpu.slices[0]}))
    assert complaints == ("2g.20gb at 0:2 of GPU-0 is kept, but only half made",)


def test_nothing_is_created_on_a_gpu_that_cannot_be_sliced() -> None:
    plain = replace(GIVEN, observed=an_observed(GPU, replace(OFF, mig=None, geometry=None), BARRED))
    spoilt = replace(GOOD, fingerprint=fingerprint(plain.observed))
    assert "GPU-1 gets slices, but cannot be sliced" in plain.complaints(spoilt)


def test_a_gpu_that_cannot_be_sliced_is_barred_though_the_rules_allow_it() -> None:
    plain = replace(OFF, mig=None, geometry=None)
    given = Given(observed=an_observed(GPU, plain), demands=(a_demand("a"),))
    made = by_hand(given, {"a/0": planned(GPU, "2g.20gb", 4)})
    assert given.complaints(made) == ()
    assert given.complaints(on(made, 1, barred=False)) == (
        "GPU-1 is barred or open against the rules",
    )


def test_a_gpu_that_may_not_be_used_and_holds_nothing_of_ours_may_be_left_out() -> None:
    given = Given(
        observed=an_observed(GPU, OFF),
        demands=(a_demand("a"),),
        rules=Rules(drained=frozenset({"GPU-1"})),
    )
    made = by_hand(given, {"a/0": planned(GPU, "2g.20gb", 4)})
    assert given.complaints(made) == ()
    assert given.complaints(replace(made, gpus=made.gpus[:1])) == ()


def test_only_chosen_gpus_are_open() -> None:
    given = replace(GIVEN, rules=Rules(gpus=frozenset({"GPU-1"})))
    assert "GPU-0 holds slices of ours, but may not be used" in given.complaints(GOOD)


def test_a_profile_that_is_meant_for_another_board_does_not_serve() -> None:
    named = replace(GIVEN.demands[1].profiles[0], board="NVIDIA H200")
    demands = (GIVEN.demands[0], replace(GIVEN.demands[1], profiles=(named,)), GIVEN.demands[2])
    assert replace(GIVEN, demands=demands).complaints(GOOD) == (
        "b/0 sits on 4g.40gb at 0:4 of GPU-1, which does not serve it",
    )


def test_of_millions_of_forgotten_replicas_only_a_few_are_named() -> None:
    demands = (replace(GIVEN.demands[0], replicas=10_000_000), *GIVEN.demands[1:])
    assert 1 < len(replace(GIVEN, demands=demands).complaints(GOOD)) < 20


def test_all_violations_are_told_at_once() -> None:
    spoilt = replace(on(GOOD, 0, destroy=()), fingerprint="0", seats=GOOD.seats[1:])
    with pytest.raises(BadPlanError) as caught:
        check.check_plan(spoilt, GIVEN.observed, GIVEN.demands, GIVEN.owned, GIVEN.rules)
    assert len(caught.value.details) >= 3


def test_the_check_shares_no_code_with_the_planner() -> None:
    folder = Path(check.__file__).parent
    parts = [Path(check.__file__), *(folder / "checking").glob("*.py"), folder / "fingerprint.py"]
    assert len(parts) > 10
    # The order of steps is the one thing of the planner that is looked at: it is tested.
    allowed = ("checking.", "fingerprint", "ordering.steps")
    used = {name for path in parts for name in _imports(path) if ".planner." in name}
    assert not [n for n in used if not n.removeprefix("gpuslice.planner.").startswith(allowed)]


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
