"""C functions of GPU performance monitoring (GPM): how busy a slice was between two samples.

On a real card, Hopper and later only. The work measured is the CPU time of the slice's processes.
"""

from __future__ import annotations

from typing import Any

from gpuslice.model.gpu import Architecture
from gpuslice.simulator.arguments import Argument, address, number, view, write_handle
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.processes import BoundProcess
from gpuslice.simulator.session import Session, Target
from gpuslice.simulator.table import FunctionTable
from gpuslice.simulator.usage import (
    UsageSample,
    busy_percent,
    sample_of,
    users_of_gpu,
    users_of_instance,
)

FUNCTIONS = FunctionTable()

GRAPHICS_UTIL = 1
SM_UTIL = 2
_VERSION = 1
_FIRST_SAMPLE = 0x7F61_0000_0000


@FUNCTIONS.answers("nvmlGpmQueryDeviceSupport")
def query_device_support(session: Session, device: Argument, support: Argument) -> None:
    """Answer whether a GPU has GPM."""
    target = session.device(device)
    seen = view(support, session.nvml.c_nvmlGpmSupport_t)
    if seen.version != _VERSION:
        raise Refusal(Code.ARGUMENT_VERSION_MISMATCH)
    seen.isSupportedDevice = int(_has_gpm(target))


@FUNCTIONS.answers("nvmlGpmSampleAlloc")
def sample_alloc(session: Session, sample: Argument) -> None:
    """Make an empty sample."""
    session.require_initialised()
    made = max(session.gpm_samples, default=_FIRST_SAMPLE) + 0x100
    session.gpm_samples[made] = None
    write_handle(sample, made)


@FUNCTIONS.answers("nvmlGpmSampleFree")
def sample_free(session: Session, sample: Argument) -> None:
    """Forget a sample."""
    session.require_initialised()
    del session.gpm_samples[_known(session, sample)]


@FUNCTIONS.answers("nvmlGpmSampleGet")
def sample_get(session: Session, device: Argument, sample: Argument) -> None:
    """Fill a sample from a whole GPU, or from the GPU instance of a MIG device."""
    target = _supported(session.device(device))
    _fill(session, sample, _users(session, target))


@FUNCTIONS.answers("nvmlGpmMigSampleGet")
def mig_sample_get(
    session: Session, device: Argument, instance: Argument, sample: Argument
) -> None:
    """Fill a sample from one GPU instance of a GPU."""
    gpu = _supported(session.gpu(device)).gpu
    if not gpu.mig_current:
        raise Refusal(Code.NOT_SUPPORTED)
    for gi in gpu.instances:
        if gi.id == number(instance):
            return _fill(session, sample, users_of_instance(gpu, gi, session.processes()))
    raise Refusal(Code.NOT_FOUND)


@FUNCTIONS.answers("nvmlGpmMetricsGet")
def metrics_get(session: Session, metrics: Argument) -> None:
    """Answer metrics between two samples; each has a code of its own."""
    session.require_initialised()
    seen = view(metrics, session.nvml.c_nvmlGpmMetricsGet_t)
    if seen.version != _VERSION:
        raise Refusal(Code.ARGUMENT_VERSION_MISMATCH)
    if seen.numMetrics > len(seen.metrics):
        raise Refusal(Code.INVALID_ARGUMENT)
    busy = busy_percent(_filled(session, seen.sample1), _filled(session, seen.sample2))
    for metric in seen.metrics[: seen.numMetrics]:
        _answer(metric, busy)


def _answer(metric: Any, busy: float) -> None:
    if metric.metricId in (GRAPHICS_UTIL, SM_UTIL):
        metric.nvmlReturn, metric.value = int(Code.SUCCESS), busy
    else:
        metric.nvmlReturn = int(Code.NOT_SUPPORTED)


def _users(session: Session, target: Target) -> tuple[BoundProcess, ...]:
    if target.gpu_instance is None:
        return users_of_gpu(target.gpu, session.processes())
    return users_of_instance(target.gpu, target.gpu_instance, session.processes())


def _fill(session: Session, sample: Argument, users: tuple[BoundProcess, ...]) -> None:
    session.gpm_samples[_known(session, sample)] = sample_of(users, session.clock())


def _filled(session: Session, sample: Argument) -> UsageSample:
    found = session.gpm_samples[_known(session, sample)]
    if found is None:
        raise Refusal(Code.INVALID_ARGUMENT)
    return found


def _known(session: Session, sample: Argument) -> int:
    where = address(sample)
    if where not in session.gpm_samples:
        raise Refusal(Code.INVALID_ARGUMENT)
    return where


def _supported(target: Target) -> Target:
    if not _has_gpm(target):
        raise Refusal(Code.NOT_SUPPORTED)
    return target


def _has_gpm(target: Target) -> bool:
    return target.board.architecture in (Architecture.HOPPER, Architecture.BLACKWELL)
