"""What Docker engines said of themselves, cut to what anybody reads.

`RECORDED` is the answer of an engine 20.10.24, as Debian 12 has it. The others are that answer with
what later releases add, as the Engine API's reference of each release shows it.
"""

from __future__ import annotations

from typing import Any

SLICE = "MIG-0f0e0d0c-1111-5222-8333-444455556666"
FOLDERS = ["/etc/cdi", "/var/run/cdi"]

RECORDED: dict[str, Any] = {
    "Containers": 0,
    "Driver": "vfs",
    "Plugins": {
        "Volume": ["local"],
        "Network": ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
        "Authorization": None,
    },
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "OSType": "linux",
    "Architecture": "x86_64",
    "DockerRootDir": "/var/lib/docker",
    "ServerVersion": "20.10.24+dfsg1",
    "Runtimes": {
        "io.containerd.runc.v2": {"path": "runc"},
        "io.containerd.runtime.v1.linux": {"path": "runc"},
        "runc": {"path": "runc"},
    },
    "DefaultRuntime": "runc",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Warnings": None,
}
RECORDED_VERSION: dict[str, Any] = {
    "Version": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.12",
    "Os": "linux",
    "Arch": "amd64",
}
NVIDIA = {
    "nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": None},
    "runc": {"path": "runc"},
}
OF_25 = RECORDED | {"ServerVersion": "25.0.5", "CDISpecDirs": []}
OF_25_WITH_CDI = OF_25 | {"CDISpecDirs": FOLDERS}
OF_28 = RECORDED | {
    "ServerVersion": "28.3.2",
    "CDISpecDirs": FOLDERS,
    "DiscoveredDevices": [
        {"Source": "cdi", "ID": f"nvidia.com/gpu={SLICE}"},
        {"Source": "cdi", "ID": "nvidia.com/gpu=0:0"},
        {"Source": "cdi", "ID": "vendor.com/camera=all"},
    ],
}
ROOTLESS = OF_28 | {
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "DockerRootDir": "/home/alice/.local/share/docker",
}
