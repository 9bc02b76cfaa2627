"""Where each server of a stack runs: as a process, or in a container of a Docker engine.

Separate from `prepare`, because it is a decision with rules of its own, and the engine is asked for
nothing else. In this order:

1. What the file says decides: ``runtime`` of the model, an ``image``, ``runtime`` of the stack.
2. Where the file says nothing, a server that runs stays where it is: a Docker that somebody
   installs replaces no server at the next ``up``.
3. Else Docker, where its engine can give a container a GPU and the model can do without a word
   about images; on simulated GPUs, and for everything else, a process.

An engine is asked only where the answer can matter. One that does not answer is an error where the
file wants it, and a note where it would only have been preferred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuslice.engines.images import OWN, image_of
from gpuslice.errors import ContainerError, RuntimeFailure
from gpuslice.model.desired import Desired, DesiredDocker, Pull, RuntimeName
from gpuslice.model.server import HandIn, Network
from gpuslice.runtime.docker.facts import EngineFacts
from gpuslice.runtime.docker.listener import on_this_machine

if TYPE_CHECKING:  # the agent knows places and reads no stack file
    from gpuslice.stack.schema import ModelEntry, Stack

Ask = Callable[[str], EngineFacts]
"""Asks the engine at an address (as in ``DOCKER_HOST``, "" for the usual one) what it is."""

SET_UP = (
    "install nvidia-container-toolkit, then: "
    "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker"
)
_BESIDE = "the Docker engine at {host} has to be on this machine, where slices and models are"
_LOOPBACK = ("tcp://127.", "tcp://localhost", "tcp://[::1]")
_BY_THEMSELVES = ("vllm", "sglang")  # engines whose usual image computes on the GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything of a stack runs.

    Attributes:
        runtimes: By model.
        docker: The engine for whatever runs in containers; None where nothing does.
        notes: What a person should know of the choice, in sentences.
    """

    runtimes: Mapping[str, RuntimeName] = field(default_factory=dict)
    docker: DesiredDocker | None = None
    notes: tuple[str, ...] = ()


def choose_places(
    stack: Stack, *, simulated: bool, before: Desired | None = None, ask: Ask | None = None
) -> Places:
    """Decide where each server of a stack runs.

    Args:
        stack: The stack file.
        simulated: True where there is no GPU to compute on.
        before: What runs on the machine now.
        ask: Asks the Docker engine; None where nobody is to be asked, as for a plan on paper.

    Raises:
        DockerUnavailableError: The file wants a container and the engine cannot be asked.
        ContainerError: It wants one on a slice and the engine cannot give it a GPU, or wants a
            network that the engine does not have.
    """
    before = before if before is not None and before.stack == stack.name else None
    decided = _decided(stack, before)
    preferred = frozenset(
        name
        for name, entry in stack.models.items()
        if decided[name] is None and not simulated and _runs_by_itself(entry)
    )
    needed = RuntimeName.DOCKER in (*decided.values(), stack.gateway.runtime)
    facts, why = _asked(stack.docker.host or "", ask, needed=needed, preferred=bool(preferred))
    chosen = RuntimeName.DOCKER if facts and not why else RuntimeName.PROCESS
    runtimes = {
        name: runtime or (chosen if name in preferred else RuntimeName.PROCESS)
        for name, runtime in decided.items()
    }
    docker = None
    if RuntimeName.DOCKER in (*runtimes.values(), stack.gateway.runtime):
        on_gpus = not simulated and RuntimeName.DOCKER in runtimes.values()
        docker = _docker(stack, facts, before, on_gpus=on_gpus)
    notes = (
        *((f"servers run as processes: {why}",) if why and preferred else ()),
        *((_BESIDE.format(host=facts.host),) if facts and docker and not _is_near(facts) else ()),
        *_notes(stack, runtimes, simulated=simulated),
        *(_deaf(stack, runtimes) if docker and docker.network is Network.BRIDGE else ()),
    )
    return Places(runtimes=runtimes, docker=docker, notes=notes)


def _decided(stack: Stack, before: Desired | None) -> dict[str, RuntimeName | None]:
    """Say what the file, or else what runs already, decides for each model."""
    held = {model.name: model.runtime for model in before.models} if before else {}
    decided = {}
    for name, entry in stack.models.items():
        word = entry.runtime or ("docker" if entry.image else stack.runtime)
        kept = held.get(name)
        if kept is RuntimeName.DOCKER and not _can_run_in_docker(entry):
            kept = None
        decided[name] = RuntimeName(word) if word else kept
    return decided


def _can_run_in_docker(entry: ModelEntry) -> bool:
    return bool(image_of(entry.engine_name, entry.image or "")) and not entry.program


def _runs_by_itself(entry: ModelEntry) -> bool:
    """Tell whether a model can go into a container without a word of the user about images."""
    return entry.engine_name in _BY_THEMSELVES and not entry.program


def _asked(
    host: str, ask: Ask | None, *, needed: bool, preferred: bool
) -> tuple[EngineFacts | None, str]:
    """Ask the engine where that can matter.

    Returns:
        What it says, None where it was not asked or does not answer; and why it will not do for
        servers that are nowhere else, "" where it will or where there is nothing to tell.
    """
    if ask is None or not (needed or preferred):
        return None, ""
    try:
        facts = ask(host)
    except RuntimeFailure as error:
        if needed:
            raise
        absent = isinstance(error.__cause__, FileNotFoundError)
        return None, "" if absent else f"{error.message.rstrip('.')} ({error.hint})"
    return facts, _unfit(facts)


def _is_near(facts: EngineFacts) -> bool:
    return on_this_machine(facts.host) or facts.host.startswith(_LOOPBACK)


def _unfit(facts: EngineFacts) -> str:
    if not _is_near(facts):
        return f"the Docker engine at {facts.host} is on another machine"
    if facts.hand_in is None:
        return f"the Docker engine {facts.version} cannot give a container a GPU ({SET_UP})"
    return ""


def _docker(
    stack: Stack, facts: EngineFacts | None, before: Desired | None, *, on_gpus: bool
) -> DesiredDocker:
    """Say how containers are reached and given their slices; as before where that still holds."""
    entry = stack.docker
    host = facts.host if facts else entry.host or ""
    held = before.docker if before and before.docker and before.docker.host == host else None
    return DesiredDocker(
        host=host,
        network=_network(entry.network, facts, held),
        hand_in=_hand_in(facts, held) if on_gpus else HandIn.NONE,
        pull=Pull(entry.pull),
    )


def _network(word: str | None, facts: EngineFacts | None, held: DesiredDocker | None) -> Network:
    bridge = facts is None or facts.bridge
    if word == Network.BRIDGE and not bridge:
        raise ContainerError(
            "`docker.network: bridge` is wanted and the Docker engine has no bridge network.",
            hint="write `network: host`, or leave the line out",
        )
    if word:
        return Network(word)
    if held and (bridge or held.network is Network.HOST):
        return held.network
    return Network.BRIDGE if bridge else Network.HOST


def _hand_in(facts: EngineFacts | None, held: DesiredDocker | None) -> HandIn:
    if facts is None:
        return HandIn.REQUEST
    if facts.hand_in is None:
        raise ContainerError(
            f"The Docker engine {facts.version} cannot give a container a GPU.",
            hint=f"{SET_UP}; or say `runtime: process`",
        )
    kept = held.hand_in if held else HandIn.NONE
    still = (kept is HandIn.REQUEST and facts.nvidia_runtime) or (
        kept is HandIn.CDI and facts.cdi and facts.cdi_devices
    )
    return kept if still else facts.hand_in


def _notes(stack: Stack, runtimes: Mapping[str, RuntimeName], *, simulated: bool) -> Iterator[str]:
    for name, entry in stack.models.items():
        if runtimes[name] is RuntimeName.PROCESS:
            if entry.host_memory:
                yield f"{name} runs as a process, whose memory `host_memory` does not limit"
            continue
        image = image_of(entry.engine_name, entry.image or "")
        if _floats(image):
            yield f"{name}: {image} is another image tomorrow; name one release of it"
        if image == OWN and not simulated:
            yield (
                f"{name}: {image} computes on the CPU and leaves its slice idle; name an image "
                "with a llama.cpp made for CUDA"
            )


def _deaf(stack: Stack, runtimes: Mapping[str, RuntimeName]) -> Iterator[str]:
    """Name servers that may listen where nobody reaches them: on the loopback of their own."""
    for name, entry in stack.models.items():
        heard = any("{host}" in part or "0.0.0.0" in part for part in entry.command)  # noqa: S104 - searched for
        if entry.command and runtimes[name] is RuntimeName.DOCKER and not heard:
            yield f"{name}: in a container its server has to listen on {{host}}, not on loopback"


def _floats(image: str) -> bool:
    """Tell whether a name means whatever is newest: no tag, or ``latest``, and no digest."""
    name, _, digest = image.partition("@")
    return not digest and name.rpartition("/")[2].partition(":")[2] in ("", "latest")
