"""A stack file that has been read: the stack, and where it came from.

Separate, because who looks at what a file refers to takes it, and who reads the file makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gpuslice.stack.schema import Stack
from gpuslice.stack.tree import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStack:
    """A stack with where it came from.

    Attributes:
        stack: What the file asks for.
        path: The file, as it was named.
        folder: Its folder, absolute; paths in the file start here.
        digest: SHA-256 of the file's bytes, in hexadecimal.
        document: The file as a tree, for the places of values.
    """

    stack: Stack
    path: Path
    folder: Path
    digest: str
    document: Document = field(repr=False, compare=False)
