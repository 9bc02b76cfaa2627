"""``simulate fault``: what shall go wrong on a simulated machine, in every command on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpuslice.cli.options import AsJson, Simulate, simulated_machine_of

if TYPE_CHECKING:
    from gpuslice.simulator.fault_file import FaultFile
    from gpuslice.simulator.faults import Fault

app = typer.Typer(
    name="fault",
    no_args_is_help=True,
    help="Let the simulated driver and cards fail on demand, to see what becomes of a change.",
)
adding = typer.Typer(
    name="add",
    no_args_is_help=True,
    help="""Add a fault. Every process that uses the simulated machine meets it; all calls count.

    Example: gpuslice simulate fault add error IN_USE --call nvmlGpuInstanceDestroy --times 3
    """,
)
app.add_typer(adding)

Call = Annotated[
    str,
    typer.Option(
        "--call",
        metavar="NAME",
        help="Count and strike this C function of NVML only, or resets of a GPU: reset.",
    ),
]
At = Annotated[
    int,
    typer.Option(
        "--at",
        metavar="K",
        min=1,
        help="The first call to strike, counted from now on over all processes.",
    ),
]
Times = Annotated[
    int,
    typer.Option("--times", metavar="N", min=0, help="Strike so many calls in a row; 0: for ever."),
]
OfGpu = Annotated[
    int | None,
    typer.Option(
        "--gpu",
        metavar="GPU",
        min=0,
        help="Count and strike only calls about the GPU of this index, or what lies on it.",
    ),
]
Index = Annotated[int, typer.Argument(metavar="GPU", min=0, help="Index of the GPU.")]


@adding.command()
def error(
    code: Annotated[str, typer.Argument(help="An error of NVML, such as IN_USE or 19.")],
    *,
    afterwards: Annotated[
        bool,
        typer.Option(
            "--afterwards", help="The driver does what was asked, and then reports the failure."
        ),
    ] = False,
    call: Call = "",
    at: At = 1,
    times: Times = 1,
    gpu: OfGpu = None,
    simulate: Simulate = "",
) -> None:
    """Calls answer with an error.

    Example: gpuslice simulate fault add error UNKNOWN --call nvmlGpuInstanceCreateComputeInstance
    """
    from gpuslice.simulator.fault_words import call_named, error_named
    from gpuslice.simulator.faults import Fail, Fault

    effect = Fail(error_named(code), after=afterwards)
    _add(simulate, Fault(effect=effect, call=call_named(call), at=at, times=times or None, gpu=gpu))


@adding.command()
def hang(
    *,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="S", help="The longest; without it until faults clear."),
    ] = None,
    call: Call = "",
    at: At = 1,
    times: Times = 1,
    gpu: OfGpu = None,
    simulate: Simulate = "",
) -> None:
    """Calls do not come back, until `gpuslice simulate fault clear` or for some seconds.

    Example: gpuslice simulate fault add hang --call nvmlInitWithFlags --seconds 20
    """
    from gpuslice.simulator.fault_words import call_named
    from gpuslice.simulator.faults import Fault, Hang

    effect = Hang(seconds=seconds)
    _add(simulate, Fault(effect=effect, call=call_named(call), at=at, times=times or None, gpu=gpu))


@adding.command()
def client(
    index: Index,
    *,
    start: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="First memory slice of the slice that it is on."),
    ] = None,
    call: Call = "",
    at: At = 1,
    times: Times = 1,
    simulate: Simulate = "",
) -> None:
    """A process turns up on a GPU or slice, and goes after the last call that it meets.

    Example: gpuslice simulate fault add client 0 --call nvmlDeviceSetMigMode --times 2
    """
    from gpuslice.simulator.fault_words import call_named
    from gpuslice.simulator.faults import Fault, Hold

    effect = Hold(gpu=index, start=start)
    _add(simulate, Fault(effect=effect, call=call_named(call), at=at, times=times or None))


@adding.command("mode-pending")
def mode_pending(
    index: Index,
    code: Annotated[
        str, typer.Argument(help="The activation status: IN_USE, RESET_REQUIRED, NOT_SUPPORTED.")
    ] = "NOT_SUPPORTED",
    *,
    at: At = 1,
    times: Times = 1,
    simulate: Simulate = "",
) -> None:
    """Changing MIG mode of a GPU succeeds and yet leaves the change pending.

    Example: gpuslice simulate fault add mode-pending 0 RESET_REQUIRED
    """
    from gpuslice.simulator.fault_words import error_named
    from gpuslice.simulator.faults import Fault, ModePending

    effect = ModePending(gpu=index, code=error_named(code))
    call = "nvmlDeviceSetMigMode"
    _add(simulate, Fault(effect=effect, call=call, at=at, times=times or None, gpu=index))


@adding.command("lose-gpu")
def lose_gpu(index: Index, *, call: Call = "", at: At = 1, simulate: Simulate = "") -> None:
    """A GPU falls off the bus, until it is reset or the machine restarts.

    Example: gpuslice simulate fault add lose-gpu 0 --at 40
    """
    from gpuslice.simulator.fault_words import call_named
    from gpuslice.simulator.faults import Fault, LoseGpu

    _add(simulate, Fault(effect=LoseGpu(index), call=call_named(call), at=at))


@adding.command()
def reboot(*, call: Call = "", at: At = 1, simulate: Simulate = "") -> None:
    """The machine restarts just before a call; see also `gpuslice simulate reboot`."""
    from gpuslice.simulator.fault_words import call_named
    from gpuslice.simulator.faults import Fault, Reboot

    _add(simulate, Fault(effect=Reboot(), call=call_named(call), at=at))


@adding.command("reset-fails")
def reset_fails(*, times: Times = 0, simulate: Simulate = "") -> None:
    """Resetting a GPU fails, for ever unless told otherwise."""
    from gpuslice.simulator import faults

    _add(simulate, faults.reset_fails(times=times or None))


@adding.command()
def lacking(
    function: Annotated[
        str,
        typer.Argument(help="A C function, or named-profiles, profiles-by-id, placements, gpm."),
    ],
    *,
    simulate: Simulate = "",
) -> None:
    """The driver is too old for a function, or for a set of them.

    Example: gpuslice simulate fault add lacking named-profiles
    """
    from gpuslice.simulator import faults
    from gpuslice.simulator.fault_words import functions_named

    _add(simulate, *faults.lacking(functions_named(function)))


@adding.command("uneven-memory")
def uneven_memory(
    index: Index,
    *,
    step: Annotated[
        int, typer.Option(metavar="MIB", help="How much more every second slice has, MiB.")
    ] = 128,
    simulate: Simulate = "",
) -> None:
    """Equal slices of a GPU differ in memory from now on, as on some real cards."""
    from gpuslice.cli.console import banner, out
    from gpuslice.simulator.machine import set_memory_step

    machine = simulated_machine_of(simulate)
    banner(machine)
    _faults_of(simulate)
    set_memory_step(machine.simulator_dir, index, step_mib=step)
    out().print(f"Every second slice of one profile on GPU {index} has {step:+} MiB.")


@app.command("list")
def list_faults(*, as_json: AsJson = False, simulate: Simulate = "") -> None:
    """Show the faults, how often each has struck, and what is amiss with the GPUs."""
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.faults import faults_as_json, faults_table
    from gpuslice.simulator.store import Store

    machine = simulated_machine_of(simulate)
    stored = _faults_of(simulate).list()
    state = Store(machine.simulator_dir).read()
    if as_json:
        print_json(faults_as_json(stored, state))
        return
    banner(machine)
    out().print(faults_table(stored, state))


@app.command()
def clear(*, simulate: Simulate = "") -> None:
    """Take all faults away: what hangs goes on, lost GPUs are back, strangers have left."""
    from gpuslice.cli.console import banner, out
    from gpuslice.simulator.machine import mend

    machine = simulated_machine_of(simulate)
    banner(machine)
    gone = _faults_of(simulate).clear()
    mend(machine.simulator_dir)
    out().print(f"Faults taken away: {len(gone)}. Nothing is amiss with the GPUs any more.")


def _add(simulate: str, *faults: Fault) -> None:
    from gpuslice.cli.console import banner, out
    from gpuslice.simulator.fault_words import in_words
    from gpuslice.simulator.machine import require_gpu

    machine = simulated_machine_of(simulate)
    banner(machine)
    file = _faults_of(simulate)
    for index in {index for fault in faults for index in fault.gpus}:
        require_gpu(machine.simulator_dir, index)
    for stored in file.add(*faults):
        out().print(f"Fault {stored.id}: {in_words(stored.fault)}.")


def _faults_of(simulate: str) -> FaultFile:
    """Return the faults of a simulated machine, which is made where it is not there yet."""
    from gpuslice.simulator.fault_file import FaultFile
    from gpuslice.simulator.store import Store

    machine = simulated_machine_of(simulate)
    Store.open(machine.simulator_dir, machine.simulation)
    return FaultFile(machine.simulator_dir)
