"""A folder of safetensors files with its config.json, as a model hub delivers it.

Only headers are read, of every shard, so that the sum is right for any mix of types. Our own
reader, because the published package hands out tensors and wants a framework for them; the header
is one length and one JSON object.

Source: huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.opening import open_at_once

INDEX = "model.safetensors.index.json"
CONFIG = "config.json"

_LARGEST_HEADER = 100_000_000  # the format's own limit
_LARGEST_JSON = 64 * 1024 * 1024
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16,
    "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def read_config(folder: Path) -> Mapping[str, object]:
    """Read a model folder's config.json.

    Raises:
        SizingError: It is not there, or no JSON object.
    """
    return _read_json(folder / CONFIG)


def read_weights_bytes(folder: Path) -> int:
    """Add up the tensors of every shard of a folder, bytes.

    Raises:
        SizingError: There is no shard, one that the index names is missing, or one is broken.
    """
    return sum(read_shard_bytes(shard) for shard in _shards(folder))


def read_shard_bytes(path: Path) -> int:
    """Add up the tensors of one safetensors file, bytes, and check that the file holds them.

    Raises:
        SizingError: The header is broken, or the file is cut off.
    """
    header, data_bytes = _read_header(path)
    end = 0
    total = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        first, last = _extent(path, name, tensor)
        total += last - first
        end = max(end, last)
    if end > data_bytes:
        text = f"{path} is cut off: {end - data_bytes:,} of {end:,} bytes of tensors are missing"
        raise SizingError(text, hint="fetch the file again")
    return total


def _shards(folder: Path) -> tuple[Path, ...]:
    """List a folder's shards: those the index names, or all there are."""
    if (folder / INDEX).is_file():
        return _indexed(folder)
    single = folder / "model.safetensors"
    found = (single,) if single.is_file() else tuple(sorted(folder.glob("*.safetensors")))
    if not found:
        text = f"{folder} holds no safetensors files, so what the model needs is unknown"
        raise SizingError(text, hint="say `slice:` or `memory:` for this model")
    return found


def _indexed(folder: Path) -> tuple[Path, ...]:
    weight_map = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise SizingError(f"{folder / INDEX} has no weight_map", hint="fetch the model again")
    names = sorted({str(name) for name in weight_map.values()})
    if strange := [name for name in names if Path(name).name != name]:
        text = f"{folder / INDEX} names {strange[0]!r}, which is not a file of its folder"
        raise SizingError(text, hint="fetch the model again")
    if missing := [name for name in names if not (folder / name).is_file()]:
        text = f"{folder} lacks {len(missing)} of {len(names)} shards that its index names"
        raise SizingError(text, hint="fetch the model again", details=tuple(missing))
    return tuple(folder / name for name in names)


def _read_header(path: Path) -> tuple[Mapping[str, object], int]:
    """Read a shard's header, and how many bytes follow it."""
    try:
        size = path.stat().st_size
        with open(path, "rb", opener=open_at_once) as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                text = f"{path} is no safetensors file, or cut off inside its header"
                raise SizingError(text, hint="fetch the file again")
            return _object(path, file.read(length)), size - 8 - length
    except OSError as error:
        raise SizingError(f"{path} cannot be read: {error}", hint="check the file") from error


def _extent(path: Path, name: str, tensor: object) -> tuple[int, int]:
    """Check one tensor's entry and return where its data starts and ends."""
    match tensor:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(first), int(last)]}:
            sizes = [size for size in shape if isinstance(size, int) and size >= 0]
            bits = _BITS.get(kind)
            wanted = None if bits is None else math.ceil(math.prod(sizes) * bits / 8)
            sound = len(sizes) == len(shape) and 0 <= first <= last
            # A type that is not in the table is taken at its word: the offsets say what it takes.
            if sound and wanted in (None, last - first):
                return first, last
        case _:
            pass
    text = f"{path} describes the tensor {name!r} in a way that cannot be true"
    raise SizingError(text, hint="fetch the file again")


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        with open(path, "rb", opener=open_at_once) as file:
            data = file.read(_LARGEST_JSON + 1)
    except FileNotFoundError as error:
        text = f"{path.parent} has no {path.name}, so what the model needs is unknown"
        raise SizingError(text, hint="say `slice:` or `memory:` for this model") from error
    except OSError as error:
        raise SizingError(f"{path} cannot be read: {error}", hint="check the file") from error
    return _object(path, data)


def _object(path: Path, data: bytes) -> Mapping[str, object]:
    """Parse a JSON object."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        text = f"{path} is broken: its JSON cannot be read"
        raise SizingError(text, hint="fetch the file again") from error
    if not isinstance(parsed, dict):
        raise SizingError(f"{path} is broken: no JSON object", hint="fetch the file again")
    return parsed
