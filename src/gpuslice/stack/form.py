"""What kind of file is being read: its schema, its rules, and the words its problems are told in.

Separate because two kinds of file (stack and fleet) share one reader and one report. Whatever
differs between them is in a `Form`, so that neither reader nor report asks which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gpuslice.stack.problem import KeyPath, Problem
from gpuslice.stack.tree import Document, Node

Sentence = Callable[[Mapping[str, Any], Node | None], str]
"""Words for one kind of refusal, from pydantic's context and what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the file with keys of its own.

    Attributes:
        path: Where it is; None stands for any one step (``("models", None)``).
        place: The same in words (``models.NAME``).
        schema: Its keys.
    """

    path: tuple[str | None, ...]
    place: str
    schema: type[BaseModel]

    def covers(self, path: KeyPath) -> bool:
        """Tell whether a path leads to such a section."""
        return len(path) == len(self.path) and all(
            want is None or want == step for want, step in zip(self.path, path, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of file.

    Attributes:
        kind: What it is called: ``stack file``.
        schema: What may stand at its top.
        wanted: What it is, in words, for a file that is no mapping at all.
        empty: What to say about an empty file.
        hint: One next action when it has problems.
        missing_hint: One next action when there is no such file.
        needed: What to say about a missing or empty part that is needed.
        list_example: A list as it may stand in such a file.
        sections: Its parts.
        elsewhere: Words of other tools, and what they are called here.
        rules: What must hold between values; run over the raw tree, so that a wrong value hides
            no broken rule.
    """

    kind: str
    schema: type[BaseModel]
    wanted: str
    empty: str
    hint: str
    missing_hint: str
    needed: str
    list_example: str
    sections: tuple[Section, ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    rules: Callable[[Document], list[Problem]] = lambda _: []

    def section(self, path: KeyPath) -> type[BaseModel]:
        """Return the schema of the part at a path; the top where there is none."""
        return next((part.schema for part in self.sections if part.covers(path)), self.schema)
