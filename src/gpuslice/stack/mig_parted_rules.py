"""What must hold between the values of a mig-parted file, found over the raw tree.

Separate from its schema for the reason `rules` is: pydantic would check it only once every single
value is right.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpuslice.stack.problem import KeyPath, Problem
from gpuslice.stack.tree import Document, Listing, Scalar, Table


def mig_parted_problems(document: Document) -> list[Problem]:
    """Find what is wrong between values; any of them may be wrong, so speak only where sure."""
    return [*_empty_layouts(document), *_contradicting_entries(document)]


def _empty_layouts(document: Document) -> Iterator[Problem]:
    """Find labels without an entry, which the schema alone would allow."""
    configs = document.node(("mig-configs",))
    for entry in configs.entries if isinstance(configs, Table) else ():
        if isinstance(entry.node, Listing) and not entry.node.items:
            text = "says nothing; write at least one entry, or leave the label out"
            yield Problem(mark=entry.mark, path=("mig-configs", entry.key), text=text)


def _contradicting_entries(document: Document) -> Iterator[Problem]:
    """Find entries whose slices and whose mode do not go together."""
    for path, table in document.tables():
        if len(path) != 3 or path[0] != "mig-configs":
            continue
        mode, slices = table.entry("mig-enabled"), table.entry("mig-devices")
        enabled = mode.node.value if mode and isinstance(mode.node, Scalar) else None
        if enabled is True and slices is None:
            text = "is missing; write the slices, or {} for none, where mig-enabled is true"
            yield _problem(document, (*path, "mig-devices"), text)
        elif enabled is False and slices and isinstance(slices.node, Table) and slices.node.entries:
            text = "names slices, and mig-enabled is false; leave one of the two out"
            yield _problem(document, (*path, "mig-devices"), text)


def _problem(document: Document, path: KeyPath, text: str) -> Problem:
    return Problem(mark=document.mark(path), path=path, text=text)
