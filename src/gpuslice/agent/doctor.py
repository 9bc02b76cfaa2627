"""Can this machine do it? Each thing that matters is looked at and answered with a remedy.

Looks only; changes nothing. Every finding stands alone, so one failure never hides the next.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gpuslice.agent.node import open_driver
from gpuslice.agent.sight import LOST
from gpuslice.driver.translation import CHECK_HARDWARE
from gpuslice.engines.api import Place
from gpuslice.engines.defects import defect_of
from gpuslice.errors import GpusliceError
from gpuslice.hardware import MIG_PRODUCTS
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.machine import Machine
from gpuslice.runtime.installed import installed_version, which
from gpuslice.runtime.ports import check_port_free

DEFAULT_GATEWAY_PORT = 8080
DOCKER_TIMEOUT_S = 10


class Verdict(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is about.
        verdict: Good, worth knowing, or to be mended first.
        text: What was found.
        remedy: What to do about it, or "".
    """

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Look at everything that a stack needs."""
    return (
        *_driver(machine),
        *_permission(machine),
        *_engines(machine),
        *_docker(machine),
        *_gateway(),
    )


def _driver(machine: Machine) -> Iterator[Finding]:
    try:
        observed = open_driver(machine).survey()
    except GpusliceError as error:
        yield _bad("driver", error.message, error.hint)
        return
    yield _good("driver", f"NVIDIA driver {observed.driver_version}")
    if not observed.gpus:
        yield _bad(
            "GPUs", "the driver shows none", "nvidia-smi -L; is the card seated, or passed through?"
        )
    capable = [gpu for gpu in observed.gpus if gpu.mig is not None]
    if observed.gpus and not capable:
        yield _bad("MIG", "no GPU of this machine has it", MIG_PRODUCTS)
    for gpu in observed.gpus:
        yield from _gpu(gpu, observed)
    for index in observed.lost:
        yield _bad(f"GPU {index}", LOST, CHECK_HARDWARE)


def _gpu(gpu: Gpu, observed: Observed) -> Iterator[Finding]:
    subject = f"GPU {gpu.index}"
    if gpu.mig is None:
        yield _note(subject, f"{gpu.name} has no MIG and is left alone")
        return
    mode = "on" if gpu.mig.current else "off (`gpuslice up` switches it on)"
    slices = f"{len(gpu.slices)} slices" if gpu.shows_slices else "slices out of sight"
    yield _good(subject, f"{gpu.name}, {gpu.memory_mib:,} MiB, MIG {mode}, {slices}")
    for unseen in gpu.unseen:
        yield _note(subject, unseen.text, "run gpuslice with sudo to see it")
    if gpu.mig.current != gpu.mig.pending:
        wanted = "on" if gpu.mig.pending else "off"
        remedy = f"nvidia-smi -i {gpu.index} --gpu-reset, or restart the machine"
        yield _bad(subject, f"MIG is to be {wanted} after a reset that has not happened", remedy)
    if gpu.persistence_mode is False and not observed.simulated:
        remedy = f"nvidia-smi -i {gpu.index} -pm 1"
        yield _note(subject, "persistence mode is off: mode changes are slow", remedy)
    for slice_ in gpu.slices:
        if slice_.uuid is None:
            text = f"{slice_.profile} at {slice_.placement} has no compute instance"
            remedy = f"nvidia-smi mig -i {gpu.index} -dgi -gi {slice_.gpu_instance_id}"
            yield _note(subject, text, remedy)


def _permission(machine: Machine) -> Iterator[Finding]:
    if machine.simulated:
        yield _good("permission", "a simulated GPU belongs to whoever simulates it")
    elif os.geteuid() == 0:
        yield _good("permission", "root: MIG mode and slices can be changed")
    else:
        text = "not root: MIG mode and slices can be looked at but not changed"
        yield _bad("permission", text, "run gpuslice with sudo")


def _engines(machine: Machine) -> Iterator[Finding]:
    yield from _installed("vllm", "vLLM")
    yield from _installed("sglang", "SGLang")
    if found := which("llama-server"):
        yield _good("llama.cpp", f"its own server is installed: {found}")
    if importlib.util.find_spec("xllamacpp"):
        yield _good("llama.cpp", "xllamacpp is installed")
        if not machine.simulated and not _computes_on_gpu():
            text = "this xllamacpp computes on the CPU: a .gguf model would leave its slice idle"
            yield _note("llama.cpp", text, "install a build of xllamacpp with CUDA, or use vLLM")
    else:
        remedy = "pip install 'gpuslice[cpu]' (needed for .gguf models)"
        yield _note("llama.cpp", "xllamacpp is not installed", remedy)


def _installed(engine: str, name: str) -> Iterator[Finding]:
    if which(engine) is None:
        remedy = f"pip install {engine} (needed for `engine: {engine}`)"
        yield _note(name, "not installed here", remedy)
        return
    version = installed_version(engine, package=engine)
    defect = defect_of(engine, version, Place.PROCESS)
    if defect is None:
        yield _good(name, f"installed, {version}" if version else "installed")
    else:
        remedy = f"pip install '{engine}>={defect.fixed_in}'"
        yield _note(name, f"{version} cannot serve on a slice: it {defect.what}", remedy)


def _computes_on_gpu() -> bool:
    """Ask llama.cpp itself, in a process of its own: it takes a GPU context where it finds one."""
    asked = subprocess.run(
        [sys.executable, "-c", _DEVICES], capture_output=True, timeout=60, check=False
    )
    return asked.returncode == 0 and b"GPU" in asked.stdout


_DEVICES = "import xllamacpp; print([d['type'].name for d in xllamacpp.get_device_info()])"


def _docker(machine: Machine) -> Iterator[Finding]:
    if shutil.which("docker") is None:
        text = "not installed; servers run as processes in this version, so it is not needed"
        yield _note("Docker", text)
        return
    try:
        asked = subprocess.run(
            ["docker", "info", "--format", "{{json .}}"],  # noqa: S607 - the user's own docker
            capture_output=True,
            timeout=DOCKER_TIMEOUT_S,
            check=False,
        )
        info = json.loads(asked.stdout or b"{}")
    except (subprocess.TimeoutExpired, ValueError):
        info = {}
    if not info.get("ServerVersion"):
        yield _note(
            "Docker", "the engine does not answer; servers run as processes, so it is not needed"
        )
        return
    yield _good("Docker", f"engine {info['ServerVersion']}")
    if "nvidia" in (info.get("Runtimes") or {}) or info.get("DiscoveredDevices"):
        yield _good("Docker", "its NVIDIA runtime is set up")
    elif not machine.simulated:
        remedy = (
            "install nvidia-container-toolkit, then: nvidia-ctk runtime configure --runtime=docker"
        )
        yield _note("Docker", "it has no NVIDIA runtime", remedy)


def _gateway() -> Iterator[Finding]:
    try:
        check_port_free("127.0.0.1", DEFAULT_GATEWAY_PORT)
    except GpusliceError as error:
        yield _note("port", error.message, error.hint)
    else:
        yield _good("port", f"{DEFAULT_GATEWAY_PORT} is free for the gateway")


def _good(subject: str, text: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.GOOD, text=text)


def _note(subject: str, text: str, remedy: str = "") -> Finding:
    return Finding(subject=subject, verdict=Verdict.NOTE, text=text, remedy=remedy)


def _bad(subject: str, text: str, remedy: str = "") -> Finding:
    return Finding(subject=subject, verdict=Verdict.BAD, text=text, remedy=remedy)
