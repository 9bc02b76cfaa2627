"""Files of our own that come back from disk: a value as JSON, with a version.

Separate because what may be wrong with such a file does not depend on what is in it. It may be
missing, huge, damaged, of another version or of another program; what it says, its reader checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from gpuslice.errors import GpusliceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedFile(Generic[T]):
    """One kind of file.

    Attributes:
        kind: What it is called in messages, such as ``plan``.
        key: The key of the version in the file; it tells the kind.
        version: Raised when a file of an earlier gpuslice would be misread.
        adapter: Gives the adapter of the value; making one takes time, so only when needed.
        error: What is raised.
        anew: The hint that says how to make such a file.
        most_bytes: No such file is longer.
    """

    kind: str
    key: str
    version: int
    adapter: Callable[[], TypeAdapter[T]]
    error: type[GpusliceError]
    anew: str
    most_bytes: int

    def text(self, content: T, *, tidy: Callable[[dict[str, Any]], None] | None = None) -> str:
        """Write a value as the text of a file.

        Args:
            content: The value.
            tidy: Puts what has no order of its own into one, so that equal values are equal text.
        """
        value = {self.key: self.version, **self.adapter().dump_python(content, mode="json")}
        if tidy is not None:
            tidy(value)
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

    def read(self, path: Path) -> T:
        """Read a value from a file.

        Raises:
            GpusliceError: Of the kind's class: there is none, it is damaged, or another version of
                gpuslice wrote it.
        """
        value = self._json(path)
        version = value.pop(self.key, None)
        if version is None:
            raise self._failure(f"{path} is no {self.kind} of gpuslice.")
        if version != self.version:
            raise self._failure(
                f"{path} is a {self.kind} of version {version!r}, and this gpuslice reads "
                f"{self.version}."
            )
        try:
            return self.adapter().validate_python(value)
        except ValidationError as error:
            raise self.error(
                f"{path} is damaged ({error.error_count()} problems).",
                hint=self.anew,
                details=tuple(".".join(map(str, e["loc"])) for e in error.errors()[:3]),
            ) from error

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            with path.open("rb") as file:
                text = file.read(self.most_bytes + 1)
            value = json.loads(text) if len(text) <= self.most_bytes else None
        except FileNotFoundError as error:
            raise self._failure(f"There is no {self.kind} {path}.") from error
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}."
            raise self.error(message, hint="Check the path and its permissions.") from error
        except (ValueError, RecursionError) as error:  # no JSON, no text, or nested without end
            raise self._failure(f"{path} is damaged: it is no JSON.") from error
        if not isinstance(value, dict):
            raise self._failure(f"{path} is no {self.kind} of gpuslice.")
        return value

    def _failure(self, message: str) -> GpusliceError:
        return self.error(message, hint=self.anew)
