"""vLLM on one slice: its command line, its environment and where its numbers stand.

Separate because vLLM needs things said that it would otherwise guess wrongly on a slice.

- **Scheduler sizes.** vLLM picks them from the memory of the whole board, which a process on a
  slice may not read; it then falls back to the smallest batch and loses 28 to 53 % of its
  throughput (vllm issue #55381). So ``--max-num-batched-tokens`` and ``--max-num-seqs`` are given.
- **Memory.** ``--gpu-memory-utilization`` is a share of what CUDA reports for the visible device,
  which is the slice; `memory` works it out from the slice's real memory.
- **Parallelism.** NCCL refuses two slices of one GPU, so one server has exactly one slice.
- **Allocator.** PyTorch's expandable segments ask NVML for the memory of the parent GPU, which a
  process on a slice may be refused; it then ends in an assertion (pytorch #112377, #197312), so
  they are switched off. ``PYTORCH_NVML_BASED_CUDA_CHECK`` is left to vLLM, which needs it on: off,
  CUDA is initialised before vLLM forks (vllm #42514).
- **Its slice.** ``CUDA_VISIBLE_DEVICES=MIG-…`` works from release 0.24.0 on; earlier ones convert
  each entry with ``int()`` and end. `defects` has the table by which they are refused beforehand.

Source: docs.vllm.ai, "serve" and "Environment Variables"; the issues named above.
"""

from __future__ import annotations

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.arguments import (
    Flags,
    merge_arguments,
    overruled,
    refuse_arguments,
    refuse_parallel,
    values_in,
)
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.environment import bind_environment, refuse_variables
from gpuslice.engines.memory import managed_share
from gpuslice.engines.questions import GENERATING_OR_EMBEDDING
from gpuslice.model.server import Launch, MetricNames

PROGRAM = "vllm"
BESIDE_MIB = 640
"""CUDA context, NCCL and graphs, which vLLM's share of the memory does not count."""

METRICS = MetricNames(
    requests_running="vllm:num_requests_running",
    generated_tokens_total="vllm:generation_tokens_total",
    prompt_tokens_total="vllm:prompt_tokens_total",
)

_ENVIRONMENT = (
    ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False"),
    ("VLLM_NO_USAGE_STATS", "1"),
)
_ALIASES = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
}
_PARALLEL = ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")
_KEYS = "keys belong to the gateway (gateway.api_keys_file), never to a command line"
_RESERVED = {
    "--model": "what is served is the model's `model:`",
    "--host": "servers listen on loopback, behind the gateway",
    "--port": "gpuslice chooses a free port for every server",
    "--uds": "the gateway asks servers by their port",
    "--root-path": "the gateway asks servers below /v1",
    "--ssl-keyfile": "the gateway asks servers on loopback, without TLS",
    "--ssl-certfile": "the gateway asks servers on loopback, without TLS",
    "--served-model-name": "clients ask for the model by its name in the stack file",
    "--api-key": _KEYS,
    "--device-ids": "gpuslice chooses the slice",
    "--config": "what such a file sets would not be seen here; write its options into args",
    "--headless": "the gateway asks servers by HTTP",
}
_REASONS = {
    "--max-model-len": "which `context_tokens` says and the slice was chosen for",
    "--max-num-seqs": "which `concurrency` says and the slice was chosen for",
    "--max-num-batched-tokens": "for which room was left on the slice",
    "--gpu-memory-utilization": "which was worked out from the slice's memory",
}
# Below 2048 prefills crawl; above 8192 the activations of one step eat a small slice.
_BATCHED_TOKENS = range(2048, 8192 + 1)


class Vllm:
    """Engine ``vllm``: the program ``vllm serve``, installed by the user."""

    name = "vllm"

    def launch(self, request: ServeRequest) -> Launch:
        """Describe ``vllm serve`` for one model on one slice.

        Raises:
            StackError: The user's arguments or variables set what gpuslice has to set, or the
                slice is too small for any model.
        """
        refuse_arguments(request.replica, request.args, _RESERVED)
        refuse_parallel(request.replica, request.args, _PARALLEL, aliases=_ALIASES)
        refuse_variables(request, {"VLLM_API_KEY": _KEYS})
        flags = _flags(request)
        arguments = merge_arguments(flags, request.args, aliases=_ALIASES)
        command = (request.program or PROGRAM, "serve", request.source, *arguments)
        return bound_launch(
            self.name,
            request,
            command,
            bind_environment(request, _ENVIRONMENT),
            metrics=METRICS,
            kinds=GENERATING_OR_EMBEDDING,
            notes=_notes(request, flags),
        )


def batched_tokens(context_tokens: int, concurrency: int) -> int:
    """Choose how many tokens one scheduler step may hold.

    A whole prompt where that is affordable, in chunks where it is not (chunked prefill is vLLM's
    default), and never fewer than one token for each running request.
    """
    step = min(max(context_tokens, _BATCHED_TOKENS[0]), _BATCHED_TOKENS[-1])
    return max(step, concurrency)


def _notes(request: ServeRequest, flags: Flags) -> tuple[str, ...]:
    notes = overruled(request.replica, flags, request.args, _REASONS, aliases=_ALIASES)
    cache = values_in(request.args).get("--kv-cache-memory-bytes")
    if cache is None:
        return notes
    note = (
        f"{request.replica.model}: --kv-cache-memory-bytes {cache} from args counts, and the share "
        "of the slice's memory that was worked out does not"
    )
    return (*notes, note)


def _flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    tokens = batched_tokens(request.context_tokens, request.concurrency)
    return (
        ("--served-model-name", request.replica.model),
        ("--host", request.listens_on),
        ("--port", str(request.port)),
        ("--max-model-len", str(request.context_tokens)),
        ("--max-num-seqs", str(request.concurrency)),
        ("--max-num-batched-tokens", str(tokens)),
        ("--gpu-memory-utilization", managed_share(request, beside_mib=BESIDE_MIB)),
        ("--tensor-parallel-size", "1"),
    )
