"""A plan on file: what ``plan --out`` writes and ``up --plan`` carries out.

Separate from `prepare`, which makes a plan, because here one comes back from disk. It may be old,
damaged or edited, so nothing in it is believed: it is held against the GPUs as they are now by the
same independent check that every new plan goes through, and the agent compares the fingerprint
once more when its turn comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gpuslice.agent.node import Node
from gpuslice.agent.prepare import check_launches
from gpuslice.agent.proposal import Proposal
from gpuslice.errors import BadPlanError, PlanFileError, StateMovedError
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.desired import Change
from gpuslice.planner.check import check_plan
from gpuslice.planner.fingerprint import fingerprint

VERSION = 2
"""Raised when a file of an earlier gpuslice would be misread."""

_ANEW = "make it anew: gpuslice plan --out FILE"
_SETS = ("gpus", "drained", "addable")
_VERSION_KEY = "gpuslice_plan"


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
    value = {_VERSION_KEY: VERSION, **_adapter().dump_python(content, mode="json")}
    for name, uuids in value["rules"].items():
        if name in _SETS and uuids:  # in an order of their own, so that equal plans are equal text
            value["rules"][name] = sorted(uuids)
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def read_plan(path: Path) -> PlanFile:
    """Read a plan from a file.

    Raises:
        PlanFileError: There is none, it is damaged, or another version of gpuslice wrote it.
    """
    value = _json(path)
    version = value.pop(_VERSION_KEY, None)
    if version is None:
        raise PlanFileError(f"{path} is no plan of gpuslice", hint=_ANEW)
    if version != VERSION:
        message = f"{path} is a plan of version {version!r}, and this gpuslice reads {VERSION}"
        raise PlanFileError(message, hint=_ANEW)
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        raise PlanFileError(
            f"{path} is damaged ({error.error_count()} problems)",
            hint=_ANEW,
            details=tuple(".".join(map(str, e["loc"])) for e in error.errors()[:3]),
        ) from error


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
    return Proposal(
        desired=desired,
        demands=content.demands,
        record=record,
        observed=observed,
        plan=plan,
        rules=content.rules,
    )


@cache
def _adapter() -> TypeAdapter[PlanFile]:
    return TypeAdapter(PlanFile)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise PlanFileError(f"there is no plan {path}", hint=_ANEW) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise PlanFileError(message, hint="check the path and its permissions") from error
    except (ValueError, RecursionError) as error:  # no JSON, no text, or nested without end
        raise PlanFileError(f"{path} is damaged: it is no JSON", hint=_ANEW) from error
    if not isinstance(value, dict):
        raise PlanFileError(f"{path} is no plan of gpuslice", hint=_ANEW)
    return value
