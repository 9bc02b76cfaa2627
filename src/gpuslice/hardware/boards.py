"""The boards gpuslice knows, read from ``boards.json``.

Separate from the driver on purpose: these tables are for planning and simulating a card one does
not have. On a real card geometry comes from NVML, because the same board shows other sizes under
another driver. Where each number was seen, and which are inferred, stands in the data file.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpuslice.errors import UnknownBoardError
from gpuslice.hardware.speed import BoardSpeed, speeds_from
from gpuslice.model.geometry import Geometry, Placement, Profile, sort_profiles
from gpuslice.model.gpu import Architecture

MIG_PRODUCTS = (
    "A30, A100, A800, H20, H100, H200, H800, GH200, B200, B300, GB200, GB300 and "
    "RTX PRO 6000/5000/4500 Blackwell"
)
"""Products that have MIG, for messages about GPUs that do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One kind of GPU board.

    Attributes:
        key: What ``--simulate`` takes, such as ``a100-80gb``.
        aliases: Other keys that mean the same board.
        names: What ``nvmlDeviceGetName`` answers, the commonest first.
        pci_device_ids: PCI device ids without the vendor's part.
        architecture: Generation.
        compute_capability: CUDA compute capability, (major, minor).
        chip_id: Architecture and implementation of the die.
        memory_mib: Memory of the whole board, MiB.
        resetless_mig: True where MIG mode changes without a GPU reset.
        min_driver: First driver with MIG for it, or "" where that is not known.
        speeds: Its peaks, one for each of ``names``.
        geometry: Its profiles; empty for a board without MIG.
        inferred: ``profile.field`` of every number that was not seen on a real card.
        source: Where the numbers were seen.
        notes: What else is known, such as other sizes under other drivers.
    """

    key: str
    aliases: tuple[str, ...]
    names: tuple[str, ...]
    pci_device_ids: tuple[int, ...]
    architecture: Architecture
    compute_capability: tuple[int, int]
    chip_id: int
    memory_mib: int
    resetless_mig: bool
    min_driver: str
    speeds: tuple[BoardSpeed, ...]
    geometry: Geometry
    inferred: tuple[str, ...]
    source: str
    notes: str

    @property
    def has_mig(self) -> bool:
        """True where the board can be sliced."""
        return bool(self.geometry.profiles)

    def speed(self, name: str = "") -> BoardSpeed:
        """Return the peaks of a product; those of the commonest where it is not named."""
        return self.speeds[self.names.index(name) if name in self.names else 0]

    @property
    def exact(self) -> bool:
        """True when every number was seen on a real card."""
        return not self.inferred


def load_boards() -> tuple[Board, ...]:
    """Return every board of the data file, in its order; read once."""
    return tuple(_table().values())


def board(key: str) -> Board:
    """Return the board of a key or an alias, in either case of letters.

    Raises:
        UnknownBoardError: The table does not hold it; says what was probably meant.
    """
    wanted = key.strip().lower()
    found = _by_any_key().get(wanted)
    if found is None:
        raise _unknown(key, wanted)
    return found


def board_for(name: str, pci_device_id: int | None = None) -> Board | None:
    """Find the board that NVML describes, or None.

    Args:
        name: What ``nvmlDeviceGetName`` answers.
        pci_device_id: PCI device id, with or without the vendor in its lower half, as NVML gives
            it. It decides first, since several boards share a name over time.
    """
    if pci_device_id is not None:
        device = pci_device_id >> 16 if pci_device_id > 0xFFFF else pci_device_id
        for known in load_boards():
            if device in known.pci_device_ids:
                return known
    return next((known for known in load_boards() if name in known.names), None)


@cache
def _document() -> Mapping[str, Any]:
    # Not importlib.resources: importing that costs more than everything else here.
    text = Path(__file__).with_name("boards.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


@cache
def _table() -> dict[str, Board]:
    return {entry["key"]: _board_from(entry) for entry in _document()["boards"]}


@cache
def _by_any_key() -> dict[str, Board]:
    return {key: known for known in load_boards() for key in (known.key, *known.aliases)}


def _board_from(entry: Mapping[str, Any]) -> Board:
    major, minor = entry["compute_capability"]
    return Board(
        key=entry["key"],
        aliases=tuple(entry["aliases"]),
        names=tuple(entry["names"]),
        pci_device_ids=tuple(int(text, 16) for text in entry["pci_device_ids"]),
        architecture=Architecture(entry["architecture"]),
        compute_capability=(major, minor),
        chip_id=int(entry["chip_id"], 16),
        memory_mib=entry["memory_mib"],
        resetless_mig=entry["resetless_mig"],
        min_driver=entry["min_driver"],
        speeds=speeds_from(entry["speed"], tuple(entry["names"])),
        geometry=Geometry(profiles=sort_profiles(_profile_from(p) for p in entry["profiles"])),
        inferred=tuple(_inferred_in(entry)),
        source=entry["source"],
        notes=entry["notes"],
    )


def _inferred_in(entry: Mapping[str, Any]) -> list[str]:
    fields = [f"{p['name']}.{field}" for p in entry["profiles"] for field in p.get("inferred", ())]
    return fields if entry["memory_mib_exact"] else ["memory_mib", *fields]


def _profile_from(row: Mapping[str, Any]) -> Profile:
    copy, decoders, encoders, jpeg, ofa = row["engines"]
    return Profile(
        name=row["name"],
        id=row["id"],
        nvml_enum=row["nvml_enum"],
        compute_slices=row["compute_slices"],
        memory_mib=row["memory_mib"],
        sm_count=row["sm_count"],
        max_instances=row["max_instances"],
        placements=tuple(Placement(start, row["size"]) for start in row["starts"]),
        copy_engines=copy,
        decoders=decoders,
        encoders=encoders,
        jpeg_engines=jpeg,
        ofa_engines=ofa,
    )


def _unknown(key: str, wanted: str) -> UnknownBoardError:
    for entry in _document()["incomplete"]:
        if wanted == entry["key"]:
            return UnknownBoardError(
                f"Board {key!r} has MIG, but {entry['reason']}, so it cannot be simulated.",
                hint=_list_of_keys(),
            )
    close = difflib.get_close_matches(wanted, _by_any_key(), n=1, cutoff=0.6)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return UnknownBoardError(f"No board is called {key!r}.{meant}", hint=_list_of_keys())


def _list_of_keys() -> str:
    return f"Boards that can be simulated: {', '.join(_table())}."
