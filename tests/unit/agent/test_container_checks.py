"""What a Docker engine has is judged before anything is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_desired_model
from docker_info import NVIDIA, OF_28, RECORDED, RECORDED_VERSION
from gpuslice.agent.container_checks import (
    check_memory,
    check_release,
    hand_in_troubles,
    image_troubles,
)
from gpuslice.agent.surroundings import machine_mib
from gpuslice.engines.images import OWN
from gpuslice.errors import ContainerError, EngineBrokenError, ImageMissingError, StackError
from gpuslice.model.desired import DesiredDocker, DesiredModel, Pull, RuntimeName
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.facts import EngineFacts, facts_from

BARE = facts_from(RECORDED, RECORDED_VERSION, {"bridge"})
SET_UP = facts_from(RECORDED | {"Runtimes": NVIDIA}, RECORDED_VERSION, {"bridge"})
NEW = facts_from(OF_28 | {"DiscoveredDevices": []}, RECORDED_VERSION, {"bridge"})
IMAGE = "acme/serve:1.2"


def sglang(image: str) -> DesiredModel:
    return a_desired_model(
        engine="sglang", source="a/b", command=(), image=image, runtime=RuntimeName.DOCKER
    )


@pytest.mark.parametrize(
    ("hand_in", "facts", "able"),
    [
        (HandIn.REQUEST, SET_UP, True),
        (HandIn.REQUEST, BARE, False),
        (HandIn.CDI, NEW, True),  # the specification is made anew once the slices are there
        (HandIn.CDI, SET_UP, False),
        (HandIn.NONE, BARE, True),
    ],
)
def test_an_engine_has_to_give_slices_as_was_planned(
    hand_in: HandIn, facts: EngineFacts, *, able: bool
) -> None:
    troubles = list(hand_in_troubles(DesiredDocker(hand_in=hand_in), facts))
    assert [type(trouble) for trouble in troubles] == ([] if able else [ContainerError])


@pytest.mark.parametrize(
    ("image", "pull", "hint"),
    [
        (IMAGE, Pull.MISSING, None),
        (IMAGE, Pull.ALWAYS, None),
        (IMAGE, Pull.NEVER, "docker pull acme/serve:1.2"),
        (OWN, Pull.MISSING, f"docker build -t {OWN} -f deploy/image/Dockerfile ."),
    ],
)
def test_an_image_that_is_not_here_has_to_be_one_that_may_be_fetched(
    image: str, pull: Pull, hint: str | None
) -> None:
    troubles = list(image_troubles(DesiredDocker(pull=pull), BARE, {image: None}))
    assert len(troubles) == (hint is not None)
    for trouble in troubles:
        assert isinstance(trouble, ImageMissingError)
        assert hint is not None
        assert hint in trouble.hint


@pytest.mark.parametrize(
    ("architecture", "pull", "runs"),
    [
        ("amd64", Pull.MISSING, True),
        ("386", Pull.MISSING, True),
        ("", Pull.MISSING, True),
        ("arm64", Pull.MISSING, False),
        ("arm64", Pull.NEVER, False),
        ("arm64", Pull.ALWAYS, True),
    ],
)
def test_an_image_is_for_this_kind_of_machine_or_is_fetched_anew(
    architecture: str, pull: Pull, *, runs: bool
) -> None:
    troubles = list(image_troubles(DesiredDocker(pull=pull), BARE, {IMAGE: architecture}))
    assert len(troubles) == (not runs)
    assert all("is made for arm64, and this machine is amd64" in t.message for t in troubles)


@pytest.mark.parametrize(
    ("image", "broken"),
    [
        ("lmsysorg/sglang:v0.4.9", True),
        ("mirror:5000/lmsysorg/sglang:v0.4.9", True),
        (f"lmsysorg/sglang:v0.4.9@sha256:{'0a' * 32}", True),
        ("lmsysorg/sglang:v0.4.10", False),
        ("lmsysorg/sglang:latest", False),
        ("lmsysorg/sglang", False),
        ("mirror:5000/lmsysorg/sglang", False),
        ("acme/sglang:0.3", False),  # its own count, not SGLang's
        ("", False),
    ],
)
def test_a_tag_that_names_a_release_which_cannot_run_on_a_slice_is_refused(
    image: str, *, broken: bool
) -> None:
    if not broken:
        check_release(sglang(image))
        return
    with pytest.raises(EngineBrokenError, match=r"sglang 0\.4\.9 asks nvidia-smi") as caught:
        check_release(sglang(image))
    assert "0.4.10 or later" in caught.value.hint


def test_a_container_may_not_be_promised_more_memory_than_the_machine_has() -> None:
    model = replace(sglang(""), host_memory_mib=machine_mib())
    check_memory(model, machine_mib())
    with pytest.raises(StackError, match="this machine has 1,000 MiB"):
        check_memory(replace(model, host_memory_mib=1001), 1000)
