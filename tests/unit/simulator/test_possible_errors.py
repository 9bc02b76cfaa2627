"""The table of errors covers every function, and what the functions themselves refuse with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuslice import simulator
from gpuslice.simulator.codes import Code
from gpuslice.simulator.faults import GPU_RESET, UNCOUNTED
from gpuslice.simulator.library import FUNCTIONS
from gpuslice.simulator.possible_errors import possible_errors

CALLS = sorted({*FUNCTIONS, GPU_RESET} - UNCOUNTED)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_can_fail_in_ways_of_its_own_and_never_with_success(call: str) -> None:
    codes = possible_errors(call)

    assert Code.SUCCESS not in codes
    assert {Code.UNKNOWN, Code.TIMEOUT} <= set(codes)
    assert len(codes) == len(set(codes)) > 2


@pytest.mark.parametrize(
    ("call", "codes"),
    [
        ("nvmlDeviceSetMigMode", {Code.NO_PERMISSION, Code.NOT_SUPPORTED}),
        (
            "nvmlDeviceCreateGpuInstance",
            {Code.NOT_SUPPORTED, Code.NO_PERMISSION, Code.INSUFFICIENT_RESOURCES, Code.IN_USE},
        ),
        ("nvmlGpuInstanceDestroy", {Code.IN_USE, Code.NO_PERMISSION, Code.NOT_SUPPORTED}),
        ("nvmlDeviceGetGpuInstanceById", {Code.NOT_FOUND}),
        ("nvmlDeviceGetMigDeviceHandleByIndex", {Code.NOT_FOUND}),
        ("nvmlDeviceGetGpuInstanceProfileInfoByIdV", {Code.FUNCTION_NOT_FOUND}),
        (
            "nvmlGpuInstanceCreateComputeInstance",
            {Code.INSUFFICIENT_RESOURCES, Code.NOT_SUPPORTED, Code.NO_PERMISSION},
        ),
        ("nvmlInitWithFlags", {Code.DRIVER_NOT_LOADED}),
    ],
)
def test_the_header_s_return_lists_are_in_it(call: str, codes: set[Code]) -> None:
    assert codes <= set(possible_errors(call))


def test_any_call_on_a_card_may_find_it_lost() -> None:
    without = [call for call in CALLS if Code.GPU_IS_LOST not in possible_errors(call)]

    assert all(
        call == GPU_RESET or re.match("nvml(Init|Shutdown|System|DeviceGetCount)", call)
        for call in without
    )


def test_an_unknown_function_has_no_errors_to_tell() -> None:
    with pytest.raises(KeyError):
        possible_errors("nvmlDeviceMelt")
    assert possible_errors("nvmlErrorString") == ()


def test_every_error_becomes_the_binding_s_own(tmp_path: Path) -> None:
    nvml = simulator.load(tmp_path / "machine", "a30")

    everywhere = {code for call in CALLS for code in possible_errors(call)}

    assert len(everywhere) > 12
    for code in everywhere:
        assert isinstance(nvml.NVMLError(int(code)), nvml.NVMLError)
        assert type(nvml.NVMLError(int(code))) is not nvml.NVMLError, code
