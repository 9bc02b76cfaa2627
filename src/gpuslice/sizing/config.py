"""From a config.json to an `Architecture`: what each layer keeps, and how large it is.

Separate from the readers of files, because nothing is read here: a mapping goes in. No code of a
model repository is ever run; a family that cannot be told from its configuration is sized by the
rule that gives most, and marked as not exact.

Source: the configuration classes documented at huggingface.co/docs/transformers, by family; for the
latent cache DeepSeek-V2 (arXiv 2405.04434), section 2.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gpuslice.sizing.architecture import Architecture, Keeps, Layers
from gpuslice.sizing.config_heads import HeadSizes, head_sizes
from gpuslice.sizing.config_kinds import Kind, kinds_of
from gpuslice.sizing.config_reader import ConfigReader
from gpuslice.sizing.config_states import state_layers
from gpuslice.sizing.families import ENCODERS, INNER_DEFAULTS, is_known

_INNER = ("text_config", "language_config", "llm_config")
MOST_LAYERS = 4096
_LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
_IMAGE_TOKENS = 4 * 1601  # Llama 3.2 Vision: four tiles of 40 x 40 patches and one class token


def config_architecture(config: Mapping[str, object], source: str) -> Architecture:
    """Describe a model by its config.json.

    Args:
        config: The parsed file.
        source: Where it was read from, for messages.

    Raises:
        SizingError: It leaves out what the size depends on, or says what cannot be true.
    """
    outer = ConfigReader(values=config, source=source, defaults={})
    inner = _language_model(outer)
    layers, notes = _layers(inner)
    family = inner.word("model_type") or outer.word("model_type")
    known = is_known(family)
    if not known:
        called = f"'{family}'" if family else "a family without a name"
        notes = (*notes, f"{called} is not a known architecture: its cache is an upper estimate")
    return Architecture(
        name=family,
        layers=layers,
        longest_context=_longest_context(inner),
        vocabulary=inner.count("vocab_size", "padded_vocab_size"),
        experts=inner.count(*_EXPERTS),
        experts_per_token=inner.count(*_CHOSEN),
        tied=_tied(outer, inner),
        layer_count=inner.count(*_LAYER_KEYS),
        step_elements=_step_elements(inner),
        notes=notes,
        exact=known and not notes,
    )


def _language_model(config: ConfigReader) -> ConfigReader:
    """Find the part that writes the answer, in a model that also sees or hears."""
    thinker = config.inner("thinker_config")
    outer = thinker if thinker.values else config
    for key in _INNER:
        inner = outer.inner(key)
        if inner.values:
            defaults = INNER_DEFAULTS.get(inner.word("model_type"), {})
            return ConfigReader(values=inner.values, source=config.source, defaults=defaults)
    return outer


def _tied(outer: ConfigReader, inner: ConfigReader) -> bool:
    """Tell whether the output layer is the embedding table; Gemma's is, and does not say so."""
    default = inner.word("model_type").startswith("gemma")
    key = "tie_word_embeddings"
    return inner.flag(key, default=outer.flag(key, default=default))


def _longest_context(config: ConfigReader) -> int:
    """Most tokens the model was made for, stretched as its rope scaling says."""
    longest = config.count(
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "max_target_positions",
    )
    scaling = config.inner("rope_scaling")
    if scaling.word("rope_type", "type") not in {"yarn", "linear", "dynamic"}:
        return longest
    factor = scaling.values.get("factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= 10_000:
        return longest
    original = scaling.count("original_max_position_embeddings")
    return max(longest, int(original * factor)) if original else int(longest * factor)


def _step_elements(config: ConfigReader) -> int:
    """Add up what one token needs at once in the widest layer.

    The residual stream and attention's inputs and outputs (four widths), and the gate, its partner
    and their product of the feed-forward part, for every expert that the token goes through.
    """
    width = config.count("hidden_size", "n_embd", "d_model")
    inner = config.count("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff") or 4 * width
    chosen = config.count(*_CHOSEN)
    if not chosen:
        return 3 * inner + 4 * width
    expert = config.count("moe_intermediate_size", "expert_hidden_dim") or inner
    shared = config.count("shared_expert_intermediate_size", "shared_intermediate_size")
    routed = chosen * (3 * expert + width) + 3 * shared
    return max(routed, 3 * inner) + 4 * width


def _layers(config: ConfigReader) -> tuple[tuple[Layers, ...], tuple[str, ...]]:
    """List what the layers keep, and what was assumed for it."""
    if config.word("model_type") in ENCODERS:
        return (), ()
    if config.flag("is_encoder_decoder"):
        return _decoder_layers(config), ()
    if blocks := config.items("block_configs"):
        return _pruned_layers(config, blocks), ()
    count = config.need(*_LAYER_KEYS, most=MOST_LAYERS)
    kinds = Counter(kinds_of(config, count))
    return _attention_layers(config, count, kinds) + _state_layers(config, kinds), _notes(kinds)


def _notes(kinds: Counter[Kind]) -> tuple[str, ...]:
    unknown = kinds[Kind.UNKNOWN]
    if not unknown:
        return ()
    return (f"{unknown} layers are of a kind that is not known: counted as full attention",)


def _attention_layers(config: ConfigReader, count: int, kinds: Counter[Kind]) -> tuple[Layers, ...]:
    full = kinds[Kind.FULL] + kinds[Kind.BOTH] + kinds[Kind.UNKNOWN]
    if not full + kinds[Kind.WINDOW] + kinds[Kind.CHUNK] + kinds[Kind.CROSS]:
        return ()
    sizes = head_sizes(config, count)
    keeps = Keeps.LATENT if sizes.latent else Keeps.FULL
    window = config.count("sliding_window", "attention_window_size")
    parts = (
        _part(sizes, keeps, full),
        _part(sizes, Keeps.WINDOW if window else Keeps.FULL, kinds[Kind.WINDOW], window),
        _part(sizes, Keeps.CHUNK, kinds[Kind.CHUNK], config.count("attention_chunk_size")),
        _part(sizes, Keeps.CROSS, kinds[Kind.CROSS], _IMAGE_TOKENS),
    )
    return tuple(part for part in parts if part.count)


def _part(sizes: HeadSizes, keeps: Keeps, count: int, tokens: int = 0) -> Layers:
    return Layers(
        keeps=keeps,
        count=count,
        elements=sizes.elements,
        expanded_elements=sizes.expanded,
        index_bytes=sizes.index_bytes,
        tokens=tokens,
        flops_per_context_token=sizes.flops,
    )


def _state_layers(config: ConfigReader, kinds: Counter[Kind]) -> tuple[Layers, ...]:
    count = kinds[Kind.STATE] + kinds[Kind.BOTH]
    if not count:
        return ()
    layers = state_layers(config, count)
    if layers is None:
        raise config.silent("state size (mamba_d_state, linear_num_value_heads, …)")
    return (layers,)


def _decoder_layers(config: ConfigReader) -> tuple[Layers, ...]:
    """Encoder and decoder (Whisper, T5): a layer keeps its own tokens and the encoder's."""
    count = config.need("num_decoder_layers", *_LAYER_KEYS, most=MOST_LAYERS)
    sizes = head_sizes(config, count)
    heard = config.need("max_source_positions", "max_position_embeddings", "n_positions")
    return (_part(sizes, Keeps.FULL, count), _part(sizes, Keeps.CROSS, count, heard))


def _pruned_layers(config: ConfigReader, blocks: tuple[object, ...]) -> tuple[Layers, ...]:
    """Models pruned layer by layer (Nemotron): each says how many heads share one key head."""
    heads = config.need("num_attention_heads")
    head = config.whole("head_dim") or config.need("hidden_size") // heads
    shares: Counter[int] = Counter()
    for block in blocks:
        match block:
            case {"attention": {"n_heads_in_group": int(share)}} if 1 <= share <= heads:
                shares[share] += 1
            case {"attention": {}}:
                pass  # this layer has none
            case _:
                raise config.silent("block_configs")
    return tuple(
        Layers(
            keeps=Keeps.FULL,
            count=count,
            elements=2 * (heads // share) * head,
            flops_per_context_token=4 * heads * head,
        )
        for share, count in sorted(shares.items())
    )
