"""One tensor of a model, whatever file it was read from, and what its name says it is for.

Separate, so that readers of files and the arithmetic of weights meet in one small type. Names are
the only thing that tells what a tensor is for; the conventions are those of transformers and of
llama.cpp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_EXPERT = re.compile(r"\.experts\.|_exps\.|\.block_sparse_moe\.(input|output)_linear\.")
_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|tok_embeddings|token_embd|embed_in|embeddings)\.weight$"
)
_OUTPUT = re.compile(r"(^|\.)(lm_head|output|embed_out)\.weight$")
_TOWER = re.compile(
    r"(^|\.)(vision_tower|vision_model|vision_encoder|vision_embed|visual|audio_tower|multi_modal_projector"
    r"|mm_projector|mlp1|vit|image_newline|aligner)\."
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|blk|h|blocks)\.(\d+)\.")


class Role(StrEnum):
    """What a tensor is for, as far as memory and speed care."""

    DENSE = "dense"  # read in every step
    EXPERT = "expert"  # read when a token picks it
    EMBEDDING = "embedding"  # one row for each token
    OUTPUT = "output"  # the embedding table turned round, or a table of its own
    TOWER = "tower"  # sees or hears; read when a prompt brings an image
    DRAFT = "draft"  # predicts further tokens; used by speculative decoding only


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor as it is stored.

    Attributes:
        name: In its file's words.
        kind: Its type, in its file's words, upper case: ``BF16``, ``F8_E4M3``, ``Q4_K``.
        shape: Elements in each dimension.
        bytes: What it takes, bytes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """How many elements it has as stored; packed weights are several to an element."""
        return math.prod(self.shape)

    @property
    def layer(self) -> int | None:
        """The layer it belongs to, or None."""
        found = _LAYER.search(self.name)
        return int(found[1]) if found and len(found[1]) < 6 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """What a folder or a repository holds of a model with a config.json.

    Attributes:
        config: The parsed file.
        tensors: All of them, as they are stored.
        notes: What was assumed about them, in words for the user; each errs on the side of too
            much.
    """

    config: Mapping[str, object]
    tensors: tuple[Tensor, ...]
    notes: tuple[str, ...] = ()


def role_of(tensor: Tensor, layers: int) -> Role:
    """Say what a tensor is for.

    Args:
        tensor: The tensor.
        layers: Layers of the model; those behind them predict further tokens. 0 where unknown.
    """
    name = tensor.name
    if _TOWER.search(name):
        return Role.TOWER
    layer = tensor.layer
    if name.startswith("mtp.") or (layers and layer is not None and layer >= layers):
        return Role.DRAFT
    if _EXPERT.search(name):
        return Role.EXPERT
    if _EMBEDDING.search(name):
        return Role.EMBEDDING
    return Role.OUTPUT if _OUTPUT.search(name) else Role.DENSE


def is_language(tensor: Tensor) -> bool:
    """Tell whether a tensor belongs to the part that writes, not to one that sees or hears."""
    return not _TOWER.search(tensor.name)


def layers_in(tensors: Iterable[Tensor]) -> int:
    """Count the layers that tensors of the language model belong to."""
    numbers = (tensor.layer for tensor in tensors if is_language(tensor))
    return max((number + 1 for number in numbers if number is not None), default=0)
