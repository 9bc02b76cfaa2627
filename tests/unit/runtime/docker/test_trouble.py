"""What engines, runc and NVIDIA's toolkit have said, as people have published it or we have met it.

Each text becomes one sentence and one action; a text that is close to another must not be taken for
it, for the action would be a wrong one.
"""

from __future__ import annotations

import pytest

from gpuslice.errors import (
    ContainerError,
    DockerUnavailableError,
    GpusliceError,
    ImageMissingError,
    PortInUseError,
)
from gpuslice.runtime.docker.trouble import KNOWN, explained, unavailable

DOING = "gpuslice-assistants-chat-0 cannot be started"
HOOK_20 = (
    "OCI runtime create failed: container_linux.go:380: starting container process caused: "
    "process_linux.go:545: container init caused: Running hook #0:: error running hook: exit "
    "status 1, stdout: , stderr: "
)
HOOK_28 = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: error "
    "running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\n"
)
INJECT = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "could not apply required modification to OCI specification: error modifying OCI spec: "
)
SLICE = "MIG-0929581a-2be6-5dec-bf34-0954c6c529a6"

SAID = [
    # The slice. NVIDIA/nvidia-container-toolkit #203, #29, #434, #1537; moby/moby #47633, #45134.
    (
        f"{HOOK_28}nvidia-container-cli: device error: {SLICE}: unknown device: unknown",
        ContainerError,
        "does not know its slice",
    ),
    (
        f"{HOOK_20}nvidia-container-cli: device error: {SLICE}: unknown device: unknown.",
        ContainerError,
        "does not know its slice",
    ),
    (
        f"{INJECT}failed to inject CDI devices: unresolvable CDI devices nvidia.com/gpu={SLICE}",
        ContainerError,
        "made before the slice was",
    ),
    (
        f"CDI device injection failed: unresolvable CDI devices nvidia.com/gpu={SLICE}.",
        ContainerError,
        "made before the slice was",
    ),
    # The toolkit and the driver. NVIDIA/nvidia-docker #1190, #1486, #1629; docker/for-win #13835;
    # vllm-project/vllm #5635.
    (
        'could not select device driver "" with capabilities: [[gpu]]',
        ContainerError,
        "has no NVIDIA runtime",
    ),
    (
        'could not select device driver "cdi" with capabilities: [].',
        ContainerError,
        "does not go by CDI",
    ),
    (
        (
            f"{HOOK_20}nvidia-container-cli: initialization error: nvml error: driver not loaded: "
            "unknown."
        ),
        ContainerError,
        "no answer of the driver",
    ),
    (
        (
            f"{HOOK_28}nvidia-container-cli: initialization error: load library failed: "
            "libnvidia-ml.so.1: cannot open shared object file: no such file or directory: unknown."
        ),
        ContainerError,
        "no answer of the driver",
    ),
    (
        (
            f"{HOOK_28}nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, "
            "please update your driver to a newer version, or use an earlier cuda container: "
            "unknown."
        ),
        ContainerError,
        "older than its image needs",
    ),
    (
        (
            f"{HOOK_20}nvidia-container-cli: container error: cgroup subsystem devices not found: "
            "unknown."
        ),
        ContainerError,
        "may not open the devices",
    ),
    # Ports. docker/compose #3277; winboat-org/winboat #29.
    (
        (
            "driver failed programming external connectivity on endpoint nginx (b05d13ec7f7c): "
            "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use"
        ),
        PortInUseError,
        "its port is taken",
    ),
    (
        (
            "failed to set up container networking: driver failed programming external "
            "connectivity on endpoint x (d5bda004c9be): failed to bind host port for "
            "0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use"
        ),
        PortInUseError,
        "its port is taken",
    ),
    (
        (
            "driver failed programming external connectivity on endpoint x (1a2b): Bind for "
            "127.0.0.1:20001 failed: port is already allocated"
        ),
        PortInUseError,
        "its port is taken",
    ),
    # Disks and images. moby/moby #32811; docker/for-linux #1170; link-assistant/hive-mind #962.
    (
        (
            "failed to register layer: Error processing tar file(exit status 1): write file : no "
            "space left on device"
        ),
        ContainerError,
        "disk of the Docker engine is full",
    ),
    (
        (
            "image with reference pihole/pihole:v5.2.1 was found but does not match the specified "
            "platform: wanted linux/arm64, actual: linux/amd64"
        ),
        ImageMissingError,
        "another kind of machine",
    ),
    (
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for "
            "platform in manifest: not found"
        ),
        ImageMissingError,
        "another kind of machine",
    ),
    # The init. felddy/foundryvtt-docker #683. Then as met with Docker 20.10.24 in our own tests.
    (
        'exec: "docker-init": executable file not found in $PATH',
        ContainerError,
        "has no docker-init",
    ),
    (
        (
            'Conflict. The container name "/gpuslice-assistants-chat-0" is already in use by '
            'container "4c5f". You have to remove (or rename) that container to be able to '
            "reuse that name."
        ),
        ContainerError,
        "not ours",
    ),
    ("No such image: acme/nothing:1.2", ImageMissingError, "no such image"),
]


@pytest.mark.parametrize(("said", "error", "what"), SAID)
def test_words_of_an_engine_become_one_sentence_and_one_action(
    said: str, error: type[GpusliceError], what: str
) -> None:
    found = explained(said, DOING)
    assert type(found) is error
    assert found.message.startswith(f"{DOING}: ")
    assert what in found.message
    assert found.hint
    assert found.details == (said.strip(),)


def test_what_nobody_has_seen_yet_is_passed_on_in_the_engines_words() -> None:
    found = explained("weather", DOING)
    assert type(found) is ContainerError
    assert found.details == ("weather",)


def test_every_row_has_its_sentence_and_its_action() -> None:
    assert all(known.what and known.hint for known in KNOWN)


@pytest.mark.parametrize(
    ("said", "what", "action"),
    [
        ("[Errno 13] Permission denied", "may not use", "docker $USER"),
        ("UnixHTTPConnectionPool: Read timed out. (read timeout=60)", "in time", "status docker"),
        ("[Errno 111] Connection refused", "does not run", "systemctl start docker"),
    ],
)
def test_why_an_engine_cannot_be_asked_is_told(said: str, what: str, action: str) -> None:
    found = unavailable(said, "unix:///run/docker.sock")
    assert type(found) is DockerUnavailableError
    assert "unix:///run/docker.sock" in found.message
    assert what in found.message
    assert action in found.hint
