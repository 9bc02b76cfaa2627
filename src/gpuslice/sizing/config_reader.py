"""Reading values out of a config.json that may say anything.

Separate, because every family spells its sizes its own way, and all of them are read with the same
distrust: a number is whole, positive and not absurd, or the model is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpuslice.errors import SizingError

HINT = "in a stack file say `slice:` or `memory:` for this model"

_LARGEST = 1024**3  # no width, count or context is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReader:
    """The values of one configuration.

    Attributes:
        values: What is written, by key.
        source: Where it was read from, for messages.
        defaults: What is meant where a key is left out.
    """

    values: Mapping[str, object]
    source: str
    defaults: Mapping[str, int]

    def whole(self, *keys: str, most: int = _LARGEST) -> int | None:
        """Read the first of these keys that is written; None where none is.

        Raises:
            SizingError: What is written is no positive whole number, or too large to be true.
        """
        for key in keys:
            value = self.values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise self.silent(key)
            if not 1 <= value <= most:
                text = f"{self.source} says {key} = {value}, which cannot be true"
                raise SizingError(text, hint=HINT)
            return value
        return next((self.defaults[key] for key in keys if key in self.defaults), None)

    def need(self, *keys: str, most: int = _LARGEST) -> int:
        """Read the first of these keys that is written.

        Raises:
            SizingError: None is, or what is written cannot be true.
        """
        value = self.whole(*keys, most=most)
        if value is None:
            raise self.silent(keys[0])
        return value

    def count(self, *keys: str) -> int:
        """Read a number that may as well be left out, false or zero."""
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return min(value, _LARGEST)
        return 0

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Read a yes or no."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else default

    def word(self, *keys: str) -> str:
        """Read the first of these keys that is a text; "" where none is."""
        return next((v for k in keys if isinstance(v := self.values.get(k), str)), "")

    def items(self, key: str) -> tuple[object, ...]:
        """Read a list; empty where none is written."""
        value = self.values.get(key)
        return tuple(value) if isinstance(value, list) else ()

    def inner(self, key: str) -> ConfigReader:
        """Read the object behind a key; empty where none is written."""
        value = self.values.get(key)
        values = value if isinstance(value, dict) else {}
        return ConfigReader(values=values, source=self.source, defaults={})

    def silent(self, key: str) -> SizingError:
        """Say that a key is left out, or unreadable."""
        text = f"{self.source} does not say its {key}, so its size is unknown"
        return SizingError(text, hint=HINT)
