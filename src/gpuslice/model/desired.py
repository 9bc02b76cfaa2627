"""What a stack file asks for, resolved: sources are absolute, engines are chosen.

Values only. This is what the command line hands to the agent and what the agent writes down, so
that a restarted agent knows what should run without reading the stack file again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gpuslice.model.demand import ReplicaId
from gpuslice.model.gpu import SliceKey
from gpuslice.model.plan import Owned, Plan
from gpuslice.model.server import HandIn, Network

PLACEHOLDERS = (
    "port",
    "model",
    "memory_mib",
    "uuid",
    "name",
    "context_tokens",
    "concurrency",
    "host",
)
"""What is filled in between braces in the command of a user's own server."""


class RuntimeName(StrEnum):
    """Where a server runs."""

    PROCESS = "process"
    DOCKER = "docker"


class Pull(StrEnum):
    """When an image is fetched: where it is missing, at every change, or never."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDocker:
    """The Docker engine that a stack's containers run in, as it was when the stack came up.

    Attributes:
        host: Where it listens, as in ``DOCKER_HOST``; "" for the usual socket.
        network: How containers are reached.
        hand_in: How containers are given their slice.
        pull: When images are fetched.
        cache: Folder of the machine in which the hub's library keeps models.
        hub: Folder of the models themselves where that is not inside ``cache``, else "".
        token: True when the machine had a token for the hub.
        memory_mib: Most memory of the machine for a container whose model does not say, MiB; 0 for
            that of its slice, which on a simulated GPU is the machine's own memory.
    """

    host: str = ""
    network: Network = Network.BRIDGE
    hand_in: HandIn = HandIn.REQUEST
    pull: Pull = Pull.MISSING
    cache: str = ""
    hub: str = ""
    token: bool = False
    memory_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredModel:
    """One model of a stack, without its number of replicas (the plan's seats say that).

    Attributes:
        name: Name in the stack file, and what clients send as ``model``.
        engine: ``vllm``, ``sglang``, ``llama.cpp`` or ``command``.
        source: Hub name, absolute folder, or absolute ``.gguf`` path.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time by one replica.
        args: The user's own arguments.
        command: The user's own argument vector (engine ``command``).
        environment: The user's own variables.
        program: The engine's program, as a path or a name; "" for the usual one.
        ready: What a server is asked before it counts as ready; "" for what suits the engine.
        runtime: Where its servers run.
        image: The user's own image, "" for the engine's usual one.
        port: Port of its first replica, the next ones follow; 0 for any free port.
        host_memory_mib: Most memory of the machine one container may take, MiB; 0 where the file
            does not say.
        beside_mib: What a server takes outside the share of its slice that the engine manages,
            MiB; 0 for what the engine usually leaves.
        reads: Files and folders of the machine that its containers have to see.
        user: ``uid:gid`` without which they could not be read or the cache written, "" where any
            user can.
    """

    name: str
    engine: str
    source: str
    context_tokens: int
    concurrency: int
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    program: str = ""
    ready: str = ""
    runtime: RuntimeName = RuntimeName.PROCESS
    image: str = ""
    port: int = 0
    host_memory_mib: int = 0
    beside_mib: int = 0
    reads: tuple[str, ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredGateway:
    """The one endpoint.

    Attributes:
        host: Address it listens on.
        port: Port it listens on.
        api_keys_file: Absolute path of the client keys, one per line; "" for no keys.
        runtime: Where it runs.
        image: The user's own image, "" for the usual one.
    """

    host: str
    port: int
    api_keys_file: str = ""
    runtime: RuntimeName = RuntimeName.PROCESS
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Commands that are run around every change of slices, as argument vectors; never a shell.

    Attributes:
        before: Run in order before slices or modes are touched; one that fails stops the change.
        after: Run in order when that is over, however it ended.
        timeout_s: How long each of them may take, seconds.
    """

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """A whole stack.

    Attributes:
        stack: Its name.
        stack_file: Where it was read from.
        digest: SHA-256 of the file's bytes, to tell when it has been edited since.
        models: Its models, in the file's order.
        gateway: The endpoint.
        hooks: Commands around every change of its slices.
        docker: The engine for those of its servers that run in containers; None where none does.
    """

    stack: str
    stack_file: str
    digest: str
    models: tuple[DesiredModel, ...]
    gateway: DesiredGateway
    hooks: Hooks = Hooks()
    docker: DesiredDocker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What ``up`` asks of the agent: this stack, by exactly this plan."""

    desired: Desired
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PortLease:
    """The port a replica's server listens on; it keeps it over restarts."""

    replica: ReplicaId
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What gpuslice writes down about a machine: only what cannot be read back.

    Attributes:
        boot_id: Life of the driver that the slices belong to; they never survive into the next.
        desired: The stack that should run, or None after ``down``.
        owned: Slices that are ours, with the replica each was made for.
        ports: Ports of the servers.
        gateway_metrics_port: Private port of the gateway's metrics; 0 before it was chosen.
        mig_enabled: GPUs on which we switched MIG on.
        hooks_due: Commands whose ``after`` part has still to be run: taking down was cut off.
    """

    boot_id: str = ""
    desired: Desired | None = None
    owned: tuple[Owned, ...] = ()
    ports: tuple[PortLease, ...] = ()
    gateway_metrics_port: int = 0
    mig_enabled: tuple[str, ...] = ()
    hooks_due: Hooks | None = None

    def port_of(self, replica: ReplicaId) -> int | None:
        """Return the port leased to a replica, or None."""
        return next((lease.port for lease in self.ports if lease.replica == replica), None)

    def owner_of(self, key: SliceKey) -> Owned | None:
        """Return our note about a slice, or None where it is not ours."""
        return next((owned for owned in self.owned if owned.slice == key), None)
