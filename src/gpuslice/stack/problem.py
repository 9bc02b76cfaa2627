"""One thing that is wrong in a stack file, and how it reads on a terminal.

Separate because three parts find problems (the YAML reader, the schema, the rules between keys)
and one report shows them all, in the order of their lines.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the top down to a value: ``("models", "chat", "args", 0)``."""

_PLAIN_KEY = re.compile(r"[\w-]+")
_LONGEST_SHOWN = 60
_LONGEST_TEXT = 600  # the longest sentence of ours is half of it; the rest is a file's own words


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Mark:
    """A position in the file.

    Attributes:
        line: Counted from 1.
        column: Counted from 1, in characters.
    """

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong at one place.

    Attributes:
        mark: Where in the file.
        path: Which value, or () when the file as a whole is meant.
        text: What is wrong and what would be right.
    """

    mark: Mark
    path: KeyPath
    text: str

    def render(self, file: str) -> str:
        """Write the problem as compilers do, so that editors can jump to it: one bounded line."""
        where = f"{visible(file)}:{self.mark.line}:{self.mark.column}"
        text = self.text if len(self.text) <= _LONGEST_TEXT else self.text[:_LONGEST_TEXT] + "…"
        return f"{where}: {dotted(self.path)}: {text}" if self.path else f"{where}: {text}"


def dotted(path: KeyPath) -> str:
    """Write a path as people say it: ``models.chat.args[0]``, ``prices["NVIDIA A30"].per_hour``."""
    written = ""
    for step in path:
        if isinstance(step, int):
            written += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            written += f".{shortened(step)}" if written else shortened(step)
        else:
            written += f'["{shortened(step)}"]'
    return written


def shortened(text: str) -> str:
    """Make a value fit to be shown: one line, printable, not endless."""
    shown = visible(text[: _LONGEST_SHOWN + 1])
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"


def shown_value(value: object) -> str:
    """Show a value of a file in a message: text in quotes, anything large by its kind."""
    match value:
        case str():
            return f"'{shortened(value)}'"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case _:
            return shortened(str(value))


def visible(text: str) -> str:
    """Write what a terminal would act upon, or hide, as an escape; the rest as it is."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Suggest the known word that was probably meant: ``; did you mean 'x'?``, or "".

    Args:
        word: What was written.
        known: What might have been meant.
        likeness: From 0 to 1; the default is difflib's own.
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f"; did you mean '{shortened(close[0])}'?" if close else ""
