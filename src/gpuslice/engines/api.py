"""What an engine is: a pure description of one model server on one slice.

An engine turns a request into a `Launch`. It starts nothing and looks at nothing; whether a file
exists or a port is free is for others to find out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import HandIn, Launch, Network


class Place(StrEnum):
    """Where a server runs, which decides how it finds its slice.

    A process is shown its slice by ``CUDA_VISIBLE_DEVICES``. A container is given the slice by the
    container toolkit, sees nothing else, and has it as device 0.
    """

    PROCESS = "process"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a server in a container is to find around it, as far as the machine decides that.

    Attributes:
        image: The user's own image, "" for the engine's usual one.
        network: How it is reached.
        hand_in: How it is given its slice.
        cache: Folder of the machine that the hub's library uses (``HF_HOME``), "" for none.
        hub: Folder of the models themselves where that is not inside ``cache``, else "".
        folders: Folders and files that its model is read from, links followed.
        user: ``uid:gid`` without which it could not read its model or write the cache; "" where
            any user can.
        token: True when the machine has a token for the hub.
        memory_mib: Most memory of the machine it may take, MiB; 0 for no limit.
        labels: What its container says of the slice: GPU, instance, profile, placement.
    """

    image: str = ""
    network: Network = Network.BRIDGE
    hand_in: HandIn = HandIn.REQUEST
    cache: str = ""
    hub: str = ""
    folders: tuple[str, ...] = ()
    user: str = ""
    token: bool = False
    memory_mib: int = 0
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """Everything an engine needs to know to serve one model on one slice.

    Attributes:
        stack: Name of the stack.
        replica: Which replica of which model.
        source: Hub name, absolute folder, or absolute path of a ``.gguf`` file.
        slice_uuid: The MIG device.
        slice_memory_mib: Memory of the slice, MiB: what CUDA reports as the device's total.
        memory_limit_mib: What the server may take of it, MiB, where software shares the device
            (CUDA MPS); 0 where it may have all. CUDA's total does not show such a limit.
        beside_mib: What the server takes outside the share that its engine manages, MiB, where
            that was worked out from the model; 0 for what the engine usually leaves.
        shared_gpu: UUID of the device that software shares among servers, "" on a slice of its
            own. Servers that share one are started one after the other.
        port: Port to listen on, on loopback.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.
        args: The user's own arguments; they come last and win.
        command: The user's own argument vector (engine ``command`` only).
        environment: The user's own variables.
        threads: CPU threads for an engine that computes on the CPU.
        program: The engine's program where it is not the usual one, as a path or a name.
        ready: What the server is asked before it counts as ready (`questions.KINDS`), "" for what
            suits the engine.
        place: A process or a container.
        surroundings: What the container finds around it; counts only where it runs in one.
    """

    stack: str
    replica: ReplicaId
    source: str
    slice_uuid: str
    slice_memory_mib: int
    port: int
    context_tokens: int
    concurrency: int
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    threads: int = 0
    program: str = ""
    ready: str = ""
    place: Place = Place.PROCESS
    memory_limit_mib: int = 0
    beside_mib: int = 0
    shared_gpu: str = ""
    surroundings: Surroundings = Surroundings()

    @property
    def in_container(self) -> bool:
        """True where it runs in a container."""
        return self.place is Place.CONTAINER

    @property
    def allowed_mib(self) -> int:
        """What the server may take, MiB: all of its device, or less where software shares it."""
        return min(self.memory_limit_mib or self.slice_memory_mib, self.slice_memory_mib)

    @property
    def listens_on(self) -> str:
        """Address to listen on: loopback, or all of a container's own, whose port is mapped."""
        own_network = self.in_container and self.surroundings.network is Network.BRIDGE
        return "0.0.0.0" if own_network else "127.0.0.1"  # noqa: S104 - its own


class Engine(Protocol):
    """One kind of model server."""

    @property
    def name(self) -> str:
        """Name in the stack file."""

    def launch(self, request: ServeRequest) -> Launch:
        """Describe the process that serves the request. Equal requests give equal launches."""
