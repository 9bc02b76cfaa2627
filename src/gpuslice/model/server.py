"""What runs on a slice: how a server is to be launched, and how it is found again.

Values only. An engine makes a `Launch`, a runtime turns it into a `RunningServer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gpuslice.model.demand import ReplicaId

ServerKey = tuple[str, str]
"""Which server is meant: its name, and the slice it sits on ("" for the gateway). While a replica
moves, its old server and its new one have the same name and live on two slices."""


class Role(StrEnum):
    """What a process of ours does."""

    SERVER = "server"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricNames:
    """Where an engine's counters stand in its Prometheus text; "" where it has none.

    Attributes:
        requests_running: Gauge of requests being answered.
        generated_tokens_total: Counter of tokens produced.
        generated_tokens_factor: Gauge to multiply that counter with, for an engine whose counter
            of tokens moves only at the end of a request and that counts steps meanwhile.
        prompt_tokens_total: Counter of prompt tokens read.
    """

    requests_running: str = ""
    generated_tokens_total: str = ""
    generated_tokens_factor: str = ""
    prompt_tokens_total: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A small request that only a server which can work answers.

    Attributes:
        path: Where it is sent, by POST.
        body: JSON text.
        answer_key: Key of the JSON answer that holds a list with something in it.
    """

    path: str
    body: str
    answer_key: str


class Network(StrEnum):
    """How a container is reached.

    Bridged, it has a network of its own and one port of it is published on loopback. On the host's
    it has the machine's and listens on loopback itself.
    """

    BRIDGE = "bridge"
    HOST = "host"


class HandIn(StrEnum):
    """How a container is given its slice.

    By CDI (``nvidia.com/gpu=MIG-…``), by a device request (``--gpus device=MIG-…``), or not at all:
    on a simulated GPU, where only the environment names the slice.
    """

    CDI = "cdi"
    REQUEST = "request"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the machine that a container sees.

    Attributes:
        source: Absolute path on the machine.
        target: Absolute path in the container.
        read_only: False where the server has to write, as into a cache of models.
    """

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Something that a server reads from a file and nobody reads from its description.

    Attributes:
        name: Which: ``hf-token``, or the absolute path of a file of ours.
        target: Where the container finds it, as a file that only its user can read.
    """

    name: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What a launch needs beside its command where it runs in a container. Free of secrets.

    Attributes:
        image: Name and tag.
        own_entrypoint: True when the command is given to the image's own entry point as arguments;
            False when its first part is the program.
        mounts: What it sees of the machine.
        secrets: What it reads from files of its own.
        user: ``uid:gid`` it runs as, "" for the image's own user.
        read_only: True where nothing but mounts and ``writable`` can be written.
        writable: Folders in memory that it may write, such as ``/tmp``.
        shm_mib: Size of ``/dev/shm``, MiB.
        memory_mib: Most memory of the machine it may take, MiB; 0 for no limit.
        pids: Most processes and threads.
        network: How it is reached.
        hand_in: How it is given the slice.
        labels: What it says of itself beside the usual: its GPU, instance, profile, placement.
    """

    image: str
    own_entrypoint: bool = False
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[Secret, ...] = ()
    user: str = ""
    read_only: bool = False
    writable: tuple[str, ...] = ()
    shm_mib: int = 64
    memory_mib: int = 0
    pids: int = 4096
    network: Network = Network.BRIDGE
    hand_in: HandIn = HandIn.REQUEST
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start one process of ours, complete and free of secrets.

    Attributes:
        stack: Name of the stack.
        role: A model server or the gateway.
        replica: Which replica it serves, or None for the gateway.
        command: Argument vector; never goes through a shell.
        environment: Variables added to a small inherited set (PATH, HOME, locale, proxies).
        port: Port it listens on.
        host: Address it listens on.
        health_path: Path that answers 200 when it listens and has loaded.
        questions: Requests of one token, one for each kind of model; it is ready when it answers
            one of them. Where there are none, ``health_path`` alone decides.
        metrics_path: Path of its Prometheus text, or "".
        metrics: Where its counters stand.
        source: What it serves, as it was told; "" for the gateway.
        slice_uuid: The MIG device it is bound to, or "" for the gateway.
        config_hash: Changes when, and only when, the process has to be replaced.
        shared_gpu: Device that software shares among servers, "" on a slice of its own. Servers
            that share one start one after the other, for each takes the free memory it finds for
            its own; those on slices start side by side.
        by_hand: What a person would have typed instead; for showing only.
        notes: Where the user's arguments overrule ours, in words.
        container: What it needs where it runs in a container; None for a process.
    """

    stack: str
    role: Role
    replica: ReplicaId | None
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    port: int
    host: str = "127.0.0.1"
    health_path: str = "/health"
    questions: tuple[Question, ...] = ()
    metrics_path: str = ""
    metrics: MetricNames = field(default_factory=MetricNames)
    source: str = ""
    slice_uuid: str = ""
    config_hash: str = ""
    shared_gpu: str = ""
    by_hand: str = ""
    notes: tuple[str, ...] = ()
    container: Container | None = None

    @property
    def name(self) -> str:
        """Name of the process, unique on a slice: ``gpuslice-assistants-chat-0``."""
        return process_name(self.stack, self.replica)

    @property
    def key(self) -> ServerKey:
        """What tells it from every other server of the machine."""
        return self.name, self.slice_uuid

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """One process of ours that is alive, as found in the world.

    Attributes:
        name: As `Launch.name`.
        stack: Name of the stack.
        role: A model server or the gateway.
        replica: Which replica, or None for the gateway.
        pid: Leader of its process group (or of the container).
        started_at: Unix time, seconds.
        host: Address it listens on.
        port: Port it listens on.
        slice_uuid: The MIG device it is bound to, or "".
        config_hash: As in the launch it was started from.
        headless: True when the process that was started has ended and only others of its group
            live on, holding the slice's memory; it serves nothing and has to be stopped.
        container: Id of its container, "" for a process.
    """

    name: str
    stack: str
    role: Role
    replica: ReplicaId | None
    pid: int
    started_at: float
    host: str
    port: int
    slice_uuid: str = ""
    config_hash: str = ""
    headless: bool = False
    container: str = ""

    @property
    def key(self) -> ServerKey:
        """As `Launch.key`."""
        return self.name, self.slice_uuid


def process_name(stack: str, replica: ReplicaId | None) -> str:
    """Name a process of a stack: one per replica, and one gateway."""
    if replica is None:
        return f"gpuslice-{stack}-gateway"
    return f"gpuslice-{stack}-{replica.model}-{replica.replica}"
