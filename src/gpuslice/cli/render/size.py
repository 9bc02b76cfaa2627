"""What a model needs, line by line, and what each board offers for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gpuslice.cli.render.throughput import throughput_json, throughput_view

if TYPE_CHECKING:
    from gpuslice.cli.sizing import Answer
    from gpuslice.sizing.fitting import Fitting


def size_view(answer: Answer) -> RenderableType:
    """Show the sum, the boards, and what should be known beside them."""
    return Group(
        _parts_table(answer),
        Text(""),
        _boards_table(answer),
        Text(""),
        *throughput_view(answer),
        *_notes(answer),
    )


def size_json(answer: Answer) -> dict[str, Any]:
    """The same for scripts, with the figures of a roofline."""
    architecture = answer.model.architecture
    return {
        "model": answer.source,
        "engine": answer.engine,
        "architecture": architecture.name,
        "exact": architecture.exact,
        "context_tokens": answer.load.context_tokens,
        "concurrency": answer.load.concurrency,
        "cache": answer.load.cache.value,
        "longest_context": architecture.longest_context or None,
        "memory_mib": answer.sized.memory_mib,
        "parts": [asdict(part) for part in answer.sized.parts],
        "weights_bytes": answer.model.weights.bytes,
        "weights": [asdict(part) for part in answer.model.weights.parts],
        "cache_bytes_per_token": architecture.bytes_per_token(answer.load.cache),
        "state_bytes_per_request": architecture.state_bytes,
        "work": asdict(answer.model.work),
        "boards": [asdict(fitting) for fitting in answer.fittings],
        "throughput": throughput_json(answer),
        "notes": list(architecture.notes),
    }


def _parts_table(answer: Answer) -> Table:
    architecture = answer.model.architecture
    kind = architecture.name or "a model"
    title = f"{answer.source}  {kind} on {answer.engine}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.add_column("what", overflow="fold")
    table.add_column("MiB", justify="right", no_wrap=True)
    table.add_column("how that comes about", overflow="fold", style="dim")
    for part in answer.sized.parts:
        table.add_row(part.name, f"{part.memory_mib:,}", part.rule)
    sign = "" if architecture.exact else "at most "
    table.add_row(
        Text("the slice has to have", style="bold"),
        Text(f"{sign}{answer.sized.memory_mib:,}", style="bold"),
        "the sum",
    )
    return table


def _boards_table(answer: Answer) -> Table:
    table = Table(title="smallest slice that holds it", title_justify="left", box=None)
    table.add_column("board", style="bold", no_wrap=True)
    table.add_column("slice", no_wrap=True)
    table.add_column("left MiB", justify="right", no_wrap=True)
    table.add_column("requests", justify="right", no_wrap=True)
    table.add_column("one smaller, and what that takes", overflow="fold")
    for fitting in answer.fittings:
        table.add_row(
            fitting.board,
            Text(fitting.choice.profile, style="green") if fitting.choice else "none",
            f"{fitting.left_mib:,}" if fitting.choice else "–",
            f"{fitting.requests:,}" if fitting.choice else "–",
            _smaller_text(fitting),
        )
    return table


def _smaller_text(fitting: Fitting) -> str:
    if fitting.smaller is None:
        return "there is none"
    name = fitting.smaller.profile
    if not fitting.instead:
        return f"{name}: not by less context, fewer requests, or a smaller cache or weights"
    return f"{name} with {' or '.join(fitting.instead)}"


def _notes(answer: Answer) -> list[Text]:
    architecture = answer.model.architecture
    notes = list(architecture.notes)
    if answer.load.context_tokens > architecture.longest_context > 0:
        notes.append(f"the model was made for {architecture.longest_context:,} tokens")
    if any("fp8 weights" in fitting.instead for fitting in answer.fittings):
        notes.append("fp8 weights: --quantization fp8, here and in the engine's args")
    remarks: dict[str, list[str]] = {}
    for fitting in answer.fittings:
        if fitting.remark:
            remarks.setdefault(fitting.remark, []).append(fitting.board)
    notes += [f"{', '.join(boards)}: {remark}" for remark, boards in remarks.items()]
    return [Text.assemble(("note ", "yellow"), note) for note in notes]
