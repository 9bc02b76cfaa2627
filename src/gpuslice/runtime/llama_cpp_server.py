"""The program behind engine ``llama.cpp``: one GGUF file, served by llama.cpp's own HTTP server.

Separate because it runs as a process of its own: ``python -m gpuslice.runtime.llama_cpp_server``.
The xllamacpp wheel has the server but no command line, and what it says about a broken file or a
taken port has to be made readable: whatever goes wrong, the last line of the log says it.

Memory: llama.cpp divides its context among its parallel slots, so it gets context × parallel
tokens and every request has the whole context. Its cache of old prompts, up to 8 GiB of host memory
that no sizing knows of, is off unless asked for (``--set cache_ram_mib=…``).

On a slice every layer goes to the GPU, and fitting is off: a model that is too large for its slice
fails at once instead of crawling half on the CPU.

Source: llama.cpp's server README; xllamacpp's CommonParams (llama.cpp's common_params).
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from gpuslice.errors import EngineMissingError, GpusliceError, ModelNotFoundError, RuntimeFailure
from gpuslice.runtime.ports import check_port_free

_ALL_LAYERS = 999
_HTTP_THREADS_BESIDE_SLOTS = 4  # health, metrics and model list stay answerable under full load
_END_WITHIN_S = 3
_GGUF_MAGIC = b"GGUF"
# CommonParams that the options above, or the gateway, answer for.
_NOT_SETTABLE = frozenset(
    {"api_keys", "endpoint_metrics", "hf_token", "n_ctx", "n_parallel", "port", "ui"}
)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        0 after a signal, 1 when the model could not be served (2 for unusable arguments).
    """
    options = _parser().parse_args(arguments)
    try:
        params = _params(options)
        _serve(params, options)
    except GpusliceError as error:
        hint = f"; {error.hint}" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr, flush=True)  # noqa: T201 - the log
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse with one clear last line instead of a usage text."""

    def error(self, message: str) -> NoReturn:
        known = " ".join(sorted(flag for flag in self._option_string_actions if flag != "-h"))
        self.exit(2, f"error: {message}; known arguments: {known}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="llama_cpp_server", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="name that clients ask for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--context-tokens", type=int, default=4096, help="context of one request")
    parser.add_argument("--parallel", type=int, default=1, help="requests answered side by side")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads")
    parser.add_argument("--batch-size", type=int, default=0, help="tokens of one prefill step")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any plain setting of xllamacpp.CommonParams, such as cache_type_k=GGML_TYPE_Q8_0",
    )
    return parser


def _params(options: argparse.Namespace) -> Any:
    _check_model(options.model)
    check_port_free(options.host, options.port)
    xllamacpp = _import_xllamacpp()
    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames = [options.host]
    params.port = options.port
    params.endpoint_metrics = True
    params.ui = False
    params.cache_ram_mib = 0
    params.n_ctx = options.context_tokens * options.parallel
    params.n_parallel = options.parallel
    params.n_threads_http = options.parallel + _HTTP_THREADS_BESIDE_SLOTS
    params.cpuparams.n_threads = options.threads
    params.n_gpu_layers = _ALL_LAYERS if _has_gpu(xllamacpp) else 0
    params.fit_params = False
    if options.batch_size:
        params.n_batch = options.batch_size
    for setting in options.set:
        set_param(params, setting)
    return params


def _check_model(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise ModelNotFoundError(f"cannot read the model file {path}: {error.strerror}") from error
    if magic != _GGUF_MAGIC:
        raise RuntimeFailure(f"{path} is not a GGUF file", hint="llama.cpp serves .gguf files only")


def _import_xllamacpp() -> Any:
    try:
        import xllamacpp  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise EngineMissingError(
            f"xllamacpp cannot be imported ({error})", hint="pip install 'gpuslice[cpu]'"
        ) from error
    return xllamacpp


def _has_gpu(xllamacpp: Any) -> bool:
    return any("GPU" in str(device["type"]) for device in xllamacpp.get_device_info())


def set_param(params: Any, setting: str) -> None:
    """Set one of llama.cpp's parameters from ``name=value``.

    Args:
        params: An `xllamacpp.CommonParams`.
        setting: The setting; the value is read by the type the parameter has now, enumerations
            by the name of their member.

    Raises:
        RuntimeFailure: No such parameter, not a plain one, or not a value of its type.
    """
    name, equals, text = setting.partition("=")
    settable = _settable(params)
    if not equals or name not in settable:
        close = difflib.get_close_matches(name, settable, n=1)
        raise RuntimeFailure(
            f"--set {setting}: not a settable parameter of llama.cpp",
            hint=f"did you mean {close[0]}=…?" if close else "write NAME=VALUE",
        )
    current = getattr(params, name)
    try:
        setattr(params, name, _value_like(current, text))
    except (KeyError, ValueError, OverflowError) as error:
        raise RuntimeFailure(f"--set {setting}: {_expected(current)}") from error


def _settable(params: Any) -> list[str]:
    names = (name for name in dir(params) if not name.startswith("_"))
    plain = (name for name in names if isinstance(getattr(params, name), (int, float, str, Enum)))
    return [name for name in plain if name not in _NOT_SETTABLE]


def _value_like(current: object, text: str) -> object:
    match current:
        case Enum():
            return type(current)[text]
        case bool():
            return {"true": True, "false": False}[text.lower()]
        case int() | float():
            return type(current)(text)
        case _:
            return text


def _expected(current: object) -> str:
    match current:
        case Enum():
            return "expected one of " + ", ".join(type(current).__members__)
        case bool():
            return "expected true or false"
        case _:
            return f"expected a value of type {type(current).__name__}"


def _serve(params: Any, options: argparse.Namespace) -> None:
    """Load, listen, and return after a signal.

    While the model loads no Python code runs, so signals keep their default action: the process
    ends at once, and nothing is lost. Afterwards they wake this thread through a descriptor,
    because llama.cpp's threads may be the ones that receive them.
    """
    xllamacpp = _import_xllamacpp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise RuntimeFailure(
            f"llama.cpp cannot serve {options.model} with {options.parallel} × "
            f"{options.context_tokens} tokens of context: {error}",
            hint="its own lines above say why",
        ) from error
    print(f"serving {options.alias} on {server.listening_address}", flush=True)  # noqa: T201 - the log
    _wait_for_signal()
    signal.alarm(_END_WITHIN_S)  # the kernel ends us if open streams keep the server from closing
    del server


def _wait_for_signal() -> None:
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(readable, True)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    os.read(readable, 1)


if __name__ == "__main__":
    sys.exit(main())
