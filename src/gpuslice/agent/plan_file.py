"""A plan on file: what ``plan --out`` writes and ``up --plan`` carries out.

Separate from `prepare`, which makes a plan, because here one comes back from disk. It may be old,
damaged or edited, so nothing in it is believed: it is held against the GPUs as they are now by the
same independent check that every new plan goes through, and the agent compares the fingerprint
once more when its turn comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gpuslice.agent.node import Node
from gpuslice.agent.prepare import check_launches
from gpuslice.agent.proposal import Proposal
from gpuslice.agent.restarts import restarts_of
from gpuslice.agent.versioned_file import VersionedFile
from gpuslice.errors import BadPlanError, PlanFileError, StateMovedError
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.desired import Change
from gpuslice.planner.check import check_plan
from gpuslice.planner.fingerprint import fingerprint

VERSION = 2
"""Raised when a file of an earlier gpuslice would be misread."""

MAX_BYTES = 512 * 1024 * 1024
"""A plan of 16,384 GPUs takes about a tenth of it."""

_ANEW = "Make it anew: gpuslice plan --out FILE"
_SETS = ("gpus", "drained", "addable")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """What is in the file beside its version.

    Attributes:
        demands: What was asked of the planner, to check the plan against.
        rules: What the plan had to keep to, likewise.
        change: What ``up`` asks of the agent.
    """

    demands: tuple[Demand, ...]
    rules: Rules
    change: Change


def plan_text(proposal: Proposal) -> str:
    """Write a plan as the text of a file; has no secrets.

    Raises:
        NoRoomError: Some replicas have no slice: such a plan is shown, never carried out.
    """
    content = PlanFile(demands=proposal.demands, rules=proposal.rules, change=proposal.change)
    return _file().text(content, tidy=_sort_sets)


def read_plan(path: Path) -> PlanFile:
    """Read a plan from a file.

    Raises:
        PlanFileError: There is none, it is damaged, or another version of gpuslice wrote it.
    """
    return _file().read(path)


def propose(node: Node, content: PlanFile, path: Path) -> Proposal:
    """Hold a plan on file against the machine as it is now. Changes nothing.

    Args:
        node: The machine.
        content: What `read_plan` returned.
        path: How to call the file in errors.

    Raises:
        PlanFileError: It has no slice for some replica, or breaks a rule.
        StateMovedError: The GPUs are not as they were when the plan was made.
        DriverError: The GPUs cannot be read.
    """
    plan, desired = content.change.plan, content.change.desired
    if plan.unplaced:
        names = ", ".join(str(unplaced.replica) for unplaced in plan.unplaced[:8])
        raise PlanFileError(f"{path} has no slice for {names}", hint=_ANEW)
    check_launches(desired, node.host.python)
    observed, record = node.driver.read(), node.read_record()
    if fingerprint(observed) != plan.fingerprint:
        raise StateMovedError(
            f"the GPUs are no longer as they were when {path} was made; nothing was changed",
            hint="plan again and look: gpuslice plan --out FILE",
        )
    owned = tuple(o for o in record.owned if o.stack == desired.stack)
    try:
        check_plan(plan, observed, content.demands, owned, content.rules)
    except BadPlanError as error:
        raise PlanFileError(
            f"{path} does not fit this machine: {error.details[0]}",
            hint=_ANEW,
            details=error.details[1:],
        ) from error
    proposal = Proposal(
        desired=desired,
        demands=content.demands,
        record=record,
        observed=observed,
        plan=plan,
        rules=content.rules,
    )
    return replace(proposal, restarts=restarts_of(node, proposal))


def _sort_sets(value: dict[str, Any]) -> None:
    """Put sets of UUIDs in an order, so that equal plans are equal text."""
    for name, uuids in value["rules"].items():
        if name in _SETS and uuids:
            value["rules"][name] = sorted(uuids)


@cache
def _file() -> VersionedFile[PlanFile]:
    return VersionedFile(
        kind="plan",
        key="gpuslice_plan",
        version=VERSION,
        adapter=cache(lambda: TypeAdapter(PlanFile)),
        error=PlanFileError,
        anew=_ANEW,
        most_bytes=MAX_BYTES,
    )
