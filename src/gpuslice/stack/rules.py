"""What must hold between the keys of one model, between models, and in one price.

Separate from the schema, because pydantic checks such rules only once every single value is right,
and a stack file's problems are reported all at once. So a rule looks at raw values, tolerates
anything in them, and speaks only where it is sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from string import Formatter

from gpuslice.model.desired import PLACEHOLDERS
from gpuslice.stack import notation
from gpuslice.stack.problem import KeyPath, did_you_mean, shortened

MOST_FOR_A_TARGET = 64
"""How many slices a throughput target may take where the file does not say."""

USUAL_CONTEXT = 4096
"""Tokens of the longest context where a model does not say."""

_COMPARED, _LISTED = 200, 8
_BRACES_TOLD = 20  # of one command; looking for what was meant takes its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One broken rule.

    Attributes:
        path: The value to change, below what the rules were asked about; () is the whole.
        text: What is wrong and what would be right.
    """

    path: KeyPath
    text: str


def model_breaches(model: Mapping[str, object]) -> list[Breach]:
    """Find every rule that a model of the stack file breaks.

    Args:
        model: The model's keys and values as they were written; any of them may be wrong.
    """
    return [
        *_slice_and_size(model),
        *_target_and_size(model),
        *_target_and_throughput(model),
        *_target_and_context(model),
        *_throughput(model.get("throughput")),
        *_what_to_serve(model),
        *_engine_and_model(model),
        *_engine_and_command(model),
        *_program(model),
        *islice(_placeholders(model.get("command")), _BRACES_TOLD),
    ]


def target_breaches(target: Mapping[str, object]) -> list[Breach]:
    """Find every rule that a throughput target breaks."""
    if "tokens_per_s" in target and "requests_per_s" in target:
        text = "cannot stand beside tokens_per_s; keep one of them"
        return [Breach(path=("requests_per_s",), text=text)]
    if "tokens_per_s" not in target and "requests_per_s" not in target:
        return [Breach(path=(), text="has no amount; write tokens_per_s or requests_per_s")]
    if "prompt_tokens" in target and "answer_tokens" not in target:
        text = "needs answer_tokens beside it: how long an answer is cannot be guessed"
        return [Breach(path=("prompt_tokens",), text=text)]
    return []


def neighbour_breaches(models: Mapping[str, object]) -> list[Breach]:
    """Find models that are near or away from one that is not there, or from themselves.

    Args:
        models: Every model's keys and values as they were written, by name.
    """
    return [
        Breach(path=(name, *path), text=text)
        for name, model in models.items()
        if isinstance(model, Mapping)
        for key in ("near", "away")
        for path, other in _neighbours(model, key)
        if (text := _wrong_neighbour(name, key, other, models))
    ]


def price_breaches(price: Mapping[str, object]) -> list[Breach]:
    """Find every rule that a price of the stack file breaks."""
    both = "per_month" in price and "per_hour" in price
    if both:
        return [Breach(path=("per_hour",), text="cannot stand beside per_month; keep one of them")]
    if "per_month" not in price and "per_hour" not in price:
        return [Breach(path=(), text="has no amount; write per_month or per_hour")]
    return []


def _slice_and_size(model: Mapping[str, object]) -> Iterator[Breach]:
    if not given(model, "slice"):
        return
    if given(model, "memory"):
        text = "cannot stand beside slice, which already says how much memory; keep one of them"
        yield Breach(path=("memory",), text=text)
    if given(model, "compute"):
        text = "cannot stand beside slice, which already says how much compute; keep one of them"
        yield Breach(path=("compute",), text=text)


def _target_and_size(model: Mapping[str, object]) -> Iterator[Breach]:
    for key in ("slice", "memory", "compute"):
        if given(model, "target") and given(model, key):
            text = "cannot stand beside target: throughput says which slices serve; leave it out"
            yield Breach(path=(key,), text=text)
    for key in ("pinned", "spread", "near", "away"):
        if given(model, "target") and given(model, key):
            text = "cannot stand beside target: where its slices lie follows from it; leave it out"
            yield Breach(path=(key,), text=text)


def _target_and_throughput(model: Mapping[str, object]) -> Iterator[Breach]:
    target, throughput = given(model, "target"), given(model, "throughput")
    if target and not throughput and (missing := _not_estimable(model)):
        text = (
            f"needs throughput, what one slice gives, such as throughput: {{1g.10gb: 120}}{missing}"
        )
        yield Breach(path=("target",), text=text)
    if throughput and not target:
        text = "is only used with target; add for instance target: {tokens_per_s: 900}"
        yield Breach(path=("throughput",), text=text)


def _not_estimable(model: Mapping[str, object]) -> str:
    """Say why an estimate cannot stand in for `throughput`, in words that follow it, or ""."""
    if model.get("engine") == "command":
        return "; of your own server it cannot be estimated"
    target = model.get("target")
    if isinstance(target, Mapping) and "requests_per_s" in target and "answer_tokens" not in target:
        return "; or answer_tokens below target, since requests differ in length"
    return ""


def _target_and_context(model: Mapping[str, object]) -> Iterator[Breach]:
    """Check that a usual request is no longer than the longest."""
    target, most = model.get("target"), model.get("context_tokens", USUAL_CONTEXT)
    if not isinstance(target, Mapping) or not isinstance(most, int):
        return
    keys = [key for key in ("prompt_tokens", "answer_tokens") if isinstance(target.get(key), int)]
    if keys and sum(target[key] for key in keys) > most:
        text = f"makes a usual request longer than context_tokens, which is {most:,}"
        yield Breach(path=("target", keys[-1]), text=text)


def _throughput(rates: object) -> Iterator[Breach]:
    """Check the keys: profiles, or products with profiles below them."""
    for key, rate in rates.items() if isinstance(rates, Mapping) else ():
        if not isinstance(rate, Mapping):
            yield from _profile((key,))
        elif not str(key).strip():
            yield Breach(path=("throughput", key), text="names no product")
        else:
            for name in rate:
                yield from _profile((key, name))


def _profile(path: KeyPath) -> Iterator[Breach]:
    try:
        notation.profile_name(path[-1])
    except notation.NotationError as error:
        yield Breach(path=("throughput", *path), text=str(error))


def _neighbours(model: Mapping[str, object], key: str) -> Iterator[tuple[KeyPath, str]]:
    """List the models that one is near or away from, each with its place."""
    written = model.get(key)
    if isinstance(written, str):
        yield (key,), written
    for index, other in enumerate(written if isinstance(written, list | tuple) else ()):
        if isinstance(other, str):
            yield (key, index), other


def _wrong_neighbour(name: str, key: str, other: str, models: Mapping[str, object]) -> str:
    """Say why a model cannot be near or away from another, or ""."""
    if other == name and key == "near":
        return "a model is always near itself; leave it out"
    if other == name:
        return "a model cannot be away from itself; to part its replicas write spread: true"
    if other not in models:
        return f"there is no model '{shortened(other)}'{_meant_model(other, name, models)}"
    known = models[other]
    if isinstance(known, Mapping) and given(known, "target"):
        return f"where '{other}' lies follows from its target; leave it out"
    model = models[name]
    assert isinstance(model, Mapping), "it has neighbours"
    if key == "away" and other in [near for _, near in _neighbours(model, "near")]:
        return f"'{other}' is under near as well; keep one of them"
    return ""


def _meant_model(word: str, name: str, models: Mapping[str, object]) -> str:
    """Suggest a model, or list them where they are few; comparing among many takes too long."""
    others = [known for known in models if known != name]
    meant = did_you_mean(word, others) if len(others) <= _COMPARED else ""
    if not meant and 0 < len(others) <= _LISTED:
        return f"; the others are: {', '.join(map(shortened, others))}"
    return meant


def _what_to_serve(model: Mapping[str, object]) -> Iterator[Breach]:
    if "model" not in model and model.get("engine") != "command":
        text = "is missing: a hub name (org/name), a local folder, or a .gguf file"
        yield Breach(path=("model",), text=text)
    source = model.get("model")
    if isinstance(source, str) and "://" in source:
        text = f"'{shortened(source)}' is an address; write a hub name, a folder, or a .gguf file"
        yield Breach(path=("model",), text=text)
    if isinstance(source, str) and source.startswith("-"):
        text = "starts with '-', which a server would take for an option; write ./ in front of it"
        yield Breach(path=("model",), text=text)


def _engine_and_model(model: Mapping[str, object]) -> Iterator[Breach]:
    source = model.get("model")
    if model.get("engine") != "llama.cpp" or not isinstance(source, str):
        return
    if source and not source.lower().endswith(".gguf"):
        text = f"llama.cpp serves .gguf files, and '{shortened(source)}' is none; write vllm, or "
        yield Breach(path=("engine",), text=text + "name a .gguf file as model")


def _engine_and_command(model: Mapping[str, object]) -> Iterator[Breach]:
    command = given(model, "command")
    if model.get("engine") != "command":
        if command:
            text = "is only used with 'engine: command'; add that line, or write args instead"
            yield Breach(path=("command",), text=text)
        return
    if not command:
        text = "'command' needs the key command: a list with the program and its arguments"
        yield Breach(path=("engine",), text=text)
    if given(model, "args"):
        yield Breach(path=("args",), text="is not used with 'engine: command'; put it into command")
    if not any(given(model, key) for key in ("slice", "memory", "target")):
        text = "'command' needs slice or memory: what your own server takes cannot be known"
        yield Breach(path=("engine",), text=text)


def _program(model: Mapping[str, object]) -> Iterator[Breach]:
    if not given(model, "program"):
        return
    if model.get("engine") == "command":
        text = "is not used with 'engine: command'; command begins with the program"
        yield Breach(path=("program",), text=text)
    if str(model["program"]).startswith("-"):
        yield Breach(path=("program",), text="starts with '-', as no program does")


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


def given(model: Mapping[str, object], key: str) -> bool:
    """Tell whether a key is there with something in it."""
    return model.get(key) not in (None, "", [], (), {})
