"""Tables of what a machine has: findings, GPUs, profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.agent.doctor import Finding, Verdict
from gpuslice.cli.render.mode import mode_text
from gpuslice.hardware import MIG_PRODUCTS
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.model.gpu import Gpu, Observed

_MARKS = {
    Verdict.GOOD: Text("ok", style="green"),
    Verdict.NOTE: Text("note", style="yellow"),
    Verdict.BAD: Text("mend", style="bold red"),
}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Show each finding with its remedy below."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.verdict], finding.subject, finding.text)
        if finding.remedy:
            table.add_row("", "", Text(f"→ {finding.remedy}", style="cyan"))
    return table


def gpus_table(observed: Observed) -> Table:
    """Show one row per GPU."""
    table = Table(title=f"driver {observed.driver_version}", title_justify="left", box=None)
    for name in ("GPU", "product", "memory", "MIG", "persistence", "slices", "UUID"):
        table.add_column(name, overflow="fold")
    for gpu in observed.gpus:
        persistence = {True: "on", False: "off", None: "?"}[gpu.persistence_mode]
        slices = _slices(gpu)
        table.add_row(
            str(gpu.index),
            gpu.name,
            f"{gpu.memory_mib:,} MiB",
            mode_text(gpu.mig),
            persistence,
            slices,
            gpu.uuid,
        )
    return table


def _slices(gpu: Gpu) -> str:
    if not gpu.shows_slices:
        return "?"
    return ", ".join(f"{s.profile}@{s.placement}" for s in gpu.slices) or "–"


def _free(gpu: Gpu, geometry: Geometry, profile: Profile) -> int | None:
    """How many more fit, or None where nobody can say what lies there."""
    return geometry.free(gpu.occupied, profile) if gpu.shows_slices else None


def gpus_json(observed: Observed) -> dict[str, Any]:
    """The same for scripts; geometry is left to ``profiles``."""
    gpus = []
    for gpu in observed.gpus:
        row = asdict(gpu)
        del row["geometry"]
        gpus.append(row | {"architecture": gpu.architecture.value})
    return {
        "simulated": observed.simulated,
        "driver_version": observed.driver_version,
        "gpus": gpus,
        "lost": list(observed.lost),
    }


def profiles_table(gpu: Gpu) -> RenderableType:
    """Show every profile of one GPU."""
    title = f"GPU {gpu.index}  {gpu.name}  MIG {mode_text(gpu.mig)}"
    if gpu.geometry is None:
        return Group(Text(title, style="bold"), Text(f"  no MIG on this product. {MIG_PRODUCTS}\n"))
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.add_column("profile", style="bold")
    for name in ("id", "memory MiB", "compute", "SMs", "free/most"):
        table.add_column(name, justify="right")
    table.add_column("placements (start:size, in memory slices)")
    for profile in gpu.geometry.profiles:
        free = _free(gpu, gpu.geometry, profile)
        table.add_row(
            profile.name,
            str(profile.id),
            f"{profile.memory_mib:,}",
            f"{profile.compute_slices}/{gpu.geometry.compute_slices}",
            str(profile.sm_count),
            f"{'?' if free is None else free}/{profile.max_instances}",
            placements_text(profile),
        )
    return table


def placements_text(profile: Profile) -> str:
    """Write placements as nvidia-smi does: ``{0,2,4}:2``."""
    starts = ",".join(str(p.start) for p in profile.placements)
    return f"{{{starts}}}:{profile.memory_slices}"


def profiles_json(observed: Observed) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "simulated": observed.simulated,
        "gpus": [
            {
                "index": gpu.index,
                "uuid": gpu.uuid,
                "name": gpu.name,
                "profiles": [
                    asdict(profile) | {"free": _free(gpu, gpu.geometry, profile)}
                    for profile in gpu.geometry.profiles
                ]
                if gpu.geometry
                else None,
                "unseen": [asdict(unseen) for unseen in gpu.unseen],
            }
            for gpu in observed.gpus
        ],
    }
