"""What the schema refused, in plain words and with its place in the file.

Separate, because this is the only part that knows pydantic's error types. Every type the schema can
raise has its words here; a test over random files holds that nothing else ever comes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from gpuslice.stack.document import resolve
from gpuslice.stack.fields import INNER_STEPS
from gpuslice.stack.form import Form, Sentence
from gpuslice.stack.problem import KeyPath, Problem, did_you_mean, shortened
from gpuslice.stack.tree import Document, Listing, Node, Scalar, Table

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def problems_of(error: ValidationError, document: Document, form: Form) -> Iterator[Problem]:
    """Translate what pydantic found.

    Args:
        error: What validating the document's plain values raised.
        document: The document, for the places.
        form: What kind of file it is.
    """
    for details in error.errors(include_url=False):
        kind = details["type"]
        path = tuple(step for step in details["loc"] if step not in INNER_STEPS)
        if kind == "breach":
            continue  # the rules are run over the raw values, where they find more than the first
        of_key = kind == "extra_forbidden" or details["loc"][-1:] == ("[key]",)
        mark = document.key_mark(path) if of_key else document.mark(path)
        text = _text(details, path, document.node(path), form)
        yield Problem(mark=mark, path=path, text=text)


def _text(details: ErrorDetails, path: KeyPath, node: Node | None, form: Form) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, form)
    if kind in _NEEDED:
        return f"{_NEEDED[kind]}; {form.needed}"
    if kind == "tuple_type":
        return f"must be a list, such as {form.list_example}, not {_shown(node)}"
    write = _WORDS.get(kind)
    # A type we have no words for can only be new in pydantic: its own words are better than none.
    return write(details.get("ctx", {}), node) if write else details["msg"].lower()


def _unknown_key(path: KeyPath, form: Form) -> str:
    """Say what an unknown key was probably meant to be."""
    word = str(path[-1])
    known = _keys(form.section(path[:-1]))
    if elsewhere := form.elsewhere.get(word):
        return f"unknown key; {elsewhere}"
    if close := did_you_mean(word, known, likeness=0.8):
        return f"unknown key{close}"
    if place := _place(word, form):
        return f"unknown key here; it belongs {place}"
    return f"unknown key{did_you_mean(word, known) or '; known here: ' + ', '.join(known)}"


def _place(word: str, form: Form) -> str:
    """Say where in the file a key may stand, or ""."""
    for section in form.sections:
        if word in _keys(section.schema):
            return f"below {section.place}"
    return "at the top of the file" if word in _keys(form.schema) else ""


def _keys(schema: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a section as they are written."""
    return tuple(field.alias or name for name, field in schema.model_fields.items())


def _whole_number(_: Mapping[str, Any], node: Node | None) -> str:
    written = node.text if isinstance(node, Scalar) else ""
    if re.fullmatch(r"[-+]?[0-9]+", written) and len(written) < 18:
        return f"must be a whole number; write {int(written)} without quotes or leading zeros"
    if re.fullmatch(r"[0-9][0-9_,' ]*", written) and len(written) < 18:
        digits = re.sub("[^0-9]", "", written)
        return f"must be a whole number in digits only; write {int(digits)}"
    return f"must be a whole number, not {_shown(node)}"


def _number(_: Mapping[str, Any], node: Node | None) -> str:
    if isinstance(node, Scalar) and isinstance(number := resolve(node.text), int | float):
        return f"must be a number; write {number} without quotes"
    return f"must be a number such as 1380 or 1.89, not {_shown(node)}"


def _wanted_text(_: Mapping[str, Any], node: Node | None) -> str:
    if isinstance(node, Scalar) and node.text:
        return f'must be text; write "{shortened(node.text)}" in quotes'
    return f"must be text, not {_shown(node)}"


def _choice(context: Mapping[str, Any], node: Node | None) -> str:
    choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    word = node.text if isinstance(node, Scalar) else ""
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]
    text = f"must be {listed}, not {_shown(node)}"
    return text + did_you_mean(word, choices)


def _wanted(what: str) -> Sentence:
    return lambda _, node: f"must be {what}, not {_shown(node)}"


def _bound(words: str, key: str) -> Sentence:
    return lambda context, node: f"must be {words} {_amount(context[key])}, not {_shown(node)}"


def _amount(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,}"


_NEEDED = {"missing": "is missing", "too_short": "is empty"}
_MAPPING = "a mapping (keys with their values, indented below it)"
_WORDS: Mapping[str, Sentence] = {
    "notation": lambda context, _: str(context["text"]),
    "int_type": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _number,
    "bool_type": _wanted("true or false"),
    "finite_number": _wanted("a finite number"),
    "string_type": _wanted_text,
    "string_too_short": lambda _context, _node: "is empty; give it a value or leave the line out",
    "string_too_long": lambda context, _: f"is longer than {context['max_length']} characters",
    "dict_type": _wanted(_MAPPING),
    "model_type": _wanted(_MAPPING),
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": _choice,
}


def _shown(node: Node | None) -> str:
    """Show what was written."""
    match node:
        case Table():
            return "a mapping"
        case Listing():
            return "a list"
        case Scalar(value=str(text)):
            return f"'{shortened(text)}'"
        case Scalar(text=text) if text:
            return shortened(text)
        case _:
            return "nothing"


def known_types() -> Iterable[str]:
    """List the pydantic error types there are words for."""
    return (*_WORDS, *_NEEDED, "tuple_type", "extra_forbidden", "breach")
