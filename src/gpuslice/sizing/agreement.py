"""Whether a model's configuration and its tensors speak of the same model.

Separate, because it is the one place that sees both. The tensors are what is really loaded, so they
check the configuration of a family that is known, and stand in for that of one that is not: every
row of a key or value matrix is then counted as something the cache has to hold, which is the most
it can be for any kind of attention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gpuslice.errors import SizingError
from gpuslice.sizing.architecture import Architecture, Keeps, Layers
from gpuslice.sizing.config import config_architecture
from gpuslice.sizing.families import is_known
from gpuslice.sizing.tensors import Role, Tensor, layers_in, role_of

_AGAIN = "fetch the model again, config.json and weights from one place"
_ATTENTION = r"(?:^|\.)(?:layers|h|blocks)\.\d+\.(?:self_attn|attention|attn|cross_attn|mixer)\."
_KEYS_VALUES = re.compile(_ATTENTION + r"[kv]_proj\.weight$")
_FUSED = re.compile(_ATTENTION + r"(?:qkv_proj|qkv|Wqkv|query_key_value|c_attn|wqkv)\.weight$")
_ELSEWHERE = re.compile(r"encoder|audio|vision|visual|talker|indexer")
_ONE_ROW_EACH = frozenset({"BF16", "F16", "F32", "F8_E4M3", "F8_E5M2", "I8"})


def describe(config: Mapping[str, object], tensors: Sequence[Tensor], source: str) -> Architecture:
    """Describe a model by its configuration, held against its tensors.

    Args:
        config: The parsed config.json.
        tensors: Every tensor of its weights.
        source: Where both were read from, for messages.

    Returns:
        What its layers keep; an upper estimate, marked as such, for a family that is not known.

    Raises:
        SizingError: Configuration and tensors contradict each other, or neither tells enough.
    """
    try:
        architecture = config_architecture(config, source)
    except SizingError:
        from_tensors = _from_tensors(config, tensors)
        if from_tensors is None:
            raise
        return from_tensors
    if not is_known(architecture.name):
        return _at_least(architecture, tensors)
    _refuse_contradictions(architecture, tensors, source)
    return architecture


def _refuse_contradictions(
    architecture: Architecture, tensors: Sequence[Tensor], source: str
) -> None:
    found = layers_in(tensors)
    if 0 < found < architecture.layer_count:
        text = (
            f"its config.json speaks of {architecture.layer_count} layers, its weights are {found}"
        )
        raise SizingError(f"{source} contradicts itself: {text}", hint=_AGAIN)
    for tensor in tensors:
        if role_of(tensor, 0) is not Role.EMBEDDING or len(tensor.shape) != 2:
            continue
        if architecture.vocabulary > max(tensor.shape):
            text = (
                f"its config.json speaks of {architecture.vocabulary:,} tokens, {tensor.name} has"
            )
            raise SizingError(
                f"{source} contradicts itself: {text} {tensor.shape[0]:,} rows", hint=_AGAIN
            )
    _refuse_other_heads(architecture, tensors, source)


def _refuse_other_heads(architecture: Architecture, tensors: Sequence[Tensor], source: str) -> None:
    kinds = {part.keeps for part in architecture.layers} - {Keeps.STATE}
    rows = _rows(_KEYS_VALUES, tensors, architecture.layer_count)
    if not rows or Keeps.LATENT in kinds or not kinds:
        return
    said = sum(part.count * part.elements for part in architecture.layers)
    if rows != said:
        text = f"its config.json makes keys and values of {said:,} elements, its weights {rows:,}"
        raise SizingError(f"{source} contradicts itself: {text}", hint=_AGAIN)


def _rows(pattern: re.Pattern[str], tensors: Iterable[Tensor], layers: int) -> int:
    """Add up the rows of matrices of that name; those of towers and of further layers are left."""
    return sum(
        tensor.shape[0]
        for tensor in tensors
        if pattern.search(tensor.name)
        and not _ELSEWHERE.search(tensor.name)
        and tensor.kind in _ONE_ROW_EACH
        and len(tensor.shape) == 2
        and role_of(tensor, layers) is Role.DENSE
    )


def _most_elements(tensors: Sequence[Tensor], layers: int) -> int:
    return _rows(_KEYS_VALUES, tensors, layers) or _rows(_FUSED, tensors, layers)


def _at_least(architecture: Architecture, tensors: Sequence[Tensor]) -> Architecture:
    """Take the larger of what an unknown family's configuration and its tensors say."""
    most = _most_elements(tensors, architecture.layer_count)
    said = sum(part.count * part.elements for part in architecture.layers)
    if most <= said:
        return architecture
    states = tuple(part for part in architecture.layers if part.keeps is Keeps.STATE)
    return replace(architecture, layers=(_one_layer(most), *states))


def _from_tensors(config: Mapping[str, object], tensors: Sequence[Tensor]) -> Architecture | None:
    """Make the best of a configuration that tells nothing, in a family that is not known."""
    family = str(config.get("model_type", ""))
    most = _most_elements(tensors, 0)
    if is_known(family) or not most:
        return None
    tables = [t for t in tensors if role_of(t, 0) is Role.EMBEDDING]
    return Architecture(
        name=family,
        layers=(_one_layer(most),),
        vocabulary=max((table.shape[0] for table in tables), default=0),
        layer_count=layers_in(tensors),
        notes=(f"'{family}' is not a known architecture: its cache is an upper estimate",),
        exact=False,
    )


def _one_layer(elements: int) -> Layers:
    """Stand for all layers at once: their elements are added up, so that they may differ."""
    return Layers(keeps=Keeps.FULL, count=1, elements=elements)
