"""SGLang on one slice: its command line, its environment and where its numbers stand.

Separate because SGLang divides memory in another way than vLLM does.

- **Memory.** ``--mem-fraction-static`` is the share of the device for weights and KV cache
  together. Activations, graphs and the CUDA context must fit beside it, so more is left than for
  vLLM, which counts its activations inside; how much grows with the tokens of one step.
- **Scheduler sizes.** SGLang picks them from the memory it believes the GPU to have, which on a
  slice may be the whole board's; so ``--max-running-requests`` and ``--chunked-prefill-size`` are
  given.
- **Parallelism and allocator**: as for vLLM; one server has one slice.
- **Keys.** SGLang takes a key only as an argument, which every user of the machine can read. So
  its servers have none, and listen on loopback.

Source: docs.sglang.io, "Server Arguments" and "Production Metrics"; the sum of what is left beside
the fraction is that of vLLM's measured activations (docs/engines.md) and has not been measured with
SGLang.
"""

from __future__ import annotations

from fractions import Fraction

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.arguments import (
    merge_arguments,
    overruled,
    refuse_arguments,
    refuse_parallel,
)
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.environment import bind_environment
from gpuslice.engines.memory import managed_share
from gpuslice.engines.questions import GENERATING_OR_EMBEDDING
from gpuslice.model.server import Launch, MetricNames

PROGRAM = "sglang"
_LARGEST_SHARE = Fraction(9, 10)  # not measured; vLLM's was

METRICS = MetricNames(
    requests_running="sglang:num_running_reqs",
    generated_tokens_total="sglang:generation_tokens_total",
    prompt_tokens_total="sglang:prompt_tokens_total",
)

_ENVIRONMENT = (("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False"),)
_ALIASES = {
    "--tp": "--tp-size",
    "--tensor-parallel-size": "--tp-size",
    "--pp": "--pp-size",
    "--pipeline-parallel-size": "--pp-size",
    "--dp": "--dp-size",
    "--data-parallel-size": "--dp-size",
}
_PARALLEL = ("--tp-size", "--pp-size", "--dp-size", "--nnodes")
_KEYS = "keys belong to the gateway (gateway.api_keys_file), never to a command line"
_RESERVED = {
    "--model-path": "what is served is the model's `model:`",
    "--host": "servers listen on loopback, behind the gateway",
    "--port": "gpuslice chooses a free port for every server",
    "--served-model-name": "clients ask for the model by its name in the stack file",
    "--api-key": _KEYS,
    "--admin-api-key": _KEYS,
    "--ssl-keyfile": "the gateway asks servers on loopback, without TLS",
    "--ssl-certfile": "the gateway asks servers on loopback, without TLS",
    "--config": "what such a file sets would not be seen here; write its options into args",
    "--base-gpu-id": "gpuslice chooses the slice",
    "--grpc-mode": "the gateway asks servers by HTTP",
    "--fastapi-root-path": "the gateway asks servers below /v1",
}
_REASONS = {
    "--context-length": "which `context_tokens` says and the slice was chosen for",
    "--max-running-requests": "which `concurrency` says and the slice was chosen for",
    "--chunked-prefill-size": "for which room was left on the slice",
    "--mem-fraction-static": "which was worked out from the slice's memory",
}
_BESIDE_MIB = 640 + 256  # context, NCCL and graphs; what activations take at least
_BESIDE_MIB_PER_1024_TOKENS = 154
_STEP_TOKENS = range(2048, 8192 + 1)


class Sglang:
    """Engine ``sglang``: the program ``sglang serve``, installed by the user."""

    name = "sglang"

    def launch(self, request: ServeRequest) -> Launch:
        """Describe ``sglang serve`` for one model on one slice.

        Raises:
            StackError: The user's arguments set what gpuslice has to set, or the slice is too
                small for any model.
        """
        refuse_arguments(request.replica, request.args, _RESERVED)
        refuse_parallel(request.replica, request.args, _PARALLEL, aliases=_ALIASES)
        flags = _flags(request)
        command = (request.program or PROGRAM, "serve", *_arguments(request))
        return bound_launch(
            self.name,
            request,
            command,
            bind_environment(request, _ENVIRONMENT),
            metrics=METRICS,
            kinds=GENERATING_OR_EMBEDDING,
            notes=overruled(request.replica, flags, request.args, _REASONS, aliases=_ALIASES),
        )


def step_tokens(context_tokens: int) -> int:
    """Choose how many tokens of a prompt one step reads: all of it where that is affordable."""
    return min(max(context_tokens, _STEP_TOKENS[0]), _STEP_TOKENS[-1])


def _arguments(request: ServeRequest) -> tuple[str, ...]:
    """Write all arguments; ours that has no value comes first, since it replaces nothing."""
    merged = merge_arguments(_flags(request), request.args, aliases=_ALIASES)
    return ("--enable-metrics", *merged)


def _flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    tokens = step_tokens(request.context_tokens)
    beside_mib = _BESIDE_MIB + _BESIDE_MIB_PER_1024_TOKENS * tokens // 1024
    return (
        ("--model-path", request.source),
        ("--served-model-name", request.replica.model),
        ("--host", request.listens_on),
        ("--port", str(request.port)),
        ("--context-length", str(request.context_tokens)),
        ("--max-running-requests", str(request.concurrency)),
        ("--chunked-prefill-size", str(tokens)),
        (
            "--mem-fraction-static",
            managed_share(request, beside_mib=beside_mib, largest=_LARGEST_SHARE),
        ),
        ("--tp-size", "1"),
    )
