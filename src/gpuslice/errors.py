"""Every error gpuslice raises on purpose: its code, its exit status and the next thing to do.

Separate and at the bottom of the house, so that every room can raise and no room has to guess.
An error says *what happened to what, with values* in its message and *one next action* in its
hint. Codes are stable: scripts may match them. ``docs/errors.md`` lists them all, and a test holds
the list and this file together.
"""

from __future__ import annotations

from typing import ClassVar


class GpusliceError(Exception):
    """Root of every deliberate error.

    Attributes:
        code: Stable identifier, lower case with hyphens.
        exit_status: What the command exits with.
        message: What happened to what, with values.
        hint: One next action.
        details: Further lines, such as one per problem or the last lines of a log.
    """

    code: ClassVar[str] = "gpuslice"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class FileNotWrittenError(GpusliceError):
    """A file that was asked for (a picture, a plan) could not be written."""

    code = "file-not-written"


# --- The stack file (3) ---------------------------------------------------------------------------


class StackError(GpusliceError):
    """The stack file cannot be used as it is; ``details`` has one line per problem."""

    code = "stack-invalid"
    exit_status = 3


class StackNotFoundError(StackError):
    """There is no stack file where one was expected."""

    code = "stack-not-found"


class UnknownLabelError(StackError):
    """A mig-parted file has no layout of that label, or several and none was named."""

    code = "unknown-label"


class ModelNotFoundError(StackError):
    """A model file or folder that the stack file names does not exist."""

    code = "model-not-found"


class SizingError(StackError):
    """What a model needs cannot be told from what is known about it."""

    code = "size-unknown"


class SecretMissingError(StackError):
    """A secret that the stack file refers to is not there or is readable by others."""

    code = "secret-missing"


# --- Planning (4) ---------------------------------------------------------------------------------


class PlanningError(GpusliceError):
    """What was asked for cannot be laid out on the GPUs at hand."""

    code = "plan-failed"
    exit_status = 4


class NoRoomError(PlanningError):
    """Some replicas find no slice; says which, why, and what would fit."""

    code = "no-room"


class UnknownProfileError(PlanningError):
    """A profile that no chosen GPU offers; lists those they do."""

    code = "unknown-profile"


class UnknownGpuError(PlanningError):
    """A GPU that the stack file names is not in this machine."""

    code = "unknown-gpu"


class NothingMatchedError(PlanningError):
    """A layout is about none of the GPUs of this machine."""

    code = "nothing-matched"


class UnknownSliceError(PlanningError):
    """A slice that was named to be destroyed is not there."""

    code = "unknown-slice"


class CheckpointError(PlanningError):
    """A checkpoint cannot be restored: damaged, of another version, or not of this machine."""

    code = "checkpoint-file"


class ContradictionError(PlanningError):
    """Demands that no plan can keep to together; names the smallest set that contradicts itself."""

    code = "contradiction"


class BadInputError(PlanningError):
    """What the planner was given makes no sense, such as two GPUs with one UUID."""

    code = "bad-planning-input"


class PriceMissingError(PlanningError):
    """A cost was asked for and no price is known for a GPU."""

    code = "price-missing"


class BadPlanError(PlanningError):
    """A plan failed its own check before it was shown; nothing was changed."""

    code = "plan-rejected"


class PlanFileError(PlanningError):
    """A plan on file cannot be carried out: damaged, of another version, or not complete."""

    code = "plan-file"


# --- Hardware and driver (5), permission (6) ------------------------------------------------------


class DriverError(GpusliceError):
    """The NVIDIA driver refused or failed; the message carries NVML's own words."""

    code = "driver-failed"
    exit_status = 5


class NoDriverError(DriverError):
    """No NVIDIA driver (NVML) on this machine."""

    code = "no-driver"


class NoGpuError(DriverError):
    """The driver is there, but no GPU is."""

    code = "no-gpu"


class MigUnsupportedError(DriverError):
    """A GPU that cannot be sliced."""

    code = "mig-unsupported"


class GpuBusyError(DriverError):
    """Something holds the GPU or the slice, so the driver will not change it."""

    code = "gpu-in-use"


class ResetRequiredError(DriverError):
    """The mode change is pending until the GPU is reset or the machine restarts."""

    code = "reset-required"


class GpuLostError(DriverError):
    """The GPU has fallen off the bus."""

    code = "gpu-lost"


class InsufficientResourcesError(DriverError):
    """The driver has no room for the instance where it was asked for."""

    code = "insufficient-resources"


class DriverHungError(DriverError):
    """A call into the driver did not return; the driver is asked nothing more."""

    code = "driver-hung"


class ReadBackError(DriverError):
    """The driver reported success, but reading back shows something else."""

    code = "read-back-differs"


class UnknownBoardError(DriverError):
    """A simulated board was asked for that the board table does not hold."""

    code = "unknown-board"


class BadSimulationError(DriverError):
    """The text that chooses simulated GPUs cannot be read."""

    code = "bad-simulation"


class BadFaultError(DriverError):
    """A fault of a simulated machine was asked for that cannot be."""

    code = "bad-fault"


class SimulatorStateError(DriverError):
    """The state of a simulated machine cannot be read."""

    code = "simulator-state"


class PermissionDeniedError(DriverError):
    """The driver or the system wants more privilege."""

    code = "no-permission"
    exit_status = 6


# --- Carrying out a change (7) --------------------------------------------------------------------


class ApplyError(GpusliceError):
    """A change failed; says what was undone and what is left."""

    code = "apply-failed"
    exit_status = 7


class StateMovedError(ApplyError):
    """The machine is no longer as it was when the plan was made."""

    code = "state-moved"


class StackSlicesError(ApplyError):
    """A slice of the running stack would go, which only ``gpuslice down`` may do."""

    code = "stack-slices"


class SlicesInUseError(ApplyError):
    """A process that is no server of ours sits on a slice that would go."""

    code = "slices-in-use"


class ForeignSlicesError(ApplyError):
    """Somebody else's slice lies where one of ours has to be, or would go."""

    code = "foreign-slices"


class MigModeChangeError(ApplyError):
    """MIG mode would be switched on a GPU that others are using."""

    code = "mig-mode-change"


class GpuResetError(ApplyError):
    """The MIG mode of a GPU only changes with a reset of it, which nobody has allowed."""

    code = "gpu-reset"


class HookError(ApplyError):
    """A command before or after the change failed; ``details`` has its last lines."""

    code = "hook-failed"


class ChangeRunningError(ApplyError):
    """Another change is under way on this machine."""

    code = "change-running"


class RecordError(ApplyError):
    """What gpuslice wrote down about this machine cannot be read or trusted."""

    code = "record-unreadable"


class InterruptedChangeError(ApplyError):
    """The change was interrupted and undone."""

    code = "interrupted"
    exit_status = 130


# --- Servers (8), gateway (9), agent (10) ---------------------------------------------------------


class RuntimeFailure(GpusliceError):  # noqa: N818 - RuntimeError is Python's, and taken
    """A model server could not be started, reached or stopped."""

    code = "server-failed"
    exit_status = 8


class ServerExitedError(RuntimeFailure):
    """A model server ended by itself; ``details`` has its last log lines."""

    code = "server-exited"


class ServerTimeoutError(RuntimeFailure):
    """A model server did not become ready in time."""

    code = "server-not-ready"


class EngineMissingError(RuntimeFailure):
    """The engine a model needs is not installed."""

    code = "engine-missing"


class EngineBrokenError(RuntimeFailure):
    """The installed release of an engine is known not to run on a slice."""

    code = "engine-broken"


class DockerUnavailableError(RuntimeFailure):
    """The Docker engine cannot be asked: not installed, not running, or not ours to use."""

    code = "docker-unavailable"


class ImageMissingError(RuntimeFailure):
    """The image of a container is not here and cannot be fetched, or is of no use here."""

    code = "image-missing"


class ContainerError(RuntimeFailure):
    """The Docker engine refused a container; ``details`` has its own words."""

    code = "container-refused"


class NoServerError(RuntimeFailure):
    """A model was named that no running stack serves."""

    code = "no-such-server"


class RequestError(RuntimeFailure):
    """A model answered a request with an error."""

    code = "request-failed"


class GatewayError(GpusliceError):
    """The gateway could not be started or controlled."""

    code = "gateway-failed"
    exit_status = 9


class PortInUseError(GatewayError):
    """A port that has to be listened on is taken."""

    code = "port-in-use"


class AgentError(GpusliceError):
    """The agent cannot be reached or refused."""

    code = "agent-failed"
    exit_status = 10


class NotRunningError(AgentError):
    """A running stack was expected and there is none."""

    code = "not-running"
