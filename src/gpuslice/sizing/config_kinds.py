"""Which layer of a model is of which kind, as its config.json says.

Separate, because here each family has its own words and its own arithmetic of positions, and
nothing else of the model matters. Families that write every layer's kind (``layer_types``) are read
by it; the others have a rule, which their model cards and published code tell.

Source: the configuration classes documented at huggingface.co/docs/transformers, by family.
"""

from __future__ import annotations

from enum import Enum, auto

from gpuslice.sizing.config_reader import ConfigReader


class Kind(Enum):
    """What one layer does with the tokens before it."""

    FULL = auto()
    WINDOW = auto()
    CHUNK = auto()
    STATE = auto()
    BOTH = auto()  # attention and a constant state
    CROSS = auto()
    NOTHING = auto()  # feed-forward only, or the cache of another layer
    UNKNOWN = auto()


_WORDS = {
    "full_attention": Kind.FULL,
    "attention": Kind.FULL,
    "global": Kind.FULL,
    "sliding_attention": Kind.WINDOW,
    "sliding_window": Kind.WINDOW,
    "local": Kind.WINDOW,
    "chunked_attention": Kind.CHUNK,
    "linear_attention": Kind.STATE,
    "mamba": Kind.STATE,
    "mamba2": Kind.STATE,
    "recurrent": Kind.STATE,
    "conv": Kind.STATE,
    "hybrid": Kind.BOTH,
    "mlp": Kind.NOTHING,
    "moe": Kind.NOTHING,
}
_LETTERS = {"M": Kind.STATE, "*": Kind.FULL, "-": Kind.NOTHING, "E": Kind.NOTHING}
_PURE_STATE = ("mamba", "mamba2", "falcon_mamba")
_ALWAYS_BOTH = ("falcon_h1",)
# One layer in so many sees the whole context, where the configuration leaves it to the family.
_FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4}


def kinds_of(config: ConfigReader, layers: int) -> tuple[Kind, ...]:
    """Say of what kind each layer is, in order.

    Args:
        config: The (inner) configuration of the language model.
        layers: How many layers it has.
    """
    written = _written(config, layers)
    kinds = written if len(written) == layers else tuple(_by_rule(config, i) for i in range(layers))
    shared = config.count("num_kv_shared_layers")  # the last layers read the cache of earlier ones
    return kinds[: layers - shared] + (Kind.NOTHING,) * min(shared, layers)


def _written(config: ConfigReader, layers: int) -> tuple[Kind, ...]:
    """Read one entry for each layer, in whatever spelling; empty where there is none."""
    pattern = config.word("hybrid_override_pattern")
    if pattern:
        return tuple(_LETTERS.get(letter, Kind.UNKNOWN) for letter in pattern)
    if marks := config.items("attn_type_list"):  # MiniMax: 1 is attention, 0 is linear
        return tuple(Kind.FULL if mark else Kind.STATE for mark in marks)
    for key in ("layer_types", "layers_block_type", "layer_block_type"):
        if words := config.items(key):
            return tuple(_WORDS.get(str(word), Kind.UNKNOWN) for word in words)
    if words := config.items("block_types"):  # RecurrentGemma: repeated to the end
        known = tuple(_WORDS.get(str(word), Kind.UNKNOWN) for word in words)
        windowed = tuple(Kind.WINDOW if kind is Kind.FULL else kind for kind in known)
        return (windowed * layers)[:layers]
    return ()


def _by_rule(config: ConfigReader, layer: int) -> Kind:
    family = config.word("model_type")
    if family in _PURE_STATE:
        return Kind.STATE
    if family in _ALWAYS_BOTH:
        return Kind.BOTH
    if layer in config.items("cross_attention_layers"):
        return Kind.CROSS
    for rule in (_by_position, _by_interval, _by_pattern, _by_chunk):
        kind = rule(config, layer)
        if kind is not None:
            return kind
    return _by_window(config, layer)


def _by_position(config: ConfigReader, layer: int) -> Kind | None:
    """Bamba lists the layers with attention, Kimi-Linear counts them from one."""
    if indices := config.items("attn_layer_indices"):
        return Kind.FULL if layer in indices else Kind.STATE
    linear = config.inner("linear_attn_config")
    if full := linear.items("full_attn_layers"):
        return Kind.FULL if layer + 1 in full else Kind.STATE
    return None


def _by_interval(config: ConfigReader, layer: int) -> Kind | None:
    """Qwen3-Next and Jamba: one layer in so many has attention, the others a state."""
    if interval := config.count("full_attention_interval"):
        return Kind.FULL if (layer + 1) % interval == 0 else Kind.STATE
    if period := config.count("attn_layer_period"):
        offset = config.count("attn_layer_offset")
        return Kind.FULL if layer % period == offset % period else Kind.STATE
    return None


def _by_pattern(config: ConfigReader, layer: int) -> Kind | None:
    """Gemma, Cohere and EXAONE: one layer in so many sees the whole context."""
    letters = config.word("sliding_window_pattern")
    if letters:
        return Kind.WINDOW if letters[layer % len(letters)] == "L" else Kind.FULL
    family = config.word("model_type")
    every = config.count("sliding_window_pattern", "_sliding_window_pattern")
    every = every or _FULL_EVERY.get(family, 0)
    if not every or not config.count("sliding_window"):
        return None
    return Kind.FULL if (layer + 1) % every == 0 else Kind.WINDOW


def _by_chunk(config: ConfigReader, layer: int) -> Kind | None:
    """Llama 4: layers with rotary positions attend within a chunk, the others to everything."""
    if not config.count("attention_chunk_size"):
        return None
    marks = config.items("no_rope_layers")
    every = config.count("no_rope_layer_interval") or 4
    rotary = bool(marks[layer]) if layer < len(marks) else (layer + 1) % every != 0
    return Kind.CHUNK if rotary else Kind.FULL


def _by_window(config: ConfigReader, layer: int) -> Kind:
    if not config.count("sliding_window") or not config.flag("use_sliding_window", default=True):
        return Kind.FULL
    first = config.count("max_window_layers")  # Qwen: the layers before it see everything
    return Kind.WINDOW if layer >= first else Kind.FULL
