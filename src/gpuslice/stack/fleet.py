"""The fleet file: GPUs to plan on, and GPUs that may be added, for planning without any hardware.

Separate from the stack file on purpose. A stack says what to serve and can be carried out; a fleet
says on what to imagine it, and never can. It is as strict, and read by the same reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, Strict

from gpuslice.errors import UnknownBoardError
from gpuslice.hardware import Board, board, load_boards
from gpuslice.stack import notation
from gpuslice.stack.fleet_rules import EXAMPLE, LISTS, MAX_GPUS, fleet_problems
from gpuslice.stack.form import Form, Section
from gpuslice.stack.problem import KeyPath, Problem, did_you_mean, shortened
from gpuslice.stack.read import read_bytes, report, understand
from gpuslice.stack.schema import PriceEntry
from gpuslice.stack.section import FileSection
from gpuslice.stack.tree import Document


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


Entries = Annotated[tuple[FleetEntry, ...], Strict(strict=False)]  # YAML gives lists


class Fleet(FileSection):
    """A fleet file: the GPUs to plan on, in the order of their indexes, and those to be had."""

    gpus: Entries = Field(
        default=(),
        title="GPUs",
        description="The GPUs, board by board; their indexes count from 0 in this order.",
        examples=[[{"board": "h200", "count": 4}, {"board": "a100-80gb", "count": 2}]],
    )
    may_add: Entries = Field(
        default=(),
        title="GPUs that may be added",
        description=(
            "GPUs that are not there, but may be added where the others do not suffice; as few "
            "and as cheap ones as will do. Their indexes follow those of `gpus`."
        ),
        examples=[[{"board": "h200", "count": 4}]],
    )

    @property
    def boards(self) -> tuple[Board, ...]:
        """The board of every GPU that is there, by index."""
        return _boards(self.gpus)

    @property
    def addable_boards(self) -> tuple[Board, ...]:
        """The board of every GPU that may be added, in the order of the file."""
        return _boards(self.may_add)

    @property
    def prices(self) -> dict[str, PriceEntry]:
        """The prices that the file gives, by product name."""
        entries = (*self.gpus, *self.may_add)
        return {board(e.board).names[0]: e.price for e in entries if e.price is not None}


def _boards(entries: tuple[FleetEntry, ...]) -> tuple[Board, ...]:
    return tuple(board(entry.board) for entry in entries for _ in range(entry.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFleet:
    """A fleet, and where it came from.

    Attributes:
        fleet: What the file says.
        path: The file, as it was named.
        document: The file as a tree, for the places of values.
    """

    fleet: Fleet
    path: Path
    document: Document = field(repr=False, compare=False)


def load_fleet(path: Path) -> LoadedFleet:
    """Read a fleet file.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    fleet, document = _understood(read_bytes(path, FLEET_FORM), str(path))
    return LoadedFleet(fleet=fleet, path=path, document=document)


def parse_fleet(data: bytes, *, file: str = "fleet.yaml") -> Fleet:
    """Understand the bytes of a fleet file; ``file`` is how the report calls it.

    Raises:
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    return _understood(data, file)[0]


def check_prices(loaded: LoadedFleet, unpriced: Collection[str]) -> None:
    """Refuse a fleet of which some products have a price and others none.

    A plan would hold money against numbers of GPUs.

    Args:
        loaded: The fleet.
        unpriced: Product names that have no price, neither here nor in the stack file.

    Raises:
        StackError: ``details`` names the first entry of every such product with its line.
    """
    found: dict[str, Problem] = {}
    products: set[str] = set()
    for path, entry in _entries(loaded.fleet):
        product = board(entry.board).names[0]
        products.add(product)
        if product in unpriced and product not in found:
            text = f"the {product} has no price, and others of the fleet have one; write price here"
            mark = loaded.document.mark(path)
            found[product] = Problem(mark=mark, path=path, text=f"{text}, or in the stack file")
    if found and len(found) < len(products):
        raise report(list(found.values()), FLEET_FORM, str(loaded.path))


def _entries(fleet: Fleet) -> Iterator[tuple[KeyPath, FleetEntry]]:
    for key, entries in zip(LISTS, (fleet.gpus, fleet.may_add), strict=True):
        yield from (((key, number), entry) for number, entry in enumerate(entries))


def _understood(data: bytes, file: str) -> tuple[Fleet, Document]:
    fleet, document = understand(data, FLEET_FORM, file=file)
    assert isinstance(fleet, Fleet), "the form's schema is Fleet"
    return fleet, document


FLEET_FORM = Form(
    kind="fleet file",
    schema=Fleet,
    wanted="a fleet file is a mapping with the keys gpus and may_add",
    empty=f"the file is empty; write for instance: {EXAMPLE}",
    hint=f"correct the lines named above; a fleet file is like: {EXAMPLE}",
    missing_hint=f"write one, such as: {EXAMPLE}",
    needed=f"a fleet is like {EXAMPLE}",
    list_example="[{board: h200, count: 4}]",
    sections=(
        *(Section(path=(key, None), place=f"{key}[…]", schema=FleetEntry) for key in LISTS),
        *(
            Section(path=(key, None, "price"), place=f"{key}[…].price", schema=PriceEntry)
            for key in LISTS
        ),
    ),
    elsewhere={
        "models": "models stand in the stack file, which is named with --file",
        "prices": "write price beside the board, or prices in the stack file",
        "product": "did you mean 'board'?",
        "replicas": "did you mean 'count'?",
        "drain": "GPUs to be emptied stand in the stack file, or are named with --drain",
        **dict.fromkeys(("add", "addable", "buy", "optional"), "did you mean 'may_add'?"),
        "<<": "merge keys are not supported; write the keys out",
    },
    rules=fleet_problems,
)
