from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

import pynvml
import pytest

from gpuslice.driver.calls import NvmlCalls
from gpuslice.driver.limits import _LIMITS_S, limit_s
from gpuslice.driver.translation import NvmlCode
from gpuslice.errors import DriverError, DriverHungError, GpuBusyError


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


# --- A driver that does not answer ----------------------------------------------------------------


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def hanging(released: threading.Event) -> NvmlCalls:
    """A binding whose `nvmlHang` never answers; everything else has its usual limit."""
    calls = a_binding(nvmlHang=released.wait, nvmlDouble=lambda value: 2 * value)
    return NvmlCalls(
        calls.module, limit_of=lambda name: 0.01 if name == "nvmlHang" else limit_s(name)
    )


def test_a_call_that_does_not_return_says_what_was_asked(released: threading.Event) -> None:
    with pytest.raises(
        DriverHungError, match=r"Could not look: .* has not answered nvmlHang within 0\.01 s\."
    ) as caught:
        hanging(released).call("nvmlHang", to="look")
    assert caught.value.code == "driver-hung"
    assert "dmesg" in caught.value.hint


def test_a_driver_that_hangs_is_asked_nothing_more(released: threading.Event) -> None:
    calls = hanging(released)
    with pytest.raises(DriverHungError):
        calls.call("nvmlHang", to="look")
    assert calls.hung
    with pytest.raises(DriverHungError, match=r"Could not double: .*nvmlHang.* asked nothing more"):
        calls.call("nvmlDouble", 4, to="double")
    with pytest.raises(DriverHungError, match="Could not tidy up"):
        calls.settle(to="tidy up")


def test_a_changing_call_has_more_time_than_a_reading_one() -> None:
    reading = limit_s("nvmlDeviceGetMigMode")
    assert reading >= 30
    assert limit_s("nvmlGpuInstanceDestroy") > reading
    assert limit_s("nvmlDeviceSetMigMode") > limit_s("nvmlGpuInstanceDestroy")


@pytest.mark.parametrize("function", sorted(_LIMITS_S))
def test_every_function_with_a_limit_of_its_own_exists(function: str) -> None:
    assert callable(getattr(pynvml, function))


def test_what_a_call_made_is_kept_although_ctrl_c_ended_the_waiting(
    released: threading.Event,
) -> None:
    def create() -> str:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        released.wait()
        return "handle"

    calls, made = a_binding(nvmlCreate=create), list[str]()
    with pytest.raises(KeyboardInterrupt):
        calls.call("nvmlCreate", to="create", keep=made.append)
    released.set()
    calls.settle(to="see what was made")
    assert made == ["handle"]
