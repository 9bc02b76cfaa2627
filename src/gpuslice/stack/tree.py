"""What a stack file says, as a tree in which every key and value knows its line and column.

Values only. Separate from the reader, because everything behind it (schema, rules, report) asks the
tree where things stand and none of it knows YAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpuslice.stack.problem import KeyPath, Mark, Problem

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A single value: as it was written, and what it means."""

    mark: Mark
    text: str
    value: Value
    nodes: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list. ``nodes`` and ``height`` count what is below it, aliases expanded."""

    mark: Mark
    items: tuple[Node, ...]
    nodes: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a mapping with its value."""

    key: str
    mark: Mark
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping: its entries in the order of the file, no key twice."""

    mark: Mark
    entries: tuple[Entry, ...]
    nodes: int
    height: int

    def entry(self, key: str) -> Entry | None:
        """Return the entry of that key, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node = Scalar | Listing | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What was read.

    Attributes:
        root: The tree, or None when the text is no usable YAML at all.
        problems: What was found while reading, in the order of the file.
    """

    root: Node | None
    problems: tuple[Problem, ...]

    def node(self, path: KeyPath) -> Node | None:
        """Return the node at a path, or None."""
        node = self.root
        for step in path:
            node = _child(node, step)
        return node

    def mark(self, path: KeyPath) -> Mark:
        """Where a value is; for a value that is missing, where the nearest thing around it is."""
        found = Mark(line=1, column=1)
        node = self.root
        for step in path:
            key = node.entry(str(step)) if isinstance(node, Table) else None
            node = _child(node, step)
            if node is None:
                break
            found = key.mark if key and not isinstance(node, Scalar) else node.mark
        return found

    def key_mark(self, path: KeyPath) -> Mark:
        """Where a key is, rather than its value."""
        parent = self.node(path[:-1])
        entry = parent.entry(str(path[-1])) if isinstance(parent, Table) else None
        return entry.mark if entry else self.mark(path)

    def tables(self) -> Iterator[tuple[KeyPath, Table]]:
        """Walk every mapping of the tree with its path, outer ones first."""
        return _tables((), self.root)


def plain(node: Node) -> object:
    """Turn a tree into plain dictionaries, lists and values."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Table():
            return {entry.key: plain(entry.node) for entry in node.entries}


def _child(node: Node | None, step: str | int) -> Node | None:
    if isinstance(node, Table):
        entry = node.entry(str(step))
        return entry.node if entry else None
    if isinstance(node, Listing) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def _tables(path: KeyPath, node: Node | None) -> Iterator[tuple[KeyPath, Table]]:
    if isinstance(node, Table):
        yield path, node
        for entry in node.entries:
            yield from _tables((*path, entry.key), entry.node)
    elif isinstance(node, Listing):
        for index, item in enumerate(node.items):
            yield from _tables((*path, index), item)
