"""llama.cpp on one slice: its own server, or the one inside the xllamacpp wheel.

Separate from the program for the wheel (``gpuslice.runtime.llama_cpp_server``): this room only
describes. Where a request names a program, that is llama.cpp's own ``llama-server``, which a build
for CUDA has; so is the entry point of an image that the user names. Where it names neither, our
small program around the wheel's server is meant.

- **Memory.** llama.cpp divides its context among its slots, so ``llama-server`` gets context ×
  parallel tokens. Every layer goes to the slice and fitting is off, so that a model that is too
  large fails at once instead of crawling half on the CPU; the cache of old prompts in host memory,
  which no sizing knows of, is off. The last two are set by variables, because builds that do not
  know them ignore a variable and refuse an argument.
- **Metrics** are off unless asked for.

Source: xllamacpp's README; llama.cpp's server README (``--metrics``, ``/health``, ``(env: …)``).
"""

from __future__ import annotations

from dataclasses import replace

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.arguments import merge_arguments, overruled, refuse_arguments
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.by_hand import on_host
from gpuslice.engines.environment import bind_environment, refuse_variables
from gpuslice.engines.questions import GENERATING_OR_EMBEDDING
from gpuslice.model.server import Launch, MetricNames

PROGRAM = "gpuslice.runtime.llama_cpp_server"
SERVER = "llama-server"
# llama.cpp adds a request's tokens to tokens_predicted_total only when it ends. Its steps, times
# the slots that were busy in an average step, move while it runs and come to the same in the end.
METRICS = MetricNames(
    requests_running="llamacpp:requests_processing",
    generated_tokens_total="llamacpp:n_decode_total",
    generated_tokens_factor="llamacpp:n_busy_slots_per_decode",
    prompt_tokens_total="llamacpp:prompt_tokens_total",
)

_ALL_LAYERS = "999"  # older builds do not know the word "all"
_SERVER_ENVIRONMENT = (("LLAMA_ARG_CACHE_RAM", "0"), ("LLAMA_ARG_FIT", "off"))
_ALIASES = {
    "-m": "--model",
    "-a": "--alias",
    "-c": "--ctx-size",
    "-np": "--parallel",
    "-t": "--threads",
    "-ngl": "--n-gpu-layers",
    "--gpu-layers": "--n-gpu-layers",
    "-hf": "--hf-repo",
    "-hfr": "--hf-repo",
    "-mu": "--model-url",
    "-dr": "--docker-repo",
}
_KEYS = "keys belong to the gateway (gateway.api_keys_file), never to a command line"
_RESERVED = {
    "--model": "the file is the model's `model:`",
    "--alias": "clients ask for the model by its name in the stack file",
    "--host": "servers listen on loopback, behind the gateway",
    "--port": "gpuslice chooses a free port for every server",
    "--api-key": _KEYS,
}
_SERVER_RESERVED = _RESERVED | {
    "--hf-repo": "the file is the model's `model:`",
    "--model-url": "the file is the model's `model:`",
    "--docker-repo": "the file is the model's `model:`",
    "--models-dir": "a server has one model, which is the model's `model:`",
    "--models-preset": "a server has one model, which is the model's `model:`",
    "--api-key-file": _KEYS,
    "--api-prefix": "the gateway asks servers below /v1",
    "--ssl-key-file": "the gateway asks servers on loopback, without TLS",
    "--ssl-cert-file": "the gateway asks servers on loopback, without TLS",
}
_WRITE_AN_ARGUMENT = "an argument of gpuslice's counts instead; write {flag} into args"
_VARIABLES = {"LLAMA_API_KEY": _KEYS, "LLAMA_ARG_API_KEY_FILE": _KEYS}
# The program hears a variable where no argument says otherwise; gpuslice gives some of these.
_SERVER_VARIABLES = _VARIABLES | {
    "LLAMA_ARG_API_PREFIX": _SERVER_RESERVED["--api-prefix"],
    "LLAMA_ARG_SSL_KEY_FILE": _SERVER_RESERVED["--ssl-key-file"],
    "LLAMA_ARG_SSL_CERT_FILE": _SERVER_RESERVED["--ssl-cert-file"],
    "LLAMA_ARG_MODEL": _RESERVED["--model"],
    "LLAMA_ARG_HF_REPO": _SERVER_RESERVED["--hf-repo"],
    "LLAMA_ARG_MODEL_URL": _SERVER_RESERVED["--model-url"],
    "LLAMA_ARG_DOCKER_REPO": _SERVER_RESERVED["--docker-repo"],
    "LLAMA_ARG_MODELS_DIR": _SERVER_RESERVED["--models-dir"],
    "LLAMA_ARG_MODELS_PRESET": _SERVER_RESERVED["--models-preset"],
    "LLAMA_ARG_ALIAS": _RESERVED["--alias"],
    "LLAMA_ARG_HOST": _RESERVED["--host"],
    "LLAMA_ARG_PORT": _RESERVED["--port"],
    "LLAMA_ARG_CTX_SIZE": _WRITE_AN_ARGUMENT.format(flag="--ctx-size"),
    "LLAMA_ARG_N_PARALLEL": _WRITE_AN_ARGUMENT.format(flag="--parallel"),
    "LLAMA_ARG_N_GPU_LAYERS": _WRITE_AN_ARGUMENT.format(flag="--n-gpu-layers"),
}
_REASONS = {
    "--context-tokens": "which `context_tokens` says and the slice was chosen for",
    "--ctx-size": "which is `context_tokens` times `concurrency` and what the slice was chosen for",
    "--parallel": "which `concurrency` says and the slice was chosen for",
    "--n-gpu-layers": "which puts every layer on the slice",
}


class LlamaCpp:
    """Engine ``llama.cpp``: a GGUF file on the slice, or on the CPU with the usual wheel."""

    name = "llama.cpp"

    def __init__(self, python: str) -> None:
        """Take the interpreter that has gpuslice and xllamacpp installed."""
        self._python = python

    def launch(self, request: ServeRequest) -> Launch:
        """Describe the server program for one GGUF file on one slice.

        Raises:
            StackError: The user's arguments or variables set what gpuslice has to set.
        """
        own_image = request.in_container and bool(request.surroundings.image)
        own_server = bool(request.program) or own_image
        refuse_variables(request, _SERVER_VARIABLES if own_server else _VARIABLES)
        if own_server:
            refuse_arguments(request.replica, _long(request.args), _SERVER_RESERVED)
            flags, aliases = _server_flags(request), _ALIASES
            program = (*filter(None, (request.program,)), "--metrics")
            environment = bind_environment(request, _SERVER_ENVIRONMENT)
        else:
            refuse_arguments(request.replica, request.args, _RESERVED)
            flags, aliases = _wheel_flags(request), {}
            program = ("python3" if request.in_container else self._python, "-m", PROGRAM)
            environment = bind_environment(request)
        arguments = merge_arguments(flags, request.args, aliases=aliases)
        launch = bound_launch(
            self.name,
            request,
            (*program, *arguments),
            environment,
            metrics=METRICS,
            kinds=GENERATING_OR_EMBEDDING,
            notes=overruled(request.replica, flags, request.args, _REASONS, aliases=aliases),
            own_entrypoint=own_image and not request.program,
        )
        return launch if launch.container else replace(launch, by_hand=_by_hand(request))


def _long(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Spell short flags out, so that one table of refused flags has to know one spelling."""
    return tuple(_ALIASES.get(argument, argument) for argument in arguments)


def _by_hand(request: ServeRequest) -> str:
    """Write the line for llama.cpp's own server, whatever program is really run."""
    arguments = (part for flag in _server_flags(request) for part in flag)
    return on_host(request, (SERVER, "--metrics", *arguments))


def _wheel_flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    return (
        *_common_flags(request),
        ("--context-tokens", str(request.context_tokens)),
        ("--parallel", str(request.concurrency)),
        *_thread_flags(request),
    )


def _server_flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    return (
        *_common_flags(request),
        ("--ctx-size", str(request.context_tokens * request.concurrency)),
        ("--parallel", str(request.concurrency)),
        ("--n-gpu-layers", _ALL_LAYERS),
        *_thread_flags(request),
    )


def _common_flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    return (
        ("--model", request.source),
        ("--alias", request.replica.model),
        ("--host", request.listens_on),
        ("--port", str(request.port)),
    )


def _thread_flags(request: ServeRequest) -> tuple[tuple[str, str], ...]:
    return (("--threads", str(request.threads)),) if request.threads else ()
