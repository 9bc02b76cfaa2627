"""What a stack file can be: valid stacks, and texts that are nearly one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

MODEL_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
PROFILES = st.sampled_from(["1g.10gb", "1g.10gb+me", "3g.40gb", "7g.80gb", "1g.24gb-me"])
MEMORY = st.one_of(st.integers(1, 200_000), st.sampled_from(["18GiB", "17.5GiB", "19GB", "9 MiB"]))
_NO_PLACEHOLDERS = "{}"  # in a command they would have to be known ones
_NO_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # refused in any text
CHARACTERS = st.characters(
    codec="utf-8",
    exclude_categories=["Cc", "Cs", "Cn"],
    exclude_characters=_NO_PLACEHOLDERS + _NO_TURNING,
)
TEXTS = st.text(CHARACTERS, max_size=20)
NAMES_OF_PRODUCTS = TEXTS.filter(lambda text: text.strip())
SOURCES = st.sampled_from(["Qwen/Qwen3-4B", "./folder", "models/small.gguf", "gpt2", "a b/c"])
VARIABLES = st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True).map(lambda name: f"X{name}")


PRODUCTS = st.sampled_from(["NVIDIA H200", "nvidia a30", "A100-SXM4-80GB"])
SEVERAL_PROFILES = st.lists(PROFILES, min_size=1, unique=True)
SLICES = st.one_of(
    PROFILES,
    SEVERAL_PROFILES,
    st.dictionaries(PRODUCTS, PROFILES | SEVERAL_PROFILES, min_size=1),
)
PER_SECOND = st.integers(1, 10_000) | st.floats(0.001, 1e6)
RATES = st.dictionaries(PROFILES, PER_SECOND, min_size=1, max_size=3)
THROUGHPUTS = RATES | st.dictionaries(PRODUCTS, RATES, min_size=1, max_size=2)
TARGETS = st.fixed_dictionaries({"tokens_per_s": PER_SECOND}) | st.fixed_dictionaries(
    {"requests_per_s": PER_SECOND}
)


_ONE_TOKEN = {"answer_tokens": st.just(1)}  # fits any context
SHAPED_TARGETS = st.fixed_dictionaries(
    {"requests_per_s": PER_SECOND, **_ONE_TOKEN}
) | st.fixed_dictionaries({"tokens_per_s": PER_SECOND}, optional=_ONE_TOKEN)
"""Targets that an estimate may meet."""


PLACING = frozenset({"pinned", "spread"})
"""Keys that say where replicas lie, which follows from a target where there is one."""


def models() -> st.SearchStrategy[dict[str, Any]]:
    """One model that the schema accepts."""
    anything = {
        "replicas": st.integers(1, 100_000),
        "context_tokens": st.integers(1, 100_000),
        "concurrency": st.integers(1, 64),
        "environment": st.dictionaries(VARIABLES, TEXTS, max_size=3),
        "priority": st.integers(-1000, 1000),
        "move_cost": st.integers(0, 1000),
        "pinned": st.booleans(),
        "spread": st.booleans() | st.integers(1, 8),
    }
    served = st.fixed_dictionaries(
        {"model": SOURCES},
        optional={**anything, "args": st.lists(TEXTS, max_size=3), "slice": SLICES},
    )
    sized = st.fixed_dictionaries(
        {"model": SOURCES}, optional={**anything, "memory": MEMORY, "compute": st.integers(1, 8)}
    )
    placed_freely = {key: values for key, values in anything.items() if key not in PLACING}
    targeted = st.fixed_dictionaries(
        {"model": SOURCES, "target": TARGETS, "throughput": THROUGHPUTS}, optional=placed_freely
    )
    estimated = st.fixed_dictionaries(
        {"model": SOURCES, "target": SHAPED_TARGETS}, optional=placed_freely
    )
    commanded = st.fixed_dictionaries(
        {
            "engine": st.just("command"),
            "command": st.lists(TEXTS | st.just("{port}"), min_size=1, max_size=3),
            "memory": MEMORY,
        },
        optional=anything,
    )
    return served | sized | targeted | estimated | commanded


def stacks() -> st.SearchStrategy[dict[str, Any]]:
    """A whole stack that the schema accepts, as plain values."""
    amounts = st.floats(0.001, 1e9, allow_nan=False) | st.integers(1, 100_000)
    prices = st.one_of(
        st.fixed_dictionaries({"per_month": amounts}),
        st.fixed_dictionaries({"per_hour": amounts, "currency": st.just("USD")}),
    )
    return st.fixed_dictionaries(
        {
            "models": st.dictionaries(MODEL_NAMES, models(), min_size=1, max_size=4).flatmap(
                with_neighbours
            )
        },
        optional={
            "name": st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
            "gpus": st.just("all") | st.lists(st.integers(0, 15), min_size=1, unique=True),
            "drain": st.lists(st.integers(0, 15), unique=True),
            "gateway": st.fixed_dictionaries({}, optional={"port": st.integers(1, 65535)}),
            "prices": st.dictionaries(NAMES_OF_PRODUCTS, prices, max_size=3),
        },
    )


def with_neighbours(models: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The models, where some are near or away from others."""
    names = list(models)
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(["near", "away"])).flatmap(
        lambda pair: st.tuples(st.just(pair), st.sampled_from([*names, ""]))
    )
    return st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0][0]).map(
        lambda found: _neighbouring(models, found)
    )


def _neighbouring(
    models: dict[str, Any], pairs: list[tuple[tuple[str, str], str]]
) -> dict[str, Any]:
    fresh = dict(models)
    for (name, key), other in pairs:
        tied = other not in ("", name) and not {"target"} & {*models[name], *models[other]}
        if tied:
            fresh[name] = {**fresh[name], key: [other]}
    return fresh


def wrong_values() -> st.SearchStrategy[Any]:
    """Anything that YAML can hold, to be put where something else is expected."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | PROFILES
    return st.recursive(
        leaves,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    )


def broken_stacks() -> st.SearchStrategy[Any]:
    """A stack in which any values have been replaced by anything."""
    return stacks().flatmap(_with_damage)


def yaml_like_texts() -> st.SearchStrategy[str]:
    """Words and punctuation of YAML in any order."""
    words = ["models", "name", "gpus", "slice", "14", "1e3", "1_0", "~", "<<", "é", "%YAML"]
    marks = [":", "-", "[", "]", "{", "}", "&a", "*a", "!!str", "!x", '"', "'", "|", ">", "#"]
    marks += ["---", "...", "?", "@", "`"]
    space = [" ", "\n", "\n  ", "\t", ": ", "- ", "\u2028", "\x85", "\x00"]
    return st.lists(st.sampled_from(words + marks + space), max_size=40).map("".join)


def _with_damage(stack: dict[str, Any]) -> st.SearchStrategy[Any]:
    paths = st.sampled_from(list(_paths(stack)))
    damage = st.lists(st.tuples(paths, wrong_values()), min_size=1, max_size=4)
    return damage.map(lambda wounds: _damaged(stack, wounds))


def _paths(value: Any) -> list[tuple[Any, ...]]:
    below: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            below += [(key, *path) for path in _paths(item)]
    return [(), *below]


def _damaged(value: Any, wounds: list[tuple[tuple[Any, ...], Any]]) -> Any:
    for path, wrong in wounds:
        if path == ():
            if not isinstance(wrong, dict) or not isinstance(value, dict):
                return wrong
            value = {**value, **wrong}
        elif isinstance(value, dict) and path[0] in value:
            value = {**value, path[0]: _damaged(value[path[0]], [(path[1:], wrong)])}
    return value
