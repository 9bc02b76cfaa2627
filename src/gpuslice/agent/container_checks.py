"""What has to be true of the Docker engine before a change touches anything.

Separate from the other checks, because it takes an engine to ask; nothing here is done for a stack
of processes, which an engine that is down cannot disturb. What an engine says is read first, and
judged by functions of values alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpuslice.agent.launches import images_of
from gpuslice.agent.node import Node
from gpuslice.agent.places import SET_UP
from gpuslice.agent.surroundings import machine_mib
from gpuslice.engines.api import Place
from gpuslice.engines.defects import defect_of
from gpuslice.engines.images import OWN, USUAL, image_of, release_in
from gpuslice.errors import (
    ContainerError,
    EngineBrokenError,
    GpusliceError,
    ImageMissingError,
    StackError,
)
from gpuslice.model.desired import Change, DesiredDocker, DesiredModel, Pull, RuntimeName
from gpuslice.model.server import HandIn, process_name
from gpuslice.runtime.docker.engine import Engine
from gpuslice.runtime.docker.facts import EngineFacts, read_facts
from gpuslice.runtime.docker.images import missing
from gpuslice.runtime.docker.looking import architectures, names_taken

_ALSO_RUNS = {"amd64": ("386",), "arm64": ("arm",)}


def check_containers(node: Node, change: Change) -> None:
    """Refuse a change whose containers could not run.

    Args:
        node: The machine.
        change: What is wanted; nothing is looked at where none of it is a container.

    Raises:
        DockerUnavailableError: The engine does not answer.
        ContainerError: It cannot give a slice as was planned, or a name is somebody else's.
        ImageMissingError: An image is not here and may not be fetched, or is for other machines.
        EngineBrokenError: The release in an image cannot run on a slice.
        StackError: A container may take more memory than the machine has.
    """
    docker = change.desired.docker
    if docker is None:
        return
    for model in change.desired.models:
        if model.runtime is RuntimeName.DOCKER:
            check_release(model)
            check_memory(model, machine_mib())
    facts = read_facts(docker.host)
    engine = Engine(docker.host)
    for trouble in (
        *hand_in_troubles(docker, facts),
        *image_troubles(docker, facts, architectures(engine, images_of(change.desired))),
        *_name_troubles(node, engine, change),
    ):
        raise trouble


def check_memory(model: DesiredModel, whole_mib: int) -> None:
    """Refuse a container that may take more memory than there is.

    Raises:
        StackError: It may.
    """
    if model.host_memory_mib > whole_mib:
        raise StackError(
            f"{model.name}: `host_memory` is {model.host_memory_mib:,} MiB, and this machine has "
            f"{whole_mib:,} MiB.",
            hint="ask for less, or leave `host_memory:` out",
        )


def check_release(model: DesiredModel) -> None:
    """Refuse an image whose tag names a release that is known not to run on a slice.

    Raises:
        EngineBrokenError: It does.
    """
    image = image_of(model.engine, model.image)
    version = release_in(image) if _is_of_engine(image, model.engine) else ""
    defect = defect_of(model.engine, version, Place.CONTAINER)
    if defect is not None:
        raise EngineBrokenError(
            f"{model.name}: {defect.engine} {version} {defect.what}, so it cannot serve on a "
            "slice; nothing was changed.",
            hint=f"name an image of {defect.engine} {defect.fixed_in} or later with `image:`",
            details=(defect.source,),
        )


def hand_in_troubles(docker: DesiredDocker, facts: EngineFacts) -> Iterator[GpusliceError]:
    """Say why an engine cannot give slices as was planned."""
    match docker.hand_in:
        case HandIn.REQUEST:
            able = facts.nvidia_runtime
        case HandIn.CDI:
            able = facts.cdi
        case HandIn.NONE:
            able = True
    if not able:
        yield ContainerError(
            f"The Docker engine {facts.version} cannot give a container a GPU any more.",
            hint=f"{SET_UP}; or plan again",
        )


def image_troubles(
    docker: DesiredDocker, facts: EngineFacts, made_for: Mapping[str, str | None]
) -> Iterator[GpusliceError]:
    """Say which images are missing for good, or made for another kind of machine.

    Args:
        docker: When images are fetched.
        facts: The engine.
        made_for: By image its architecture, None where it is not here.
    """
    for image, architecture in made_for.items():
        if architecture is None:
            if docker.pull is Pull.NEVER or image == OWN:
                yield missing(image)
        elif docker.pull is not Pull.ALWAYS and not _runs_on(architecture, facts.architecture):
            yield ImageMissingError(
                f"The image {image} is made for {architecture}, and this machine is "
                f"{facts.architecture}.",
                hint=f"docker pull --platform linux/{facts.architecture} {image}, or name another "
                "with `image:`",
            )


def _name_troubles(node: Node, engine: Engine, change: Change) -> Iterator[GpusliceError]:
    desired = change.desired
    models = {m.name for m in desired.models if m.runtime is RuntimeName.DOCKER}
    names = {
        process_name(desired.stack, seat.replica)
        for seat in change.plan.seats
        if seat.replica.model in models
    }
    if desired.gateway.runtime is RuntimeName.DOCKER:
        names.add(process_name(desired.stack, None))
    taken = names_taken(engine, f"gpuslice-{desired.stack}-", names, node.machine.root.resolve())
    for name, id_ in sorted(taken.items()):
        yield ContainerError(
            f"The name {name} is taken by container {id_}, which is not ours.",
            hint=f"look at it (docker inspect {id_}), then rename or remove it; or give the stack "
            "another `name:`",
        )


def _is_of_engine(image: str, engine: str) -> bool:
    """Tell whether an image's tag counts releases of the engine itself: its own, or a mirror's."""
    usual = USUAL.get(engine, "").partition(":")[0]
    repository = image.partition("@")[0].removesuffix(f":{_tag(image)}")
    return bool(usual) and (repository == usual or repository.endswith(f"/{usual}"))


def _tag(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def _runs_on(made_for: str, machine: str) -> bool:
    unknown = not made_for or not machine
    return unknown or made_for == machine or made_for in _ALSO_RUNS.get(machine, ())
