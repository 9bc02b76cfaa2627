"""What the real driver answers, call by call, beside what the simulator says for the same board.

Every difference is printed as a table, to be copied into docs/hardware.md with what was done about
it. A test fails only where the planner or the driver rely on the two being equal; the others list.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from statistics import median
from types import ModuleType
from typing import Any

import pytest

from gpuslice.driver.calls import NvmlCalls, open_device
from gpuslice.driver.compute import list_compute_profiles
from gpuslice.driver.holders import HolderSearch
from gpuslice.driver.instances import list_instances
from gpuslice.driver.limits import limit_s
from gpuslice.driver.nvml import NvmlDriver
from gpuslice.driver.translation import translate
from gpuslice.hardware import board_for
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.simulator.compute_profiles import compute_geometry
from hardware.twins import Twin, print_table

ENUMS = range(24)  # past the last of every driver there is
INFO = (
    "id", "sliceCount", "instanceCount", "multiprocessorCount", "copyEngineCount", "decoderCount",
    "encoderCount", "jpegCount", "ofaCount", "memorySizeMB",
)  # fmt: skip
REPEATS = 20


def handle_of(nvml: ModuleType, gpu: Gpu) -> Any:
    return nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)


def told(nvml: Any, function: str, *arguments: Any) -> Any:
    """Call a function and return its value, or the name of the error it ends with."""
    try:
        return getattr(nvml, function)(*arguments)
    except nvml.NVMLError as error:
        return type(error).__name__.replace("NVMLError_", "! ")


# --- Questions without arguments ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call on a whole GPU.

    Attributes:
        function: Its name.
        equal: True where both have to answer alike.
        of: Takes from the answer what can be compared.
    """

    function: str
    equal: bool
    of: Callable[[Any], Any] = copy


QUESTIONS = (
    Question(function="nvmlDeviceGetName", equal=False),  # one board, several names
    Question(function="nvmlDeviceGetArchitecture", equal=True),
    Question(function="nvmlDeviceGetCudaComputeCapability", equal=True, of=tuple),
    Question(function="nvmlDeviceGetMigMode", equal=True, of=tuple),
    Question(function="nvmlDeviceGetMaxMigDeviceCount", equal=True),
    Question(function="nvmlDeviceIsMigDeviceHandle", equal=True, of=lambda answer: answer.value),
    Question(function="nvmlDeviceGetAttributes_v2", equal=True),
    Question(function="nvmlDeviceGetPciInfo", equal=False, of=lambda a: hex(a.pciDeviceId)),
    Question(function="nvmlDeviceGetMemoryInfo", equal=False, of=lambda a: a.total >> 20),
    Question(function="nvmlDeviceGetPersistenceMode", equal=False),
    Question(function="nvmlDeviceGetComputeMode", equal=False),
    Question(function="nvmlDeviceGetVirtualizationMode", equal=False),
    Question(function="nvmlDeviceGetMinorNumber", equal=False),
    Question(function="nvmlDeviceGetNumGpuCores", equal=False),
    Question(function="nvmlDeviceGetUtilizationRates", equal=False, of=lambda _: "answered"),
    Question(
        function="nvmlGpmQueryDeviceSupport", equal=False, of=lambda a: a.isSupportedDevice
    ),
)  # fmt: skip


def answer_to(question: Question, nvml: Any, handle: Any) -> Any:
    answer = told(nvml, question.function, handle)
    return answer if isinstance(answer, str) and answer.startswith("! ") else question.of(answer)


def test_a_gpu_answers_as_a_simulated_one_of_its_board(nvml: ModuleType, twins: list[Twin]) -> None:
    wrong: list[str] = []
    rows: list[tuple[object, ...]] = [("GPU", "function", "real", "simulated", "")]
    for twin in twins:
        for question in QUESTIONS:
            real = answer_to(question, nvml, handle_of(nvml, twin.real))
            simulated = answer_to(question, twin.nvml, twin.handle())
            verdict = "" if real == simulated else "DIFFERS" if question.equal else "may differ"
            rows.append((twin.real.index, question.function, real, simulated, verdict))
            if verdict == "DIFFERS":
                wrong.append(f"{question.function}: {real!r}, simulated {simulated!r}")
    print_table("Answers about whole GPUs", rows)
    assert not wrong


# --- Profiles, by every version of the call -------------------------------------------------------


def info_of(nvml: Any, handle: Any, nvml_enum: int, *version: int) -> Any:
    """Every number of a profile that all versions have, or the error."""
    answer = told(nvml, "nvmlDeviceGetGpuInstanceProfileInfo", handle, nvml_enum, *version)
    if isinstance(answer, str):
        return answer
    return tuple(getattr(answer, name) for name in INFO)


def test_every_profile_enum_is_answered_as_the_simulator_does_or_the_difference_is_listed(
    nvml: ModuleType, twins: list[Twin]
) -> None:
    rows: list[tuple[object, ...]] = [("GPU", "enum", "what", "real", "simulated")]
    for twin in twins:
        for nvml_enum in ENUMS:
            real = info_of(nvml, handle_of(nvml, twin.real), nvml_enum)
            simulated = info_of(twin.nvml, twin.handle(), nvml_enum)
            rows.extend(differences(twin.real.index, nvml_enum, real, simulated))
            assert isinstance(real, str) == isinstance(simulated, str), (
                f"enum {nvml_enum}: {real}, simulated {simulated}"
            )
    print_table("Differences in profile info", rows if len(rows) > 1 else [("none",)])


def differences(gpu: int, nvml_enum: int, real: Any, simulated: Any) -> list[tuple[object, ...]]:
    if real == simulated:
        return []
    if isinstance(real, str) or isinstance(simulated, str):
        return [(gpu, nvml_enum, "answer", real, simulated)]
    pairs = zip(INFO, real, simulated, strict=True)
    return [(gpu, nvml_enum, name, one, other) for name, one, other in pairs if one != other]


def test_both_versions_of_profile_info_say_the_same(
    nvml: ModuleType, mig_gpus: tuple[Gpu, ...]
) -> None:
    compared = 0
    for gpu in mig_gpus:
        for nvml_enum in ENUMS:
            second = info_of(nvml, handle_of(nvml, gpu), nvml_enum, 2)
            first = info_of(nvml, handle_of(nvml, gpu), nvml_enum, 1)
            assert first == second, f"GPU {gpu.index}, enum {nvml_enum}"
            compared += not isinstance(first, str)
    print(f"\nProfile info by version 1 and 2: {compared} profiles compared, all equal")
    assert compared


def test_what_is_free_on_an_empty_gpu_is_what_the_driver_says(
    nvml: ModuleType, mig_gpus: tuple[Gpu, ...]
) -> None:
    """Only root may ask, and only older drivers want MIG on; then the answer is listed."""
    rows: list[tuple[object, ...]] = [("GPU", "profile", "driver", "computed")]
    for gpu in mig_gpus:
        assert gpu.geometry is not None
        for profile in gpu.geometry.profiles:
            function = "nvmlDeviceGetGpuInstanceRemainingCapacity"
            real = told(nvml, function, handle_of(nvml, gpu), profile.id)
            computed = gpu.geometry.free(gpu.occupied, profile)
            rows.append((gpu.index, profile.name, real, computed))
            assert isinstance(real, str) or not gpu.shows_slices or real == computed, profile.name
    print_table("Remaining capacity", rows)


# --- Compute instances ----------------------------------------------------------------------------


def test_compute_instance_profiles_of_living_slices_are_those_of_the_simulator(
    nvml: ModuleType, mig_gpus: tuple[Gpu, ...]
) -> None:
    calls = NvmlCalls(nvml)
    rows: list[tuple[object, ...]] = [("GPU", "slice", "id", "compute slices", "SMs", "most")]
    for gpu in mig_gpus:
        known = board_for(gpu.name)
        assert known is not None
        assert gpu.geometry is not None
        device = open_device(calls, gpu.uuid)
        for instance in list_instances(calls, device, gpu.geometry) if gpu.slices else ():
            expected = {p.id: p for p in compute_geometry(known.key, instance.profile_id).profiles}
            for kind in list_compute_profiles(calls, instance):
                name = f"GI {instance.id}"
                sizes = (kind.compute_slices, kind.sm_count, kind.max_instances)
                rows.append((gpu.index, name, kind.id, *sizes))
                assert kind.compute_slices == expected[kind.id].compute_slices
    empty = "none asked: a compute-instance profile belongs to a GPU instance, and none lives here"
    print_table("Compute-instance profiles", rows if len(rows) > 1 else [(empty,)])


# --- Errors ---------------------------------------------------------------------------------------


def test_every_error_code_has_the_drivers_words_and_ours(
    nvml: ModuleType, twins: list[Twin]
) -> None:
    names = sorted(name for name in dir(nvml) if name.startswith("NVML_ERROR_"))
    rows: list[tuple[object, ...]] = [("code", "name", "real", "simulated")]
    for name in sorted(names, key=lambda name: int(getattr(nvml, name))):
        code = getattr(nvml, name)
        real = told(nvml, "nvmlErrorString", code)
        simulated = told(twins[0].nvml, "nvmlErrorString", code)
        assert real, f"{name} has no words"
        assert real in translate(code, to="look", function="nvmlLook", words=real).message
        if real != simulated:
            rows.append((code, name, repr(real), repr(simulated)))
    print_table("Different words for error codes", rows if len(rows) > 1 else [("none",)])


@pytest.mark.parametrize("index", [0, 6, 63])
def test_a_mig_device_that_is_not_there_is_not_found(
    nvml: ModuleType, observed: Observed, index: int
) -> None:
    for gpu in observed.gpus:
        answer = told(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle_of(nvml, gpu), index)
        if not gpu.slices and gpu.shows_slices:
            assert answer in {"! NotFound", "! InvalidArgument", "! NotSupported"}


# --- The driver above -----------------------------------------------------------------------------


def test_persistence_mode_is_read_as_the_binding_reads_it(
    nvml: ModuleType, observed: Observed
) -> None:
    for gpu in observed.gpus:
        raw = told(nvml, "nvmlDeviceGetPersistenceMode", handle_of(nvml, gpu))
        assert gpu.persistence_mode == (None if isinstance(raw, str) else bool(raw))
        print(f"\nGPU {gpu.index}: persistence mode {gpu.persistence_mode}")


def test_who_holds_a_gpu_can_be_told_and_is_never_this_process(
    nvml: ModuleType, observed: Observed
) -> None:
    calls = NvmlCalls(nvml)
    for gpu in observed.gpus:
        search = HolderSearch(nvml=calls, device_files=True)
        holders = search.on_gpu(open_device(calls, gpu.uuid))
        assert os.getpid() not in {process.pid for process in holders.processes}
        print(f"\nGPU {gpu.index} is held by: {holders.text}")
        for line in holders.unseen:
            print(f"  {line}")


def test_root_sees_everything_and_others_are_told_what_they_do_not(
    driver: NvmlDriver, observed: Observed
) -> None:
    notes = [f"GPU {gpu.index}: {one.text}" for gpu in observed.gpus for one in gpu.unseen]
    print("\nOut of sight:", *(notes or ["nothing"]), sep="\n  ")
    if os.geteuid() == 0:
        assert notes == []
        assert driver.read() == observed


# --- Time -----------------------------------------------------------------------------------------


def test_calls_take_a_small_part_of_their_limit(nvml: ModuleType, observed: Observed) -> None:
    """Direct calls beside calls through the worker, which the time limit costs."""
    calls = NvmlCalls(nvml)
    handle = handle_of(nvml, observed.gpus[0])
    placements = (handle, 0, None, ctypes.byref(ctypes.c_uint(0)))
    asked: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("nvmlDeviceGetCount", ()),
        ("nvmlDeviceGetUUID", (handle,)),
        ("nvmlDeviceGetMigMode", (handle,)),
        ("nvmlDeviceGetMemoryInfo", (handle,)),
        ("nvmlDeviceGetGpuInstanceProfileInfo", (handle, 0)),
        ("nvmlDeviceGetGpuInstancePossiblePlacements", placements),
        ("nvmlDeviceGetComputeRunningProcesses", (handle,)),
        ("nvmlDeviceGetPersistenceMode", (handle,)),
    )
    rows: list[tuple[object, ...]] = [("function", "direct µs", "limited µs", "longest µs")]
    for function, arguments in asked:
        alone = partial(told, nvml, function, *arguments)
        within = partial(calls.attempt, function, *arguments, to="time it", expect=range(1000))
        direct = [seconds(alone) for _ in range(REPEATS)]
        limited = [seconds(within) for _ in range(REPEATS)]
        longest = max(*direct, *limited)
        cells = (median(direct), median(limited), longest)
        rows.append((function, *(f"{1e6 * cell:.0f}" for cell in cells)))
        assert longest < limit_s(function) / 10, f"{function} took {longest:.1f} s"
    print_table("Time of a call", rows)


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
