"""The one place where NVML is called.

Everything that holds for every call lives here and nowhere else: foreign errors become ours, codes
a caller expects become values, a function that the binding or the driver lacks is told apart. A
time limit per call belongs here too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

from gpuslice.driver.translation import NvmlCode, translate

# pynvml's handles are untyped ctypes pointers. They die with what they name and nobody says so: a
# handle never outlives the operation that looked it up.
Handle: TypeAlias = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call gave: its value, or the expected code for which there is none."""

    value: Any = None
    code: int = NvmlCode.SUCCESS

    @property
    def ok(self) -> bool:
        """True when the call succeeded."""
        return self.code == NvmlCode.SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, looked up for one operation.

    Attributes:
        handle: NVML's handle.
        uuid: ``GPU-…``.
        index: NVML index.
    """

    handle: Handle
    uuid: str
    index: int

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"GPU {self.index}"


class NvmlCalls:
    """Calls functions of a pynvml module by name. Owned by one `NvmlDriver`.

    Args:
        module: The real ``pynvml``, or the simulator's.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        foreign: list[type[Exception]] = [module.NVMLError]
        if hasattr(module, "NVMLLibraryMismatchError"):
            foreign.append(module.NVMLLibraryMismatchError)
        self._foreign = tuple(foreign)

    def call(self, function: str, *arguments: object, to: str) -> Any:
        """Call a function and return its value.

        Args:
            function: Name in pynvml.
            arguments: Passed on.
            to: What the call is for, as it follows "Could not" in a message.

        Raises:
            DriverError: NVML refused or failed.
        """
        return self.attempt(function, *arguments, to=to).value

    def attempt(
        self,
        function: str,
        *arguments: object,
        to: str,
        expect: Collection[int] = (),
    ) -> Answer:
        """Call a function; codes in ``expect`` come back as a value instead of an error.

        Raises:
            DriverError: NVML failed with a code that is not expected.
        """
        try:
            return Answer(value=self._named(function)(*arguments))
        except self._foreign as error:
            # The mismatch error carries no code: pynvml raises it for a missing function.
            code: int = getattr(error, "value", NvmlCode.FUNCTION_NOT_FOUND)
            if code in expect:
                return Answer(code=code)
            raise translate(code, to=to, function=function, words=str(error)) from error

    def _named(self, function: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(self.module, function, None)
        if found is None:
            raise self.module.NVMLError(NvmlCode.FUNCTION_NOT_FOUND)
        return found


def open_device(nvml: NvmlCalls, gpu_uuid: str) -> Device:
    """Look a GPU up by UUID.

    Raises:
        DriverError: No GPU of that UUID is there any more.
    """
    to = f"find GPU {gpu_uuid}"
    handle = nvml.call("nvmlDeviceGetHandleByUUID", gpu_uuid, to=to)
    index = nvml.call("nvmlDeviceGetIndex", handle, to=to)
    return Device(handle=handle, uuid=gpu_uuid, index=index)
