"""The file of NVIDIA's mig-parted, read as it is: labelled layouts of slices for GPUs.

Separate from the stack file, because it is somebody else's format and stays so: the same keys, as
strict as mig-parted itself, and every problem told at once with its line. Where mig-parted lets a
mistake pass (a filter it cannot read matches nothing, and nothing matched is success) this reader
refuses; what an entry means on the GPUs at hand is `gpuslice.planner.partition`'s question.

Source: NVIDIA/mig-parted, ``api/spec/v1/spec.go`` and ``pkg/types``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Strict, Tag

from gpuslice.errors import UnknownLabelError
from gpuslice.stack import mig_parted_notation as notation
from gpuslice.stack.form import Form, Section
from gpuslice.stack.mig_parted_rules import mig_parted_problems
from gpuslice.stack.problem import did_you_mean, shortened, visible
from gpuslice.stack.read import read_bytes, understand
from gpuslice.stack.section import FileSection
from gpuslice.stack.tree import Document

EXAMPLE = (
    "{version: v1, mig-configs: {halves: [{devices: all, mig-enabled: true, "
    'mig-devices: {"3g.40gb": 2}}]}}'
)
"""A whole file, for messages."""

_ONE, _SEVERAL = "[one]", "[several]"
_LISTED = 20


def _listed(value: object) -> str:
    """Tell a list from one value."""
    return _SEVERAL if isinstance(value, list | tuple) else _ONE


FilterText = Annotated[str, BeforeValidator(notation.device_filter)]
Filters = Annotated[
    Annotated[FilterText, Tag(_ONE)]
    | Annotated[tuple[FilterText, ...], Strict(strict=False), Tag(_SEVERAL)],
    Discriminator(_listed),
]
"""One device filter, or several of which any may match."""

Devices = Annotated[notation.DeviceChoice, PlainValidator(notation.devices)]
Counts = Annotated[dict[str, int], PlainValidator(notation.counts)]


class MigEntry(FileSection):
    """What some GPUs are to look like; the last entry that matches a GPU is the one that counts."""

    device_filter: Filters = Field(default=(), alias="device-filter")
    devices: Devices
    mig_enabled: bool = Field(alias="mig-enabled")
    mig_devices: Counts = Field(default_factory=dict, alias="mig-devices")

    @property
    def filters(self) -> tuple[notation.DeviceId, ...]:
        """The filters as numbers; none where the entry is for every product."""
        written = self.device_filter
        return tuple(map(notation.device_id, (written,) if isinstance(written, str) else written))

    def matches(self, index: int, device_id: int, subsystem_id: int) -> bool:
        """Tell whether the entry is about a GPU.

        Args:
            index: NVML index.
            device_id: PCI device and vendor, as NVML joins them.
            subsystem_id: The same of the board's maker.
        """
        if self.devices != "all" and index not in self.devices:
            return False
        filters = self.filters
        return not filters or any(
            known.device == device_id and known.subsystem in (None, subsystem_id)
            for known in filters
        )


Entries = Annotated[tuple[MigEntry, ...], Strict(strict=False)]  # YAML gives lists


class MigPartedFile(FileSection):
    """The whole file: layouts by label."""

    version: Literal["v1"]
    configs: Annotated[dict[str, Entries], Field(min_length=1, alias="mig-configs")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigConfig:
    """One labelled layout of a file.

    Attributes:
        label: Its label.
        entries: What it says, in the order of the file; the last that matches a GPU counts.
        lines: Line of the file on which each entry begins, counted from 1.
        file: How the file is called in messages.
    """

    label: str
    entries: tuple[MigEntry, ...]
    lines: tuple[int, ...]
    file: str


def load_mig_config(file: str) -> MigConfig:
    """Read one layout of a mig-parted file.

    Args:
        file: ``FILE`` or ``FILE#label``; the label may be left out where the file has one.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
        UnknownLabelError: The label is not in the file, or none was named and there are several.
    """
    path, label = split_label(file)
    data = read_bytes(Path(path), MIG_PARTED_FORM)
    return parse_mig_config(data, file=path, label=label)


def split_label(file: str) -> tuple[str, str]:
    """Split ``FILE#label``; the label is "" where none stands there."""
    path, hash_, label = file.rpartition("#")
    return (path, label) if hash_ else (file, "")


def parse_mig_config(data: bytes, *, file: str = "config.yaml", label: str = "") -> MigConfig:
    """Understand the bytes of a mig-parted file; the rest is as `load_mig_config` says."""
    value, document = understand(data, MIG_PARTED_FORM, file=file)
    assert isinstance(value, MigPartedFile), "the form's schema is MigPartedFile"
    chosen = _choose(value, label, file)
    entries = value.configs[chosen]
    return MigConfig(
        label=chosen,
        entries=entries,
        lines=tuple(_line(document, chosen, number) for number in range(len(entries))),
        file=file,
    )


def _choose(value: MigPartedFile, label: str, file: str) -> str:
    labels = tuple(value.configs)
    if not label and len(labels) == 1:
        return labels[0]
    if label in value.configs:
        return label
    listed = ", ".join(shortened(known) for known in labels[:_LISTED])
    listed += f" and {len(labels) - _LISTED:,} more" if len(labels) > _LISTED else ""
    file = visible(file)
    if not label:
        raise UnknownLabelError(
            f"{file} has {len(labels)} layouts, and none was named",
            hint=f"Name one behind '#', such as {file}#{shortened(labels[0])}",
            details=(f"it has: {listed}",),
        )
    raise UnknownLabelError(
        f"{file} has no layout '{shortened(label)}'{did_you_mean(label, labels)}",
        hint="Name one of those listed.",
        details=(f"it has: {listed}",),
    )


def _line(document: Document, label: str, number: int) -> int:
    return document.mark(("mig-configs", label, number)).line


MIG_PARTED_FORM = Form(
    kind="mig-parted file",
    schema=MigPartedFile,
    wanted="a mig-parted file is a mapping with the keys version and mig-configs",
    empty=f"the file is empty; write for instance: {EXAMPLE}",
    hint="correct the lines named above; `gpuslice slices export` writes such a file",
    missing_hint="name one that is there, or write one with `gpuslice slices export FILE`",
    needed=f"such a file is like {EXAMPLE}",
    list_example="[{devices: all, mig-enabled: false}]",
    sections=(
        Section(path=("mig-configs", None, None), place="mig-configs.LABEL[…]", schema=MigEntry),
    ),
    elsewhere={
        "models": "this is a stack file; bring it up with `gpuslice up --file`",
        "hooks": "hooks stand in a file of their own in mig-parted; gpuslice does not run them",
        "<<": "merge keys are not supported; write the keys out",
    },
    rules=mig_parted_problems,
)
