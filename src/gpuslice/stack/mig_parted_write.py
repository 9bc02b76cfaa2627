"""A layout written as a mig-parted file.

Separate from reading: this is text for people and for mig-parted itself, which takes it as it is.
Written by hand and not by a YAML library, for the flow style and the quotes that such files have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEntry:
    """What some GPUs look like.

    Attributes:
        devices: Their NVML indexes.
        mig_enabled: Whether MIG mode is on.
        mig_devices: How many of which devices; none where MIG mode is off.
    """

    devices: tuple[int, ...]
    mig_enabled: bool
    mig_devices: Mapping[str, int]


def mig_config_text(label: str, entries: Sequence[WrittenEntry], comment: str = "") -> str:
    """Write one labelled layout.

    Args:
        label: Its label; letters, digits, ``-``, ``_`` and ``.``.
        entries: At least one.
        comment: One line to stand at the top, or "".

    Returns:
        The text of the file.
    """
    head = [f"# {comment}"] if comment else []
    lines = [*head, "version: v1", "mig-configs:", f'  "{label}":']
    for entry in entries:
        lines += _lines(entry)
    return "\n".join(lines) + "\n"


def _lines(entry: WrittenEntry) -> Iterator[str]:
    yield f"    - devices: [{', '.join(map(str, entry.devices))}]"
    yield f"      mig-enabled: {'true' if entry.mig_enabled else 'false'}"
    if not entry.mig_enabled:
        return
    if not entry.mig_devices:
        yield "      mig-devices: {}"
        return
    yield "      mig-devices:"
    yield from (f'        "{name}": {count}' for name, count in entry.mig_devices.items())
