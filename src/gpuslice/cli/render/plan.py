"""A plan as a person reads it: needs and slices, pictures of the GPUs, steps, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuslice.agent.prepare import Prepared
from gpuslice.cli.render import picture
from gpuslice.cli.render.mode import mode_text
from gpuslice.model.gpu import Gpu, SliceKey
from gpuslice.model.plan import Demand, GpuPlan, ReplicaId, Seat
from gpuslice.planner.steps import by_hand, describe, steps


def plan_view(prepared: Prepared) -> RenderableType:
    """Show the whole plan."""
    return Group(
        Text(f"Plan for stack {prepared.desired.stack}", style="bold"),
        seats_table(prepared),
        Text(),
        *pictures(prepared),
        steps_view(prepared),
    )


def seats_table(prepared: Prepared) -> Table:
    """Show each model's need, and each replica's slice and why."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("replica", "engine", "needs", "slice", "GPU", "at", "memory", ""):
        table.add_column(name, justify="right" if name == "memory" else "left")
    engines = {model.name: model.engine for model in prepared.desired.models}
    for demand in prepared.demands:
        seats = [s for s in prepared.plan.seats if s.replica.model == demand.model]
        for number, seat in enumerate(seats):
            need = needs_text(demand) if number == 0 else "  〃"
            table.add_row(*_seat_row(prepared, seat, engines[demand.model], need))
    return table


def needs_text(demand: Demand) -> str:
    """Say what a model needs and why."""
    if demand.profile is not None:
        return f"{demand.profile}, {demand.reason}"
    return f"{demand.memory_mib:,} MiB: {demand.reason}"


def pictures(prepared: Prepared) -> Iterator[RenderableType]:
    """Draw every GPU that the stack may use, before and after where something changes."""
    owners = {owned.slice: owned.replica for owned in prepared.record.owned}
    for gpu_plan in prepared.plan.gpus:
        gpu = prepared.observed.gpu(gpu_plan.gpu_uuid)
        yield Text(f"GPU {gpu.index}  {gpu.name}  MIG {_mode(gpu, gpu_plan)}", style="bold")
        for note in gpu_plan.notes:
            yield Text(f"  {note}", style="yellow")
        yield Padding(_drawing(gpu, gpu_plan, owners, prepared.plan.seats), (0, 0, 1, 2))
    yield picture.LEGEND


def steps_view(prepared: Prepared) -> RenderableType:
    """List what would be done, and what one would type to do it by hand."""
    todo = steps(prepared.plan)
    if not todo:
        return Text("\nNo slice and no mode has to change.", style="green")
    table = Table(box=None, padding=(0, 2, 0, 0), title="\nSteps", title_justify="left")
    table.add_column("")
    table.add_column("")
    table.add_column("by hand", style="dim", overflow="fold")
    for number, step in enumerate(todo, start=1):
        text = describe(step, prepared.observed.gpus)
        table.add_row(f"{number}.", text, by_hand(step, prepared.observed))
    return table


def plan_json(prepared: Prepared) -> dict[str, Any]:
    """The same for scripts."""
    plan = prepared.plan
    return {
        "simulated": prepared.observed.simulated,
        "stack": prepared.desired.stack,
        "changes": plan.changes,
        "fingerprint": plan.fingerprint,
        "demands": [asdict(demand) for demand in prepared.demands],
        "gpus": [asdict(gpu) for gpu in plan.gpus],
        "seats": [asdict(seat) for seat in plan.seats],
        "unplaced": [asdict(unplaced) for unplaced in plan.unplaced],
        "steps": [
            {
                "step": describe(step, prepared.observed.gpus),
                "by_hand": by_hand(step, prepared.observed),
            }
            for step in steps(plan)
        ],
    }


def _seat_row(prepared: Prepared, seat: Seat, engine: str, need: str) -> tuple[str, ...]:
    slice_ = seat.slice
    return (
        str(seat.replica),
        engine,
        need,
        slice_.profile,
        str(prepared.observed.gpu(slice_.gpu_uuid).index),
        str(slice_.placement),
        f"{slice_.memory_mib:,} MiB",
        "stays" if seat.kept else "new",
    )


def _mode(gpu: Gpu, gpu_plan: GpuPlan) -> str:
    return "off → on" if gpu_plan.enable_mig else mode_text(gpu.mig)


def _drawing(
    gpu: Gpu,
    gpu_plan: GpuPlan,
    owners: dict[SliceKey, ReplicaId | None],
    seats: tuple[Seat, ...],
) -> Table:
    grid = gpu.geometry.memory_slices if gpu.geometry else 1
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_row("", picture.ruler(grid))
    if gpu_plan.destroy:
        table.add_row("now", picture.row(picture.before_cells(gpu_plan, owners), grid))
    table.add_row(
        "then" if gpu_plan.destroy else "", picture.row(picture.after_cells(gpu_plan, seats), grid)
    )
    return table
