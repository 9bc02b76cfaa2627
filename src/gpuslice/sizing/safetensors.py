"""A folder of safetensors files with its config.json, as a model hub delivers it.

Only headers are read, of every shard, so that the tensors are those that are really there. Our own
reader, because the published package hands out tensors and wants a framework for them; the header
is one length and one JSON object.

Source: huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from gpuslice.errors import SizingError
from gpuslice.sizing.opening import LFS_HINT, LFS_POINTER, open_at_once
from gpuslice.sizing.tensors import Tensor

INDEX = "model.safetensors.index.json"
CONFIG = "config.json"

_NUMBERED = re.compile(r".+-\d{5}-of-(?P<count>\d{5})\.safetensors")
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
    return read_json(folder / CONFIG)


def read_tensors(folder: Path) -> tuple[Tensor, ...]:
    """List the tensors of every shard of a folder.

    Raises:
        SizingError: There is no shard, one that the index names is missing, or one is broken.
    """
    return tuple(tensor for shard in _shards(folder) for tensor in read_shard(shard))


def read_shard(path: Path) -> tuple[Tensor, ...]:
    """List the tensors of one safetensors file, and check that the file holds them.

    Raises:
        SizingError: The header is broken, or the file is cut off.
    """
    header, data_bytes = _read_header(path)
    tensors, end = tensors_of(header, str(path))
    if end > data_bytes:
        text = f"{path} is cut off: {end - data_bytes:,} of {end:,} bytes of tensors are missing"
        raise SizingError(text, hint="fetch the file again")
    return tensors


def tensors_of(header: Mapping[str, object], source: str) -> tuple[tuple[Tensor, ...], int]:
    """List the tensors of a parsed header, and say where the last of them ends, bytes.

    Raises:
        SizingError: It describes a tensor in a way that cannot be true.
    """
    tensors = []
    end = 0
    for name, entry in header.items():
        if name != "__metadata__":
            tensor, last = _tensor(source, name, entry)
            tensors.append(tensor)
            end = max(end, last)
    return tuple(tensors), end


def _shards(folder: Path) -> tuple[Path, ...]:
    """List a folder's shards: those the index names, or all there are."""
    if (folder / INDEX).is_file():
        return _indexed(folder)
    single = folder / "model.safetensors"
    found = (single,) if single.is_file() else _all_shards(folder)
    _refuse_half(folder, found)
    if not found:
        text = f"{folder} holds no safetensors files, so what the model needs is unknown"
        raise SizingError(text, hint="in a stack file say `slice:` or `memory:` for this model")
    return found


def _all_shards(folder: Path) -> tuple[Path, ...]:
    """List all there are; Mistral's ``consolidated`` files hold the same weights once more."""
    found = tuple(sorted(folder.glob("*.safetensors")))
    others = tuple(path for path in found if not path.name.startswith("consolidated"))
    return others or found


def _refuse_half(folder: Path, found: tuple[Path, ...]) -> None:
    """Refuse a folder that a download has not finished: its files name more than are there."""
    if numbered := [match for path in found if (match := _NUMBERED.fullmatch(path.name))]:
        wanted = int(numbered[0]["count"])
        if len(numbered) < wanted:
            text = f"{folder} holds {len(numbered)} of {wanted} shards and no index"
            raise SizingError(text, hint="fetch the model again; the download did not finish")
    if not found and (pieces := sorted(folder.rglob("*.incomplete"))):
        text = f"{folder} is a download that did not finish: {len(pieces)} files are in pieces"
        raise SizingError(text, hint="let the download finish, or start it again")


def _indexed(folder: Path) -> tuple[Path, ...]:
    weight_map = read_json(folder / INDEX).get("weight_map")
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
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if first == LFS_POINTER[:8] and file.read(len(LFS_POINTER) - 8) == LFS_POINTER[8:]:
                text = f"{path} only stands for a file that git-lfs has to fetch"
                raise SizingError(text, hint=LFS_HINT)
            if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                text = f"{path} is no safetensors file, or cut off inside its header"
                raise SizingError(text, hint="fetch the file again")
            return _object(path, file.read(length)), size - 8 - length
    except OSError as error:
        raise SizingError(f"{path} cannot be read: {error}", hint="check the file") from error


def _tensor(source: str, name: str, entry: object) -> tuple[Tensor, int]:
    """Check one tensor's entry; return it and where its data ends."""
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(first), int(last)]}:
            sizes = tuple(size for size in shape if isinstance(size, int) and size >= 0)
            bits = _BITS.get(kind)
            wanted = None if bits is None else math.ceil(math.prod(sizes) * bits / 8)
            sound = len(sizes) == len(shape) and 0 <= first <= last
            # A type that is not in the table is taken at its word: the offsets say what it takes.
            if sound and wanted in (None, last - first):
                return Tensor(name=name, kind=kind, shape=sizes, bytes=last - first), last
        case _:
            pass
    text = f"{source} describes the tensor {name!r} in a way that cannot be true"
    raise SizingError(text, hint="fetch the file again")


def read_json(path: Path) -> Mapping[str, object]:
    """Read a file that holds one JSON object.

    Raises:
        SizingError: It is not there, or holds something else.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            data = file.read(_LARGEST_JSON + 1)
    except FileNotFoundError as error:
        text = f"{path.parent} has no {path.name}, so what the model needs is unknown"
        raise SizingError(
            text, hint="in a stack file say `slice:` or `memory:` for this model"
        ) from error
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
