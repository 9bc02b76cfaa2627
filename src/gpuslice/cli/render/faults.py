"""Faults of a simulated machine: what may still go wrong, and what is amiss already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.simulator.fault_file import StoredFault, stored_as_json
from gpuslice.simulator.fault_words import in_words
from gpuslice.simulator.state import MachineState, SimulatedGpu


def faults_table(stored: Sequence[StoredFault], state: MachineState) -> RenderableType:
    """Show faults with how often each has struck, and GPUs with something amiss."""
    table = Table(box=None)
    for name in ("id", "fault", "calls", "struck"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for one in stored:
        table.add_row(str(one.id), in_words(one.fault), str(one.seen), str(one.struck))
    amiss = [Text(line) for line in _amiss(state)]
    if not stored and not amiss:
        return Text("There are no faults.")
    return Group(*([table] if stored else []), *amiss)


def faults_as_json(stored: Sequence[StoredFault], state: MachineState) -> dict[str, Any]:
    """Give the same to scripts."""
    return {
        "simulated": True,
        "faults": [{**stored_as_json(one), "struck": one.struck} for one in stored],
        "gpus": [
            {
                "index": index,
                "lost": gpu.lost,
                "clients": _clients(gpu),
                "memory_step_mib": gpu.memory_step_mib,
            }
            for index, gpu in enumerate(state.gpus)
        ],
    }


def _amiss(state: MachineState) -> Iterator[str]:
    for index, gpu in enumerate(state.gpus):
        if gpu.lost:
            yield f"GPU {index} has fallen off the bus."
        for client in _clients(gpu):
            where = "" if client["start"] is None else f" on the slice at {client['start']}"
            yield f"Process {client['pid']} holds GPU {index}{where}."
        if gpu.memory_step_mib:
            step = f"{gpu.memory_step_mib:+} MiB"
            yield f"Every second slice of one profile on GPU {index} has {step}."


def _clients(gpu: SimulatedGpu) -> list[dict[str, int | None]]:
    whole: list[dict[str, int | None]] = [{"pid": pid, "start": None} for pid in gpu.clients]
    return whole + [
        {"pid": pid, "start": gi.placement.start}
        for gi in gpu.instances
        for ci in gi.compute_instances
        for pid in ci.clients
    ]
