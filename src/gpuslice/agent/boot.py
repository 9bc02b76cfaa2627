"""Restoring slices when the machine starts: installing the unit, and what it runs.

At boot nobody is there to be asked and no stack is to be looked after, so what the unit runs is an
agent for one change: it holds the same lock, changes by the same path, and leaves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpuslice.agent.__main__ import hold_lock, make_private
from gpuslice.agent.boot_unit import UNIT_NAME, unit_text
from gpuslice.agent.changes import roll_back
from gpuslice.agent.checkpoint import (
    Checkpoint,
    checkpoint_text,
    missing_gpus,
    read_checkpoint,
    wishes_for,
)
from gpuslice.agent.node import open_node
from gpuslice.agent.partition import look, propose
from gpuslice.agent.slice_changes import SliceChange, change_slices
from gpuslice.agent.supervisor import Supervisor
from gpuslice.apply.refusals import Refusal
from gpuslice.errors import (
    CheckpointError,
    FileNotWrittenError,
    GpusliceError,
    PermissionDeniedError,
)
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.machine import Machine
from gpuslice.private_files import write_private

CHECKPOINT = Path("etc/gpuslice/slices.json")
UNIT = Path("etc/systemd/system") / UNIT_NAME
WANTS = Path("etc/systemd/system/multi-user.target.wants") / UNIT_NAME

Reload = Callable[[], None]
"""Tells systemd that its units have changed."""


def boot_command(machine: Machine, checkpoint: Path) -> tuple[str, ...]:
    """Say what the unit runs; for a simulated machine, so labelled."""
    python = (sys.executable, "-m", "gpuslice", "slices", "restore", str(checkpoint), "--at-boot")
    return (*python, "--simulate", machine.simulation) if machine.simulated else python


def planned_unit(machine: Machine, root: Path = Path("/")) -> str:
    """Write the unit as it would be installed."""
    file = root / CHECKPOINT
    of = f"SIMULATED GPUs, {machine.simulation}" if machine.simulated else "the GPUs"
    return unit_text(boot_command(machine, file), file, machine.root.parent, of=of)


def install(
    machine: Machine,
    checkpoint: Checkpoint,
    *,
    root: Path = Path("/"),
    reload: Reload | None = None,
) -> tuple[Path, ...]:
    """Write checkpoint and unit, and have the unit started with the machine.

    Args:
        machine: The machine; a simulated one is not started by systemd.
        checkpoint: What is to be restored.
        root: Root of the file system; a test has its own.
        reload: Tells systemd; by default by ``systemctl daemon-reload``, where systemd runs.

    Returns:
        The files that are there now.

    Raises:
        CheckpointError: The machine is simulated.
        PermissionDeniedError: Not root.
        FileNotWrittenError: The system refused.
    """
    if machine.simulated:
        raise CheckpointError(
            "A simulated machine is not started by systemd, so nothing was installed.",
            hint="Look at the unit with --print; try it with: gpuslice simulate reboot",
        )
    machine.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = (root / CHECKPOINT, root / UNIT, root / WANTS)
    with _told():
        _write(files[0], checkpoint_text(checkpoint), 0o600)
        _write(files[1], planned_unit(machine, root), 0o644)
        files[2].parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            files[2].symlink_to(f"/{UNIT}")
    (reload or _daemon_reload)()
    return files


def uninstall(*, root: Path = Path("/"), reload: Reload | None = None) -> tuple[Path, ...]:
    """Remove what `install` wrote; slices and modes stay as they are.

    Returns:
        The files that were there.

    Raises:
        PermissionDeniedError: Not root.
        FileNotWrittenError: The system refused.
    """
    files = tuple(root / path for path in (WANTS, UNIT, CHECKPOINT))
    there = tuple(path for path in files if path.exists() or path.is_symlink())
    with _told():
        for path in there:
            path.unlink()
    (reload or _daemon_reload)()
    return there


def restore_at_boot(machine: Machine, path: Path, report: Report) -> bool:
    """Make the machine what a checkpoint says, without asking anybody.

    MIG mode is switched where it has to be. GPUs that are missing are told once all others are
    restored. Slices that somebody else made meanwhile are not touched.

    Args:
        machine: The machine; no other agent may look after it.
        path: The checkpoint.
        report: Where progress goes.

    Returns:
        True when something was changed.

    Raises:
        CheckpointError: The file cannot be used, or GPUs of it are missing.
        AgentError: An agent looks after this machine already.
        GpusliceError: It failed, and everything is as it was before.
    """
    checkpoint = read_checkpoint(path)
    with sole_agent(machine) as supervisor:
        roll_back(supervisor, report)
        scene = look(supervisor.node)
        missing = missing_gpus(checkpoint, scene.observed)
        wishes = wishes_for(checkpoint, scene.observed)
        asked = propose(scene, wishes, f"restore {path}") if wishes else None
        if asked is not None and asked.plan.changes:
            change = SliceChange(plan=asked.plan, allow=(Refusal.MIG_MODE_CHANGE,))
            try:
                change_slices(supervisor, change, report, lambda: None)
            except GpusliceError as error:
                report(Event(kind=EventKind.UNDO, text=f"{error.message} Undoing."))
                roll_back(supervisor, report)
                raise
    if missing:
        raise CheckpointError(
            f"{len(missing)} GPUs of {path} are not in this machine; the others are restored.",
            hint="Make the boot unit anew: gpuslice slices boot --install",
            details=tuple(f"{gpu.uuid} ({gpu.name}, was GPU {gpu.index})" for gpu in missing),
        )
    return asked is not None and asked.plan.changes


@contextmanager
def sole_agent(machine: Machine) -> Iterator[Supervisor]:
    """Be the machine's agent for one change: the same lock, and no socket.

    Raises:
        AgentError: Another agent looks after this machine already.
    """
    make_private(machine.root)
    lock = hold_lock(machine)
    try:
        yield Supervisor(open_node(machine))
    finally:
        os.close(lock)


@contextmanager
def _told() -> Iterator[None]:
    """Tell what the system refuses."""
    try:
        yield
    except PermissionError as error:
        raise PermissionDeniedError(
            f"{error.filename} cannot be written: {error.strerror}.",
            hint="Run it as root: sudo gpuslice slices boot …",
        ) from error
    except OSError as error:
        raise FileNotWrittenError(
            f"{error.filename} cannot be written: {error.strerror}.",
            hint="Make room on the disk, or mount it for writing.",
        ) from error


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all; systemd, too, looks at its folder and its mode."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_private(path, text.encode())
    path.chmod(mode)


def _daemon_reload() -> None:
    """Tell systemd, where it runs; where it does not, it reads everything when it starts."""
    systemctl = shutil.which("systemctl")
    if systemctl and Path("/run/systemd/system").is_dir():
        subprocess.run([systemctl, "daemon-reload"], check=False)
