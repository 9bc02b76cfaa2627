"""The steps of a plan, and what one would type for each: all of them, or by kind where many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, assert_never

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.handover import Act, Leave, Steps, steps_of
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Plan
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    by_hand,
    describe,
    gpu_of,
    steps,
)

_SPELLED_OUT = 3


class Planned(Protocol):
    """A plan and the machine it was made from; what else there is does not matter here."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    @property
    def observed(self) -> Observed:
        """The machine."""


def steps_view(proposal: Planned, acts: Sequence[Act] = ()) -> RenderableType:
    """List what would be done, and what one would type to do it by hand.

    Args:
        proposal: The plan.
        acts: Its steps with the leaving of servers between them; none where no server is in play.
    """
    told: list[tuple[str, str]] = []
    for act in acts or (Steps(steps=steps(proposal.plan)),):
        match act:
            case Steps():
                told += _told(proposal, act.steps)
            case Leave():
                told.append((_leaving(proposal, act), ""))
            case _:
                assert_never(act)
    return told_view(told)


def told_view(told: Sequence[tuple[str, str]]) -> RenderableType:
    """List steps in words, each with what one would type; says so where there are none."""
    if not told:
        return _nothing()
    table = _table()
    for number, (text, typed) in enumerate(told, start=1):
        table.add_row(f"{number}.", text, typed)
    return table


def steps_summary(proposal: Planned) -> RenderableType:
    """Add up what would be done by kind, with the first few of each kind spelled out."""
    kinds: dict[type[Step], list[Step]] = {}
    for step in steps(proposal.plan):
        kinds.setdefault(type(step), []).append(step)
    if not kinds:
        return _nothing()
    table = _table()
    for same in kinds.values():
        table.add_row("•", Text(_kind(same), style="bold"), "")
        for text, typed in _told(proposal, same[:_SPELLED_OUT]):
            table.add_row("", f"  {text}", typed)
        if len(same) > _SPELLED_OUT:
            table.add_row("", f"  … and {len(same) - _SPELLED_OUT:,} more (--json has all)", "")
    return table


def steps_told(proposal: Planned, acts: Sequence[Act] = ()) -> Iterator[tuple[str, str]]:
    """Tell every step in words and as a person would type it, in the order of `steps_view`."""
    return _told(proposal, steps_of(acts) or steps(proposal.plan))


def _leaving(proposal: Planned, leave: Leave) -> str:
    """Say whose old servers leave."""
    servers = proposal.plan.servers
    names = [str(s.replica) for s in servers if s.origin and s.origin.key in leave.slices]
    whose = "server of" if len(names) == 1 else "servers of"
    return f"once all others are ready: let the old {whose} {', '.join(names)} finish, and stop"


def _told(proposal: Planned, todo: Sequence[Step]) -> Iterator[tuple[str, str]]:
    gpus = {gpu.uuid: gpu for gpu in proposal.observed.gpus}
    for step in todo:
        # Of one GPU only: looking it up among thousands, for every step, would take seconds.
        only = replace(proposal.observed, gpus=(gpus[gpu_of(step)],))
        yield describe(step, only.gpus), by_hand(step, only)


def _kind(same: Sequence[Step]) -> str:
    """Say what many steps of one kind do together."""
    count = len(same)
    match same[0]:
        case EnableMig():
            return f"enable MIG mode on {count:,} GPUs"
        case DisableMig():
            return f"disable MIG mode on {count:,} GPUs"
        case DestroySlice():
            return f"destroy {count:,} slices: {_profiles(same)}"
        case CreateSlice():
            return f"create {count:,} slices: {_profiles(same)}"
        case _:
            assert_never(same[0])


def _profiles(same: Sequence[Step]) -> str:
    names = Counter(_profile(step) for step in same)
    return ", ".join(f"{count:,} × {name}" for name, count in sorted(names.items()))


def _profile(step: Step) -> str:
    match step:
        case EnableMig() | DisableMig():
            return ""
        case DestroySlice(slice=gone):
            return gone.profile
        case CreateSlice(planned=new):
            return new.profile
        case _:
            assert_never(step)


def _nothing() -> Text:
    return Text("\nNo slice and no mode has to change.", style="green")


def _table() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title="\nSteps", title_justify="left")
    table.add_column("")
    table.add_column("")
    table.add_column("by hand", style="dim", overflow="fold")
    return table
