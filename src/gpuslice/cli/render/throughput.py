"""How fast a model is estimated to be on the slices that hold it, beside what it needs.

Separate from the rest of ``size``, because these numbers are estimates with a range, and the others
are not.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from gpuslice.cli.sizing import Answer
    from gpuslice.sizing.rating import Rating
    from gpuslice.sizing.throughput import Traffic

_IN_FULL = 2
"""Of so many boards at most every slice is shown, of more the smallest that holds the model."""


def throughput_view(answer: Answer) -> tuple[RenderableType, ...]:
    """Show tokens per second for each slice, and what that rests on; () where none holds it."""
    ratings, traffic = _ratings(answer)
    if not ratings:
        return ()
    bases: dict[str, list[str]] = {}
    for rating in ratings:
        bases.setdefault(rating.basis, []).append(rating.board)
    told = (f"{', '.join(dict.fromkeys(boards))}: {basis}" for basis, boards in bases.items())
    return (_table(ratings, traffic), *(Text(text, style="dim") for text in told), Text(""))


def throughput_json(answer: Answer) -> dict[str, Any]:
    """The same for scripts, with all digits."""
    ratings, traffic = _ratings(answer)
    return {
        "estimated": True,
        "requests": asdict(traffic),
        "slices": [asdict(rating) for rating in ratings],
    }


def _table(ratings: tuple[Rating, ...], traffic: Traffic) -> Table:
    title = (
        f"tokens/s, estimated for {traffic.concurrency:,} at a time of "
        f"{traffic.prompt_tokens:,} prompt and {traffic.answer_tokens:,} answer tokens"
    )
    table = Table(title=title, title_justify="left", title_style="", box=None)
    table.add_column("board", style="bold", no_wrap=True)
    table.add_column("slice", no_wrap=True)
    table.add_column("answered in all", style="green")
    table.add_column("decode alone")
    table.add_column("prefill alone")
    table.add_column("decode waits for")
    for rating in ratings:
        made = rating.estimate
        table.add_row(
            rating.board,
            rating.profile,
            str(made.answers),
            str(made.decode),
            str(made.prefill),
            made.bound,
        )
    return table


def _ratings(answer: Answer) -> tuple[tuple[Rating, ...], Traffic]:
    from gpuslice.hardware import board
    from gpuslice.sizing.rating import rate_board
    from gpuslice.sizing.throughput import Traffic

    load = answer.load
    traffic = Traffic.of_context(load.context_tokens, load.concurrency)
    by_board = [
        rate_board(
            answer.model,
            board(fitting.board),
            traffic,
            engine=answer.engine,
            memory_mib=answer.sized.memory_mib,
            cache=load.cache,
        )
        for fitting in answer.fittings
    ]
    most = None if len(by_board) <= _IN_FULL else 1
    return tuple(rating for ratings in by_board for rating in ratings[:most]), traffic
