"""How a question finds its way to an answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from builders import a_board_gpu, an_observed
from gpuslice.model.plan import Demand
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.enumeration import pack_by_enumeration, work
from gpuslice.planner.packing import pack
from gpuslice.planner.program import pack_by_program
from gpuslice.planner.question import Answer, Question
from gpuslice.planner.situation import ask, survey


def a_question(gpus: int, *replicas: int) -> Question:
    """Models of growing size on equal GPUs."""
    machine = an_observed(*(a_board_gpu(index=index) for index in range(gpus)))
    demands = [
        Demand(model=f"m{number}", replicas=count, memory_mib=9_000 * (number + 1))
        for number, count in enumerate(replicas)
    ]
    return ask(survey(machine, demands, (), None), settled=False)


def test_the_size_of_a_question_grows_with_unlike_gpus_and_not_with_like_ones() -> None:
    assert len(a_question(1, 2).groups) == len(a_question(16, 2).groups) == 1


def test_a_question_too_large_to_enumerate_is_answered_in_full() -> None:
    question = a_question(16, 40, 20, 10)
    assert work(question) > 10**9
    answer = pack(question, Allowance(limit_s=60.0))
    assert answer.served == 70
    assert sum(len(pattern.slices) for pattern in answer.patterns[0]) == 70


def by_program(question: Question) -> Answer:
    """Let the solver answer, with all the time it needs."""
    return pack_by_program(question, Allowance(limit_s=60.0))


@pytest.mark.parametrize("packed_by", [pack_by_enumeration, by_program])
@pytest.mark.parametrize("keys", [("a100-80gb", "h100-80gb"), ("h100-80gb", "a100-80gb")])
def test_between_equally_good_gpus_the_smaller_index_is_taken(
    packed_by: Callable[[Question], Answer], keys: tuple[str, str]
) -> None:
    machine = an_observed(*(a_board_gpu(key, index=index) for index, key in enumerate(keys)))
    demands = [Demand(model="a", replicas=1, profile="3g.40gb")]
    answer = packed_by(ask(survey(machine, demands, (), None), settled=False))
    assert [len(group[0].slices) for group in answer.patterns] == [1, 0]


def test_a_question_without_gpus_serves_nobody() -> None:
    assert pack(a_question(0, 3), Allowance(limit_s=60.0)).served == 0


def test_one_gpu_is_planned_without_loading_the_solver() -> None:
    script = """
import sys
from gpuslice.hardware.boards import board
from gpuslice.planner.allowance import Allowance
from gpuslice.planner.packing import pack
from gpuslice.planner.question import Question, Site, SiteGroup
site = Site(geometry=board("a100-80gb").geometry, mig_on=True, fixed=(), holds_ours=False, own=(),
            menu=(("1g.10gb", (0,)), ("2g.20gb", (0, 1)), ("3g.40gb", (0, 1))))
question = Question(groups=(SiteGroup(site=site, members=(0,)),), wanted=(3, 2))
assert pack(question, Allowance(limit_s=60.0)).served == 5
assert "highspy" not in sys.modules and "numpy" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
