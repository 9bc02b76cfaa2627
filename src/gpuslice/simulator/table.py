"""Names of C functions and what answers to them; the ``library_*`` modules each fill one table.

Its own module so that those modules depend on nothing but a `Session` and this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CFunction = Callable[..., Any]
"""Takes a `Session` and what pynvml passes. Returns None for success, or raises `Refusal`."""


class FunctionTable(dict[str, CFunction]):
    """C functions by name."""

    def answers(self, *names: str) -> Callable[[CFunction], CFunction]:
        """Enter a function under the names of C functions it answers to."""

        def enter(function: CFunction) -> CFunction:
            for name in names:
                self[name] = function
            return function

        return enter
