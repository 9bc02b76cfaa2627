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
    from gpuslice.sizing.throughput import Range, Traffic

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
    dim = (Text(text, style="dim") for text in told)
    return (_title(traffic), _table(ratings), *dim, Text(""))


def throughput_json(answer: Answer) -> dict[str, Any]:
    """The same for scripts, with all digits."""
    ratings, traffic = _ratings(answer)
    return {
        "estimated": True,
        "requests": asdict(traffic),
        "slices": [asdict(rating) for rating in ratings],
    }


def _title(traffic: Traffic) -> Text:
    return Text(
        f"tokens/s, estimated for {traffic.concurrency:,} at a time of "
        f"{traffic.prompt_tokens:,} prompt and {traffic.answer_tokens:,} answer tokens"
    )


def _table(ratings: tuple[Rating, ...]) -> Table:
    table = Table(box=None)
    table.add_column("board", style="bold", no_wrap=True)
    table.add_column("slice", no_wrap=True)
    table.add_column("answered\nin all", style="green")
    table.add_column("decode\nalone")
    table.add_column("prefill\nalone")
    table.add_column("waits\nfor")
    for rating in ratings:
        made = rating.estimate
        table.add_row(
            rating.board,
            rating.profile,
            *(_on_two_lines(each) for each in (made.answers, made.decode, made.prefill)),
            made.bound,
        )
    return table


def _on_two_lines(estimated: Range) -> str:
    """Put the range below the number, so that all columns fit into eighty characters."""
    return str(estimated).replace(" (", "\n(")


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
