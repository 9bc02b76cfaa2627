"""What must hold between the values of a fleet file, found over the raw tree.

Separate from its schema for the reason `rules` is: pydantic would check it only once every single
value is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpuslice.errors import UnknownBoardError
from gpuslice.hardware import board
from gpuslice.stack.problem import KeyPath, Problem
from gpuslice.stack.rules import price_breaches
from gpuslice.stack.tree import Document, Listing, Scalar, Table, plain

MAX_GPUS = 16_384
"""The largest fleet that is planned in the time a person waits for a prompt."""

LISTS = ("gpus", "may_add")
"""Keys of the file that hold GPUs."""

EXAMPLE = "gpus: [{board: h200, count: 4}]"
"""A whole fleet file, for messages."""


def fleet_problems(document: Document) -> list[Problem]:
    """Find what is wrong between values; any of them may be wrong, so speak only where sure."""
    tables = list(_tables(document))
    return [
        *_no_gpus(document),
        *_price_problems(document, tables),
        *_second_prices(document, tables),
        *_too_many(document, tables),
    ]


def _tables(document: Document) -> Iterator[KeyPath]:
    """List the places of all entries that are mappings at least."""
    for key in LISTS:
        listed = document.node((key,))
        for number, entry in enumerate(listed.items if isinstance(listed, Listing) else ()):
            if isinstance(entry, Table):
                yield key, number


def _no_gpus(document: Document) -> Iterator[Problem]:
    """Say that there is nothing to plan on, which the schema alone would allow."""
    gpus, more = (document.node((key,)) for key in LISTS)
    if isinstance(more, Listing) and more.items:
        return
    if gpus is None or (isinstance(gpus, Listing) and not gpus.items):
        text = f"is {'missing' if gpus is None else 'empty'}; a fleet is like {EXAMPLE}"
        yield Problem(mark=document.mark(("gpus",)), path=("gpus",), text=text)


def _price_problems(document: Document, tables: Sequence[KeyPath]) -> Iterator[Problem]:
    for entry in tables:
        node = document.node((*entry, "price"))
        raw = plain(node) if isinstance(node, Table) else None
        for breach in price_breaches(raw) if isinstance(raw, dict) else ():
            path = (*entry, "price", *breach.path)
            yield Problem(mark=document.mark(path), path=path, text=breach.text)


def _second_prices(document: Document, tables: Sequence[KeyPath]) -> Iterator[Problem]:
    """Find boards with two prices: a cost report knows each product by one."""
    first: dict[object, tuple[int, object]] = {}
    for entry in tables:
        path = (*entry, "price")
        node = document.node(path)
        key = _written_board(document, entry)
        if not isinstance(node, Table) or key is None:
            continue
        line, price = first.setdefault(key, (node.mark.line, plain(node)))
        if price != plain(node):
            text = f"{key} has another price on line {line}; a board has one price"
            yield Problem(mark=document.mark(path), path=path, text=text)


def _written_board(document: Document, entry: KeyPath) -> str | None:
    """Return the board of an entry by its first key, or None where it names none."""
    node = document.node((*entry, "board"))
    try:
        return board(node.text).key if isinstance(node, Scalar) else None
    except UnknownBoardError:
        return None


def _too_many(document: Document, tables: Sequence[KeyPath]) -> Iterator[Problem]:
    total = 0
    for entry in tables:
        node = document.node((*entry, "count"))
        count = node.value if isinstance(node, Scalar) else 1
        usable = isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MAX_GPUS
        total += count if usable and isinstance(count, int) else 0
        if total > MAX_GPUS:
            text = f"makes {total:,} GPUs; a fleet has at most {MAX_GPUS:,}"
            yield Problem(mark=document.mark(entry), path=entry, text=text)
            return
