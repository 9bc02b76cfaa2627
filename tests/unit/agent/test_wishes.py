from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_board_gpu
from gpuslice.agent.node import Node
from gpuslice.agent.partition import Scene, propose
from gpuslice.agent.wishes import Wishes, wishes_of
from gpuslice.errors import (
    MigUnsupportedError,
    NothingMatchedError,
    PlanningError,
    UnknownProfileError,
)
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.planner.partition.wish import Device
from gpuslice.stack.mig_parted import parse_mig_config

H100 = replace(a_board_gpu("h100-80gb"), pci_device_id=0x233010DE)
A30 = replace(a_board_gpu("a30", index=1), pci_device_id=0x20B710DE)
L4 = a_board_gpu("l4", index=2)


def on(*gpus: Gpu) -> Observed:
    return Observed(gpus=gpus, driver_version="580")


def wished(*entries: str, gpus: tuple[Gpu, ...] = (H100, A30, L4)) -> Wishes:
    lines = "".join(f"    - {{{entry}}}\n" for entry in entries)
    text = f"version: v1\nmig-configs:\n  one:\n{lines}"
    return wishes_of(parse_mig_config(text.encode()), on(*gpus))


def test_the_last_entry_that_matches_a_gpu_counts() -> None:
    found = wished(
        "devices: all, mig-enabled: false",
        "device-filter: 0x233010DE, devices: all, mig-enabled: true, mig-devices: {3g.40gb: 2}",
        "devices: [1], mig-enabled: true, mig-devices: {1g.6gb: 1, 2g.12gb: 0}",
    ).wishes

    assert [(w.gpu_uuid, w.mig_on, w.devices) for w in found] == [
        ("GPU-0", True, (Device("3g.40gb"),) * 2),
        ("GPU-1", True, (Device("1g.6gb"),)),
        ("GPU-2", False, ()),
    ]


def test_gpus_that_no_entry_matches_are_left_alone() -> None:
    found = wished("devices: [1], mig-enabled: true, mig-devices: {}")

    assert [wish.gpu_uuid for wish in found.wishes] == ["GPU-1"]


def test_a_gpu_without_mig_is_passed_over_by_all_and_told() -> None:
    found = wished("devices: all, mig-enabled: true, mig-devices: {}")

    assert [wish.gpu_uuid for wish in found.wishes] == ["GPU-0", "GPU-1"]
    assert found.notes == ("GPU 2 (NVIDIA L4) has no MIG and is passed over (config.yaml:4).",)


def test_a_gpu_without_mig_that_is_named_is_an_error_with_its_line() -> None:
    with pytest.raises(MigUnsupportedError, match=r"config.yaml:4: GPU 2 \(NVIDIA L4\) has no MIG"):
        wished("devices: [2], mig-enabled: true, mig-devices: {}")


def test_a_profile_that_a_gpu_does_not_have_is_an_error_with_its_line() -> None:
    with pytest.raises(UnknownProfileError, match=r"config.yaml:4: GPU 1 .* has no 3g.40gb"):
        wished("devices: [0, 1], mig-enabled: true, mig-devices: {3g.40gb: 1}")


def test_a_profile_that_nobody_wants_need_not_exist() -> None:
    found = wished("devices: [1], mig-enabled: true, mig-devices: {3g.40gb: 0}")

    assert found.wishes[0].devices == ()


def test_several_gpus_that_cannot_be_so_are_told_together() -> None:
    with pytest.raises(PlanningError, match="cannot be applied to 2 GPUs") as caught:
        wished(
            "devices: [1, 2], mig-enabled: true, mig-devices: {3g.40gb: 1}",
        )

    assert len(caught.value.details) == 2


def test_an_index_that_is_not_here_is_told() -> None:
    found = wished("devices: [0, 6, 7], mig-enabled: false")

    assert found.notes == ("There is no GPU 6, 7 here (config.yaml:4).",)


@pytest.mark.parametrize(
    ("entry", "gpus"),
    [
        ("devices: [5], mig-enabled: false", (H100,)),
        ('device-filter: "0x20B210DE", devices: all, mig-enabled: false', (H100,)),
        ("devices: [], mig-enabled: false", (H100,)),
        ("devices: all, mig-enabled: true, mig-devices: {}", (L4,)),
    ],
)
def test_nothing_matched_is_an_error(entry: str, gpus: tuple[Gpu, ...], node: Node) -> None:
    found = wished(entry, gpus=gpus)
    scene = Scene(node=node, observed=on(*gpus), record=Record(), processes={})

    with pytest.raises(NothingMatchedError, match="none of the 1 GPUs here is meant"):
        propose(scene, found.wishes, "Layout one", found.notes)
