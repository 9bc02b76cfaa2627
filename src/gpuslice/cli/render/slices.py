"""What the slice commands show: slices as they are, a change before it is made, and differences."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuslice.agent.partition import Partition, Scene, slice_id
from gpuslice.agent.slice_changes import needs
from gpuslice.cli.render import picture
from gpuslice.cli.render.lanes import MANY_GPUS
from gpuslice.cli.render.mode import mode_text
from gpuslice.cli.render.steps import steps_summary, steps_told, steps_view
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, PlannedSlice

_SIGNS = {"keep": ("=", ""), "destroy": ("-", "red"), "create": ("+", "green")}


def slices_table(scene: Scene, gpus: Sequence[Gpu]) -> RenderableType:
    """Show every slice of some GPUs, whose it is and what runs on it."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("slice", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("owner", overflow="fold")
    table.add_column("processes", overflow="fold")
    for gpu in gpus:
        for slice_ in _by_place(gpu):
            table.add_row(
                _named(gpu, slice_),
                f"{slice_.memory_mib:,} MiB",
                owner(scene, slice_),
                _processes(scene, slice_),
            )
    bare = [gpu for gpu in gpus if not gpu.slices]
    notes = [Text(f"GPU {g.index}: no slices, MIG {mode_text(g.mig)}", "dim") for g in bare]
    return Group(*([table] if len(bare) < len(gpus) else []), *notes)


def slices_json(scene: Scene, gpus: Sequence[Gpu]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "simulated": scene.observed.simulated,
        "slices": [_slice_json(scene, gpu, s) for gpu in gpus for s in _by_place(gpu)],
    }


def partition_view(partition: Partition, allow: Collection[str] = ()) -> RenderableType:
    """Show a change: the difference on every GPU, pictures, and what one would type.

    Args:
        partition: The change.
        allow: Names of the refusals that are lifted for it.
    """
    changing = [plan for plan in partition.plan.gpus if plan.changes]
    told = steps_summary if len(changing) > MANY_GPUS else steps_view
    same = [plan for plan in partition.plan.gpus if not plan.changes]
    return Group(
        Text(partition.title, style="bold"),
        *(Text(note, style="yellow") for note in partition.notes),
        *(part for alike in _alike(partition, changing) for part in _gpu_view(partition, alike)),
        *([picture.LEGEND] if changing else []),
        *_unchanged(partition, same),
        *([told(partition)] if changing else []),
        *(
            Text(f"{_lifted(need.allow, allow)}: {why}", "yellow")
            for need in needs(partition.scene, partition.plan)
            for why in need.why
        ),
    )


def partition_json(partition: Partition) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "simulated": partition.observed.simulated,
        "title": partition.title,
        "changes": partition.plan.changes,
        "fingerprint": partition.plan.fingerprint,
        "notes": partition.notes,
        "gpus": [
            asdict(plan) | {"index": partition.observed.gpu(plan.gpu_uuid).index}
            for plan in partition.plan.gpus
        ],
        "steps": [{"step": text, "by_hand": typed} for text, typed in steps_told(partition)],
        "needs": [asdict(need) for need in needs(partition.scene, partition.plan)],
    }


def differences(partition: Partition) -> tuple[str, ...]:
    """Say in sentences what is not as it is wished, GPU by GPU."""
    return tuple(line for plan in partition.plan.gpus for line in _differences_of(partition, plan))


def owner(scene: Scene, slice_: Slice) -> str:
    """Say whose a slice is."""
    note = scene.record.owner_of(slice_.key)
    if note is None:
        return "somebody else"
    if not note.stack:
        return "gpuslice"
    return f"stack {note.stack}" + (f", {note.replica}" if note.replica else "")


def _lifted(name: str, allow: Collection[str]) -> str:
    return f"allowed, {name}" if name in allow else f"needs --allow {name}"


def _differences_of(partition: Partition, plan: GpuPlan) -> Iterator[str]:
    gpu = partition.observed.gpu(plan.gpu_uuid)
    if plan.enable_mig or plan.disable_mig:
        wanted = "on" if plan.enable_mig else "off"
        yield f"GPU {gpu.index}: MIG mode is {mode_text(gpu.mig)} and should be {wanted}"
    for gone in plan.destroy:
        what = "is there" if gone.compute_instance_id is not None else "is there, half made,"
        yield f"GPU {gpu.index}: {_profile(gone)} at {gone.placement} {what} and should not be"
    for new in plan.create:
        place = f" at {new.placement}" if _wants_places(partition, gpu) else ""
        yield f"GPU {gpu.index}: {_profile(new)}{place} should be there and is not"


def _wants_places(partition: Partition, gpu: Gpu) -> bool:
    return any(w.gpu_uuid == gpu.uuid and w.placed is not None for w in partition.wishes)


def _alike(partition: Partition, plans: Sequence[GpuPlan]) -> list[list[GpuPlan]]:
    """Put GPUs together that look alike and change alike, so that each picture is drawn once."""
    groups: dict[tuple[object, ...], list[GpuPlan]] = {}
    for plan in plans:
        gpu = partition.observed.gpu(plan.gpu_uuid)
        rows = _rows(partition, plan)
        key_rows = tuple((what, _profile(s), s.placement, whose) for what, s, whose in rows)
        key = gpu.name, gpu.mig, plan.enable_mig, plan.disable_mig, key_rows
        groups.setdefault(key, []).append(plan)
    return list(groups.values())


def _gpu_view(partition: Partition, alike: Sequence[GpuPlan]) -> Iterator[RenderableType]:
    plan, gpus = alike[0], [partition.observed.gpu(plan.gpu_uuid) for plan in alike]
    gpu, listed = gpus[0], ", ".join(str(gpu.index) for gpu in gpus)
    ends = " → on" if plan.enable_mig else " → off" if plan.disable_mig else ""
    yield Text()
    yield Text.assemble((f"GPU {listed}  {gpu.name}", "bold"), f"  MIG {mode_text(gpu.mig)}{ends}")
    yield Padding(_diff_table(partition, plan, gpu if len(gpus) == 1 else None), (0, 0, 0, 2))
    if gpu.geometry is not None:
        yield Padding(_drawing(partition, plan, gpu), (0, 0, 1, 2))


def _rows(partition: Partition, plan: GpuPlan) -> list[tuple[str, Slice | PlannedSlice, str]]:
    """What happens to each slice of a GPU, by place: the word, the slice, and whose it is."""
    rows: list[tuple[str, Slice | PlannedSlice, str]] = [
        *(("keep", s, owner(partition.scene, s)) for s in (*plan.keep, *plan.foreign)),
        *(("destroy", s, owner(partition.scene, s)) for s in plan.destroy),
        *(("create", s, "") for s in plan.create),
    ]
    return sorted(rows, key=lambda row: (row[1].placement, row[0] == "create"))


def _diff_table(partition: Partition, plan: GpuPlan, gpu: Gpu | None) -> Table:
    """List what happens on a GPU; slices are named where it is one and not several alike."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for what, slice_, whose in _rows(partition, plan):
        sign, style = _SIGNS[what]
        named = slice_id(slice_, gpu.index) if gpu and isinstance(slice_, Slice) else ""
        place = str(slice_.placement)
        table.add_row(sign, what, _profile(slice_), place, named, whose, style=style)
    return table


def _drawing(partition: Partition, plan: GpuPlan, gpu: Gpu) -> Table:
    assert gpu.geometry is not None, "the caller has asked"
    owners = {owned.slice: owned.replica for owned in partition.scene.record.owned}
    grid = gpu.geometry.memory_slices
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_row("", picture.ruler(grid))
    table.add_row("now", picture.row(picture.before_cells(plan, owners), grid))
    table.add_row("then", picture.row(picture.after_cells(plan, ()), grid))
    return table


def _unchanged(partition: Partition, same: Sequence[GpuPlan]) -> Iterator[RenderableType]:
    if same:
        listed = ", ".join(str(partition.observed.gpu(p.gpu_uuid).index) for p in same)
        yield Text(f"GPU {listed}: as it should be, nothing to do.", style="dim")


def _profile(slice_: Slice | PlannedSlice) -> str:
    sizes = [p if isinstance(p, int) else p.compute_slices for p in slice_.parts]
    return (
        f"{slice_.profile} ({' + '.join(f'{size}c' for size in sizes)})"
        if sizes
        else (slice_.profile)
    )


def _named(gpu: Gpu, slice_: Slice) -> Text:
    """What a slice is, with the UUIDs below: beside everything else they have no room."""
    text = Text.assemble(
        (f"{slice_id(slice_, gpu.index):<6}", "bold"), f"{_profile(slice_)} at {slice_.placement}"
    )
    for uuid in _uuids(slice_) or ("no compute instance: half made",):
        text.append(f"\n{uuid}", style="dim")
    return text


def _processes(scene: Scene, slice_: Slice) -> str:
    found = scene.holders(slice_)
    return ", ".join(f"{p.name or 'a process'} ({p.pid})" for p in found) or "–"


def _uuids(slice_: Slice) -> tuple[str, ...]:
    return tuple(filter(None, [part.uuid for part in slice_.parts] or [slice_.uuid]))


def _by_place(gpu: Gpu) -> list[Slice]:
    return sorted(gpu.slices, key=lambda s: (s.placement, s.gpu_instance_id))


def _slice_json(scene: Scene, gpu: Gpu, slice_: Slice) -> dict[str, Any]:
    note = scene.record.owner_of(slice_.key)
    return asdict(slice_) | {
        "gpu": gpu.index,
        "id": slice_id(slice_, gpu.index),
        "ours": note is not None,
        "stack": (note.stack or None) if note else None,
        "replica": str(note.replica) if note and note.replica else None,
        "processes": [asdict(p) for p in scene.holders(slice_)],
    }
