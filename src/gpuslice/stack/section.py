"""What every part of a file has in common.

Separate from the schemas, because stack file and fleet file, and the parts of each, are made of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from gpuslice.stack import notation
from gpuslice.stack.rules import Breach


class FileSection(BaseModel):
    """What every part of the file has in common: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def refuse(breaches: Iterable[Breach]) -> None:
    """Raise the first broken rule, also where no file was read.

    A file's reader runs the rules over the raw values, where it finds them all.

    Raises:
        BreachError: There is one.
    """
    for breach in breaches:
        raise notation.BreachError(breach.text)
