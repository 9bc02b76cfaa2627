"""A file from disk: read, understood, and every problem reported at once, whatever its form.

Separate from the files themselves (`load` has the stack, `fleet` the fleet), and from the parts it
joins (the YAML reader, the schema, the rules), none of which touches a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gpuslice.errors import StackError, StackNotFoundError
from gpuslice.stack.document import parse_document
from gpuslice.stack.form import Form
from gpuslice.stack.problem import Mark, Problem, visible
from gpuslice.stack.tree import Document, Scalar, Table, plain
from gpuslice.stack.wording import problems_of

MAX_BYTES = 1024 * 1024
MOST_TOLD = 100
"""How many problems of one file are told; nobody reads more before mending these."""

_TOP = Mark(line=1, column=1)


def read_bytes(path: Path, form: Form) -> bytes:
    """Read a file, and no more of it than a file of that form can have.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                message = f"{visible(str(path))} is a pipe or a device, not a {form.kind}"
                raise StackError(message, hint="write it into a file, and name that")
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        hint = form.missing_hint
        raise StackNotFoundError(
            f"there is no {form.kind} {visible(str(path))}", hint=hint
        ) from error
    except IsADirectoryError as error:
        message = f"{visible(str(path))} is a folder, not a {form.kind}"
        raise StackError(message, hint="name the file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        hint = "check the path and its permissions"
        why = error.strerror if isinstance(error, OSError) else error
        message = f"the {form.kind} {visible(str(path))} cannot be read: {why}"
        raise StackError(message, hint=hint) from error


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe that stands in the file's place."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def understand(data: bytes, form: Form, *, file: str) -> tuple[BaseModel, Document]:
    """Understand the bytes of a file.

    Args:
        data: The bytes.
        form: What kind of file it is.
        file: How to call the file in the report.

    Returns:
        The value (of the form's schema), and the tree it was made from.

    Raises:
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    if problem := _not_text(data, form):
        raise report([problem], form, file)
    document = parse_document(data.decode("utf-8-sig"), empty=form.empty)
    problems = list(document.problems)
    value = None
    if document.root is not None:
        value, found = _held_against(document, form)
        problems += found
    if value is None or problems:
        raise report(problems, form, file)
    return value, document


def _not_text(data: bytes, form: Form) -> Problem | None:
    """Find what keeps the bytes from being text of a sensible size."""
    if len(data) > MAX_BYTES:
        text = f"the file is larger than 1 MiB, which no {form.kind} is"
        return Problem(mark=_TOP, path=(), text=text)
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        text = f"is not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        return Problem(mark=Mark(line=line, column=column), path=(), text=text)
    return None


def _held_against(document: Document, form: Form) -> tuple[BaseModel | None, list[Problem]]:
    """Hold a document against schema and rules; the value is None where the schema refuses it."""
    root = document.root
    if not isinstance(root, Table):
        return None, [Problem(mark=_TOP, path=(), text=_not_a_mapping(document, form))]
    empty = list(_empty_values(document))
    rules = form.rules(document)
    try:
        return form.schema.model_validate(plain(root)), [*empty, *rules]
    except ValidationError as error:
        refused = list(problems_of(error, document, form))
        return None, [*rules, *_joined(empty, refused, document)]


def _joined(empty: list[Problem], refused: list[Problem], document: Document) -> list[Problem]:
    """Say one thing about an empty value: that its key is wrong, or else that it is empty."""
    wrong_keys = {p.path for p in refused if p.mark == document.key_mark(p.path)}
    empty = [problem for problem in empty if problem.path not in wrong_keys]
    spoken_for = {problem.path for problem in empty}
    return [*empty, *(problem for problem in refused if problem.path not in spoken_for)]


def _not_a_mapping(document: Document, form: Form) -> str:
    if isinstance(document.root, Scalar) and document.root.value is None:
        return form.empty
    what = "a single value" if isinstance(document.root, Scalar) else "a list"
    return f"{form.wanted}, not {what}"


def _empty_values(document: Document) -> Iterator[Problem]:
    """Find keys without a value: half an edit, or a mapping whose lines are all commented out."""
    for path, table in document.tables():
        for entry in table.entries:
            if isinstance(entry.node, Scalar) and entry.node.value is None:
                text = "is empty; give it a value or leave the line out"
                yield Problem(mark=entry.mark, path=(*path, entry.key), text=text)


def report(problems: list[Problem], form: Form, file: str) -> StackError:
    """Make one error of all problems of a file, in the order of their lines."""
    ordered = sorted(problems, key=lambda p: (p.mark, p.text))
    lines = tuple(dict.fromkeys(problem.render(file) for problem in ordered))
    count = "1 problem" if len(lines) == 1 else f"{len(lines):,} problems"
    told = lines[:MOST_TOLD]
    message = f"{visible(file)} has {count}"
    if len(told) < len(lines):
        message += f"; the first {MOST_TOLD} are told"
    return StackError(message, hint=form.hint, details=told)
