"""The stack file from disk: what form it has, and how it becomes a `LoadedStack`.

Separate from the reader (`read`), which it shares with other files. What a stack file *refers to*
is looked at in `sources`, not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gpuslice.stack.form import Form, Section
from gpuslice.stack.loaded import LoadedStack
from gpuslice.stack.place_rules import gateway_breaches, place_breaches
from gpuslice.stack.problem import KeyPath, Problem
from gpuslice.stack.read import read_bytes, understand
from gpuslice.stack.rules import (
    Breach,
    model_breaches,
    neighbour_breaches,
    price_breaches,
    target_breaches,
)
from gpuslice.stack.schema import (
    DockerEntry,
    GatewayEntry,
    HooksEntry,
    ModelEntry,
    PriceEntry,
    Stack,
    TargetEntry,
)
from gpuslice.stack.tree import Document, plain

__all__ = ["STACK_FORM", "LoadedStack", "load_stack", "parse_stack"]


def load_stack(path: Path) -> LoadedStack:
    """Read a stack file.

    Args:
        path: The file.

    Returns:
        The stack. What it refers to (model files, keys) has not been looked at.

    Raises:
        StackNotFoundError: There is no such file.
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    data = read_bytes(path, STACK_FORM)
    stack, document = parse_stack(data, file=str(path))
    return LoadedStack(
        stack=stack,
        path=path,
        folder=path.parent.resolve(),
        digest=hashlib.sha256(data).hexdigest(),
        document=document,
    )


def parse_stack(data: bytes, *, file: str = "gpuslice.yaml") -> tuple[Stack, Document]:
    """Understand the bytes of a stack file.

    Args:
        data: The bytes.
        file: How to call the file in the report.

    Returns:
        The stack, and the tree it was made from.

    Raises:
        StackError: It cannot be used as it is; ``details`` has every problem with its line.
    """
    stack, document = understand(data, STACK_FORM, file=file)
    assert isinstance(stack, Stack), "the form's schema is Stack"
    return stack, document


def _rule_problems(document: Document) -> list[Problem]:
    return list(_breaches(document))


def _breaches(document: Document) -> Iterator[Problem]:
    for path, table in document.tables():
        if rules := _rules_for(path):
            for breach in rules({entry.key: plain(entry.node) for entry in table.entries}):
                whole = (*path, *breach.path)
                yield Problem(mark=document.mark(whole), path=whole, text=breach.text)


def _rules_for(path: KeyPath) -> Callable[[Mapping[str, object]], list[Breach]] | None:
    match path:
        case ():
            return place_breaches
        case ("gateway",):
            return gateway_breaches
        case ("models",):
            return neighbour_breaches
        case ("models", _):
            return model_breaches
        case ("models", _, "target"):
            return target_breaches
        case ("prices", _):
            return price_breaches
        case _:
            return None


_KEYS_FILE = (
    "keys never stand in a stack file; put them into a file, one per line, readable by "
    "its owner only, and name that file as gateway.api_keys_file"
)

STACK_FORM = Form(
    kind="stack file",
    schema=Stack,
    wanted=(
        "a stack file is a mapping with the keys name, gpus, models, runtime, docker, gateway, "
        "hooks and prices"
    ),
    empty="the file is empty; 'gpuslice init' writes a starter",
    hint="correct the lines named above; 'gpuslice schema' prints what may stand in the file",
    missing_hint="write one with 'gpuslice init', or name another with --file",
    needed="it needs at least one model",
    list_example='["--flag", "value"]',
    sections=(
        Section(path=("models", None), place="models.NAME", schema=ModelEntry),
        Section(path=("models", None, "target"), place="models.NAME.target", schema=TargetEntry),
        Section(path=("gateway",), place="gateway", schema=GatewayEntry),
        Section(path=("docker",), place="docker", schema=DockerEntry),
        Section(path=("hooks",), place="hooks", schema=HooksEntry),
        Section(path=("prices", None), place="prices.PRODUCT", schema=PriceEntry),
    ),
    elsewhere={
        **dict.fromkeys(("api_key", "api_keys", "apikey", "key", "keys"), _KEYS_FILE),
        "max_model_len": "did you mean 'context_tokens'?",
        "ctx_size": "did you mean 'context_tokens'?",
        "n_ctx": "did you mean 'context_tokens'?",
        "parallel": "did you mean 'concurrency'?",
        "max_num_seqs": "did you mean 'concurrency'?",
        "count": "did you mean 'replicas'?",
        "instances": "did you mean 'replicas'?",
        "env": "did you mean 'environment'?",
        "profile": "did you mean 'slice'?",
        "vram": "did you mean 'memory'?",
        "compute_slices": "did you mean 'compute'?",
        "weight": "did you mean 'priority'?",
        "affinity": "did you mean 'near'?",
        "anti_affinity": "did you mean 'away'? or 'spread', for its own replicas?",
        "cordon": "did you mean 'drain'?",
        "may_add": "GPUs that may be added stand in a fleet file, for 'gpuslice plan --fleet'",
        "container": "did you mean 'image'?",
        "container_image": "did you mean 'image'?",
        "docker_image": "did you mean 'image'?",
        "tag": "it is part of 'image', as in vllm/vllm-openai:v0.24.0",
        "mem_limit": "did you mean 'host_memory'?",
        "pull_policy": "did you mean 'docker.pull'?",
        "docker_host": "did you mean 'docker.host'?",
        "network_mode": "did you mean 'docker.network'?",
        "ports": "did you mean 'port'? a server's is on loopback; clients use gateway.port",
        "volumes": "the model and the hub's cache are mounted by themselves; see docs/docker.md",
        "<<": "merge keys are not supported; write the keys out",
    },
    rules=_rule_problems,
)
