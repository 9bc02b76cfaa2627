"""How values are written in a mig-parted file: device filters, choices of devices, counts.

Separate from its schema for the reason `notation` is: each is a little language with words of its
own for its pitfalls. A parser takes what YAML gave and returns the value, or raises
`NotationError` with what is wrong and what would be right.

Source: NVIDIA/mig-parted, ``pkg/types/device_id.go`` and ``mig_profile.go``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from gpuslice.stack.notation import NotationError
from gpuslice.stack.problem import shortened, shown_value

DeviceChoice = Literal["all"] | tuple[int, ...]
"""``all``, or NVML indexes."""

DEVICE_PATTERN = r"^([1-9][0-9]?c\.)?[1-9][0-9]?g\.[1-9][0-9]{0,3}gb(\+me|\+me\.all|-me|\+gfx)?$"
"""A slice, or a compute instance that is smaller than its slice."""

_FILTER = re.compile(r"0[xX]([0-9a-fA-F]{8})(:0[xX]([0-9a-fA-F]{8}))?")
_MOST = 64  # more than any GPU holds of anything
_LARGEST_INDEX = 99_999


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceId:
    """What a filter is compared with.

    Attributes:
        device: PCI device and vendor, as NVML joins them.
        subsystem: The same of the board's maker, or None where any will do.
    """

    device: int
    subsystem: int | None = None


def device_filter(value: object) -> object:
    """Check a filter; what is no text is left for pydantic to refuse."""
    if isinstance(value, str) and not _FILTER.fullmatch(value):
        raise NotationError(
            f"'{shortened(value)}' is no device filter, so it would match nothing; write 0x, the "
            'PCI device and the vendor in eight digits, such as "0x233010DE"'
        )
    return value


def device_id(text: str) -> DeviceId:
    """Read a filter that `device_filter` has passed."""
    found = _FILTER.fullmatch(text)
    assert found is not None, "the schema has checked it"
    subsystem = int(found[3], 16) if found[3] else None
    return DeviceId(device=int(found[1], 16), subsystem=subsystem)


def devices(value: object) -> DeviceChoice:
    """Check ``all`` or a list of indexes; an empty list names none, as in mig-parted."""
    if value == "all":
        return "all"
    if not isinstance(value, list | tuple):
        raise NotationError(
            f"must be 'all' or a list of indexes such as [0, 1], not {shown_value(value)}"
        )
    wrong = [shown_value(item) for item in value if not _is_index(item)]
    if wrong:
        raise NotationError(
            f"{', '.join(wrong)}: a GPU is named by its index (0, 1 …), as nvidia-smi -L numbers it"
        )
    return tuple(value)


def counts(value: object) -> dict[str, int]:
    """Check how many of which slices; the mapping may be empty, and so may a count."""
    if not isinstance(value, dict):
        raise NotationError(f'must be a mapping such as {{"1g.10gb": 7}}, not {shown_value(value)}')
    wrong = [said for name, count in value.items() if (said := _count_problem(name, count))]
    if wrong:
        raise NotationError("; ".join(wrong))
    return dict(value)


def _count_problem(name: str, count: Any) -> str:
    if not re.fullmatch(DEVICE_PATTERN, name):
        return f"'{shortened(name)}' is no slice, which is like 3g.40gb, 1g.10gb+me or 1c.3g.40gb"
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MOST:
        return f"{name} must be a whole number from 0 to {_MOST}, not {shown_value(count)}"
    return ""


def _is_index(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= _LARGEST_INDEX
