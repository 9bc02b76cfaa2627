"""``plan`` and ``cost``: what would happen, and what it costs. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuslice.cli.options import DEFAULT_FILE, AsJson, Simulate, StackFile, machine_of

if TYPE_CHECKING:
    from gpuslice.agent.prepare import Prepared
    from gpuslice.cost.report import CostReport
    from gpuslice.model.machine import Machine


def plan(
    *, file: StackFile = DEFAULT_FILE, simulate: Simulate = "", as_json: AsJson = False
) -> None:
    """Show what `up` would do: each model's need and slice, each GPU's picture, the cost.

    Changes nothing. Exit status 4 when something finds no slice.
    """
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.plan import plan_json, plan_view

    machine = machine_of(simulate)
    prepared = _prepared(machine, file)
    priced = bool(prepared.loaded.stack.prices)
    if as_json:
        print_json(plan_json(prepared) | (_cost_json(prepared) if priced else {}))
    else:
        banner(machine)
        out().print(plan_view(prepared))
        if priced:
            from gpuslice.cli.render.cost import cost_summary

            out().print(cost_summary(_cost(prepared)))
    _ = prepared.change  # raises NoRoomError when something found no slice


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


def _prepared(machine: Machine, file: Path) -> Prepared:
    from gpuslice.agent.node import open_node
    from gpuslice.agent.prepare import prepare
    from gpuslice.stack.load import load_stack

    loaded = load_stack(file)
    return prepare(open_node(machine), loaded)


def _cost_json(prepared: Prepared) -> dict[str, Any]:
    from gpuslice.cli.render.cost import cost_json

    return {"cost": cost_json(_cost(prepared))}


def _cost(prepared: Prepared) -> CostReport:
    from gpuslice.agent.pricing import price_plan

    return price_plan(prepared)
