"""How a question finds its way to an answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from builders import a_board_gpu, an_observed, owned, with_slices
from gpuslice.errors import PlanningError
from gpuslice.model.certificate import Method
from gpuslice.model.demand import Demand, NamedProfile, Rules
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Owned
from gpuslice.planner.asking import ask, whole_demands
from gpuslice.planner.packing import states
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.objectives import served_by_want
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.packing.program import pack_by_program
from gpuslice.planner.packing.question import Answer, Question
from gpuslice.planner.packing.states import States
from gpuslice.planner.situation import survey

NO_RULES = Rules()


def question_of(
    machine: Observed,
    demands: Sequence[Demand],
    records: tuple[Owned, ...] = (),
    rules: Rules = NO_RULES,
) -> Question:
    situation = survey(machine, demands, records, rules)
    return ask(situation, whole_demands(situation)).question


def a_question(gpus: int, *replicas: int) -> Question:
    """Models of growing size on equal GPUs."""
    machine = an_observed(*(a_board_gpu(index=index) for index in range(gpus)))
    demands = [
        Demand(model=f"m{number}", replicas=count, memory_mib=9_000 * (number + 1))
        for number, count in enumerate(replicas)
    ]
    return question_of(machine, demands)


def by_enumeration(question: Question) -> Answer:
    """Look at everything."""
    return Enumeration(question, States(question)).answer()


def by_program(question: Question) -> Answer:
    """Let the solver answer, with all the time it needs."""
    return pack_by_program(question, States(question), Allowance(limit_s=60.0))


def test_the_size_of_a_question_grows_with_unlike_gpus_and_not_with_like_ones() -> None:
    assert len(a_question(1, 2).groups) == len(a_question(16, 2).groups) == 1


def test_a_question_too_large_to_enumerate_is_answered_in_full() -> None:
    question = a_question(16, 40, 20, 10)
    assert Enumeration(question, States(question)).work > 10**9
    answer = pack(question, Allowance(limit_s=60.0))
    assert answer.proof.method is Method.HIGHS
    assert served_by_want(question, answer) == (40, 20, 10)
    assert sum(len(pattern.slices) for pattern in answer.patterns[0]) == 70


def test_the_first_gpus_of_many_like_ones_are_filled() -> None:
    answer = by_program(a_question(16, 21))
    assert [bool(pattern.slices) for pattern in answer.patterns[0]] == [True] * 3 + [False] * 13


@pytest.mark.parametrize("packed_by", [by_enumeration, by_program])
@pytest.mark.parametrize("keys", [("a100-80gb", "h100-80gb"), ("h100-80gb", "a100-80gb")])
def test_between_equally_good_gpus_the_smaller_index_is_taken(
    packed_by: Callable[[Question], Answer], keys: tuple[str, str]
) -> None:
    machine = an_observed(*(a_board_gpu(key, index=index) for index, key in enumerate(keys)))
    demands = [Demand(model="a", replicas=1, profiles=(NamedProfile(profile="3g.40gb"),))]
    answer = packed_by(question_of(machine, demands))
    assert [len(group[0].slices) for group in answer.patterns] == [1, 0]


@pytest.mark.parametrize("packed_by", [by_enumeration, by_program])
def test_rules_that_need_more_moves_than_may_be_are_refused(
    packed_by: Callable[[Question], Answer],
) -> None:
    gpu = with_slices(a_board_gpu(), ("1g.10gb", 0), ("1g.10gb", 1))
    records = tuple(owned(slice_, "a", number) for number, slice_ in enumerate(gpu.slices))
    spread = Demand(model="a", replicas=2, memory_mib=9_000, most_per_gpu=1)
    machine = an_observed(gpu, a_board_gpu(index=1))
    with pytest.raises(PlanningError, match="1 running replica"):
        packed_by(question_of(machine, [spread], records, Rules(most_moves=0)))


def test_what_cannot_all_be_looked_at_is_not_claimed_to_be_proved() -> None:
    models = [
        Demand(model=f"m{number}", replicas=12, memory_mib=4_000, most_per_gpu=1, away=away)
        for number in range(9)
        for away in [(f"m{(number + 1) % 9}",)]
    ]
    machine = an_observed(*(a_board_gpu(index=index) for index in range(16)))
    gpus = [with_slices(gpu, *(("1g.10gb", s) for s in range(7))) for gpu in machine.gpus]
    records = tuple(
        owned(s, f"m{n}", g)
        for g, gpu in enumerate(gpus[:12])
        for n, s in enumerate(gpu.slices[:7:2])
    )
    answer = pack(question_of(an_observed(*gpus), models, records), Allowance(limit_s=5.0))
    assert answer.proof.note
    assert set(answer.proof.bounds) == {None}


def test_a_question_without_gpus_serves_nobody() -> None:
    question = a_question(0, 3)
    assert served_by_want(question, pack(question, Allowance(limit_s=60.0))) == (0,)


def test_one_gpu_is_planned_without_loading_the_solver() -> None:
    script = """
import sys
from gpuslice.hardware.boards import board
from gpuslice.planner.packing import states
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.pack import pack
from gpuslice.planner.packing.objectives import served_by_want
from gpuslice.planner.packing.question import Question, Site, SiteGroup, Want
site = Site(geometry=board("a100-80gb").geometry,
            menu=(("1g.10gb", (0,)), ("2g.20gb", (0, 1)), ("3g.40gb", (0, 1))))
question = Question(groups=(SiteGroup(site=site, members=(0,)),),
                    wants=(Want(count=3), Want(count=2)))
assert served_by_want(question, pack(question, Allowance(limit_s=60.0))) == (3, 2)
assert "highspy" not in sys.modules and "numpy" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_too_many_ways_to_lie_beside_each_other_cost_the_proof_and_not_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = an_observed(*(a_board_gpu("a30", index=index) for index in range(2)))
    demands = [
        Demand(model=model, replicas=2, memory_mib=5_000, most_per_gpu=1) for model in "abcd"
    ]
    question = question_of(machine, demands)
    whole = pack(question, Allowance(limit_s=60.0))
    monkeypatch.setattr(states, "_MOST_WAYS", 3)
    few = pack(question, Allowance(limit_s=60.0))
    assert (whole.proof.note, None in whole.proof.bounds) == ("", False)
    assert "not all were looked at" in few.proof.note
    assert set(few.proof.bounds) == {None}
    assert few == pack(question, Allowance(limit_s=60.0)), "equal questions, equal answers"


def test_as_many_gpus_hold_slices_as_have_to() -> None:
    question = a_question(4, 3)
    spread_out = pack(replace(question, least_ours=3), Allowance(limit_s=60.0))
    assert sum(bool(pattern.slices) for pattern in spread_out.patterns[0]) == 3
    assert None not in spread_out.proof.bounds
    with pytest.raises(PlanningError, match="4 GPUs would have to hold slices"):
        pack(replace(question, least_ours=4), Allowance(limit_s=60.0))
