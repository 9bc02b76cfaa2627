"""Which processes hold a GPU or its slices, with the names people know them by.

Separate from the calls that change things: it only reads, and it is what those ask when the driver
says "in use" without saying by whom.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpuslice.driver.calls import Device, Handle, NvmlCalls
from gpuslice.driver.cgroups import container_of, service_of
from gpuslice.driver.compute import GONE
from gpuslice.driver.device_files import PROC
from gpuslice.driver.instances import MIB
from gpuslice.driver.translation import NvmlCode
from gpuslice.model.gpu import GpuProcess

# What NVML writes into gpuInstanceId of a process that is on no slice.
NO_INSTANCE = 0xFFFFFFFF

# CUDA programs, graphics programs, and clients of an MPS daemon.
_LISTS = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
)

# Old drivers lack some lists, parents are closed to ordinary users while MIG is on, and a handle
# may die while it is read. What can be read is worth more than an error.
_UNREADABLE = (
    *GONE,
    NvmlCode.NOT_SUPPORTED,
    NvmlCode.NO_PERMISSION,
    NvmlCode.FUNCTION_NOT_FOUND,
)


def mig_handles(nvml: NvmlCalls, device: Device) -> Iterator[tuple[int, Handle]]:
    """Yield (GPU instance id, handle) of every MIG device; needs no privilege.

    Indexes have holes, so all are tried up to the driver's highest.
    """
    to = f"list the MIG devices of {device.label}"
    for index in range(nvml.call("nvmlDeviceGetMaxMigDeviceCount", device.handle, to=to)):
        found = nvml.attempt(
            "nvmlDeviceGetMigDeviceHandleByIndex", device.handle, index,
            to=to, expect=(*GONE, NvmlCode.NO_PERMISSION),
        )  # fmt: skip
        if not found.ok:
            continue
        owner = nvml.attempt("nvmlDeviceGetGpuInstanceId", found.value, to=to, expect=GONE)
        if owner.ok:
            yield owner.value, found.value


def read_processes(nvml: NvmlCalls, device: Device, *, proc: Path = PROC) -> tuple[GpuProcess, ...]:
    """List the processes on a GPU and on its slices, by slice and pid, each once per slice.

    Args:
        nvml: The calls.
        device: The GPU.
        proc: Where names are read; a test gives its own.
    """
    found: dict[tuple[int, int], GpuProcess] = {}
    sources = [(None, device.handle), *mig_handles(nvml, device)]
    for instance_id, handle in sources:
        for raw in _raw_processes(nvml, handle):
            process = _process(raw, instance_id, proc)
            on = -1 if process.gpu_instance_id is None else process.gpu_instance_id
            found.setdefault((on, process.pid), process)
    return tuple(found[key] for key in sorted(found))


def _raw_processes(nvml: NvmlCalls, handle: Handle) -> Iterator[Any]:
    to = "list the GPU's processes"
    for function in _LISTS:
        answer = nvml.attempt(function, handle, to=to, expect=_UNREADABLE)
        if answer.code == NvmlCode.FUNCTION_NOT_FOUND:  # drivers before 510 have the second version
            answer = nvml.attempt(f"{function}_v2", handle, to=to, expect=_UNREADABLE)
        yield from answer.value or ()


def _process(raw: Any, instance_id: int | None, proc: Path) -> GpuProcess:
    told = getattr(raw, "gpuInstanceId", NO_INSTANCE)
    used = raw.usedGpuMemory
    return replace(
        describe_process(raw.pid, proc=proc),
        memory_mib=None if used is None else used // MIB,
        gpu_instance_id=instance_id if told in (None, NO_INSTANCE) else told,
    )


def describe_process(pid: int, *, proc: Path = PROC, open_file: str = "") -> GpuProcess:
    """Read who a process is; what it does not show, or no longer, stays empty.

    Args:
        pid: Its id.
        proc: Where processes are listed.
        open_file: The device file it was found by, if any.
    """
    cgroup = _text(proc / str(pid) / "cgroup")
    container = container_of(cgroup)
    return GpuProcess(
        pid=pid,
        name=process_name(pid, proc=proc),
        user=_user(proc / str(pid)),
        container=container,
        service="" if container else service_of(cgroup),
        open_file=open_file,
    )


def process_name(pid: int, *, proc: Path = PROC) -> str:
    """Read a process's command name, or "" when it has ended or is another's.

    Whoever starts a process names it, so nothing that a terminal would act on is passed on.
    """
    name = _text(proc / str(pid) / "comm").strip()
    return "".join(c if c.isprintable() else "?" for c in name)


def _user(folder: Path) -> str:
    try:
        owner = folder.stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
