"""``plan`` and ``cost``: what would happen, and what it costs. They change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import (
    DEFAULT_FILE,
    AsJson,
    Drain,
    Moves,
    Simulate,
    StackFile,
    gpus_named,
    machine_of,
)

if TYPE_CHECKING:
    from gpuslice.agent.proposal import PlanOptions, Prepared, Tell
    from gpuslice.cost.report import CostReport
    from gpuslice.model.certificate import FrontierPoint
    from gpuslice.model.machine import Machine

Fleet = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Plan on paper, on the GPUs this fleet file describes; needs no GPU and no driver.",
    ),
]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Also draw the plan as an SVG picture.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Also write the plan, for gpuslice up --plan FILE to carry out exactly that.",
    ),
]
SlicePrices = Annotated[
    bool,
    typer.Option("--slice-prices", help="Also show what one more slice would cost, in GPUs."),
]


Frontier = Annotated[
    bool,
    typer.Option("--frontier", help="Also show how many GPUs each number of moves saves."),
]
Limit = Annotated[
    float,
    typer.Option(
        "--limit",
        metavar="SECONDS",
        min=0,
        help="How long the solver may take; the plan then says how good it is known to be.",
    ),
]


def plan(  # noqa: PLR0913 - one parameter for each option
    *,
    file: StackFile = DEFAULT_FILE,
    simulate: Simulate = "",
    fleet: Fleet = None,
    moves: Moves = None,
    drain: Drain = None,
    frontier: Frontier = False,
    slice_prices: SlicePrices = False,
    limit: Limit = 60,
    svg: Svg = None,
    out_file: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show what `up` would do: each model's need and slice, each GPU's picture, the cost.

    Changes nothing. Exit status 4 when something finds no slice.
    """
    from gpuslice.agent.proposal import PlanOptions

    if fleet is not None and out_file is not None:
        message = "A fleet is on paper: there is nothing to carry out a plan on."
        raise typer.BadParameter(message, param_hint="--out")
    options = PlanOptions(
        most_moves=moves, drain=gpus_named(drain), limit_s=limit, slice_prices=slice_prices
    )
    answer = _answer(fleet, file, simulate, options, frontier=frontier, quiet=as_json)
    if as_json:
        _print_json(answer)
    else:
        _show(answer, "" if fleet else simulate, prices=slice_prices)
    if svg is not None:
        _draw(answer, svg)
    _ = answer.prepared.change  # raises NoRoomError when something found no slice
    if out_file is not None:
        _keep(answer.prepared, out_file)


def cost(
    *, file: StackFile = DEFAULT_FILE, simulate: Simulate = "", as_json: AsJson = False
) -> None:
    """Show what each slice and model costs, against a card of its own.

    Of the running stack where there is one; otherwise of the stack file's plan.
    """
    from gpuslice.agent.proposal import PlanOptions
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.cost import cost_json, cost_view
    from gpuslice.cli.render.progress import Thinking

    machine = machine_of(simulate)
    with Thinking(quiet=as_json) as thinking:
        path = file_in_question(machine, file)
        report = _cost(_prepared(machine, path, PlanOptions(), thinking.tell))
    if as_json:
        print_json({"simulated": machine.simulated} | cost_json(report))
    else:
        banner(machine)
        out().print(cost_view(report))


def file_in_question(machine: Machine, file: Path) -> Path:
    """Take the running stack's own file where none is at hand."""
    from gpuslice.agent.node import record_store

    if file != DEFAULT_FILE or file.exists():
        return file
    desired = record_store(machine).read_record().desired
    return Path(desired.stack_file) if desired is not None else file


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is shown.

    Attributes:
        prepared: The plan.
        report: Its cost, where every card that it uses has a price.
        points: The trade of GPUs against moves, or None where it was not asked for.
    """

    prepared: Prepared
    report: CostReport | None
    points: tuple[FrontierPoint, ...] | None


def _answer(
    fleet: Path | None,
    file: Path,
    simulate: str,
    options: PlanOptions,
    *,
    frontier: bool,
    quiet: bool,
) -> _Answer:
    from gpuslice.agent.prepare import trade_off
    from gpuslice.cli.render.progress import Thinking

    with Thinking(quiet=quiet) as thinking:
        if fleet is None:
            prepared = _prepared(machine_of(simulate), file, options, thinking.tell)
        else:
            prepared = _on_paper(fleet, file, options, thinking.tell)
        points = None
        if frontier:
            thinking.tell("weighing GPUs against moves")
            points = trade_off(prepared, limit_s=options.limit_s)
    return _Answer(prepared=prepared, report=_report(prepared), points=points)


def _report(prepared: Prepared) -> CostReport | None:
    """Price a plan where that can be done; where it cannot, a note of the plan says why."""
    from gpuslice.errors import PriceMissingError

    if not prepared.loaded.stack.prices:
        return None
    try:
        return _cost(prepared)
    except PriceMissingError:
        return None


def _print_json(answer: _Answer) -> None:
    from gpuslice.cli.console import print_json
    from gpuslice.cli.render.cost import cost_json
    from gpuslice.cli.render.frontier import frontier_json
    from gpuslice.cli.render.plan import plan_json

    shown = plan_json(answer.prepared)
    if answer.report:
        shown["cost"] = cost_json(answer.report)
    if answer.points is not None:
        shown["frontier"] = frontier_json(answer.prepared, answer.points)
    print_json(shown)


def _show(answer: _Answer, simulate: str, *, prices: bool) -> None:
    from gpuslice.cli.console import banner, out, paper_banner
    from gpuslice.cli.render.cost import cost_summary
    from gpuslice.cli.render.frontier import frontier_view
    from gpuslice.cli.render.plan import plan_view

    if answer.prepared.on_paper:
        paper_banner()
    else:
        banner(machine_of(simulate))
    out().print(plan_view(answer.prepared, prices=prices))
    if answer.points is not None:
        out().print(frontier_view(answer.prepared, answer.points))
    if answer.report:
        out().print(cost_summary(answer.report))


def _draw(answer: _Answer, path: Path) -> None:
    from gpuslice.cli.files import write_file
    from gpuslice.cli.render.drawing import picture_of
    from gpuslice.cli.render.svg import svg_text

    write_file(path, svg_text(picture_of(answer.prepared, answer.report)))


def _keep(prepared: Prepared, path: Path) -> None:
    from gpuslice.agent.plan_file import plan_text
    from gpuslice.cli.console import err
    from gpuslice.cli.files import write_file

    write_file(path, plan_text(prepared), private=True)
    err().print(f"Carry it out with: gpuslice up --plan {path}", markup=False, soft_wrap=True)


def _prepared(machine: Machine, file: Path, options: PlanOptions, tell: Tell) -> Prepared:
    from gpuslice.agent.node import open_node
    from gpuslice.agent.prepare import prepare
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    return prepare(open_node(machine), loaded, options, tell=tell)


def _on_paper(fleet: Path, file: Path, options: PlanOptions, tell: Tell) -> Prepared:
    from gpuslice.agent.paper import prepare_on_paper
    from gpuslice.stack.fleet import load_fleet
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    return prepare_on_paper(loaded, load_fleet(fleet), options, tell=tell)


def _cost(prepared: Prepared) -> CostReport:
    from gpuslice.agent.pricing import price_plan

    return price_plan(prepared)
