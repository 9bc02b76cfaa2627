"""What went wrong when a server did not come up, read from the last lines of its log: pure.

Separate because it is a table of what engines say. A log ends in a hundred lines of traceback, of
which one line tells; on a slice that line is often misleading as well (running out of memory shows
as an assertion of the allocator, an unreadable UUID as an unknown model). Each row turns one such
line into a sentence and one next action.

Rows are in the order in which causes hide each other: the first row that fits any line counts. A
failure nobody has written a row for gives no diagnosis, never a guess.

Source: every row has a sample with its public source in tests/golden/engine_logs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_LINE = 2000
_MOST_LINES = 2000
_START = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+\S* gpuslice starts ")  # as the runtime writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a server did not come up.

    Attributes:
        cause: What went wrong, a sentence without its full stop.
        remedy: The next action, a sentence.
    """

    cause: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One failure: how its line looks, and what it means; ``{name}`` takes a named group."""

    line: re.Pattern[str]
    cause: str
    remedy: str


def _row(line: str, cause: str, remedy: str) -> _Row:
    return _Row(line=re.compile(line), cause=cause, remedy=remedy)


_MORE_ROOM = "Ask for a larger slice, or lower context_tokens or concurrency."
_OUT_OF_MEMORY = "it ran out of memory on its slice"

_ROWS = (
    _row(
        r"invalid literal for int\(\) with base 10: '(?P<uuid>MIG-[^']{1,99})'",
        "this release of the engine takes the UUID of a slice for a number",
        "Install a newer one (vLLM 0.24.0 or later); docs/engines.md has the table.",
    ),
    _row(
        r"Access to model (?P<model>\S{1,200}) is restricted",
        "the model {model} is gated at its hub, and this machine has no access to it",
        "Accept its terms at the hub, then log in with `hf auth login` or set HF_TOKEN.",
    ),
    _row(
        r"gated repo|GatedRepoError",
        "the model is gated at its hub, and this machine has no access to it",
        "Accept its terms at the hub, then log in with `hf auth login` or set HF_TOKEN.",
    ),
    _row(
        r"RepositoryNotFoundError|is not a valid model identifier|Repository Not Found for url",
        "the hub knows no such model, or does not show it to this machine",
        "Correct `model:` in the stack file.",
    ),
    _row(
        r"We couldn't connect to '(?P<hub>[^']{1,200})'|Temporary failure in name resolution"
        r"|LocalEntryNotFoundError",
        "the model hub cannot be reached, and the model is not in this machine's cache",
        "Mend the network, or fetch the model elsewhere and name its folder as `model:`.",
    ),
    _row(
        r"\[Errno (?:28|122)\]|No space left on device|Disk quota exceeded",
        "a disk that it writes to is full",
        "Make room where the model is downloaded to (HF_HOME, ~/.cache/huggingface) and in /tmp.",
    ),
    _row(
        r"Error while deserializing header: (?P<what>\w{1,60})"
        r"|(?P<other>data is not within the file bounds), model is corrupted or incomplete",
        "a file of the model is broken or half downloaded ({what}{other})",
        "Fetch the model again; a file of the hub's cache has to be removed first.",
    ),
    _row(
        r"NVML_SUCCESS == r INTERNAL ASSERT FAILED",
        f"{_OUT_OF_MEMORY}, which PyTorch shows as an assertion of its allocator under MIG",
        _MORE_ROOM,
    ),
    _row(
        r"max seq len \((?P<tokens>\d+)\), \((?P<needed>[\d.]+) GiB KV cache is needed.*"
        r"KV cache memory \((?P<there>[\d.]+) GiB\).*maximum model length is (?P<most>\d+)",
        "one request of {tokens} tokens needs {needed} GiB of KV cache, and {there} GiB are left",
        "Set context_tokens to {most} at most, or ask for a larger slice.",
    ),
    _row(
        r"max seq len \((?P<tokens>\d+)\)(?: is larger than the maximum number of tokens that can"
        r" be stored in KV cache \(\d+\)|, \([\d.]+ GiB KV cache is needed)",
        "one request of {tokens} tokens needs more KV cache than is left",
        "Lower context_tokens, or ask for a larger slice.",
    ),
    _row(
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived"
        r" max_model_len \(\w+=(?P<made>[\d.]*\d)",
        "the model was made for {made} tokens, and {asked} are asked for",
        "Set context_tokens to {made} at most.",
    ),
    _row(
        r"No available memory for the cache blocks"
        r"|Not enough memory\. Please try to increase --mem-fraction-static"
        r"|Not enough memory to allocate KV cache",
        "its weights leave no room for KV cache on the slice",
        "Ask for a larger slice, or for a model with smaller weights.",
    ),
    _row(
        r"Free memory on device (?:cuda:\d+ )?\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup"
        r" is less than desired GPU memory utilization \([\d.]+, (?P<wanted>[\d.]+) GiB\)",
        "only {free} of {total} GiB were free when it started, and it was to take {wanted} GiB",
        "See who else is on the slice with `nvidia-smi`, or set --gpu-memory-utilization in args.",
    ),
    _row(
        r"(?P<what>\w+) is only supported on GPUs with compute capability of at least"
        r" (?P<least>[\d.]*\d)",
        "{what} needs a GPU of compute capability {least} or later",
        "Choose another number format with --dtype in args, such as --dtype half.",
    ),
    _row(
        r"The quantization method (?P<what>\S+) is not supported for the current GPU",
        "this GPU cannot compute with the quantization {what}",
        "Name a model that is quantized in another way, or a card of a later generation.",
    ),
    _row(
        r"no kernel image is available for execution on the device"
        r"|is not compatible with the current PyTorch installation",
        "the installed engine has no code for this GPU's compute capability",
        "Install a release that was built for this GPU.",
    ),
    _row(
        r"CUDA out of memory|torch\.OutOfMemoryError|CUDA error: out of memory"
        r"|cudaMalloc failed: out of memory",
        _OUT_OF_MEMORY,
        _MORE_ROOM,
    ),
    _row(
        r"^gpuslice: killed, for it needed more than its limit of (?P<limit>[\d,]{1,20} \w+)",
        "it needed more than its limit of {limit} of the machine's memory and was killed",
        "Raise `host_memory:` of the model in the stack file.",
    ),
    _row(
        r"^\[FATAL tini \(\d+\)\] exec (?P<what>\S{1,200}) failed: ",
        "its image has no program {what} that runs on this machine",
        "Correct `image:` or `program:` in the stack file.",
    ),
    _row(
        r"CUDA-capable device\(?s?\)? (?:is/are|are) busy or unavailable",
        "its GPU does not let it in",
        "End the MPS daemon or the exclusive mode that holds it (`nvidia-smi -q -d COMPUTE`).",
    ),
    _row(
        r"driver on your system is too old(?: \(found version (?P<found>\d{1,9})\))?"
        r"|CUDA driver version is insufficient for CUDA runtime version",
        "the NVIDIA driver is older than the engine's CUDA needs",
        "Install a newer driver, or a build of the engine for the driver's CUDA (`nvidia-smi`).",
    ),
    _row(
        r"Could not find nvcc|No such file or directory: 'nvcc'|bin/nvcc: not found",
        "it wants to compile kernels for this GPU, and finds no CUDA compiler (nvcc)",
        "Install the CUDA toolkit, or the release of flashinfer with compiled kernels.",
    ),
    _row(
        r"Duplicate GPU detected",
        "it was to work on several slices of one GPU, which NCCL refuses",
        "Serve it on one larger slice, or ask for more replicas.",
    ),
    _row(
        r"No CUDA GPUs are available|no CUDA-capable device is detected"
        r"|libcuda\.so\.1: cannot open shared object file",
        "it found no GPU",
        "Look at the driver and the slice with `gpuslice doctor`.",
    ),
    _row(
        r"[Aa]ddress already in use|EADDRINUSE|couldn't bind HTTP server socket",
        "another program listens on its port",
        "Run `gpuslice up` again; it chooses another port.",
    ),
    _row(
        r"error: unrecognized arguments: (?P<what>.{1,200})|"
        r"error: invalid argument: (?P<other>.{1,200})",
        "it does not know an argument it was given: {what}{other}",
        "Correct `args:` in the stack file, or install a release that knows it.",
    ),
    _row(
        r"trust_remote_code=True",
        "the model brings program code of its own, which is not run unless you say so",
        "Read that code; if you trust it, add --trust-remote-code to args.",
    ),
    _row(
        r"unknown model architecture: '(?P<what>[^']{1,100})'"
        r"|Model architectures \['(?P<other>[^']{1,100})'\] are not supported",
        "this release of the engine does not know the architecture {what}{other}",
        "Install a newer release of it, or choose another engine.",
    ),
    _row(
        r"\[Errno 24\] Too many open files",
        "it may not open enough files at the same time",
        "Raise the limit with `ulimit -n 65536` before `gpuslice up`.",
    ),
)


def diagnose(lines: Sequence[str]) -> Diagnosis | None:
    """Find out from a log why a server did not come up.

    Args:
        lines: Its last lines, oldest first; what an earlier start wrote is left out of account.

    Returns:
        The cause and what to do, or None where nothing known was found.
    """
    latest = [line[:_LONGEST_LINE] for line in since_start(lines)[-_MOST_LINES:]]
    for row in _ROWS:
        for line in reversed(latest):
            if match := row.line.search(line):
                said = {name: text or "" for name, text in match.groupdict().items()}
                return Diagnosis(cause=row.cause.format(**said), remedy=row.remedy.format(**said))
    return None


def since_start(lines: Sequence[str]) -> Sequence[str]:
    """Leave out what earlier starts of a server wrote, and the line that says how it was started.

    A log is kept over starts, and a command line may have anything in it.
    """
    starts = [n for n, line in enumerate(lines) if _START.match(line)]
    return lines[starts[-1] + 1 :] if starts else lines
