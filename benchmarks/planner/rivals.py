"""Every rival by the name the table gives it, and what each is made for.

Separate so that a rival is tried in its own setting and nowhere else: one that knows only empty
GPUs is not asked about running ones, and one that takes minutes is asked small questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.planner.assignment import MOST_VARIABLES, assignment, variables
from benchmarks.planner.instance import Chosen, Instance
from benchmarks.planner.mig_serving import mig_serving_greedy
from benchmarks.planner.one_by_one import ONE_BY_ONE
from benchmarks.planner.parva_fit import parva_fit
from benchmarks.planner.plans import Answer
from benchmarks.planner.rearranging import nos, vacate_least_used

_EVERYWHERE = ("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F9", "F10")
_WITHOUT_TARGETS = ("F1", "F2", "F6", "F7", "F9", "F10")
_EMPTY = ("F1", "F2", "F3", "F4", "F5")
_QUICK = 12_000
_SLOW = 1100
_SLOWEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A method that is not ours.

    Attributes:
        answer: The method.
        families: The families it is tried on.
        most: The largest instance it is asked, in replicas and services that need a place; it may
            be asked about fleets of twice as many GPUs.
    """

    answer: Callable[[Instance], Answer]
    families: Sequence[str] = _EVERYWHERE
    most: int = _QUICK


def _choosing(rule: Callable[[Instance], list[Chosen]]) -> Callable[[Instance], Answer]:
    """Make an answer of what a rule chose; nobody stops."""
    return lambda instance: Answer(chosen=rule(instance))


_ALWAYS = {"first fit", "sorted first fit", "sorted best fit"}
"""The rules that are quick enough for every size."""

RIVALS: Mapping[str, Rival] = {
    **{
        name: Rival(answer=_choosing(rule), most=10 * _QUICK if name in _ALWAYS else _SLOW * 2)
        for name, rule in ONE_BY_ONE.items()
    },
    "nos": Rival(answer=_choosing(nos), families=_WITHOUT_TARGETS, most=_SLOW),
    "vacate least used": Rival(
        answer=_choosing(vacate_least_used), families=("F6", "F9", "F10"), most=_SLOW
    ),
    "MIG-Serving greedy": Rival(
        answer=_choosing(mig_serving_greedy), families=_EMPTY, most=_SLOWEST
    ),
    "ParvaGPU": Rival(answer=_choosing(parva_fit), families=("F3", "F4")),
    "assignment": Rival(answer=assignment, families=_WITHOUT_TARGETS, most=_SLOWEST),
}


def applies(name: str, instance: Instance) -> bool:
    """Tell whether a rival is tried on an instance."""
    rival = RIVALS[name]
    if instance.family.split()[0] not in rival.families:
        return False
    if name == "assignment":
        return variables(instance) <= MOST_VARIABLES
    size = len(instance.arrivals) + len(instance.targets)
    return size <= rival.most and len(instance.observed.gpus) <= 2 * rival.most
