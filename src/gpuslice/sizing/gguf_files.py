"""Which files of a folder or a repository are one GGUF model, by their names alone.

Separate, because a folder and the hub ask the same, and names are all that tells: a model may lie
in parts (``…-00001-of-00003.gguf``), a repository holds the same model in many quantizations
(``owner/name:Q4_K_M`` chooses one), and some ``.gguf`` files are no models.

Source: llama.cpp, ``-hf`` in its server README and ``gguf-split``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from gpuslice.errors import SizingError

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MOST_SPLITS = 1000
_NO_MODEL = re.compile(r"mmproj|imatrix|(^|/)mtp-", re.IGNORECASE)
_USUAL = ("Q4_K_M", "Q4_0")  # what llama.cpp takes where nothing is said


def parts_of(name: str, is_there: Callable[[str], bool]) -> tuple[str, ...]:
    """List the files of the model that a file belongs to: its parts, or just the one.

    Args:
        name: The file's name.
        is_there: Tells whether there is a file of a name.

    Raises:
        SizingError: Parts are missing, or the name counts wrongly.
    """
    match = _SPLIT.fullmatch(name)
    if match is None:
        return (name,)
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= _MOST_SPLITS:
        text = f"{name} is no part of a model: its name counts wrongly"
        raise SizingError(text, hint="check the file's name")
    names = tuple(f"{match['stem']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1))
    if missing := tuple(part for part in names if not is_there(part)):
        text = f"{name} is one of {count} parts, and {len(missing)} of them are missing"
        raise SizingError(text, hint="fetch the missing parts", details=missing)
    return names


def models_in(names: Iterable[str]) -> tuple[str, ...]:
    """List the ``.gguf`` files that are models, each by its first part, in alphabetical order."""
    return tuple(
        name
        for name in sorted(names)
        if name.lower().endswith(".gguf")
        and not _NO_MODEL.search(name)
        and ((split := _SPLIT.fullmatch(name)) is None or int(split["number"]) == 1)
    )


def choose(names: Iterable[str], quantization: str, source: str) -> str:
    """Choose the file of a quantization, in either case of letters, as llama.cpp does.

    Args:
        names: Those of all files.
        quantization: Such as ``Q4_K_M`` or ``UD-Q4_K_XL``; "" for the usual one, or the first.
        source: Where the files are, for messages.

    Raises:
        SizingError: There is no such file; ``details`` has those there are.
    """
    models = models_in(names)
    for wanted in (quantization,) if quantization else _USUAL:
        # Whole words only: F16 is not BF16, and Q4_K is not Q4_K_M.
        word = re.compile(rf"(?<![a-z0-9]){re.escape(wanted)}[./-]", re.IGNORECASE)
        if found := next((name for name in models if word.search(name)), None):
            return found
    if quantization or not models:
        called = f" called {quantization}" if quantization else ""
        text = f"{source} holds no .gguf model{called}"
        raise SizingError(
            text, hint="choose one of those below" if models else "check the name", details=models
        )
    return models[0]
