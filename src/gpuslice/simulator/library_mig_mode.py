"""C functions about MIG mode, and who is in the way of changing it."""

from __future__ import annotations

from dataclasses import replace

from gpuslice.simulator.arguments import Argument, number, write_number
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.session import Session, Target
from gpuslice.simulator.state import MachineState, SimulatedGpu
from gpuslice.simulator.table import FunctionTable
from gpuslice.simulator.usage import users_of_gpu

FUNCTIONS = FunctionTable()


@FUNCTIONS.answers("nvmlDeviceGetMigMode")
def get_mig_mode(session: Session, device: Argument, current: Argument, pending: Argument) -> None:
    """Answer MIG mode now and after the next reset."""
    gpu = mig_capable(session.gpu(device)).gpu
    write_number(current, int(gpu.mig_current))
    write_number(pending, int(gpu.mig_pending))


@FUNCTIONS.answers("nvmlDeviceSetMigMode")
def set_mig_mode(session: Session, device: Argument, mode: Argument, status: Argument) -> None:
    """Switch MIG mode. Success only means that the wish is noted: ``status`` has the result."""
    wanted = number(mode)
    if wanted not in (0, 1):
        raise Refusal(Code.INVALID_ARGUMENT)
    session.gpu(device)
    session.require_privilege()

    def step(state: MachineState) -> tuple[MachineState, Code]:
        gpu = mig_capable(session.gpu(device, state)).gpu
        obstacle = _obstacle_to_switching(session, gpu, passthrough=state.passthrough)
        changed, result = _switch(gpu, bool(wanted), obstacle)
        return state.with_gpu(changed), result

    write_number(status, int(session.store.change(step)))


def is_held(session: Session, gpu: SimulatedGpu) -> bool:
    """Tell whether anything holds the whole GPU, so that it cannot be partitioned."""
    return bool(gpu.clients or users_of_gpu(gpu, session.processes()))


def mig_capable(target: Target) -> Target:
    """Refuse with NOT_SUPPORTED where the board has no MIG."""
    if not target.board.has_mig:
        raise Refusal(Code.NOT_SUPPORTED)
    return target


def mig_enabled(target: Target) -> Target:
    """Refuse with NOT_SUPPORTED where MIG is off."""
    if not target.gpu.mig_current:
        raise Refusal(Code.NOT_SUPPORTED)
    return target


def _switch(gpu: SimulatedGpu, wanted: bool, obstacle: Code) -> tuple[SimulatedGpu, Code]:
    """Apply a mode change where nothing stands in its way, else leave it pending."""
    pending = replace(gpu, mig_pending=wanted)
    if wanted == gpu.mig_current:
        return pending, Code.SUCCESS
    if obstacle is not Code.SUCCESS:
        return pending, obstacle
    return replace(pending, mig_current=wanted, epoch=gpu.epoch + 1), Code.SUCCESS


def _obstacle_to_switching(session: Session, gpu: SimulatedGpu, *, passthrough: bool) -> Code:
    """Return what keeps MIG mode from changing now, or success."""
    if gpu.mode_obstacle:
        return Code(gpu.mode_obstacle)
    if gpu.instances or is_held(session, gpu):
        return Code.IN_USE
    if passthrough and not gpu.board.resetless_mig:
        return Code.RESET_REQUIRED
    return Code.SUCCESS
