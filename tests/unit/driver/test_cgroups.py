from __future__ import annotations

import pytest

from gpuslice.driver.cgroups import container_of, service_of
from gpuslice.model.gpu import Container

ID = "3f2a1b2c3d4e" + "0" * 52
POD = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
POD_SLICE = (
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice"
)

CONTAINERS = [
    pytest.param(f"0::/system.slice/docker-{ID}.scope", "docker", "", id="docker, v2"),
    pytest.param(f"12:devices:/docker/{ID}\n0::/\n", "docker", "", id="docker, v1"),
    pytest.param(
        f"0::/machine.slice/libpod-{ID}.scope/container", "podman", "", id="podman of root"
    ),
    pytest.param(
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope",
        "podman", "", id="podman of a user",
    ),
    pytest.param(f"0::/system.slice/nerdctl-{ID}.scope", "nerdctl", "", id="nerdctl"),
    pytest.param(f"0::{POD_SLICE}/cri-containerd-{ID}.scope", "containerd", POD, id="pod, systemd"),
    pytest.param(f"0::{POD_SLICE}/crio-{ID}.scope", "cri-o", POD, id="pod, cri-o"),
    pytest.param(f"4:memory:/kubepods/burstable/pod{POD}/{ID}", "", POD, id="pod, cgroupfs"),
    pytest.param(
        f"11:cpu:/system.slice/kubepods-pod{POD.replace('-', '_')}.slice:cri-containerd:{ID}",
        "containerd", POD, id="containerd's own notation",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("cgroup", "runtime", "pod"), CONTAINERS)
def test_a_container_is_known_by_its_path(cgroup: str, runtime: str, pod: str) -> None:
    assert container_of(cgroup) == Container(id=ID, runtime=runtime, pod=pod)


@pytest.mark.parametrize(
    "cgroup",
    [
        "",
        "0::/\n",
        "0::/user.slice/user-1000.slice/session-3.scope",
        "0::/system.slice/docker.service",
        f"0::/user.slice/{ID[:20]}",
        "nonsense",
    ],
)
def test_what_is_in_no_container_is_in_none(cgroup: str) -> None:
    assert container_of(cgroup) is None


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nvidia-dcgm.service", "nvidia-dcgm.service"),
        (
            "1:name=systemd:/system.slice/nvidia-persistenced.service\n",
            "nvidia-persistenced.service",
        ),
        (r"0::/system.slice/system-vllm.slice/vllm@a\x2db.service/x", r"vllm@a\x2db.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/own.service", ""),
        ("0::/user.slice/user-1000.slice/session-3.scope", ""),
        ("0::/system.slice/$(reboot).service", ""),
        ("", ""),
    ],
)
def test_a_system_service_is_known_by_its_path(cgroup: str, unit: str) -> None:
    assert service_of(cgroup) == unit
