"""The header of a GGUF file: what the model is, and which tensors it holds.

Our own reader, because the published ``gguf`` package builds a Python object for every token and
merge of the vocabulary: several seconds for a file of 100 MB, where a plan should take none. This
one keeps single values and short lists of numbers, and steps over the rest: milliseconds, whatever
the size of the file.

Nothing in a header is believed: every count and length is held against the size of the file before
it is used, so that a broken or hostile file costs no more than a good one.

Source: ggml, docs/gguf.md (versions 2 and 3); tensor types as in ggml.h and ggml-common.h.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.opening import LFS_HINT, LFS_POINTER, open_at_once

Value = int | float | bool | str | tuple[int, ...]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_KEYS = 1_000_000
_MOST_STRINGS = 16_000_000
_MOST_NUMBERS_KEPT = 4096  # heads per layer are kept; token types and scores are not
_MOST_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    # Metadata value types and how struct reads them.
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TENSOR_TYPES = {
    # Tensor types: (elements in a block, bytes of a block).
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36),
}  # fmt: skip
_TYPE_NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
    23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor.

    Attributes:
        name: Such as ``blk.0.attn_q.weight``.
        kind: ``F16``, ``Q4_K`` …
        shape: Elements in each dimension.
        offset: Where it starts behind the header, bytes.
        bytes: What it takes, bytes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """The header of one file.

    Attributes:
        version: 2 or 3.
        metadata: Single values, and short lists of whole numbers, by key.
        lengths: Number of elements of every list, by key, also of those that were stepped over.
        tensors: In the order of the file.
    """

    version: int
    metadata: dict[str, Value]
    lengths: dict[str, int]
    tensors: tuple[GgufTensor, ...]

    @property
    def architecture(self) -> str:
        """Such as ``llama`` or ``qwen3``; "" where the file does not tell."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def weights_bytes(self) -> int:
        """All tensors as stored, bytes."""
        return sum(tensor.bytes for tensor in self.tensors)


class HeaderGoesOn(Exception):  # noqa: N818 - not an error: a question for more
    """The header is longer than the beginning of the file that was given."""


def read_gguf(path: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        SizingError: It is no GGUF file, of a version or tensor type that is not known, or cut off.
    """
    try:
        with (
            open(path, "rb", opener=open_at_once) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _Reader(str(path), data, len(data)).header()
    except FileNotFoundError as error:
        hint = "check the path; a file of the hub is written owner/name:Q4_K_M"
        raise SizingError(f"there is no file {path}", hint=hint) from error
    except ValueError as error:  # an empty file cannot be mapped
        raise SizingError(f"{path} is empty", hint="fetch the file again") from error
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise SizingError(text, hint="check the file and who may read it") from error


def gguf_header(beginning: bytes, size: int, source: str) -> GgufHeader:
    """Read a header from the beginning of a file that lies elsewhere.

    Args:
        beginning: The first bytes of the file.
        size: What the whole file takes, bytes.
        source: Where it lies, for messages.

    Raises:
        HeaderGoesOn: More of the file is needed.
        SizingError: As for `read_gguf`.
    """
    return _Reader(source, beginning, size).header()


class _Reader:
    """Walks through one header; owned by the function that made it and gone with it."""

    def __init__(self, source: str, data: bytes | mmap.mmap, size: int) -> None:
        self._source = source
        self._data = data
        self._size = size
        self._at = 0
        self._strings = 0

    def header(self) -> GgufHeader:
        """Read everything in front of the tensors' data, and check that the data is there."""
        version = self._version()
        tensor_count = self._count("tensors", _MOST_KEYS)
        key_count = self._count("keys", _MOST_KEYS)
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(key_count):
            key = self._string()
            value = self._value(self._number("<I"), key, lengths)
            if value is not None:
                metadata[key] = value
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        self._check_data(tensors, metadata.get("general.alignment", 32))
        return GgufHeader(version=version, metadata=metadata, lengths=lengths, tensors=tensors)

    def _version(self) -> int:
        self._need(4)
        if self._data[: len(LFS_POINTER)] == LFS_POINTER:
            raise self._broken("only stands for a file that git-lfs has to fetch", hint=LFS_HINT)
        if self._data[:4] != _MAGIC:
            raise self._broken("does not start with 'GGUF'", hint="is it a GGUF file at all?")
        self._at = 4
        version = int(self._number("<I"))
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            text = f"is GGUF version {version}; versions 2 and 3 are known"
            if swapped in _VERSIONS:
                text = "is written for big-endian machines"
            raise self._broken(text, hint="convert the model again with a current llama.cpp")
        return version

    def _value(self, kind: float, key: str, lengths: dict[str, int]) -> Value | None:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(key, lengths)
        return self._number(self._format(kind))

    def _array(self, key: str, lengths: dict[str, int]) -> tuple[int, ...] | None:
        """Read a list: keep it where it is short and of whole numbers, step over it otherwise."""
        kind = self._number("<I")
        if kind == _ARRAY:
            raise self._broken(f"has a list of lists ({key!r}), which no model has")
        if kind == _STRING:
            lengths[key] = self._skip_strings()
            return None
        form = self._format(kind)
        count = self._count(f"elements of {key!r}", self._size, each=struct.calcsize(form))
        lengths[key] = count
        if count > _MOST_NUMBERS_KEPT or form in {"<f", "<d"}:
            self._at += count * struct.calcsize(form)
            return None
        return tuple(int(self._number(form)) for _ in range(count))

    def _skip_strings(self) -> int:
        count = self._count("strings", _MOST_STRINGS, each=8)
        self._strings += count
        if self._strings > _MOST_STRINGS:
            raise self._broken(f"has more than {_MOST_STRINGS:,} strings")
        at, data, end = self._at, self._data, len(self._data)
        length_at: Callable[[bytes | mmap.mmap, int], tuple[int]] = struct.Struct("<Q").unpack_from
        for _ in range(count):  # the one loop that is long: 300,000 turns for a large vocabulary
            if at + 8 > end:
                raise self._ended(at + 8)
            at += 8 + length_at(data, at)[0]
        self._at = at
        self._need(0)
        return count

    def _tensor(self) -> GgufTensor:
        name = self._string()
        dimensions = int(self._number("<I"))
        if dimensions > _MOST_DIMENSIONS:
            raise self._broken(f"has a tensor of {dimensions:,} dimensions ({name!r})")
        shape = tuple(int(self._number("<Q")) for _ in range(dimensions))
        kind, offset = int(self._number("<I")), int(self._number("<Q"))
        if kind not in _TENSOR_TYPES:
            hint = "in a stack file say `slice:` or `memory:` for this model"
            raise self._broken(f"has a tensor of the unknown type {kind} ({name!r})", hint=hint)
        block, block_bytes = _TENSOR_TYPES[kind]
        size = math.prod(shape) * block_bytes // block
        named = _TYPE_NAMES[kind]
        return GgufTensor(name=name, kind=named, shape=shape, offset=offset, bytes=size)

    def _check_data(self, tensors: tuple[GgufTensor, ...], alignment: Value) -> None:
        """Hold the tensors against the file: the last of them has to end inside it."""
        if not isinstance(alignment, int) or not 1 <= alignment <= 1024**2:
            raise self._broken(f"has the alignment {alignment!r}")
        start = math.ceil(self._at / alignment) * alignment
        end = max((start + tensor.offset + tensor.bytes for tensor in tensors), default=start)
        if tensors and end > self._size:
            missing = end - self._size
            text = f"is cut off: {missing:,} of {end:,} bytes are missing"
            raise self._broken(text, hint="fetch the file again")

    def _count(self, what: str, most: int, *, each: int = 1) -> int:
        """Read a count and refuse one that the file cannot hold."""
        count = int(self._number("<Q"))
        if count > most or count * each > self._size:
            raise self._broken(f"claims {count:,} {what}, more than such a file can hold")
        return count

    def _string(self) -> str:
        length = int(self._number("<Q"))
        self._need(length)
        raw = self._data[self._at : self._at + length]
        self._at += length
        return raw.decode("utf-8", errors="replace")

    def _number(self, form: str) -> int | float:
        size = struct.calcsize(form)
        self._need(size)
        (number,) = struct.unpack_from(form, self._data, self._at)
        self._at += size
        assert isinstance(number, int | float), "formats read numbers only"
        return number

    def _format(self, kind: float) -> str:
        form = _NUMBERS.get(int(kind))
        if form is None:
            raise self._broken(f"has a value of the unknown type {kind}")
        return form

    def _need(self, size: int) -> None:
        if self._at + size > len(self._data):
            raise self._ended(self._at + size)

    def _ended(self, wanted: int) -> Exception:
        """Tell a file that is cut off from one of which only the beginning is here."""
        if wanted <= self._size:
            return HeaderGoesOn()
        text = f"is cut off inside its header (file of {self._size:,} bytes)"
        return self._broken(text, hint="fetch the file again")

    def _broken(self, text: str, *, hint: str = "fetch the file again") -> SizingError:
        return SizingError(f"{self._source} {text}", hint=hint)
