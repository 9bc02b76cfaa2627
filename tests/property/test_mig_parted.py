"""Any bytes are a layout or a report in plain words; what is written is read back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gpuslice.errors import StackError
from gpuslice.stack.mig_parted import parse_mig_config
from gpuslice.stack.mig_parted_write import WrittenEntry, mig_config_text

NAMES = st.sampled_from(["1g.10gb", "3g.40gb", "1c.3g.40gb", "1g.10gb+me", "14", "", "7g.80gb"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "device-filter": st.sampled_from(["0x233010DE", "0x2330", ["0x233010DE"], []]) | VALUES,
        "devices": st.sampled_from(["all", [0, 1], [], [True], "some"]) | VALUES,
        "mig-enabled": st.booleans() | VALUES,
        "mig-devices": st.dictionaries(NAMES, st.integers(-1, 70), max_size=3) | VALUES,
        "mig-device": VALUES,
    },
)
FILES = st.fixed_dictionaries(
    {"mig-configs": st.dictionaries(st.text(max_size=6), st.lists(ENTRIES, max_size=3)) | VALUES},
    optional={"version": st.sampled_from(["v1", "v1", "v2", 1]), "hooks": VALUES},
)


@given(st.binary(max_size=300) | FILES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_layout_or_a_report(data: bytes) -> None:
    for line in report_of(data):
        assert line.startswith(("x.yaml:", "it has: "))
        assert "pydantic" not in line
        assert "Input should" not in line


def report_of(data: bytes) -> tuple[str, ...]:
    """What is wrong with a file, line by line; of one that is right, every entry can be asked."""
    try:
        config = parse_mig_config(data, file="x.yaml")
    except StackError as error:
        return error.details
    for entry, line in zip(config.entries, config.lines, strict=True):
        entry.matches(0, 0x233010DE, 0)
        assert line > 0
    return ()


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[WrittenEntry]]:
    """A label, and entries as a machine can have them."""
    label = draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True))
    entries: list[WrittenEntry] = []
    for _ in range(draw(st.integers(1, 3))):
        on = draw(st.booleans())
        names = st.sampled_from(["1g.10gb", "3g.40gb", "1c.3g.40gb", "1g.10gb+me", "1g.24gb-me"])
        counts: dict[str, Any] = draw(st.dictionaries(names, st.integers(1, 7))) if on else {}
        devices = tuple(draw(st.lists(st.integers(0, 15), unique=True)))
        entries.append(WrittenEntry(devices=devices, mig_enabled=on, mig_devices=counts))
    return label, entries


@given(written())
def test_a_layout_that_is_written_is_read_back(layout: tuple[str, list[WrittenEntry]]) -> None:
    label, entries = layout

    config = parse_mig_config(mig_config_text(label, entries, comment="made here").encode())

    assert config.label == label
    assert [
        WrittenEntry(devices=e.devices, mig_enabled=e.mig_enabled, mig_devices=e.mig_devices)
        for e in config.entries
        if e.devices != "all"
    ] == entries
