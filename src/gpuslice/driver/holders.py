"""Who is in the way, and how each of them is stopped.

"In use by another client" is all that a driver says. What a person needs is a name, an owner and
one command, for each client; and to be told where nothing could be seen, rather than to be told
that nothing is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpuslice.driver.calls import Device, NvmlCalls
from gpuslice.driver.device_files import PROC, OpenFiles, find_openers
from gpuslice.driver.processes import describe_process, read_processes
from gpuslice.driver.translation import STOP_CLIENTS, NvmlCode
from gpuslice.errors import GpuBusyError
from gpuslice.model.gpu import GpuProcess

# By command name, of which the kernel keeps 15 characters.
_KNOWN = {
    "dcgm-exporter": "the DCGM exporter, a monitor",
    "dcgmi": "DCGM's command, a monitor",
    "nv-hostengine": "DCGM, a monitor",
    "nvsm_core": "NVIDIA System Management, a monitor",
    "nvidia-smi": "another nvidia-smi, a monitor",
    "nvitop": "a monitor",
    "nvtop": "a monitor",
    "gpustat": "a monitor",
    "nvidia-persiste": "the persistence daemon",
    "nv-fabricmanage": "the fabric manager, which HGX boards need",
    "nvidia-cuda-mps": "CUDA MPS",
    "Xorg": "the display server",
    "X": "the display server",
    "Xwayland": "the display server",
    "gnome-shell": "the desktop",
}
_STOPPED_BY = {
    "docker": "docker stop",
    "podman": "podman stop",
    "nerdctl": "nerdctl stop",
    "containerd": "crictl stop",
    "cri-o": "crictl stop",
    "": "crictl stop",
}
_SHORT_ID = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Who holds a GPU or a slice.

    Attributes:
        processes: Those that were found.
        unseen: What could not be looked at, one sentence each.
    """

    processes: tuple[GpuProcess, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Who it is, as it follows "in use by"."""
        named = ", ".join(describe(process) for process in self.processes)
        return named or "a client that NVML does not name"

    @property
    def hint(self) -> str:
        """One next action."""
        if len(self.processes) == 1:
            return f"Stop it with `{remedy(self.processes[0])}`, then repeat."
        return STOP_CLIENTS

    @property
    def details(self) -> tuple[str, ...]:
        """One line for each of several, with its remedy; and what could not be seen."""
        several = self.processes if len(self.processes) > 1 else ()
        lines = (f"{p.name or 'process'} {p.pid}: `{remedy(p)}`" for p in several)
        return (*lines, *self.unseen)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderSearch:
    """Looks for who is in the way. Owned by `NvmlDriver`.

    Attributes:
        nvml: The calls.
        device_files: True where the GPUs have device files; simulated ones have none.
        proc: Where processes are listed.
        find_openers: Finds who has files open.
    """

    nvml: NvmlCalls
    device_files: bool
    proc: Path = PROC
    find_openers: Callable[[frozenset[str]], OpenFiles] = field(default=find_openers)

    def on_gpu(self, device: Device) -> Holders:
        """Find who holds a whole GPU or anything on it."""
        listed = read_processes(self.nvml, device, proc=self.proc)
        return self._with_openers(device, listed, listed)

    def on_slice(self, device: Device, instance_id: int) -> Holders:
        """Find who holds one slice."""
        listed = read_processes(self.nvml, device, proc=self.proc)
        there = tuple(p for p in listed if p.gpu_instance_id == instance_id)
        return Holders(processes=there) if there else self._with_openers(device, there, listed)

    def _with_openers(
        self, device: Device, found: tuple[GpuProcess, ...], listed: Sequence[GpuProcess]
    ) -> Holders:
        file = self._device_file(device) if self.device_files else None
        if file is None:
            return Holders(processes=found)
        opened = self.find_openers(frozenset({file}))
        known = {process.pid for process in listed}
        others = tuple(
            describe_process(pid, proc=self.proc, open_file=file)
            for pid in opened.pids
            if pid not in known
        )
        return Holders(processes=(*found, *others), unseen=_unseen(opened))

    def _device_file(self, device: Device) -> str | None:
        answer = self.nvml.attempt(
            "nvmlDeviceGetMinorNumber", device.handle,
            to=f"find the device file of {device.label}",
            expect=(NvmlCode.NOT_SUPPORTED, NvmlCode.FUNCTION_NOT_FOUND, NvmlCode.NO_PERMISSION),
        )  # fmt: skip
        return f"/dev/nvidia{answer.value}" if answer.ok else None


def explained(error: GpuBusyError, holders: Holders) -> GpuBusyError:
    """Say with an error who is in the way; as it was where nobody was found."""
    if not holders.processes:
        error.details += holders.unseen
        return error
    return GpuBusyError(
        f"{error.message} It is held by {holders.text}.",
        hint=holders.hint,
        details=(*holders.details, *error.details),
    )


def describe(process: GpuProcess) -> str:
    """Name one process: ``python3 (pid 4711) of alice in docker container 3f2a1b2c3d4e``."""
    parts = [f"{process.name or 'a process'} (pid {process.pid})"]
    if process.user:
        parts.append(f"of {process.user}")
    if process.container is not None:
        runtime = f"{process.container.runtime} " if process.container.runtime else ""
        parts.append(f"in {runtime}container {process.container.id[:_SHORT_ID]}")
        parts.extend([f"of pod {process.container.pod}"] if process.container.pod else [])
    elif process.service:
        parts.append(f"in service {process.service}")
    if known := _KNOWN.get(process.name):
        parts.append(f"– {known}")
    if process.open_file:
        parts.append(f"– has {process.open_file} open")
    return " ".join(parts)


def remedy(process: GpuProcess) -> str:
    """Give the one command that stops a process for good: a supervised one would come back."""
    container = process.container
    if container is not None and container.pod:
        return "kubectl drain NODE"
    if container is not None:
        return f"{_STOPPED_BY[container.runtime]} {container.id[:_SHORT_ID]}"
    if process.service:
        return f"systemctl stop {_quoted(process.service)}"
    return f"kill {process.pid}"


def _quoted(unit: str) -> str:
    return unit if re.fullmatch(r"[\w@.:-]+", unit) else f"'{unit}'"


def _unseen(opened: OpenFiles) -> tuple[str, ...]:
    lines: list[str] = []
    if opened.hidden:
        lines.append(
            f"{opened.hidden} processes of other users do not show what they have open; root sees "
            "them."
        )
    if not opened.complete:
        lines.append("There are so many processes that not all could be looked through in time.")
    return tuple(lines)
