"""vLLM on one slice: its command line, its environment and where its numbers stand.

Separate because vLLM needs things said that it would otherwise guess wrongly on a slice.

- **Scheduler sizes.** vLLM picks them from the memory of the whole board, which a process on a
  slice may not read; it then falls back to the smallest batch and loses 28 to 53 % of its
  throughput (vllm issue #55381). So ``--max-num-batched-tokens`` and ``--max-num-seqs`` are given.
- **Memory.** ``--gpu-memory-utilization`` is a share of what CUDA reports for the visible device,
  which is the slice. 0.90 leaves room for the CUDA context and for graphs that vLLM does not count.
- **Parallelism.** NCCL refuses two slices of one GPU, so one server has exactly one slice.
- **Allocator.** On MIG an out-of-memory can end in an assertion instead of an error (pytorch
  #112377); expandable segments and the NVML-based check are switched off against that.

**MIG UUIDs.** A process can be bound to a slice only by ``CUDA_VISIBLE_DEVICES=MIG-…``. vLLM
releases that convert each entry of that variable with ``int()`` stop with ``ValueError: invalid
literal for int()``; this is reported from vllm issue #6551 up to release 0.20.1 (#41848). The
change that leaves the variable alone is vllm #45026, of June 2026. We pass the UUID and hide
nothing: on an affected release the server ends at once with that line last in its log. The way
round, a container that sees the slice as device 0, belongs to a container runtime.

Source: docs.vllm.ai, "serve" and "Environment Variables"; the issues named above.
"""

from __future__ import annotations

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.arguments import merge_arguments, refuse_arguments
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.by_hand import in_container
from gpuslice.engines.environment import bind_environment
from gpuslice.model.server import Launch, MetricNames

METRICS = MetricNames(
    requests_running="vllm:num_requests_running",
    generated_tokens_total="vllm:generation_tokens_total",
    prompt_tokens_total="vllm:prompt_tokens_total",
)

_ENVIRONMENT = (
    ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False"),
    ("PYTORCH_NVML_BASED_CUDA_CHECK", "0"),
    ("VLLM_NO_USAGE_STATS", "1"),
)
_ALIASES = {"-tp": "--tensor-parallel-size"}
_RESERVED = {
    "--host": "servers listen on loopback, behind the gateway",
    "--port": "gpuslice chooses a free port for every server",
    "--served-model-name": "clients ask for the model by its name in the stack file",
    "--api-key": "keys belong to the gateway (gateway.api_keys_file), never to a command line",
}
# Below 2048 prefills crawl; above 8192 the activations of one step eat a small slice.
_BATCHED_TOKENS = range(2048, 8192 + 1)


class Vllm:
    """Engine ``vllm``: the program ``vllm serve``, installed by the user."""

    name = "vllm"

    def launch(self, request: ServeRequest) -> Launch:
        """Describe ``vllm serve`` for one model on one slice.

        Raises:
            StackError: The user's arguments set what gpuslice has to set.
        """
        refuse_arguments(request.replica, request.args, _RESERVED)
        arguments = merge_arguments(_flags(request), request.args, aliases=_ALIASES)
        command = ("vllm", "serve", request.source, *arguments)
        environment = bind_environment(request, _ENVIRONMENT)
        return bound_launch(
            request,
            command,
            environment,
            by_hand=in_container(request, "vllm/vllm-openai", ("--model", *command[2:])),
            metrics=METRICS,
        )


def batched_tokens(context_tokens: int, concurrency: int) -> int:
    """Choose how many tokens one scheduler step may hold.

    A whole prompt where that is affordable, in chunks where it is not (chunked prefill is vLLM's
    default), and never fewer than one token for each running request.
    """
    step = min(max(context_tokens, _BATCHED_TOKENS[0]), _BATCHED_TOKENS[-1])
    return max(step, concurrency)


def _flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    tokens = batched_tokens(request.context_tokens, request.concurrency)
    return (
        ("--served-model-name", request.replica.model),
        ("--host", "127.0.0.1"),
        ("--port", str(request.port)),
        ("--max-model-len", str(request.context_tokens)),
        ("--max-num-seqs", str(request.concurrency)),
        ("--max-num-batched-tokens", str(tokens)),
        ("--gpu-memory-utilization", "0.90"),
        ("--tensor-parallel-size", "1"),
    )
