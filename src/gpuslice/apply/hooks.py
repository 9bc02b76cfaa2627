"""Commands around a change of slices: what people stop before it and start again after it.

A monitor or a kubelet holds a GPU and would be in the way, or would not learn of new slices unless
it is started anew. What to do about that is the user's, so it is theirs to say: argument vectors in
the stack file, or behind ``--before`` and ``--after``.

*Safe.* A command is never given to a shell; its program is absolute or found on PATH; it runs in a
session of its own, with a short environment and a time limit, after which all of it is killed. What
it is told comes on standard input, as one JSON object (`plan_as_json`), never on its command line.

*Paired.* Whoever runs the commands before runs those after, however the change ends, or notes on
disk that they are due.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, assert_never

from gpuslice.errors import HookError
from gpuslice.model.desired import Hooks
from gpuslice.model.event import Event, EventKind, Report
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Observed
from gpuslice.planner.ordering.steps import (
    CreateSlice,
    DestroySlice,
    DisableMig,
    EnableMig,
    Step,
    describe,
    gpu_of,
)

log = logging.getLogger(__name__)

JSON_VERSION = 1
SHOWN_LINES = 20
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "KUBECONFIG")


def plan_as_json(
    steps: Sequence[Step], observed: Observed, *, change: str, stack: str = ""
) -> bytes:
    """Write what is about to be done, or was, for a command to read.

    Args:
        steps: All steps, in order.
        observed: The machine.
        change: ``up``, ``down``, ``slices`` or ``undo``.
        stack: Name of the stack, where it is about one.
    """
    value = {
        "version": JSON_VERSION,
        "change": change,
        "stack": stack,
        "simulated": observed.simulated,
        "steps": [_as_value(step, observed) for step in steps],
    }
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def check_hooks(hooks: Hooks) -> None:
    """Refuse commands whose program is not there, before anything is touched.

    Raises:
        HookError: Names the first of them.
    """
    for command in (*hooks.before, *hooks.after):
        _program(command)


def run_hooks(
    commands: Sequence[Sequence[str]], plan: bytes, report: Report, *, stage: str, timeout_s: float
) -> None:
    """Run commands one after the other; the first that fails is the last.

    Args:
        commands: Programs with their arguments.
        plan: What they get on standard input.
        report: Where progress goes.
        stage: ``before`` or ``after``; in their environment as GPUSLICE_HOOK.
        timeout_s: How long each may take, seconds.

    Raises:
        HookError: One failed, could not be started, or took too long; has its last lines.
    """
    for command in commands:
        words = " ".join(command)
        report(Event(kind=EventKind.STEP, text=f"hook {stage}: {words}"))
        status, output = _run(command, plan, stage, timeout_s)
        for line in output:
            log.info("hook %s: %s: %s", stage, command[0], line)
        if status != 0:
            late = f"did not end within {timeout_s:g} s"
            how = late if status is None else f"ended with status {status}"
            raise HookError(
                f"The hook `{words}` ({stage}) {how}.",
                hint="Mend the command, or take it out of `hooks:`; the agent's log has all it "
                "wrote.",
                details=output[-SHOWN_LINES:],
            )


def run_all(
    commands: Sequence[Sequence[str]], plan: bytes, report: Report, *, stage: str, timeout_s: float
) -> None:
    """Run every command whatever becomes of the others; failures are reported as notes.

    For the way back, which no hook may stop.
    """
    for command in commands:
        try:
            run_hooks((command,), plan, report, stage=stage, timeout_s=timeout_s)
        except HookError as error:
            text = " ".join((error.message, *error.details[-1:]))
            report(Event(kind=EventKind.NOTE, text=text))


def _run(
    command: Sequence[str], plan: bytes, stage: str, timeout_s: float
) -> tuple[int | None, tuple[str, ...]]:
    """Run one command; returns its status, None where it took too long, and what it wrote."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    try:
        process = subprocess.Popen(
            [_program(command), *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**environment, "GPUSLICE_HOOK": stage},
            start_new_session=True,
        )
    except OSError as error:
        raise HookError(
            f"The hook `{' '.join(command)}` ({stage}) could not be started: {error.strerror}.",
            hint="Correct it in `hooks:`.",
        ) from error
    try:
        output, _ = process.communicate(plan, timeout=timeout_s)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        status, output = None, _kill(process)
    return status, tuple(output.decode(errors="replace").splitlines())


def _kill(process: subprocess.Popen[bytes]) -> bytes:
    """End a command and all it has started; returns what it had written."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        output, _ = process.communicate(timeout=5.0)
    except subprocess.TimeoutExpired:  # something that left the session holds the pipe open
        return b""
    return output


def _program(command: Sequence[str]) -> str:
    found = shutil.which(command[0])
    if found is None:
        raise HookError(
            f"The hook `{' '.join(command)}` cannot be run: there is no program {command[0]!r}.",
            hint="Name it absolutely or install it; nothing was changed.",
        )
    return found


def _as_value(step: Step, observed: Observed) -> dict[str, Any]:
    uuid = gpu_of(step)
    value: dict[str, Any] = {
        "gpu": uuid,
        "index": observed.gpu(uuid).index,
        "text": describe(step, observed.gpus),
    }
    match step:
        case EnableMig():
            return {"do": "enable-mig", **value}
        case DisableMig():
            return {"do": "disable-mig", **value}
        case DestroySlice(slice=lying):
            return {"do": "destroy", **value, **_place(lying.profile, lying.placement)}
        case CreateSlice(planned=planned):
            return {"do": "create", **value, **_place(planned.profile, planned.placement)}
        case _:
            assert_never(step)


def _place(profile: str, placement: Placement) -> dict[str, Any]:
    return {"profile": profile, "start": placement.start, "size": placement.size}
