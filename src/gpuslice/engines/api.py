"""What an engine is: a pure description of one model server on one slice.

An engine turns a request into a `Launch`. It starts nothing and looks at nothing; whether a file
exists or a port is free is for others to find out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gpuslice.model.demand import ReplicaId
from gpuslice.model.server import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """Everything an engine needs to know to serve one model on one slice.

    Attributes:
        stack: Name of the stack.
        replica: Which replica of which model.
        source: Hub name, absolute folder, or absolute path of a ``.gguf`` file.
        slice_uuid: The MIG device.
        slice_memory_mib: Memory of the slice, MiB.
        port: Port to listen on, on loopback.
        context_tokens: Longest context of one request, tokens.
        concurrency: Requests answered at the same time.
        args: The user's own arguments; they come last and win.
        command: The user's own argument vector (engine ``command`` only).
        environment: The user's own variables.
        threads: CPU threads for an engine that computes on the CPU.
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


class Engine(Protocol):
    """One kind of model server."""

    @property
    def name(self) -> str:
        """Name in the stack file."""

    def launch(self, request: ServeRequest) -> Launch:
        """Describe the process that serves the request. Equal requests give equal launches."""
