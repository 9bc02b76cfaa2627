"""What has to be true before a change touches anything.

Everything that can be known beforehand is refused here, so that the way back is rarely needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from pathlib import Path

from gpuslice.agent.container_checks import check_containers
from gpuslice.agent.node import Node
from gpuslice.agent.ports import pinned_ports
from gpuslice.agent.refusing import check_others
from gpuslice.apply.hooks import check_hooks
from gpuslice.apply.refusals import Refusal, refuse
from gpuslice.engines.api import Place
from gpuslice.engines.defects import defect_of
from gpuslice.errors import (
    AgentError,
    EngineBrokenError,
    EngineMissingError,
    ModelNotFoundError,
)
from gpuslice.model.desired import Change, Desired, DesiredModel, Record, RuntimeName
from gpuslice.model.gpu import Observed
from gpuslice.model.server import Role
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.ordering.steps import steps
from gpuslice.runtime.installed import installed_version, which
from gpuslice.runtime.ports import check_port_free

LOOPBACK = "127.0.0.1"


def check_before(node: Node, before: Record, change: Change, allow: Collection[str] = ()) -> None:
    """Refuse a change that cannot succeed, or that would disturb others and may not.

    Args:
        node: The machine.
        before: What is recorded about it.
        change: What is wanted.
        allow: Names of the refusals that are lifted.

    Raises:
        StateMovedError: The GPUs are not as they were when the plan was made.
        AgentError: Another stack runs on this machine.
        ModelNotFoundError: A model file is gone.
        EngineMissingError: An engine is not installed.
        EngineBrokenError: The release of an engine cannot run on a slice.
        PortInUseError: Somebody listens on the gateway's port, or on one that the file pins.
        DockerUnavailableError: Containers are wanted and the Docker engine does not answer.
        ImageMissingError: An image is not here and may not be fetched, or is for other machines.
        ContainerError: The engine cannot give slices as planned, or a name is somebody else's.
        HookError: The program of a hook is not there.
        ApplyError: Of the class of a refusal that is not lifted.
    """
    observed = node.driver.read()
    _check_unmoved(observed, change, allow)
    _check_one_stack(before, change.desired)
    for model in change.desired.models:
        check_model(model)
    _check_ports(node, change)
    check_containers(node, change)
    check_hooks(change.desired.hooks)
    check_others(node, steps(change.plan), observed, allow)


def check_model(model: DesiredModel) -> None:
    """Refuse a model whose files or engine are not there, or whose engine cannot run on a slice.

    Raises:
        ModelNotFoundError: Its file or folder is gone.
        EngineMissingError: Its engine is not installed.
        EngineBrokenError: The installed release of its engine is known not to run on a slice.
    """
    if model.source.startswith("/") and not Path(model.source).exists():
        raise ModelNotFoundError(
            f"{model.name}: {model.source} does not exist.",
            hint="Correct `model:` in the stack file.",
        )
    if model.runtime is RuntimeName.DOCKER:  # its engine is in the image
        return
    program, remedy = _needed(model)
    if program == "xllamacpp":
        found = importlib.util.find_spec(program) is not None
    else:
        found = which(program) is not None
    if not found:
        hint = "Correct `program:` in the stack file." if model.program else remedy
        raise EngineMissingError(f"{model.name}: {program} is not installed here.", hint=hint)
    _check_release(model, program)


def _needed(model: DesiredModel) -> tuple[str, str]:
    """Name the program (or module) that a model's engine is, and how to get it."""
    match model.engine:
        case "llama.cpp" if not model.program:
            return "xllamacpp", "pip install 'gpuslice[cpu]'"
        case "llama.cpp":
            return model.program, "install llama.cpp, or correct `program:`"
        case "command":
            return model.command[0], "install it or correct `command:`"
        case engine:
            return model.program or engine, f"pip install {engine}"


def _check_release(model: DesiredModel, program: str) -> None:
    version = installed_version(program, package=model.engine)
    defect = defect_of(model.engine, version, Place.PROCESS)
    if defect is not None:
        raise EngineBrokenError(
            f"{model.name}: {defect.engine} {version} {defect.what}, so it cannot serve on a "
            "slice; nothing was changed.",
            hint=f"pip install '{defect.engine}>={defect.fixed_in}', or name another with "
            "`program:`",
            details=(defect.source,),
        )


def _check_unmoved(observed: Observed, change: Change, allow: Collection[str]) -> None:
    if fingerprint(observed) != change.plan.fingerprint:
        refuse(
            Refusal.STATE_MOVED,
            "The GPUs are no longer as they were when the plan was made; nothing was changed.",
            allow=allow,
            otherwise="Run `gpuslice plan` and look again",
        )


def _check_one_stack(before: Record, desired: Desired) -> None:
    if before.desired is not None and before.desired.stack != desired.stack:
        raise AgentError(
            f"The stack {before.desired.stack!r} runs on this machine; "
            f"{desired.stack!r} cannot run beside it yet.",
            hint="Take it down first (gpuslice down), or put both into one stack file.",
        )


def _check_ports(node: Node, change: Change) -> None:
    """Refuse ports that the file names and a stranger listens on."""
    gateway, running = change.desired.gateway, node.runtime.list()
    held = {(server.host, server.port) for server in running if server.role is Role.GATEWAY}
    if (gateway.host, gateway.port) not in held:
        check_port_free(gateway.host, gateway.port)
    ours = {server.port for server in running}
    seats = change.plan.seats
    for port in pinned_ports(change.desired, [seat.replica for seat in seats]).values():
        if port not in ours:
            check_port_free(LOOPBACK, port)
