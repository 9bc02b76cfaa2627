"""The one place where NVML is called.

Everything that holds for every call lives here and nowhere else: foreign errors become ours, codes
a caller expects become values, a function that the binding or the driver lacks is told apart, and
no call is waited for longer than its limit (`gpuslice.driver.worker` tells how).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

from gpuslice.driver.limits import limit_s
from gpuslice.driver.translation import NvmlCode, translate
from gpuslice.driver.worker import StuckError, Worker
from gpuslice.errors import DriverHungError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """An error of the binding, with NVML's words for it."""

    error: Exception
    words: str


class NvmlCalls:
    """Calls functions of a pynvml module by name. Owned by one `NvmlDriver`.

    Threads may share it: calls are made one at a time, in a thread of their own.

    Args:
        module: The real ``pynvml``, or the simulator's.
        limit_of: How long to wait for a function, seconds.
    """

    def __init__(self, module: ModuleType, *, limit_of: Callable[[str], float] = limit_s) -> None:
        self.module = module
        foreign: list[type[Exception]] = [module.NVMLError]
        if hasattr(module, "NVMLLibraryMismatchError"):
            foreign.append(module.NVMLLibraryMismatchError)
        self._foreign = tuple(foreign)
        self._limit_of = limit_of
        self._worker = Worker()

    @property
    def hung(self) -> bool:
        """True once a call did not return; from then on every call is refused."""
        return self._worker.stuck

    def call(
        self,
        function: str,
        *arguments: object,
        to: str,
        keep: Callable[[Any], object] | None = None,
    ) -> Any:
        """Call a function and return its value.

        Args:
            function: Name in pynvml.
            arguments: Passed on. Buffers among them are held until the call has returned, however
                long that takes.
            to: What the call is for, as it follows "Could not" in a message.
            keep: Told the value as soon as there is one, also when Ctrl-C has ended the waiting:
                for what must not be lost, such as the handle of something just made.

        Raises:
            DriverError: NVML refused or failed.
            DriverHungError: It did not answer in time, or had not answered an earlier call.
        """
        return self.attempt(function, *arguments, to=to, keep=keep).value

    def attempt(
        self,
        function: str,
        *arguments: object,
        to: str,
        expect: Collection[int] = (),
        keep: Callable[[Any], object] | None = None,
    ) -> Answer:
        """Call a function; codes in ``expect`` come back as a value instead of an error.

        Raises:
            DriverError: NVML failed with a code that is not expected.
            DriverHungError: As for `call`.
        """

        def job() -> Any:
            try:
                value = self._named(function)(*arguments)
            except self._foreign as error:
                return _Refusal(error=error, words=str(error))  # str asks the driver for its words
            if keep is not None:
                keep(value)
            return value

        try:
            outcome = self._worker.run(function, job, self._limit_of(function))
        except StuckError as stuck:
            raise _hung(stuck, to=to, function=function) from stuck
        if not isinstance(outcome, _Refusal):
            return Answer(value=outcome)
        # The mismatch error carries no code: pynvml raises it for a missing function.
        code: int = getattr(outcome.error, "value", NvmlCode.FUNCTION_NOT_FOUND)
        if code in expect:
            return Answer(code=code)
        raise translate(code, to=to, function=function, words=outcome.words) from outcome.error

    def settle(self, *, to: str) -> None:
        """Wait for a call that Ctrl-C has left behind; what it kept is there afterwards.

        Raises:
            DriverHungError: It does not return.
        """
        try:
            self._worker.settle()
        except StuckError as stuck:
            raise _hung(stuck, to=to, function="") from stuck

    def _named(self, function: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(self.module, function, None)
        if found is None:
            raise self.module.NVMLError(NvmlCode.FUNCTION_NOT_FOUND)
        return found


def _hung(stuck: StuckError, *, to: str, function: str) -> DriverHungError:
    asked = "" if stuck.name == function else ", and is asked nothing more"
    return DriverHungError(
        f"Could not {to}: the NVIDIA driver has not answered {stuck.name} within "
        f"{stuck.limit_s:g} s{asked}.",
        hint="Look for Xid lines in `dmesg`, and restart the machine if it stays; driver "
        "570.158.01 is known to hang with MIG, 570.172.08 is mended.",
    )


def open_device(nvml: NvmlCalls, gpu_uuid: str) -> Device:
    """Look a GPU up by UUID.

    Raises:
        DriverError: No GPU of that UUID is there any more.
    """
    to = f"find GPU {gpu_uuid}"
    handle = nvml.call("nvmlDeviceGetHandleByUUID", gpu_uuid, to=to)
    index = nvml.call("nvmlDeviceGetIndex", handle, to=to)
    return Device(handle=handle, uuid=gpu_uuid, index=index)
