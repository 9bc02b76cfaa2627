"""The packing: the layout of every GPU that serves most, costs least, disturbs least.

**Model.** A GPU is a short row of memory slices with a list of legal placements. What becomes of it
is two choices: which slices of ours stay, and what comes into the room that is left
(`gpuslice.planner.packing.states`). GPUs that are alike form a *group*, groups of which the same
can be made form a *class*, and the program counts how many GPUs of a class keep what, and how many
rooms of a sort get what (`gpuslice.planner.packing.columns`). Replicas that accept the same slices
and count the same are one *want*. Neither the number of GPUs nor that of replicas enters the size
of the model, only how many different ones there are; that is why one model carries a machine and a
fleet.

**Objectives**, each settled before the next is looked at:

1. replicas served, by priority; if not all can be, then those of the first want, the second, …
2. price of GPUs that have to be added, then of all GPUs that are not whole afterwards
3. cost of the moves of running replicas
4. slices of ours destroyed, MIG modes switched on, GPUs that hold slices of ours
5. memory slices given (fewest)
6. what is left free (most): the sum over plain profiles of memory slices times how many still fit
7. compute slices given (most): what nobody else could use any more is no waste

A limit of moves stands above all of them.

**Why it is right.** Every plan is a choice of one legal layout for each GPU and of a replica for
each slice. A layout that is not among the stays and arrivals can be replaced by one that is,
without loss (the argument is in `gpuslice.planner.packing.states`). Replicas of one want are
interchangeable but for where they run, and a slice whose replica stays is a slice for that want
alone. What a rule says of neighbours (spread, near, away) it says of one GPU, so it is settled
before any column is written.

**Method.** A small question is answered by looking at every combination of patterns
(`gpuslice.planner.packing.enumeration`), which needs no solver; any other as an integer program
solved objective by objective (`gpuslice.planner.packing.program`). Both give the same objective
values.

**Proof.** An answer carries a bound for each objective: what no answer can be better than that
equals it in the objectives before. After looking at everything the bound is the value. Otherwise it
comes from the dual values of the linear relaxation, by weak duality computed here, or where that is
not enough from a search among the columns that could still be of use
(`gpuslice.planner.packing.solver`); never from the value itself. A solver that reaches its limit
leaves a gap; one that fails leaves the last solution that was known (at first the greedy one,
`gpuslice.planner.packing.greedy`) and no bound. `gpuslice.planner.certificate` puts it into words.

**Cost.** A fleet of 8-slice GPUs whose slices lie anywhere has 273 classes, 27 rooms and some 3,400
columns, whether it has 500 GPUs or 100,000; docs/benchmarks.md has times.

Source: the pattern formulation of cutting stock (Gilmore and Gomory 1961); lexicographic
optimisation by fixing one objective after the other; NVIDIA MIG User Guide for what is legal.
"""

from __future__ import annotations

from dataclasses import replace

from gpuslice.errors import PlanningError
from gpuslice.planner.packing.allowance import Allowance
from gpuslice.planner.packing.enumeration import Enumeration
from gpuslice.planner.packing.question import Answer, Question, no_layout
from gpuslice.planner.packing.states import States

_FEW_GROUPS = 8
"""How many groups of GPUs there may be for looking at everything to be thought of."""

_ENUMERATION_LIMIT = 150_000
"""Work up to which looking at everything takes less than loading the solver (0.1 to 0.2 s)."""

_NOT_ALL = "there are too many ways to lay these models beside each other; not all were looked at"


def pack(question: Question, allowance: Allowance) -> Answer:
    """Choose the best pattern for every GPU.

    Args:
        question: Groups of GPUs and what is wanted.
        allowance: How long the solver may take, if it is needed.

    Returns:
        An answer with its proof: an optimum of the objectives above, or where the solver reached
        its limit or failed, the best that is known. Equal questions have equal answers as long as
        no limit is reached.

    Raises:
        PlanningError: The rules cannot be kept with so few moves, or no way to keep them was found.
    """
    states = States(question)
    try:
        answer = _answer(question, states, allowance)
    except PlanningError as error:
        if states.complete:
            raise
        raise no_layout(_NOT_ALL) from error
    if states.complete:
        return answer
    unknown: tuple[int | None, ...] = (None,) * len(answer.proof.bounds)
    return replace(answer, proof=replace(answer.proof, bounds=unknown, note=_NOT_ALL))


def _answer(question: Question, states: States, allowance: Allowance) -> Answer:
    if len(question.groups) <= _FEW_GROUPS and not question.least_ours:
        enumeration = Enumeration(question, states)
        if enumeration.work <= _ENUMERATION_LIMIT:
            return enumeration.answer()
    # Loading the solver costs more than most plans take.
    from gpuslice.planner.packing.program import pack_by_program  # noqa: PLC0415 - lazily, see above

    return pack_by_program(question, states, allowance)
