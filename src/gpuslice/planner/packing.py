"""The packing: the layout of every GPU that serves most, disturbs least and leaves most.

**Model.** A machine is a handful of GPUs, and a GPU is a short row of memory slices. GPUs that are
alike (same geometry, same things lying on them) form a *group*. For each group the *patterns* are
known: the complete layouts worth considering, one for each supply of slices
(`gpuslice.planner.patterns`). Two families of integers decide everything:

* ``z[group, pattern]``: how many GPUs of the group get the pattern; they add up to the group.
* ``f[kind, demand]``: how many slices of a kind serve a demand. A *kind* is the set of demands that
  accept the slice, and whose replica runs on it now.

Supply equals use (``sum f[kind, .] = sum supply * z``: no slice is made for nobody), and no demand
gets more than it wants (``sum f[., demand] <= wanted``). The number of GPUs does not enter the size
of the model, only the number of different ones; that is why the same model carries a fleet.

**Objectives**, each fixed before the next is looked at:

1. replicas served; if not all can be, then those of the first demand, the second, and so on
2. running replicas that must move (fewest), then slices of ours destroyed
3. GPUs that are not whole afterwards, MIG modes switched on, GPUs that hold slices of ours
4. memory slices given (fewest)
5. what is left free (most): the sum over plain profiles of memory slices times how many still fit
6. compute slices given (most): what nobody else could use any more is no waste
7. GPUs of small index

**Why it is right.** Every plan is a choice of one legal layout for each GPU and of a replica for
each slice; a layout that is not a pattern can be replaced by one that is, without loss (the
argument is in `gpuslice.planner.patterns`). Replicas of one demand are interchangeable but for
where they run, and that is what a kind knows: a slice whose incumbent is served by its own demand
moves nobody.

**Method.** First the question is asked with every running replica frozen in its place. If all the
others are served, that is the optimum of the whole question: nothing serves more, and with no moves
an optimum must leave every one where it is. Otherwise all of it is asked again, with moves
allowed. A small question is answered by looking at every combination of patterns
(`gpuslice.planner.enumeration`), which needs no solver; any other as an integer program solved
objective by objective (`gpuslice.planner.program`). Both give the same objective values.

**Proof.** An answer carries a bound for each objective: what no answer can be better than that
equals it in the objectives before. After looking at everything the bound is the value. From HiGHS
it is the dual bound of that objective's own solve, rounded up to an integer, or what the bounds of
the columns alone imply where that is enough; never the value itself. A solver that reaches its
limit leaves a gap; one that fails leaves the last solution that was known (at first the greedy one,
`gpuslice.planner.greedy`) and no bound. `gpuslice.planner.certificate` puts it into words.

**Cost.** One 8-slice GPU: 1 to 30 ms, nearly all of it walking layouts, and nothing the second
time in a process. Sixteen GPUs, each with other things lying on it, and a dozen models of which
some find no room: 0.1 to 0.8 s, half of it in the solver, measured on one core.

Source: the pattern formulation of cutting stock (Gilmore and Gomory 1961); lexicographic
optimisation by fixing one objective after the other; NVIDIA MIG User Guide for what is legal.
"""

from __future__ import annotations

from gpuslice.planner.allowance import Allowance
from gpuslice.planner.enumeration import pack_by_enumeration, work
from gpuslice.planner.question import Answer, Question

_ENUMERATION_LIMIT = 150_000
"""Work up to which looking at everything takes less than loading the solver (0.1 to 0.2 s)."""


def pack(question: Question, allowance: Allowance) -> Answer:
    """Choose the best pattern for every GPU.

    Args:
        question: Groups of GPUs and what is wanted.
        allowance: How long the solver may take, if it is needed.

    Returns:
        An answer with its proof: an optimum of the objectives above, or where the solver reached
        its limit or failed, the best that is known. Equal questions have equal answers as long as
        no limit is reached.
    """
    if work(question) <= _ENUMERATION_LIMIT:
        return pack_by_enumeration(question)
    # Loading the solver costs more than most plans take.
    from gpuslice.planner.program import pack_by_program  # noqa: PLC0415 - lazily, see above

    return pack_by_program(question, allowance)
