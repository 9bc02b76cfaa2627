"""Which NVIDIA devices the CDI specifications on disk name.

Separate from the engine's own facts, because it is the second best: engines before 28.2 do not list
what they can give, and read the same files when a container is started.

Anybody may have put a file there, so one that cannot be read or understood names nothing.

Source: github.com/cncf-tags/container-device-interface, SPEC.md (``kind``, ``devices[].name``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

GPU_KIND = "nvidia.com/gpu"
_SUFFIXES = (".yaml", ".json")  # no other file counts
_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_BYTES = 4 * 1024 * 1024  # a machine of 8 GPUs with 7 slices each has about 200 kB


def devices_in(folders: Iterable[Path]) -> tuple[str, ...]:
    """Name the devices that the specifications of some folders can give.

    Args:
        folders: Where an engine looks, such as ``/etc/cdi``; one that is not there holds nothing.

    Returns:
        Full names in alphabetical order: ``nvidia.com/gpu=0:1``, ``nvidia.com/gpu=MIG-…``.
    """
    return tuple(sorted({name for folder in folders for name in _names_in(folder)}))


def files_in(folders: Iterable[Path]) -> tuple[Path, ...]:
    """List the files in some folders that name NVIDIA devices, in alphabetical order."""
    files = (file for folder in folders for file in _specifications_in(folder))
    return tuple(file for file in files if any(_named_by(_understood(file))))


def _names_in(folder: Path) -> Iterator[str]:
    for file in _specifications_in(folder):
        yield from _named_by(_understood(file))


def _specifications_in(folder: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    except OSError:
        return ()


def _named_by(specification: Any) -> Iterator[str]:
    if not isinstance(specification, dict) or specification.get("kind") != GPU_KIND:
        return
    devices = specification.get("devices")
    for device in devices if isinstance(devices, list) else ():
        if isinstance(device, dict) and device.get("name") is not None:
            yield f"{GPU_KIND}={device['name']}"


def _understood(file: Path) -> Any:
    """Read one specification; None where it cannot be."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return None
        data = file.read_bytes()
        return json.loads(data) if file.suffix == ".json" else _safely_loaded(data)
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None


def _safely_loaded(data: bytes) -> Any:
    """Do what ``yaml.safe_load`` does, ten times faster where libyaml is there."""
    loader = _SAFE_LOADER(data)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
