"""A stack as something that runs without gpuslice: what has to be known for a compose file.

Separate from `prepare`, whose plan this starts from. A replica whose slice exists is exported with
the UUID that NVML tells; for one whose slice has still to be made compose is left a variable, and
the heading has the commands that make it. Models that would be processes here are exported as if
the file said ``runtime: docker``: a compose file has nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpuslice.agent.launches import server_launch
from gpuslice.agent.node import Node
from gpuslice.agent.places import Ask
from gpuslice.agent.ports import lease_ports, metrics_port
from gpuslice.agent.prepare import prepare
from gpuslice.agent.proposal import Prepared, Tell
from gpuslice.engines.images import OWN_USER, image_of
from gpuslice.errors import DockerUnavailableError, SecretMissingError, StackError
from gpuslice.gateway.launching import lone_gateway_launch
from gpuslice.gateway.settings import new_settings
from gpuslice.model.demand import ReplicaId
from gpuslice.model.desired import Desired, DesiredGateway, RuntimeName
from gpuslice.model.gpu import Slice
from gpuslice.model.plan import PlannedSlice, Seat
from gpuslice.model.server import HandIn, Launch
from gpuslice.planner.ordering.steps import CreateSlice, EnableMig, Step, by_hand, steps
from gpuslice.runtime.docker.compose import ComposeFile, Service, Unknown
from gpuslice.runtime.docker.facts import EngineFacts, read_facts
from gpuslice.runtime.docker.hub import token_file
from gpuslice.runtime.docker.runtime import passed_on
from gpuslice.runtime.docker.secrets import HF_TOKEN
from gpuslice.stack.load import LoadedStack
from gpuslice.stack.schema import ModelEntry, Stack
from gpuslice.version import __version__

_NO_SLICE = "void"  # what a simulated slice that does not exist yet is called: no device
_UNKNOWN_GI = -1
_ASSUMED = EngineFacts(
    host="",
    version="",
    api_version="",
    architecture="",
    rootless=False,
    bridge=True,
    nvidia_runtime=True,
    cdi=False,
    cdi_devices=(),
    root_dir="",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A stack for compose.

    Attributes:
        file: Everything the file says.
        notes: What a person should know of how it came about, in sentences.
    """

    file: ComposeFile
    notes: tuple[str, ...]


def export_compose(
    node: Node,
    loaded: LoadedStack,
    *,
    hand_in: HandIn | None = None,
    ask: Ask = read_facts,
    tell: Tell = lambda _: None,
) -> Export:
    """Describe a stack for compose. Changes nothing.

    Args:
        node: The machine.
        loaded: The stack file.
        hand_in: How containers are to be given their slice; None for what the Docker engine can do.
        ask: Asks the Docker engine.
        tell: Told what is going on.

    Raises:
        StackError: A model cannot run in a container, or a model file is missing.
        PlanningError: Something finds no slice.
        DriverError: The GPUs cannot be read.
        SecretMissingError: The file of the clients' keys is not there.
    """
    _require_images(loaded.stack)
    notes: list[str] = []
    prepared = prepare(
        node,
        replace(loaded, stack=in_containers(loaded.stack)),
        ask=lambda host: _facts(host, ask, notes),
        tell=tell,
    )
    _ = prepared.change  # raises where something found no slice
    if hand_in and prepared.desired.docker and not prepared.observed.simulated:
        docker = replace(prepared.desired.docker, hand_in=hand_in)
        prepared = replace(prepared, desired=replace(prepared.desired, docker=docker))
    return Export(file=_compose_file(node, prepared), notes=(*notes, *prepared.notes))


def in_containers(stack: Stack) -> Stack:
    """Return the stack as if everything of it said ``runtime: docker``."""
    docker = {"runtime": "docker"}
    models = {name: entry.model_copy(update=docker) for name, entry in stack.models.items()}
    gateway = stack.gateway.model_copy(update=docker)
    return stack.model_copy(update={"models": models, "gateway": gateway})


def variables_of(replicas: Sequence[ReplicaId]) -> dict[ReplicaId, str]:
    """Name a variable for the UUID of each replica's slice: ``CHAT_0_SLICE``, no two the same."""
    names: dict[ReplicaId, str] = {}
    for replica in replicas:
        model = re.sub(r"\W", "_", replica.model, flags=re.ASCII).upper()
        wanted = f"{model}_{replica.replica}_SLICE"
        wanted = f"_{wanted}" if wanted[0].isdigit() else wanted
        while wanted in names.values():
            wanted += "_"
        names[replica] = wanted
    return names


def _require_images(stack: Stack) -> None:
    """Refuse models that only a process can serve, all of them at once."""
    problems = tuple(
        problem
        for name, entry in stack.models.items()
        for problem in _not_in_a_container(name, entry, stack.runtime)
    )
    if problems:
        raise StackError(
            "Not every model of this stack can run in a container.",
            hint="name an image that has its server: `image:`",
            details=problems,
        )


def _not_in_a_container(name: str, entry: ModelEntry, usual: str | None) -> Iterator[str]:
    if not image_of(entry.engine_name, entry.image or ""):
        yield f"models.{name}: `engine: {entry.engine_name}` has no image"
    in_image = entry.image or (entry.runtime or usual) == RuntimeName.DOCKER
    if entry.program and not in_image:
        yield f"models.{name}: `program: {entry.program}` is a program of this machine"


def _facts(host: str, ask: Ask, notes: list[str]) -> EngineFacts:
    """Ask the engine; where it cannot be asked, or cannot give GPUs yet, assume what is usual."""
    try:
        facts = ask(host)
    except DockerUnavailableError as error:
        notes.append(
            f"no Docker engine was asked ({error.message.rstrip('.')}): taken is what is usual, "
            "NVIDIA's runtime where there are GPUs and Docker's bridge network"
        )
        return replace(_ASSUMED, host=host)
    return facts if facts.hand_in else replace(facts, nvidia_runtime=True)


def _compose_file(node: Node, prepared: Prepared) -> ComposeFile:
    desired, seats = prepared.desired, prepared.plan.seats
    replicas = [seat.replica for seat in seats]
    held = {lease.replica: lease.port for lease in prepared.record.ports}
    leases = lease_ports(desired, replicas, held)
    ports = {lease.replica: lease.port for lease in leases}
    names = variables_of(replicas)
    marks = {r: f"\N{SECTION SIGN}{name}\N{SECTION SIGN}" for r, name in names.items()}
    launches = [
        _launch(node, prepared, seat, port=ports[seat.replica], mark=marks[seat.replica])
        for seat in seats
    ]
    unknown = tuple(
        Unknown(stands_for=marks[seat.replica], variable=names[seat.replica])
        for seat in seats
        if seat.created and not prepared.observed.simulated
    )
    metrics = metrics_port(prepared.record.gateway_metrics_port, leases, {desired.gateway.port})
    gateway = _gateway(desired, metrics, [launch.url for launch in launches])
    return ComposeFile(
        stack=desired.stack,
        heading=tuple(_heading(prepared, [u.variable for u in unknown])),
        servers=[
            Service(launch=launch, comment=_comment(prepared, seat))
            for launch, seat in zip(launches, seats, strict=True)
        ],
        gateway=Service(launch=gateway, comment=_gateway_comment(desired.gateway)),
        secrets=_secrets(desired.gateway),
        further=passed_on(os.environ),
        unknown=unknown,
    )


def _launch(node: Node, prepared: Prepared, seat: Seat, *, port: int, mark: str) -> Launch:
    desired, observed = prepared.desired, prepared.observed
    name = _NO_SLICE if observed.simulated else mark
    slice_ = seat.kept or _slice_to_be(seat.slice, name)
    model = next(model for model in desired.models if model.name == seat.replica.model)
    gpu = observed.gpu(slice_.gpu_uuid)
    return server_launch(desired, model, seat.replica, gpu, slice_, port=port, host=node.host)


def _slice_to_be(planned: Slice | PlannedSlice, uuid: str) -> Slice:
    return Slice(
        gpu_uuid=planned.gpu_uuid,
        gpu_instance_id=_UNKNOWN_GI,
        profile=planned.profile,
        placement=planned.placement,
        memory_mib=planned.memory_mib,
        uuid=uuid,
    )


def _gateway(desired: Desired, metrics: int, servers: Sequence[str]) -> Launch:
    gateway = desired.gateway
    return lone_gateway_launch(
        desired.stack,
        new_settings(host=gateway.host, port=gateway.port, metrics_port=metrics),
        servers,
        image=gateway.image,
        user=_owner_of(gateway.api_keys_file) if gateway.api_keys_file else OWN_USER,
        keys_file=gateway.api_keys_file,
    )


def _owner_of(keys_file: str) -> str:
    """Say who can read the keys: compose hands a file in as it is, with its owner and mode."""
    try:
        found = Path(keys_file).stat()
    except OSError as error:
        raise SecretMissingError(
            f"cannot read the keys file {keys_file}: {error.strerror}",
            hint=f"write one key per line into it, then: chmod 600 {keys_file}",
        ) from error
    return f"{found.st_uid}:{found.st_gid}"


def _secrets(gateway: DesiredGateway) -> Mapping[str, Mapping[str, str]]:
    """Say where each secret is; a container that does not need one does not get it."""
    in_variable = bool(os.environ.get("HF_TOKEN", "").strip())
    token = {"environment": "HF_TOKEN"} if in_variable else {"file": str(token_file())}
    keys = gateway.api_keys_file
    return {HF_TOKEN: token} | ({keys: {"file": keys}} if keys else {})


def _comment(prepared: Prepared, seat: Seat) -> str:
    gpu = prepared.observed.gpu(seat.slice.gpu_uuid)
    kind = "simulated " if prepared.observed.simulated else ""
    where = f"{seat.slice.profile} at {seat.slice.placement} of {kind}GPU {gpu.index}"
    model = next(m for m in prepared.desired.models if m.name == seat.replica.model)
    what = " ".join(model.source.split())
    return f"{seat.replica} on {where}{f': {what}' if what else ''}"


def _gateway_comment(gateway: DesiredGateway) -> str:
    keys = "with keys" if gateway.api_keys_file else "without keys"
    return (
        f"OpenAI's API for all of them, {keys}. It looks for its servers itself, and is on the "
        "machine's own network, where they listen."
    )


def _heading(prepared: Prepared, variables: Collection[str]) -> Iterator[str]:
    source = " ".join(str(prepared.desired.stack_file).split())
    yield f"Stack {prepared.desired.stack}, written by gpuslice {__version__} export compose"
    yield f"from {source}."
    if prepared.observed.simulated:
        yield "SIMULATED GPUs: no container is given a device; servers compute on the CPU."
    yield ""
    yield "Where gpuslice runs this stack, `gpuslice down` first: it stops the servers and keeps"
    yield "the slices. Then: docker compose up -d"
    yield from _slices_by_hand(prepared, variables)
    yield ""
    yield "What gpuslice did, and nobody does now:"
    yield "- Slices are not made and not kept. The driver forgets them when the machine restarts."
    yield "- A server that ends is started again, one that hangs is not (docker compose ps tells)."
    yield "- A change that fails is not undone; nobody checks that a model fits its slice."
    yield "- Whether a port is free, an image here, or a CDI specification fresh is not looked at."


def _slices_by_hand(prepared: Prepared, variables: Collection[str]) -> Iterator[str]:
    if prepared.observed.simulated:
        return
    now, anew = steps(prepared.plan), _all_anew(prepared)
    same = [by_hand(s, prepared.observed) for s in now] == [
        by_hand(s, prepared.observed) for s in anew
    ]
    if now:
        again = ", and again whenever the machine has restarted" if same else ""
        yield ""
        yield f"The slices have to be made first{again}:"
        yield from (f"  {by_hand(step, prepared.observed)}" for step in now)
    if variables:
        yield ""
        yield "Then `nvidia-smi -L` shows their UUIDs. Put them into a file .env beside this one:"
        yield from (f"  {name}=MIG-…" for name in variables)
    if not same:
        yield ""
        yield "When the machine has restarted, make the slices again (as root), each in its place,"
        yield "and compare their UUIDs with those below (nvidia-smi -L):"
        yield from (f"  {by_hand(step, prepared.observed)}" for step in anew)


def _all_anew(prepared: Prepared) -> tuple[Step, ...]:
    """List what makes every slice of the stack on GPUs that have forgotten theirs."""
    seats = sorted(prepared.plan.seats, key=lambda s: (s.slice.gpu_uuid, s.slice.placement))
    gpus = dict.fromkeys(seat.slice.gpu_uuid for seat in seats)
    creations = (
        CreateSlice(planned=_planned(prepared, seat), replica=seat.replica) for seat in seats
    )
    return (*(EnableMig(gpu_uuid=uuid) for uuid in gpus), *creations)


def _planned(prepared: Prepared, seat: Seat) -> PlannedSlice:
    if seat.created:
        return seat.created
    found = seat.slice
    geometry = prepared.observed.gpu(found.gpu_uuid).geometry
    profile = geometry.named(found.profile) if geometry else None
    assert profile is not None, "a slice that exists has a profile of its GPU"
    return PlannedSlice(
        gpu_uuid=found.gpu_uuid,
        placement=found.placement,
        profile=found.profile,
        profile_id=profile.id,
        memory_mib=found.memory_mib,
    )
