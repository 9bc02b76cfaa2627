"""What the Docker engine refuses, turned into one sentence and the next action.

Separate because it is a table that grows: engines report nearly everything as status 500 with a
text, so texts are what is matched. What is not in the table is passed on in the engine's words.

Source: messages of Docker 20.10 to 29, of runc and of the NVIDIA container toolkit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpuslice.errors import (
    ContainerError,
    DockerUnavailableError,
    GpusliceError,
    ImageMissingError,
    PortInUseError,
)

START_IT = "start it: systemctl start docker"
_CDI = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One sort of refusal.

    Attributes:
        pattern: Found in the engine's words, whatever their case.
        error: What it becomes.
        what: The sentence, behind the name of what was to be done.
        hint: The next action.
    """

    pattern: str
    error: type[GpusliceError]
    what: str
    hint: str


KNOWN = (
    Known(
        pattern=r"no space left on device|disk quota exceeded",
        error=ContainerError,
        what="the disk of the Docker engine is full",
        hint="see what takes it: docker system df; free it: docker system prune",
    ),
    Known(
        pattern=r"port is already allocated|address already in use|eaddrinuse",
        error=PortInUseError,
        what="its port is taken",
        hint="stop what listens there, or name another with `port:`",
    ),
    Known(
        pattern=r"container name .* is already in use",
        error=ContainerError,
        what="its name is taken by a container that is not ours",
        hint="rename or remove that one: docker ps -a --filter name=NAME",
    ),
    Known(
        pattern=r"unresolvable cdi devices|failed to inject cdi devices"
        r"|cdi device injection failed",
        error=ContainerError,
        what="the CDI specification does not know its slice; it was made before the slice was",
        hint=f"make it anew: {_CDI}",
    ),
    Known(
        pattern=r'could not select device driver "cdi"',
        error=ContainerError,
        what="the Docker engine does not go by CDI",
        hint="take Docker 28.2 or later, or write "
        '{"features": {"cdi": true}} into /etc/docker/daemon.json and restart it',
    ),
    Known(
        pattern=r"nvidia-container-cli: requirement error|unsatisfied condition: cuda",
        error=ContainerError,
        what="the NVIDIA driver is older than its image needs",
        hint="install a newer driver, or name an older image with `image:`",
    ),
    Known(
        pattern=r"nvidia-container-cli: initialization error|nvml error",
        error=ContainerError,
        what="the NVIDIA container toolkit gets no answer of the driver",
        hint="look whether it answers at all: nvidia-smi",
    ),
    Known(
        pattern=r"nvidia-container-cli: .*cgroup",
        error=ContainerError,
        what="the NVIDIA container toolkit may not open the devices for it",
        hint="install a newer toolkit; for a rootless engine also set no-cgroups = true in "
        "/etc/nvidia-container-runtime/config.toml",
    ),
    Known(
        pattern=r"unknown device|device error|no such device",
        error=ContainerError,
        what="the NVIDIA container toolkit does not know its slice",
        hint="look whether it is there: nvidia-smi -L; then run `gpuslice up` again",
    ),
    Known(
        pattern=r"could not select device driver|unknown runtime.* nvidia"
        r"|unknown or invalid runtime name: nvidia",
        error=ContainerError,
        what="the Docker engine has no NVIDIA runtime",
        hint="install nvidia-container-toolkit, then: "
        "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker",
    ),
    Known(
        pattern=r"docker-init\"?: executable file not found|docker-init not found",
        error=ContainerError,
        what="the Docker engine has no docker-init",
        hint="install tini as docker-init into its PATH, or Docker's own packages",
    ),
    Known(
        pattern=r"executable file not found|no such file or directory: unknown"
        r"|exec: .* permission denied",
        error=ContainerError,
        what="its image has no such program",
        hint="correct `image:` or `program:`, or leave `program:` out",
    ),
    Known(
        pattern=r"exec format error|image operating system .* cannot be used"
        r"|does not match the (specified|host) platform|no matching manifest",
        error=ImageMissingError,
        what="its image is made for another kind of machine",
        hint="name one for this machine's architecture with `image:`",
    ),
    Known(
        pattern=r"bind source path does not exist",
        error=ContainerError,
        what="a folder that it needs is gone",
        hint="put it back, or correct `model:` in the stack file",
    ),
    Known(
        pattern=r"no such image|manifest .*(unknown|not found)|repository does not exist"
        r"|pull access denied|not found: manifest",
        error=ImageMissingError,
        what="there is no such image",
        hint="correct `image:`, or log in where it is kept: docker login",
    ),
    Known(
        pattern=r"no such host|i/o timeout|network is unreachable|connection refused"
        r"|tls handshake|temporary failure in name resolution|client\.timeout|dial tcp",
        error=ImageMissingError,
        what="where images are kept cannot be reached",
        hint="check the network, or bring the image here: docker load -i FILE",
    ),
    Known(
        pattern=r"toomanyrequests|rate limit",
        error=ImageMissingError,
        what="too many images have been asked for",
        hint="log in (docker login), or try again later",
    ),
    Known(
        pattern=r"memory limit|minimum memory|cgroup",
        error=ContainerError,
        what="the limit of its memory cannot be set",
        hint="correct `host_memory:`; a rootless engine needs cgroups of version 2",
    ),
)


def explained(said: str, doing: str) -> GpusliceError:
    """Turn the engine's words into an error of ours.

    Args:
        said: Its message.
        doing: What it was asked for, as the beginning of a sentence.
    """
    for known in KNOWN:
        if re.search(known.pattern, said, re.IGNORECASE):
            return known.error(f"{doing}: {known.what}.", hint=known.hint, details=(said.strip(),))
    return ContainerError(
        f"{doing}: the Docker engine refused.",
        hint="its own words are above; its log: journalctl -u docker",
        details=(said.strip(),),
    )


def unavailable(said: str, where: str) -> DockerUnavailableError:
    """Say why the engine cannot be asked at all.

    Args:
        said: The exception's words.
        where: Its address, "" for the usual socket.
    """
    place = where or "the usual socket"
    if re.search(r"permission denied", said, re.IGNORECASE):
        return DockerUnavailableError(
            f"You may not use the Docker engine at {place}.",
            hint="run gpuslice with sudo, or join its group: sudo usermod -aG docker $USER",
        )
    if re.search(r"timed? ?out", said, re.IGNORECASE):
        return DockerUnavailableError(
            f"The Docker engine at {place} does not answer in time.",
            hint="look at it: systemctl status docker",
        )
    return DockerUnavailableError(f"The Docker engine at {place} does not run.", hint=START_IT)
