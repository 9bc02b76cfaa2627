"""What a Docker engine is and what it can do, asked once.

Separate from the runtime, because it is wanted before anything runs: to choose where servers run,
to refuse early, and by ``doctor``. `facts_from` is pure, so that engines of every age can be tested
from what they said of themselves.

How an engine can give a container a GPU:

- **CDI.** It is on (``CDISpecDirs`` names folders; 25 was the first release that had it, 28.3 the
  first in which it is on unless switched off), and a specification names the devices. Engines from
  28.2 on list what they found (``DiscoveredDevices``); for older ones the files are read here,
  which only works on the same machine. It comes first where both work, because a container that
  has its GPU by CDI keeps it when systemd is reloaded (nvidia-container-toolkit #48).
- **A device request** (``--gpus``). The engine passes it to ``nvidia-container-runtime-hook``, for
  which it looks in its PATH when it starts. An NVIDIA runtime among its runtimes means that the
  toolkit was set up for it.

Source: docs.docker.com, Engine API, ``GET /info``, ``GET /version``; moby, daemon/nvidia_linux.go;
"Configure container device interface devices" in the reference of dockerd.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuslice.errors import DockerUnavailableError
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.engine import ContainerGoneError, Engine
from gpuslice.runtime.docker.listener import on_this_machine
from gpuslice.runtime.docker.specifications import GPU_KIND, devices_in

TIMEOUT_S = 10.0
_HOOK = "nvidia-container-runtime-hook"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a Docker engine says of itself.

    Attributes:
        host: Where it was asked, as in ``DOCKER_HOST``; "" for the usual socket.
        version: Its release, such as ``20.10.24``.
        api_version: The newest API it speaks, such as ``1.41``.
        architecture: Of its machine, in the words of images: ``amd64``, ``arm64``.
        rootless: It runs without root.
        bridge: It has the usual bridge network.
        nvidia_runtime: NVIDIA's toolkit is set up for it, so that device requests work.
        cdi: CDI is on.
        cdi_devices: Names of NVIDIA devices that it can give by CDI: ``nvidia.com/gpu=MIG-…``.
        root_dir: Folder in which it keeps images and containers.
    """

    host: str
    version: str
    api_version: str
    architecture: str
    rootless: bool
    bridge: bool
    nvidia_runtime: bool
    cdi: bool
    cdi_devices: tuple[str, ...]
    root_dir: str

    @property
    def hand_in(self) -> HandIn | None:
        """How a container is given its slice; None where the engine cannot give GPUs."""
        if self.cdi and self.cdi_devices:
            return HandIn.CDI
        return HandIn.REQUEST if self.nvidia_runtime else None


def read_facts(host: str = "") -> EngineFacts:
    """Ask an engine what it is.

    Args:
        host: Where it listens, as in ``DOCKER_HOST``; "" for what that variable says, else for the
            usual socket. A ``docker context`` is the command line's own and is not looked at.

    Raises:
        DockerUnavailableError: It is not installed, does not run, does not answer, or may not be
            asked.
    """
    where = host or os.environ.get("DOCKER_HOST", "")
    info, version, networks = _ask(where)
    local = on_this_machine(where)
    folders = tuple(map(Path, info.get("CDISpecDirs") or ()))
    listed = "DiscoveredDevices" in info
    return facts_from(
        info,
        version,
        networks,
        host=where,
        hook=local and shutil.which(_HOOK) is not None,
        specified=devices_in(folders) if local and not listed else (),
    )


def facts_from(
    info: Mapping[str, Any],
    version: Mapping[str, Any],
    networks: Collection[str],
    *,
    host: str = "",
    hook: bool = False,
    specified: tuple[str, ...] = (),
) -> EngineFacts:
    """Read what an engine says of itself.

    Args:
        info: Its answer to ``GET /info``.
        version: Its answer to ``GET /version``.
        networks: Names of its networks.
        host: Where it was asked.
        hook: NVIDIA's hook is installed beside it.
        specified: Devices that specifications on disk name, for an engine that lists none.
    """
    folders = tuple(info.get("CDISpecDirs") or ())
    machine = str(info.get("Architecture", ""))
    return EngineFacts(
        host=host,
        version=str(info.get("ServerVersion") or version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        architecture=str(version.get("Arch") or _ARCHITECTURES.get(machine, machine)),
        rootless="name=rootless" in (info.get("SecurityOptions") or ()),
        bridge="bridge" in networks,
        nvidia_runtime=hook or "nvidia" in (info.get("Runtimes") or {}),
        cdi=bool(folders),
        cdi_devices=(_discovered(info) or specified) if folders else (),
        root_dir=str(info.get("DockerRootDir", "")),
    )


def _discovered(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Take the NVIDIA devices from what an engine lists; others have CDI devices too."""
    named = (str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or ())
    return tuple(sorted(name for name in named if name.startswith(f"{GPU_KIND}=")))


def _ask(host: str) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
    try:
        with Engine(host).asking(
            "The Docker engine cannot be asked what it is", timeout_s=TIMEOUT_S
        ) as api:
            networks = frozenset(network["Name"] for network in api.networks(names=["bridge"]))
            return api.info(), api.version(), networks
    except ContainerGoneError as error:
        raise DockerUnavailableError(
            f"What listens at {host or 'the usual socket'} does not answer as a Docker engine.",
            hint="name an engine with DOCKER_HOST or `docker.host`, or say `runtime: process`",
            details=(str(error),),
        ) from error
