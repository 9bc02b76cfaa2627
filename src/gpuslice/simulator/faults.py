"""Faults on demand: values that say what goes wrong at which call.

Values only. A `Fault` is an effect and the calls it strikes. In one process an `Injector` holds
them; `gpuslice.simulator.fault_file` keeps them in the machine's directory, for every process that
opens it. Both count alike, and `gpuslice.simulator.fault_point` carries both out.

Counting: every fault counts the calls that concern it, from 1, beginning when it is added. A call
is one call of a C function, whatever became of it; ``nvmlErrorString`` is none, because it only
words an error that has happened. A GPU reset counts as a call by the name `GPU_RESET`.

What a driver answers is not the only thing that may go wrong: a machine may restart, a card fall
off the bus, a stranger turn up between two calls. Those are effects like any other, and what they
did to the machine is then answered by the ordinary rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuslice.simulator.codes import Code

ANY_CALL = ""
"""Where the name of a C function stands: all of them."""

GPU_RESET = "nvidia-smi --gpu-reset"
"""The name under which resetting a GPU counts as a call."""

UNCOUNTED = frozenset({"nvmlErrorString"})

STRANGER_PID = 4711
"""The process id of a client that no one named."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The call answers with an error.

    Attributes:
        code: What it answers.
        after: Whether the driver has done what was asked before it reports the failure. Where the
            driver would have refused by itself, its own code is the answer.
    """

    code: Code
    after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """The call does not come back until it is released, then goes on as if nothing had been.

    Attributes:
        seconds: The longest it hangs; None until released (`Injector.release`, or the fault is
            cleared from the machine).
    """

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LoseGpu:
    """A GPU falls off the bus: GPU_IS_LOST to every call on it, until a reset or a restart.

    Attributes:
        gpu: NVML index.
    """

    gpu: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A process turns up just before the call, and is gone again after the fault's last call.

    Attributes:
        gpu: NVML index of the GPU.
        start: First memory slice of the slice it is on; None for the whole GPU, as a monitoring
            daemon holds it. On a slice without compute instances there is nothing to hold.
        pid: Its process id.
    """

    gpu: int
    start: int | None = None
    pid: int = STRANGER_PID


@dataclass(frozen=True, slots=True)
class ModePending:
    """Changing MIG mode succeeds and yet only notes the wish, for a reason of the driver's own.

    Give the fault the call ``nvmlDeviceSetMigMode``. IN_USE and RESET_REQUIRED also come about by
    the ordinary rules, where a client holds the card or it cannot be reset.

    Attributes:
        gpu: NVML index.
        code: The activation status, which says why.
    """

    gpu: int
    code: Code = Code.NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Reboot:
    """The machine has restarted just before the call; handles from before mean nothing now."""


Effect = Fail | Hang | LoseGpu | Hold | ModePending | Reboot


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong, and at which calls.

    Attributes:
        effect: What goes wrong.
        call: Name of a C function, `GPU_RESET`, or `ANY_CALL`.
        at: The first call it strikes, from 1, counted over the calls it concerns.
        times: How many calls in a row it strikes; None for ever.
        gpu: Counts and strikes only calls with a handle of this GPU or of something on it (NVML
            index); None for all. With it, faults stay where they are told to while several GPUs
            are changed at once.
    """

    effect: Effect
    call: str = ANY_CALL
    at: int = 1
    times: int | None = 1
    gpu: int | None = None

    def __post_init__(self) -> None:
        if self.at < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"calls are counted from 1: at {self.at}, {self.times} times")

    @property
    def gpus(self) -> frozenset[int]:
        """Indexes of the GPUs that it names."""
        effect = self.effect
        at_stake = effect.gpu if isinstance(effect, LoseGpu | Hold | ModePending) else None
        return frozenset(index for index in (self.gpu, at_stake) if index is not None)

    def concerns(self, call: str, gpu: int | None) -> bool:
        """Tell whether a call counts for this fault.

        Args:
            call: Name of the C function.
            gpu: Index of the GPU that it is about; None where it is about none.
        """
        return self.call in (ANY_CALL, call) and self.gpu in (None, gpu)

    def strikes(self, number: int) -> bool:
        """Tell whether it strikes the call of a number, counted over those it concerns."""
        return number >= self.at and (self.times is None or number < self.at + self.times)

    def has_just_passed(self, number: int) -> bool:
        """Tell whether the call of a number is the first after the last one it strikes."""
        return self.times is not None and number == self.at + self.times


def slow_destroy(times: int) -> Fault:
    """Destroying a GPU instance is refused as in use so many times, and then works."""
    return Fault(effect=Fail(Code.IN_USE), call="nvmlGpuInstanceDestroy", times=times)


def reset_fails(*, times: int | None = None) -> Fault:
    """Resetting a GPU fails, for ever or so many times."""
    return Fault(effect=Fail(Code.UNKNOWN), call=GPU_RESET, times=times)


NAMED_PROFILES = (
    "nvmlDeviceGetGpuInstanceProfileInfoV",
    "nvmlGpuInstanceGetComputeInstanceProfileInfoV",
)
"""Missing before R515: profiles have no names then, and no versioned structure."""

PROFILES_BY_ID = ("nvmlDeviceGetGpuInstanceProfileInfoByIdV",)
"""Missing before R580."""

PLACEMENTS = (
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2",
    "nvmlGpuInstanceGetComputeInstancePossiblePlacements",
)

GPM = (
    "nvmlGpmQueryDeviceSupport",
    "nvmlGpmSampleAlloc",
    "nvmlGpmSampleFree",
    "nvmlGpmSampleGet",
    "nvmlGpmMigSampleGet",
    "nvmlGpmMetricsGet",
)
"""Performance monitoring, missing before R520."""

FUNCTION_SETS = {
    "named-profiles": NAMED_PROFILES,
    "profiles-by-id": PROFILES_BY_ID,
    "placements": PLACEMENTS,
    "gpm": GPM,
}
"""What drivers of some age lack, by the name that people use."""


def lacking(functions: Sequence[str]) -> tuple[Fault, ...]:
    """The driver is too old for these functions: FUNCTION_NOT_FOUND, as the binding words it."""
    missing = Fail(Code.FUNCTION_NOT_FOUND)
    return tuple(Fault(effect=missing, call=name, times=None) for name in functions)
