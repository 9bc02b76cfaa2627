"""The fleet file: GPUs one might buy, by board and number, for planning without any hardware.

Separate from the stack file on purpose. A stack says what to serve and can be carried out; a fleet
says on what to imagine it, and never can. It is as strict, and read by the same reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, Strict

from gpuslice.errors import UnknownBoardError
from gpuslice.hardware import Board, board, load_boards
from gpuslice.stack import notation
from gpuslice.stack.form import Form, Section
from gpuslice.stack.problem import Problem, did_you_mean, shortened
from gpuslice.stack.read import read_bytes, understand
from gpuslice.stack.rules import price_breaches
from gpuslice.stack.schema import FileSection, PriceEntry
from gpuslice.stack.tree import Document, Listing, Scalar, Table, plain

MAX_GPUS = 4096
"""The largest fleet that is planned in the time a person waits for a prompt."""


def _board_key(value: object) -> object:
    """Check a board against the table, and call it by its first key; pydantic refuses no text."""
    if not isinstance(value, str):
        return value
    try:
        found = board(value)
    except UnknownBoardError as error:
        known = [known.key for known in load_boards() if known.has_mig]
        meant = did_you_mean(value.lower(), known) or f"; known are {', '.join(known)}"
        raise notation.NotationError(f"no board is called '{shortened(value)}'{meant}") from error
    if not found.has_mig:
        raise notation.NotationError(f"the {found.names[0]} cannot be sliced (no MIG)")
    return found.key


class FleetEntry(FileSection):
    """Some GPUs of one board."""

    board: Annotated[str, BeforeValidator(_board_key)] = Field(
        title="Board",
        description="Which board, as 'gpuslice simulate boards' lists them.",
        examples=["h200", "a100-80gb"],
    )
    count: int = Field(
        default=1,
        ge=1,
        le=MAX_GPUS,
        title="Count",
        description="How many of them.",
        examples=[4],
    )
    price: PriceEntry | None = Field(
        default=None,
        title="Price",
        description="What one of them costs; without it, the stack file's price is taken.",
        examples=[{"per_month": 2900, "currency": "EUR"}],
    )


class Fleet(FileSection):
    """A fleet file: the GPUs to plan on, in the order of their indexes."""

    gpus: Annotated[tuple[FleetEntry, ...], Strict(strict=False)] = Field(  # YAML gives lists
        title="GPUs",
        description="The GPUs, board by board; their indexes count from 0 in this order.",
        examples=[[{"board": "h200", "count": 4}, {"board": "a100-80gb", "count": 2}]],
    )

    @property
    def boards(self) -> tuple[Board, ...]:
        """The board of every GPU, by index."""
        return tuple(board(entry.board) for entry in self.gpus for _ in range(entry.count))

    @property
    def prices(self) -> dict[str, PriceEntry]:
        """The prices that the file gives, by product name."""
        return {board(e.board).names[0]: e.price for e in self.gpus if e.price is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFleet:
    """A fleet, and where it came from.

    Attributes:
        fleet: What the file says.
        path: The file, as it was named.
    """

    fleet: Fleet
    path: Path


def load_fleet(path: Path) -> LoadedFleet:
    """Read a fleet file.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    data = read_bytes(path, FLEET_FORM)
    return LoadedFleet(fleet=parse_fleet(data, file=str(path)), path=path)


def parse_fleet(data: bytes, *, file: str = "fleet.yaml") -> Fleet:
    """Understand the bytes of a fleet file; ``file`` is how the report calls it.

    Raises:
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    fleet, _ = understand(data, FLEET_FORM, file=file)
    assert isinstance(fleet, Fleet), "the form's schema is Fleet"
    return fleet


def _rule_problems(document: Document) -> list[Problem]:
    """Find what is wrong between values; any of them may be wrong, so speak only where sure."""
    gpus = document.node(("gpus",))
    entries = gpus.items if isinstance(gpus, Listing) else ()
    tables = [(n, entry) for n, entry in enumerate(entries) if isinstance(entry, Table)]
    empty = isinstance(gpus, Listing) and not gpus.items
    return [
        *([_no_gpus(document)] if empty else []),
        *_price_problems(document, tables),
        *_second_prices(document, tables),
        *_too_many(document, tables),
    ]


def _no_gpus(document: Document) -> Problem:
    """Say that the list is empty; pydantic would say it of a list of wrong entries as well."""
    text = f"is empty; {FLEET_FORM.needed}"
    return Problem(mark=document.mark(("gpus",)), path=("gpus",), text=text)


_Tables = list[tuple[int, Table]]


def _price_problems(document: Document, tables: _Tables) -> Iterator[Problem]:
    for number, _ in tables:
        node = document.node(("gpus", number, "price"))
        raw = plain(node) if isinstance(node, Table) else None
        for breach in price_breaches(raw) if isinstance(raw, dict) else ():
            path = ("gpus", number, "price", *breach.path)
            yield Problem(mark=document.mark(path), path=path, text=breach.text)


def _second_prices(document: Document, tables: _Tables) -> Iterator[Problem]:
    """Find boards with two prices: a cost report knows each product by one."""
    first: dict[object, tuple[int, object]] = {}
    for number, _ in tables:
        path = ("gpus", number, "price")
        node = document.node(path)
        key = _written_board(document, number)
        if not isinstance(node, Table) or key is None:
            continue
        line, price = first.setdefault(key, (node.mark.line, plain(node)))
        if price != plain(node):
            text = f"{key} has another price on line {line}; a board has one price"
            yield Problem(mark=document.mark(path), path=path, text=text)


def _written_board(document: Document, number: int) -> str | None:
    """Return the board of an entry by its first key, or None where it names none."""
    node = document.node(("gpus", number, "board"))
    try:
        return board(node.text).key if isinstance(node, Scalar) else None
    except UnknownBoardError:
        return None


def _too_many(document: Document, tables: _Tables) -> Iterator[Problem]:
    total = 0
    for number, _ in tables:
        node = document.node(("gpus", number, "count"))
        count = node.value if isinstance(node, Scalar) else 1
        usable = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MAX_GPUS
        total += count if usable and isinstance(count, int) else 0
        if total > MAX_GPUS:
            path = ("gpus", number)
            text = f"makes {total:,} GPUs; a fleet has at most {MAX_GPUS:,}"
            yield Problem(mark=document.mark(path), path=path, text=text)
            return


FLEET_FORM = Form(
    kind="fleet file",
    schema=Fleet,
    wanted="a fleet file is a mapping with the key gpus",
    empty="the file is empty; write for instance: gpus: [{board: h200, count: 4}]",
    hint="correct the lines named above; a fleet file is like: gpus: [{board: h200, count: 4}]",
    missing_hint="write one, such as: gpus: [{board: h200, count: 4}]",
    needed="a fleet is like gpus: [{board: h200, count: 4}]",
    list_example="[{board: h200, count: 4}]",
    sections=(
        Section(path=("gpus", None), place="gpus[…]", schema=FleetEntry),
        Section(path=("gpus", None, "price"), place="gpus[…].price", schema=PriceEntry),
    ),
    elsewhere={
        "models": "models stand in the stack file, which is named with --file",
        "prices": "write price beside the board, or prices in the stack file",
        "product": "did you mean 'board'?",
        "replicas": "did you mean 'count'?",
        "<<": "merge keys are not supported; write the keys out",
    },
    rules=_rule_problems,
)
