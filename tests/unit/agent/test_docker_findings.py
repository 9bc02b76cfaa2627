"""An engine has many ways of being nearly ready, and each has its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docker_info import NVIDIA, OF_25, OF_28, RECORDED, RECORDED_VERSION, ROOTLESS, SLICE
from gpuslice.agent.docker_findings import judge, judge_specification
from gpuslice.agent.findings import Finding, Verdict
from gpuslice.runtime.docker.facts import EngineFacts, facts_from

OTHER = "MIG-99999999-1111-5222-8333-444455556666"
OLD = facts_from(RECORDED | {"Runtimes": NVIDIA}, RECORDED_VERSION, {"bridge"})
NEW = facts_from(OF_28, RECORDED_VERSION, {"bridge"})
BARE = facts_from(OF_25, RECORDED_VERSION, {"bridge"})


def judged(facts: EngineFacts, *, free_gb: int | None = 500, simulated: bool = False) -> list[str]:
    """The texts that are not simply good."""
    found = judge(facts, free_gb=free_gb, simulated=simulated)
    return [f"{f.text} → {f.remedy}" for f in found if f.verdict is not Verdict.GOOD]


def test_a_new_engine_that_gives_slices_leaves_nothing_to_wish_for() -> None:
    assert judged(NEW) == []


@pytest.mark.parametrize(
    ("facts", "said", "remedy"),
    [
        (replace(NEW, version="19.03.15"), "too old", "from 20.10 on"),
        (OLD, "has no CDI", "25 and later"),
        (BARE, "no NVIDIA runtime", "nvidia-ctk runtime configure --runtime=docker"),
        (
            facts_from(ROOTLESS | {"Runtimes": NVIDIA, "CDISpecDirs": []}, {}, ()),
            "rootless",
            "no-cgroups",
        ),
    ],
)
def test_what_an_engine_lacks_is_noted_with_the_remedy(
    facts: EngineFacts, said: str, remedy: str
) -> None:
    (finding,) = judged(facts)
    assert said in finding
    assert remedy in finding


def test_a_rootless_engine_with_cdi_needs_no_further_setting() -> None:
    assert judged(facts_from(ROOTLESS, {}, ())) == []


@pytest.mark.parametrize(("free_gb", "told"), [(None, 0), (29, 1), (30, 0)])
def test_little_room_for_images_is_noted(free_gb: int | None, told: int) -> None:
    assert len(judged(NEW, free_gb=free_gb)) == told
    assert all("/var/lib/docker" in text for text in judged(NEW, free_gb=free_gb))


def test_on_simulated_gpus_no_engine_has_to_give_any() -> None:
    assert judged(BARE, simulated=True) == []


def test_a_release_without_numbers_is_not_called_old() -> None:
    assert judged(replace(NEW, version="dev")) == []


def specified(facts: EngineFacts, *slices: str, whole: bool = True) -> Finding:
    (finding,) = judge_specification(facts, slices, whole=whole)
    return finding


def test_a_specification_that_knows_every_slice_is_good() -> None:
    assert specified(NEW, SLICE).verdict is Verdict.GOOD


def test_a_slice_that_the_specification_does_not_know_is_to_be_mended_where_it_is_used() -> None:
    finding = specified(NEW, SLICE, OTHER)
    assert finding.verdict is Verdict.BAD
    assert OTHER in finding.text
    assert "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml" in finding.remedy
    assert "nvidia-cdi-refresh" in finding.remedy


def test_a_slice_that_has_gone_is_noted_unless_slices_are_out_of_sight() -> None:
    finding = specified(NEW)
    assert finding.verdict is Verdict.NOTE
    assert SLICE in finding.text
    assert specified(NEW, whole=False).verdict is Verdict.GOOD


def test_cdi_without_a_specification_is_noted() -> None:
    finding = specified(replace(NEW, cdi_devices=(), nvidia_runtime=True), SLICE)
    assert finding.verdict is Verdict.NOTE
    assert "no specification" in finding.text
