from __future__ import annotations

from pathlib import Path

import pytest

from gpuslice.errors import StackError, StackNotFoundError, UnknownLabelError
from gpuslice.stack.mig_parted import MigConfig, load_mig_config, parse_mig_config

PUBLISHED = """\
version: v1
mig-configs:
  all-disabled:
    - devices: all
      mig-enabled: false
  all-enabled:
    - devices: all
      mig-enabled: true
      mig-devices: {}
  all-balanced:
    - device-filter: ["0x233010DE", "0x20B210DE"]
      devices: all
      mig-enabled: true
      mig-devices:
        "1g.10gb": 2
        "2g.20gb": 1
        "3g.40gb": 1
  custom:
    - devices: [0,1]
      mig-enabled: false
    - device-filter: 0x20B210DE
      devices: [2]
      mig-enabled: true
      mig-devices: {"1c.3g.40gb": 3, "1g.10gb+me": 1, "2g.20gb": 0}
"""

ENTRY = "devices: all, mig-enabled: true, mig-devices: {1g.10gb: 1}"


def parsed(text: str, label: str = "") -> MigConfig:
    return parse_mig_config(text.encode(), label=label)


def problems(*entries: str) -> list[str]:
    """What is wrong with a layout of these entries, without the file's name."""
    lines = "".join(f"    - {{{entry}}}\n" for entry in entries)
    with pytest.raises(StackError) as caught:
        parsed(f"version: v1\nmig-configs:\n  one:\n{lines}")
    return [line.removeprefix("config.yaml:") for line in caught.value.details]


def test_a_published_file_is_read_as_it_is() -> None:
    config = parsed(PUBLISHED, "custom")

    first, second = config.entries
    assert (first.devices, first.mig_enabled, dict(first.mig_devices)) == ((0, 1), False, {})
    assert second.mig_devices == {"1c.3g.40gb": 3, "1g.10gb+me": 1, "2g.20gb": 0}
    assert config.lines == (19, 21)


def test_an_entry_matches_by_index_and_by_product_together() -> None:
    _, by_both = parsed(PUBLISHED, "custom").entries

    assert by_both.matches(2, 0x20B210DE, 0)
    assert not by_both.matches(1, 0x20B210DE, 0)
    assert not by_both.matches(2, 0x233010DE, 0)


def test_a_list_of_filters_means_or() -> None:
    [entry] = parsed(PUBLISHED, "all-balanced").entries

    assert [entry.matches(5, device, 0) for device in (0x233010DE, 0x20B210DE, 0x20B710DE)] == [
        True,
        True,
        False,
    ]


def test_a_filter_with_a_board_maker_matches_only_that_makers_boards() -> None:
    [entry] = parsed(
        f'version: v1\nmig-configs: {{a: [{{device-filter: "0x233010DE:0x16C110DE", {ENTRY}}}]}}'
    ).entries

    assert entry.matches(0, 0x233010DE, 0x16C110DE)
    assert not entry.matches(0, 0x233010DE, 0x000010DE)


def test_the_only_layout_needs_no_label() -> None:
    assert parsed(f"version: v1\nmig-configs: {{only: [{{{ENTRY}}}]}}").label == "only"


def test_several_layouts_and_no_label_are_listed() -> None:
    with pytest.raises(UnknownLabelError, match="4 layouts, and none was named") as caught:
        parsed(PUBLISHED)

    assert caught.value.details == ("it has: all-disabled, all-enabled, all-balanced, custom",)
    assert "config.yaml#all-disabled" in caught.value.hint


def test_an_unknown_label_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownLabelError, match="did you mean 'all-balanced'"):
        parsed(PUBLISHED, "all-balance")


def test_a_file_on_disk_is_named_with_its_label(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(PUBLISHED)

    assert load_mig_config(f"{path}#all-enabled").label == "all-enabled"
    with pytest.raises(StackNotFoundError, match="there is no mig-parted file"):
        load_mig_config(f"{tmp_path / 'gone.yaml'}#all-enabled")


@pytest.mark.parametrize("filter_", ["0x2330", "2330", "0x233010DE:", "0x233010DE:0x12"])
def test_a_filter_that_cannot_be_read_is_an_error_with_its_line(filter_: str) -> None:
    [problem] = problems(f'device-filter: "{filter_}", {ENTRY}')

    assert problem.startswith("4:23: mig-configs.one[0].device-filter")
    assert "would match nothing" in problem


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("mig-enabled: false", "devices: is missing"),
        ("devices: all", "mig-enabled: is missing"),
        ("devices: some, mig-enabled: false", "must be 'all' or a list of indexes"),
        ("devices: [GPU-1, 0], mig-enabled: false", "'GPU-1': a GPU is named by its index"),
        ("devices: [-1], mig-enabled: false", "-1: a GPU is named by its index"),
        ("devices: all, mig-enabled: true", "mig-devices: is missing; write the slices, or {}"),
        ("devices: all, mig-enabled: false, mig-devices: {1g.5gb: 1}", "mig-enabled is false"),
        (f"{ENTRY}, mig-device: {{}}", "unknown key; did you mean 'mig-devices'?"),
        ("devices: all, mig-enabled: true, mig-devices: {14: 1}", "'14' is no slice"),
        ("devices: all, mig-enabled: true, mig-devices: {1g.5gb: -1}", "from 0 to 64, not -1"),
        ("devices: all, mig-enabled: true, mig-devices: {1g.5gb: x}", "from 0 to 64, not 'x'"),
        ("devices: all, mig-enabled: true, mig-devices: [1g.5gb]", "must be a mapping such as"),
    ],
)
def test_what_is_not_as_it_has_to_be_is_told(entry: str, told: str) -> None:
    [problem] = problems(entry)

    assert problem.startswith("4:")
    assert told in problem


def test_all_problems_are_told_at_once_each_with_its_line() -> None:
    found = problems(
        'device-filter: "x", devices: al, mig-enabled: false',
        "devices: [0], mig-enabled: true",
    )

    assert [line.split(":")[0] for line in found] == ["4", "4", "5"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("version: v2\nmig-configs: {a: [{devices: all, mig-enabled: false}]}", "must be v1"),
        ("mig-configs: {a: [{devices: all, mig-enabled: false}]}", "version: is missing"),
        ("version: v1", "mig-configs: is missing"),
        ("version: v1\nmig-configs: {}", "mig-configs: is empty"),
        ("version: v1\nmig-configs: {a: []}", "says nothing"),
        ("name: chat\nmodels: {}", "this is a stack file"),
    ],
)
def test_a_file_of_another_kind_is_refused(text: str, told: str) -> None:
    with pytest.raises(StackError) as caught:
        parsed(text)

    assert told in "\n".join(caught.value.details)
