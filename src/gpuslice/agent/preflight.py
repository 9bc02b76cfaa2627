"""What has to be true before a change touches anything.

Everything that can be known beforehand is refused here, so that the way back is rarely needed.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from gpuslice.agent.node import Node
from gpuslice.errors import AgentError, EngineMissingError, ModelNotFoundError, StateMovedError
from gpuslice.model.desired import Change, Desired, DesiredModel, Record
from gpuslice.model.server import Role
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.runtime.ports import check_port_free


def check_before(node: Node, before: Record, change: Change) -> None:
    """Refuse a change that cannot succeed.

    Raises:
        StateMovedError: The GPUs are not as they were when the plan was made.
        AgentError: Another stack runs on this machine.
        ModelNotFoundError: A model file is gone.
        EngineMissingError: An engine is not installed.
        PortInUseError: Somebody listens on the gateway's port.
    """
    _check_unmoved(node, change)
    _check_one_stack(before, change.desired)
    for model in change.desired.models:
        check_model(model)
    _check_gateway_port(node, change.desired)


def check_model(model: DesiredModel) -> None:
    """Refuse a model whose files or engine are not there.

    Raises:
        ModelNotFoundError: Its file or folder is gone.
        EngineMissingError: Its engine is not installed.
    """
    if model.source.startswith("/") and not Path(model.source).exists():
        raise ModelNotFoundError(
            f"{model.name}: {model.source} does not exist.",
            hint="Correct `model:` in the stack file.",
        )
    match model.engine:
        case "llama.cpp" if importlib.util.find_spec("xllamacpp") is None:
            missing, remedy = "xllamacpp", "pip install 'gpuslice[cpu]'"
        case "vllm" if shutil.which("vllm") is None:
            missing, remedy = "vllm", "pip install vllm"
        case "command" if shutil.which(model.command[0]) is None:
            missing, remedy = model.command[0], "install it or correct `command:`"
        case _:
            return
    raise EngineMissingError(f"{model.name}: {missing} is not installed here.", hint=remedy)


def _check_unmoved(node: Node, change: Change) -> None:
    if fingerprint(node.driver.read()) != change.plan.fingerprint:
        raise StateMovedError(
            "The GPUs are no longer as they were when the plan was made; nothing was changed.",
            hint="Run `gpuslice plan` and look again.",
        )


def _check_one_stack(before: Record, desired: Desired) -> None:
    if before.desired is not None and before.desired.stack != desired.stack:
        raise AgentError(
            f"The stack {before.desired.stack!r} runs on this machine; "
            f"{desired.stack!r} cannot run beside it yet.",
            hint="Take it down first (gpuslice down), or put both into one stack file.",
        )


def _check_gateway_port(node: Node, desired: Desired) -> None:
    wanted = (desired.gateway.host, desired.gateway.port)
    for process in node.runtime.list():
        if process.role is Role.GATEWAY and (process.host, process.port) == wanted:
            return
    check_port_free(*wanted)
