"""What must hold between the keys of one model, and of one price.

Separate from the schema, because pydantic checks such rules only once every single value is right,
and a stack file's problems are reported all at once. So a rule looks at raw values, tolerates
anything in them, and speaks only where it is sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter

from gpuslice.stack.problem import did_you_mean, shortened

PLACEHOLDERS = ("port", "model", "memory_mib", "uuid", "name", "context_tokens", "concurrency")
"""What gpuslice fills in between braces in ``command``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One broken rule.

    Attributes:
        path: The value to change, below the model or the price; () is the whole.
        text: What is wrong and what would be right.
    """

    path: tuple[str | int, ...]
    text: str


def model_breaches(model: Mapping[str, object]) -> list[Breach]:
    """Find every rule that a model of the stack file breaks.

    Args:
        model: The model's keys and values as they were written; any of them may be wrong.
    """
    found = [*_slice_and_memory(model), *_what_to_serve(model), *_engine_and_model(model)]
    return [*found, *_engine_and_command(model), *_placeholders(model.get("command"))]


def price_breaches(price: Mapping[str, object]) -> list[Breach]:
    """Find every rule that a price of the stack file breaks."""
    both = "per_month" in price and "per_hour" in price
    if both:
        return [Breach(path=("per_hour",), text="cannot stand beside per_month; keep one of them")]
    if "per_month" not in price and "per_hour" not in price:
        return [Breach(path=(), text="has no amount; write per_month or per_hour")]
    return []


def _slice_and_memory(model: Mapping[str, object]) -> Iterator[Breach]:
    if _given(model, "slice") and _given(model, "memory"):
        text = "cannot stand beside slice, which already says how much memory; keep one of them"
        yield Breach(path=("memory",), text=text)


def _what_to_serve(model: Mapping[str, object]) -> Iterator[Breach]:
    if "model" not in model and model.get("engine") != "command":
        text = "is missing: a hub name (org/name), a local folder, or a .gguf file"
        yield Breach(path=("model",), text=text)
    source = model.get("model")
    if isinstance(source, str) and "://" in source:
        text = f"'{shortened(source)}' is an address; write a hub name, a folder, or a .gguf file"
        yield Breach(path=("model",), text=text)


def _engine_and_model(model: Mapping[str, object]) -> Iterator[Breach]:
    source = model.get("model")
    if model.get("engine") != "llama.cpp" or not isinstance(source, str):
        return
    if source and not source.lower().endswith(".gguf"):
        text = f"llama.cpp serves .gguf files, and '{shortened(source)}' is none; write vllm, or "
        yield Breach(path=("engine",), text=text + "name a .gguf file as model")


def _engine_and_command(model: Mapping[str, object]) -> Iterator[Breach]:
    command = _given(model, "command")
    if model.get("engine") != "command":
        if command:
            text = "is only used with 'engine: command'; add that line, or write args instead"
            yield Breach(path=("command",), text=text)
        return
    if not command:
        text = "'command' needs the key command: a list with the program and its arguments"
        yield Breach(path=("engine",), text=text)
    if _given(model, "args"):
        yield Breach(path=("args",), text="is not used with 'engine: command'; put it into command")
    if not (_given(model, "slice") or _given(model, "memory")):
        text = "'command' needs slice or memory: what your own server takes cannot be known"
        yield Breach(path=("engine",), text=text)


def _placeholders(command: object) -> Iterator[Breach]:
    for index, argument in enumerate(command if isinstance(command, list | tuple) else ()):
        for text in _wrong_braces(argument) if isinstance(argument, str) else ():
            yield Breach(path=("command", index), text=text)


def _wrong_braces(argument: str) -> Iterator[str]:
    try:
        fields = [field for field in Formatter().parse(argument) if field[1] is not None]
    except ValueError:
        yield "has a brace without its partner; write {{ or }} for a brace of your own"
        return
    for _, name, spec, conversion in fields:
        if name in PLACEHOLDERS and (spec or conversion):
            yield f"formats are not known; write {{{name}}}"
        elif name not in PLACEHOLDERS:
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            meant = did_you_mean(str(name), PLACEHOLDERS) or f"; known are {known}"
            what = f"nothing is filled in for {{{shortened(str(name))}}}"
            yield f"{what}{meant} (write {{{{ for a brace)"


def _given(model: Mapping[str, object], key: str) -> bool:
    """Tell whether a key is there with something in it."""
    return model.get(key) not in (None, "", [], (), {})
