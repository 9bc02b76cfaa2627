"""A stack file from disk: read, understood, and every problem reported at once.

Separate from the parts it joins (the YAML reader, the schema, the rules), none of which touches a
file. What a stack file *refers to* is looked at in `sources`, not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from gpuslice.errors import StackError, StackNotFoundError
from gpuslice.stack.document import parse_document
from gpuslice.stack.loaded import LoadedStack
from gpuslice.stack.problem import Mark, Problem
from gpuslice.stack.rules import model_breaches, price_breaches
from gpuslice.stack.schema import Stack
from gpuslice.stack.tree import Document, Scalar, Table, plain
from gpuslice.stack.wording import problems_of

__all__ = ["LoadedStack", "load_stack", "parse_stack"]

MAX_BYTES = 1024 * 1024
_TOP = Mark(line=1, column=1)
_FIX_HINT = "correct the lines named above; 'gpuslice schema' prints what may stand in the file"


def load_stack(path: Path) -> LoadedStack:
    """Read a stack file.

    Args:
        path: The file.

    Returns:
        The stack. What it refers to (model files, keys) has not been looked at.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    data = _read(path)
    stack, document = parse_stack(data, file=str(path))
    return LoadedStack(
        stack=stack,
        path=path,
        folder=path.parent.resolve(),
        digest=hashlib.sha256(data).hexdigest(),
        document=document,
    )


def parse_stack(data: bytes, *, file: str = "gpuslice.yaml") -> tuple[Stack, Document]:
    """Understand the bytes of a stack file.

    Args:
        data: The bytes.
        file: How to call the file in the report.

    Returns:
        The stack, and the tree it was made from.

    Raises:
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    if problem := _not_text(data):
        raise _stack_error([problem], file)
    document = parse_document(data.decode("utf-8-sig"))
    problems = list(document.problems)
    stack = None
    if document.root is not None:
        stack, found = _understand(document)
        problems += found
    if stack is None or problems:
        raise _stack_error(problems, file)
    return stack, document


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        hint = "write one with 'gpuslice init', or name another with --file"
        raise StackNotFoundError(f"there is no stack file {path}", hint=hint) from error
    except IsADirectoryError as error:
        raise StackError(f"{path} is a folder, not a stack file", hint="name the file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        hint = "check the path and its permissions"
        raise StackError(f"the stack file {path} cannot be read: {error}", hint=hint) from error


def _not_text(data: bytes) -> Problem | None:
    """Find what keeps the bytes from being text of a sensible size."""
    if len(data) > MAX_BYTES:
        text = "the file is larger than 1 MiB, which no stack file is"
        return Problem(mark=_TOP, path=(), text=text)
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        text = f"is not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        return Problem(mark=Mark(line=line, column=column), path=(), text=text)
    return None


def _understand(document: Document) -> tuple[Stack | None, list[Problem]]:
    """Hold a document against schema and rules; the stack is None where the schema refuses it."""
    root = document.root
    if not isinstance(root, Table):
        return None, [Problem(mark=_TOP, path=(), text=_not_a_mapping(document))]
    empty = list(_empty_values(document))
    rules = list(_rule_problems(document))
    try:
        return Stack.model_validate(plain(root)), [*empty, *rules]
    except ValidationError as error:
        return None, [*rules, *_joined(empty, list(problems_of(error, document)), document)]


def _joined(empty: list[Problem], refused: list[Problem], document: Document) -> list[Problem]:
    """Say one thing about an empty value: that its key is wrong, or else that it is empty."""
    wrong_keys = {p.path for p in refused if p.mark == document.key_mark(p.path)}
    empty = [problem for problem in empty if problem.path not in wrong_keys]
    spoken_for = {problem.path for problem in empty}
    return [*empty, *(problem for problem in refused if problem.path not in spoken_for)]


def _not_a_mapping(document: Document) -> str:
    wanted = "a stack file is a mapping with the keys name, gpus, models, gateway and prices"
    if isinstance(document.root, Scalar) and document.root.value is None:
        return "the file is empty; 'gpuslice init' writes a starter"
    what = "a single value" if isinstance(document.root, Scalar) else "a list"
    return f"{wanted}, not {what}"


def _empty_values(document: Document) -> Iterator[Problem]:
    """Find keys without a value: half an edit, or a mapping whose lines are all commented out."""
    for path, table in document.tables():
        for entry in table.entries:
            if isinstance(entry.node, Scalar) and entry.node.value is None:
                text = "is empty; give it a value or leave the line out"
                yield Problem(mark=entry.mark, path=(*path, entry.key), text=text)


def _rule_problems(document: Document) -> Iterator[Problem]:
    for section, breaches in (("models", model_breaches), ("prices", price_breaches)):
        below = document.node((section,))
        for entry in below.entries if isinstance(below, Table) else ():
            raw = plain(entry.node)
            for breach in breaches(raw) if isinstance(raw, dict) else ():
                path = (section, entry.key, *breach.path)
                yield Problem(mark=document.mark(path), path=path, text=breach.text)


def _stack_error(problems: list[Problem], file: str) -> StackError:
    ordered = sorted(problems, key=lambda p: (p.mark, p.text))
    lines = dict.fromkeys(problem.render(file) for problem in ordered)
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return StackError(f"{file} has {count}", hint=_FIX_HINT, details=tuple(lines))
