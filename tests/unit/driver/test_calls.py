from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

import pynvml
import pytest

from gpuslice.driver.calls import NvmlCalls
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import DriverError, GpuBusyError


def a_binding(**functions: Any) -> NvmlCalls:
    """A binding with pynvml's errors and only these functions."""
    module = ModuleType("nvml")
    attributes = {
        "NVMLError": pynvml.NVMLError,
        "NVMLLibraryMismatchError": pynvml.NVMLLibraryMismatchError,
    }
    for name, value in (attributes | functions).items():
        setattr(module, name, value)
    return NvmlCalls(module)


def failing(code: int) -> NvmlCalls:
    def fail() -> NoReturn:
        raise pynvml.NVMLError(code)

    return a_binding(nvmlFail=fail)


def test_a_call_returns_what_the_function_returns() -> None:
    def double(value: int) -> int:
        return 2 * value

    assert a_binding(nvmlDouble=double).call("nvmlDouble", 4, to="double") == 8


def test_a_failure_becomes_ours_and_keeps_its_cause() -> None:
    with pytest.raises(GpuBusyError, match="Could not look") as caught:
        failing(pynvml.NVML_ERROR_IN_USE).call("nvmlFail", to="look")
    assert isinstance(caught.value.__cause__, pynvml.NVMLError)


@pytest.mark.parametrize("name", sorted(n for n in dir(pynvml) if n.startswith("NVML_ERROR_")))
def test_no_nvml_error_ever_leaks(name: str) -> None:
    with pytest.raises(DriverError):
        failing(getattr(pynvml, name)).call("nvmlFail", to="look")


def test_an_expected_code_is_a_value() -> None:
    answer = failing(pynvml.NVML_ERROR_NOT_FOUND).attempt(
        "nvmlFail", to="look", expect=(NvmlCode.NOT_FOUND,)
    )
    assert not answer.ok
    assert answer.code == NvmlCode.NOT_FOUND


def test_a_code_that_is_not_the_expected_one_is_an_error() -> None:
    with pytest.raises(GpuBusyError):
        failing(pynvml.NVML_ERROR_IN_USE).attempt(
            "nvmlFail", to="look", expect=(NvmlCode.NOT_FOUND,)
        )


def test_a_function_that_the_binding_lacks_reads_as_function_not_found() -> None:
    answer = a_binding().attempt("nvmlNew", to="look", expect=(NvmlCode.FUNCTION_NOT_FOUND,))
    assert answer.code == NvmlCode.FUNCTION_NOT_FOUND
    with pytest.raises(DriverError, match="nvmlNew"):
        a_binding().call("nvmlNew", to="look")


def test_a_driver_too_old_for_the_binding_reads_as_function_not_found() -> None:
    def mismatched() -> NoReturn:
        raise pynvml.NVMLLibraryMismatchError("use _v2")

    binding = a_binding(nvmlOld=mismatched)
    answer = binding.attempt("nvmlOld", to="look", expect=(NvmlCode.FUNCTION_NOT_FOUND,))
    assert answer.code == NvmlCode.FUNCTION_NOT_FOUND


def test_a_mistake_of_our_own_is_not_taken_for_the_drivers() -> None:
    def broken() -> NoReturn:
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        a_binding(nvmlBroken=broken).call("nvmlBroken", to="look")
