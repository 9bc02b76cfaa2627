"""``plan`` and ``cost``: what would happen, and what it costs. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import DEFAULT_FILE, AsJson, Simulate, StackFile, machine_of

if TYPE_CHECKING:
    from gpuslice.agent.prepare import Prepared
    from gpuslice.cost.report import CostReport
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


def plan(
    *,
    file: StackFile = DEFAULT_FILE,
    simulate: Simulate = "",
    fleet: Fleet = None,
    svg: Svg = None,
    out_file: Out = None,
    slice_prices: SlicePrices = False,
    as_json: AsJson = False,
) -> None:
    """Show what `up` would do: each model's need and slice, each GPU's picture, the cost.

    Changes nothing. Exit status 4 when something finds no slice.
    """
    if fleet is not None and out_file is not None:
        message = "A fleet is on paper: there is nothing to carry out a plan on."
        raise typer.BadParameter(message, param_hint="--out")
    if fleet is None:
        prepared = _prepared(machine_of(simulate), file, prices=slice_prices)
    else:
        prepared = _on_paper(fleet, file, prices=slice_prices)
    report = _cost(prepared) if prepared.loaded.stack.prices else None
    if as_json:
        _print_json(prepared, report)
    else:
        _show(prepared, report, "" if fleet else simulate, prices=slice_prices)
    if svg is not None:
        _draw(prepared, report, svg)
    _ = prepared.change  # raises NoRoomError when something found no slice
    if out_file is not None:
        _keep(prepared, out_file)


def cost(
    *, file: StackFile = DEFAULT_FILE, simulate: Simulate = "", as_json: AsJson = False
) -> None:
    """Show what each slice and model costs, against a card of its own.

    Of the running stack where there is one; otherwise of the stack file's plan.
    """
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.cost import cost_json, cost_view

    machine = machine_of(simulate)
    report = _cost(_prepared(machine, _file_to_price(machine, file)))
    if as_json:
        print_json({"simulated": machine.simulated} | cost_json(report))
    else:
        banner(machine)
        out().print(cost_view(report))


def _file_to_price(machine: Machine, file: Path) -> Path:
    """Take the running stack's own file where none is at hand."""
    from gpuslice.agent.node import record_store

    if file != DEFAULT_FILE or file.exists():
        return file
    desired = record_store(machine).read_record().desired
    return Path(desired.stack_file) if desired is not None else file


def _print_json(prepared: Prepared, report: CostReport | None) -> None:
    from gpuslice.cli.console import print_json
    from gpuslice.cli.render.cost import cost_json
    from gpuslice.cli.render.plan import plan_json

    print_json(plan_json(prepared) | ({"cost": cost_json(report)} if report else {}))


def _show(prepared: Prepared, report: CostReport | None, simulate: str, *, prices: bool) -> None:
    from gpuslice.cli.console import banner, out, paper_banner
    from gpuslice.cli.render.cost import cost_summary
    from gpuslice.cli.render.plan import plan_view

    if prepared.on_paper:
        paper_banner()
    else:
        banner(machine_of(simulate))
    out().print(plan_view(prepared, prices=prices))
    if report:
        out().print(cost_summary(report))


def _draw(prepared: Prepared, report: CostReport | None, path: Path) -> None:
    from gpuslice.cli.files import write_file
    from gpuslice.cli.render.drawing import picture_of
    from gpuslice.cli.render.svg import svg_text

    write_file(path, svg_text(picture_of(prepared, report)))


def _keep(prepared: Prepared, path: Path) -> None:
    from gpuslice.agent.plan_file import plan_text
    from gpuslice.cli.console import err
    from gpuslice.cli.files import write_file

    write_file(path, plan_text(prepared), private=True)
    err().print(f"Carry it out with: gpuslice up --plan {path}", markup=False, soft_wrap=True)


def _prepared(machine: Machine, file: Path, *, prices: bool = False) -> Prepared:
    from gpuslice.agent.node import open_node
    from gpuslice.agent.prepare import prepare
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    return prepare(open_node(machine), loaded, prices=prices)


def _on_paper(fleet: Path, file: Path, *, prices: bool) -> Prepared:
    from gpuslice.agent.paper import prepare_on_paper
    from gpuslice.stack.fleet import load_fleet
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    return prepare_on_paper(loaded, load_fleet(fleet).fleet, prices=prices)


def _cost(prepared: Prepared) -> CostReport:
    from gpuslice.agent.pricing import price_plan

    return price_plan(prepared)
