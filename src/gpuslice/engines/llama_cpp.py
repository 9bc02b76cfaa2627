"""llama.cpp on one slice, through the server inside the xllamacpp wheel.

Separate from the program itself (``gpuslice.runtime.llama_cpp_server``): this room only describes.
The wheel has no command line, so the process is our own small program around its server.

Source: xllamacpp's README; llama.cpp's server README (``--metrics``, ``/health``).
"""

from __future__ import annotations

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.arguments import merge_arguments, refuse_arguments
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.by_hand import in_container
from gpuslice.engines.environment import bind_environment
from gpuslice.model.server import Launch, MetricNames

PROGRAM = "gpuslice.runtime.llama_cpp_server"
# llama.cpp adds a request's tokens to tokens_predicted_total only when it ends. Its steps, times
# the slots that were busy in an average step, move while it runs and come to the same in the end.
METRICS = MetricNames(
    requests_running="llamacpp:requests_processing",
    generated_tokens_total="llamacpp:n_decode_total",
    generated_tokens_factor="llamacpp:n_busy_slots_per_decode",
    prompt_tokens_total="llamacpp:prompt_tokens_total",
)

_RESERVED = {
    "--model": "the file is the model's `model:`",
    "--alias": "clients ask for the model by its name in the stack file",
    "--host": "servers listen on loopback, behind the gateway",
    "--port": "gpuslice chooses a free port for every server",
}


class LlamaCpp:
    """Engine ``llama.cpp``: a GGUF file on the CPU, or on the slice where the wheel has CUDA."""

    name = "llama.cpp"

    def __init__(self, python: str) -> None:
        """Take the interpreter that has gpuslice and xllamacpp installed."""
        self._python = python

    def launch(self, request: ServeRequest) -> Launch:
        """Describe the server program for one GGUF file on one slice.

        Raises:
            StackError: The user's arguments set what gpuslice has to set.
        """
        refuse_arguments(request.replica, request.args, _RESERVED)
        arguments = merge_arguments(_flags(request), request.args)
        command = (self._python, "-m", PROGRAM, *arguments)
        environment = bind_environment(request)
        return bound_launch(
            request, command, environment, by_hand=_by_hand(request), metrics=METRICS
        )


def _by_hand(request: ServeRequest) -> str:
    """Write the line for llama.cpp's own server, whose flags differ from our program's."""
    total = str(request.context_tokens * request.concurrency)
    arguments = ("-m", request.source, "--alias", request.replica.model, "--metrics")
    sizes = ("-c", total, "-np", str(request.concurrency), "--port", str(request.port))
    return in_container(request, "llama-server", (*arguments, *sizes))


def _flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    flags = (
        ("--model", request.source),
        ("--alias", request.replica.model),
        ("--host", "127.0.0.1"),
        ("--port", str(request.port)),
        ("--context-tokens", str(request.context_tokens)),
        ("--parallel", str(request.concurrency)),
    )
    if not request.threads:
        return flags
    return (*flags, ("--threads", str(request.threads)))
