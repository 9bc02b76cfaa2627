"""The constant state of a layer that keeps no tokens: Mamba, linear attention, short convolutions.

Separate, because these sizes follow from the mathematics of each kind and from nothing else. A
state is the recurrent part and the last inputs of a short convolution. Engines keep the convolution
in the model's 16 bits and the recurrent part in 16 or 32; where the configuration does not say,
32 are counted, and beside it 16 for an engine that is known to keep them (vLLM).

Source: Mamba (arXiv 2312.00752), Mamba-2 (2405.21060), gated delta nets (2412.06464), Kimi Linear
(2510.26692); vLLM, "mamba_utils", for what is kept beside the recurrent part, and its
"NemotronHForCausalLMConfig" for the family that it keeps in 32 bits.
"""

from __future__ import annotations

from gpuslice.sizing.architecture import Keeps, Layers
from gpuslice.sizing.config_reader import ConfigReader

_CONVOLUTION_BYTES = 2
_RECURRENT_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
# vLLM's default for the first two; Qwen's own configurations say so, and some copies do not.
_ALWAYS_WIDE = ("nemotron_h", "kimi_linear", "qwen3_5")
_UNTOLD_CHUNK = 2048  # vLLM's, where the configuration is silent


def state_layers(config: ConfigReader, count: int) -> Layers | None:
    """Describe layers with such a state; None where nothing tells how large it is.

    Args:
        config: What describes the model.
        count: How many layers have one.
    """
    for rule in (_delta_net, _kimi, _mamba2, _mamba, _short_convolution, _gated_lru, _lightning):
        sizes = rule(config)
        if sizes is not None:
            convolution, recurrent = sizes[0] * _CONVOLUTION_BYTES, sizes[1]
            told = _told_bytes(config)
            return Layers(
                keeps=Keeps.STATE,
                count=count,
                state_bytes=convolution + recurrent * (told or 4),
                narrow_state_bytes=0 if told else convolution + recurrent * 2,
                state_chunk_tokens=_chunk(config) if rule in (_mamba2, _mamba) else 0,
            )
    return None


def _told_bytes(config: ConfigReader) -> int:
    """Bytes of one number of the recurrent part; 0 where the engine may choose."""
    written = config.word("mamba_ssm_cache_dtype", "mamba_ssm_dtype")
    wide = 4 if config.word("model_type").startswith(_ALWAYS_WIDE) else 0
    return _RECURRENT_BYTES.get(written, wide)


def _chunk(config: ConfigReader) -> int:
    return config.whole("mamba_chunk_size", "chunk_size") or _UNTOLD_CHUNK


def _delta_net(config: ConfigReader) -> tuple[int, int] | None:
    """Gated delta nets: Qwen3-Next and Qwen3.5."""
    values = config.whole("linear_num_value_heads")
    if values is None:
        return None
    keys = config.need("linear_num_key_heads")
    key, value = config.need("linear_key_head_dim"), config.need("linear_value_head_dim")
    width = 2 * keys * key + values * value
    return width * (config.need("linear_conv_kernel_dim") - 1), values * key * value


def _kimi(config: ConfigReader) -> tuple[int, int] | None:
    """Kimi delta attention: one state per head, and a convolution each for q, k and v."""
    linear = config.inner("linear_attn_config")
    heads = linear.whole("num_heads")
    if heads is None:
        return None
    size = linear.need("head_dim")
    kernel = linear.need("short_conv_kernel_size")
    return 3 * heads * size * (kernel - 1), heads * size * size


def _mamba2(config: ConfigReader) -> tuple[int, int] | None:
    heads = config.whole("mamba_n_heads", "mamba_num_heads", "n_mamba_heads")
    if heads is None and config.word("model_type") == "mamba2":
        heads = config.need("num_heads")
    if heads is None:
        return None
    state = config.need("mamba_d_state", "ssm_state_size", "state_size")
    kernel = config.need("mamba_d_conv", "conv_kernel")
    groups = config.whole("mamba_n_groups", "n_groups", "mamba_ngroups") or 1
    inner = _mamba2_width(config, heads)
    return (inner + 2 * groups * state) * (kernel - 1), inner * state


def _mamba2_width(config: ConfigReader, heads: int) -> int:
    if config.word("mamba_d_head") != "auto":
        own = "head_dim" if config.word("model_type") == "mamba2" else "mamba_headdim"
        size = config.whole("mamba_d_head", "mamba_head_dim", own)
        if size is not None:
            return heads * size
    return config.need("mamba_expand") * config.need("hidden_size")


def _mamba(config: ConfigReader) -> tuple[int, int] | None:
    """The first Mamba: every channel has a state of its own."""
    state = config.whole("mamba_d_state", "state_size")
    if state is None:
        return None
    kernel = config.need("mamba_d_conv", "conv_kernel")
    expand = config.whole("mamba_expand", "expand")
    inner = expand * config.need("hidden_size") if expand else config.need("intermediate_size")
    return inner * (kernel - 1), inner * state


def _short_convolution(config: ConfigReader) -> tuple[int, int] | None:
    """LFM2: a convolution and nothing else."""
    length = config.whole("conv_L_cache")
    return None if length is None else (config.need("hidden_size") * (length - 1), 0)


def _gated_lru(config: ConfigReader) -> tuple[int, int] | None:
    """RecurrentGemma: one number for each channel."""
    width = config.whole("lru_width")
    return None if width is None else (width * (config.need("conv1d_width") - 1), width)


def _lightning(config: ConfigReader) -> tuple[int, int] | None:
    """Lightning attention (MiniMax): a square matrix for each head."""
    if not config.items("attn_type_list") and config.word("model_type") != "minimax":
        return None
    return 0, config.need("num_attention_heads") * config.need("head_dim") ** 2
