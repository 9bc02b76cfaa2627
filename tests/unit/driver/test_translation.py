from __future__ import annotations

import pynvml
import pytest

from gpuslice.driver.translation import _TABLE, NvmlCode, translate
from gpuslice.errors import (
    DriverError,
    GpuBusyError,
    GpuLostError,
    InsufficientResourcesError,
    NoDriverError,
    NoGpuError,
    PermissionDeniedError,
    ResetRequiredError,
)

CONSTANTS = sorted(name for name in dir(pynvml) if name.startswith("NVML_ERROR_"))


def translate_code(code: int) -> DriverError:
    return translate(code, to="read GPU 0", function="nvmlDeviceGetName", words="Odd Words")


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_nvml_error_has_a_message_and_a_hint(name: str) -> None:
    error = translate_code(getattr(pynvml, name))
    assert "read GPU 0" in error.message
    assert "Odd Words" in error.message
    assert "nvmlDeviceGetName" in error.message
    assert len(error.hint) > 20


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_code_of_the_binding_has_a_row_of_its_own(name: str) -> None:
    assert getattr(pynvml, name) in _TABLE


def test_a_code_that_nobody_knows_yet_still_becomes_a_driver_error() -> None:
    error = translate_code(4242)
    assert type(error) is DriverError
    assert "4242" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NO_PERMISSION", PermissionDeniedError),
        ("OPERATING_SYSTEM", PermissionDeniedError),
        ("DRIVER_NOT_LOADED", NoDriverError),
        ("LIBRARY_NOT_FOUND", NoDriverError),
        ("GPU_NOT_FOUND", NoGpuError),
        ("GPU_IS_LOST", GpuLostError),
        ("RESET_REQUIRED", ResetRequiredError),
        ("IN_USE", GpuBusyError),
        ("INSUFFICIENT_RESOURCES", InsufficientResourcesError),
    ],
)
def test_codes_with_a_meaning_of_their_own_have_their_own_error(
    name: str, kind: type[DriverError]
) -> None:
    assert type(translate_code(getattr(pynvml, f"NVML_ERROR_{name}"))) is kind


@pytest.mark.parametrize("code", list(NvmlCode))
def test_our_names_of_codes_are_the_bindings(code: NvmlCode) -> None:
    names = {
        NvmlCode.SUCCESS: "NVML_SUCCESS",
        NvmlCode.VERSION_MISMATCH: "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    }
    assert getattr(pynvml, names.get(code, f"NVML_ERROR_{code.name}")) == code
