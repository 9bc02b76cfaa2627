"""Can this machine do it? Each thing that matters is looked at and answered with a remedy.

Looks only; changes nothing. Every finding stands alone, so one failure never hides the next.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator

from gpuslice.agent.docker_findings import look
from gpuslice.agent.findings import Finding, Verdict, bad, good, note
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

__all__ = ["Finding", "Verdict", "examine"]

DEFAULT_GATEWAY_PORT = 8080


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Look at everything that a stack needs."""
    found = _survey(machine)
    observed = None if isinstance(found, Finding) else found
    return (
        *((found,) if isinstance(found, Finding) else _driver(found)),
        *_permission(machine),
        *_engines(machine),
        *look(observed, simulated=machine.simulated),
        *_gateway(),
    )


def _survey(machine: Machine) -> Observed | Finding:
    try:
        return open_driver(machine).survey()
    except GpusliceError as error:
        return bad("driver", error.message, error.hint)


def _driver(observed: Observed) -> Iterator[Finding]:
    yield good("driver", f"NVIDIA driver {observed.driver_version}")
    if not observed.gpus:
        yield bad(
            "GPUs", "the driver shows none", "nvidia-smi -L; is the card seated, or passed through?"
        )
    capable = [gpu for gpu in observed.gpus if gpu.mig is not None]
    if observed.gpus and not capable:
        yield bad("MIG", "no GPU of this machine has it", MIG_PRODUCTS)
    for gpu in observed.gpus:
        yield from _gpu(gpu, observed)
    for index in observed.lost:
        yield bad(f"GPU {index}", LOST, CHECK_HARDWARE)


def _gpu(gpu: Gpu, observed: Observed) -> Iterator[Finding]:
    subject = f"GPU {gpu.index}"
    if gpu.mig is None:
        yield note(subject, f"{gpu.name} has no MIG and is left alone")
        return
    mode = "on" if gpu.mig.current else "off (`gpuslice up` switches it on)"
    slices = f"{len(gpu.slices)} slices" if gpu.shows_slices else "slices out of sight"
    yield good(subject, f"{gpu.name}, {gpu.memory_mib:,} MiB, MIG {mode}, {slices}")
    for unseen in gpu.unseen:
        yield note(subject, unseen.text, "run gpuslice with sudo to see it")
    if gpu.mig.current != gpu.mig.pending:
        wanted = "on" if gpu.mig.pending else "off"
        remedy = f"nvidia-smi -i {gpu.index} --gpu-reset, or restart the machine"
        yield bad(subject, f"MIG is to be {wanted} after a reset that has not happened", remedy)
    if gpu.persistence_mode is False and not observed.simulated:
        remedy = f"nvidia-smi -i {gpu.index} -pm 1"
        yield note(subject, "persistence mode is off: mode changes are slow", remedy)
    for slice_ in gpu.slices:
        if slice_.uuid is None:
            text = f"{slice_.profile} at {slice_.placement} has no compute instance"
            remedy = f"nvidia-smi mig -i {gpu.index} -dgi -gi {slice_.gpu_instance_id}"
            yield note(subject, text, remedy)


def _permission(machine: Machine) -> Iterator[Finding]:
    if machine.simulated:
        yield good("permission", "a simulated GPU belongs to whoever simulates it")
    elif os.geteuid() == 0:
        yield good("permission", "root: MIG mode and slices can be changed")
    else:
        text = "not root: MIG mode and slices can be looked at but not changed"
        yield bad("permission", text, "run gpuslice with sudo")


def _engines(machine: Machine) -> Iterator[Finding]:
    yield from _installed("vllm", "vLLM")
    yield from _installed("sglang", "SGLang")
    if found := which("llama-server"):
        yield good("llama.cpp", f"its own server is installed: {found}")
    if importlib.util.find_spec("xllamacpp"):
        yield good("llama.cpp", "xllamacpp is installed")
        if not machine.simulated and not _computes_on_gpu():
            text = "this xllamacpp computes on the CPU: a .gguf model would leave its slice idle"
            yield note("llama.cpp", text, "install a build of xllamacpp with CUDA, or use vLLM")
    else:
        remedy = "pip install 'gpuslice[cpu]' (needed for .gguf models)"
        yield note("llama.cpp", "xllamacpp is not installed", remedy)


def _installed(engine: str, name: str) -> Iterator[Finding]:
    if which(engine) is None:
        remedy = f"pip install {engine} (needed for `engine: {engine}`)"
        yield note(name, "not installed here", remedy)
        return
    version = installed_version(engine, package=engine)
    defect = defect_of(engine, version, Place.PROCESS)
    if defect is None:
        yield good(name, f"installed, {version}" if version else "installed")
    else:
        remedy = f"pip install '{engine}>={defect.fixed_in}'"
        yield note(name, f"{version} cannot serve on a slice: it {defect.what}", remedy)


def _computes_on_gpu() -> bool:
    """Ask llama.cpp itself, in a process of its own: it takes a GPU context where it finds one."""
    asked = subprocess.run(
        [sys.executable, "-c", _DEVICES], capture_output=True, timeout=60, check=False
    )
    return asked.returncode == 0 and b"GPU" in asked.stdout


_DEVICES = "import xllamacpp; print([d['type'].name for d in xllamacpp.get_device_info()])"


def _gateway() -> Iterator[Finding]:
    try:
        check_port_free("127.0.0.1", DEFAULT_GATEWAY_PORT)
    except GpusliceError as error:
        yield note("port", error.message, error.hint)
    else:
        yield good("port", f"{DEFAULT_GATEWAY_PORT} is free for the gateway")
