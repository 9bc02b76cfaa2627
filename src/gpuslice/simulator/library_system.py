"""C functions about the library and the machine: initialisation, versions, error texts, names."""

from __future__ import annotations

from gpuslice.simulator.arguments import Argument, number, write_number, write_text
from gpuslice.simulator.codes import ERROR_STRINGS, Code, Refusal
from gpuslice.simulator.processes import process_name
from gpuslice.simulator.session import Session
from gpuslice.simulator.table import FunctionTable

FUNCTIONS = FunctionTable()

CUDA_VERSION = 13000
NVML_MAJOR = 13


@FUNCTIONS.answers("nvmlInitWithFlags")
def init_with_flags(session: Session, flags: Argument) -> None:
    """Connect; counted, so that every call needs its own shutdown."""
    number(flags)
    session.users += 1


@FUNCTIONS.answers("nvmlInit_v2", "nvmlInit")
def init(session: Session) -> None:
    """Connect, in the form without flags."""
    session.users += 1


@FUNCTIONS.answers("nvmlShutdown")
def shutdown(session: Session) -> None:
    """Disconnect; the last one makes all handles invalid."""
    session.require_initialised()
    session.users -= 1
    if not session.users:
        session.handles.forget()
        session.gpm_samples.clear()


@FUNCTIONS.answers("nvmlErrorString")
def error_string(session: Session, code: Argument) -> bytes:  # noqa: ARG001 - same shape for all
    """Return the text of a code; works without initialisation."""
    try:
        return ERROR_STRINGS[Code(number(code))].encode()
    except (ValueError, KeyError):
        return b"Unknown Error"


@FUNCTIONS.answers("nvmlSystemGetDriverVersion")
def driver_version(session: Session, version: Argument, length: Argument) -> None:
    """Answer the driver's version."""
    write_text(version, length, session.state.driver_version)


@FUNCTIONS.answers("nvmlSystemGetNVMLVersion")
def nvml_version(session: Session, version: Argument, length: Argument) -> None:
    """Answer NVML's version: its own major number before the driver's version."""
    write_text(version, length, f"{NVML_MAJOR}.{session.state.driver_version}")


@FUNCTIONS.answers("nvmlSystemGetCudaDriverVersion", "nvmlSystemGetCudaDriverVersion_v2")
def cuda_driver_version(session: Session, version: Argument) -> None:
    """Answer the CUDA version as 1000 times the major number and 10 times the minor."""
    session.require_initialised()
    write_number(version, CUDA_VERSION)


@FUNCTIONS.answers("nvmlSystemGetProcessName")
def system_process_name(session: Session, pid: Argument, name: Argument, length: Argument) -> None:
    """Answer the program a process runs, cut to the buffer as NVML does."""
    session.require_initialised()
    try:
        program = process_name(number(pid))
    except ProcessLookupError as error:
        raise Refusal(Code.NOT_FOUND) from error
    except PermissionError as error:
        raise Refusal(Code.NO_PERMISSION) from error
    room = number(length) - 1
    write_text(name, length, program.encode()[:room].decode(errors="ignore"))
