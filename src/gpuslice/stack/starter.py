"""The commented starter file that ``gpuslice init`` writes, fitted to the GPUs found.

Pure: what was observed comes in, text goes out. Separate from the schema, because this is prose for
a person's first minute, and it has to be a file that plans on the machine it was written for.
"""

from __future__ import annotations

from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu, Observed

_ROOMY_MIB = 16 * 1024
_SERVED = {True: "Qwen/Qwen3-4B", False: "Qwen/Qwen3-0.6B"}


def starter(observed: Observed, gguf: str | None) -> str:
    """Write a starter file: two models, each on half of the first GPU that has MIG.

    Args:
        observed: The machine.
        gguf: A ``.gguf`` file to serve, relative to where the file will lie or absolute; None for
            a model from the hub.

    Returns:
        The text of a stack file; it loads, and plans on an empty machine like the one observed.
    """
    half = next((profile for gpu in observed.gpus if (profile := halves(gpu))), None)
    blocks = [
        _heading(observed),
        "name: assistants",
        "# Which GPUs it may use: all, indexes such as [0, 1], or UUIDs.\ngpus: all",
        _models(half, gguf),
        _runtime(),
        _gateway(),
        _prices(observed),
    ]
    return "\n\n".join(blocks) + "\n"


def halves(gpu: Gpu) -> Profile | None:
    """Choose the profile that halves a GPU: the largest plain one of which two fit side by side."""
    if gpu.geometry is None:
        return None
    twice = [p for p in gpu.geometry.profiles if not p.attributes and gpu.geometry.free((), p) >= 2]
    return max(twice, key=lambda p: (p.memory_mib, p.compute_slices), default=None)


def _heading(observed: Observed) -> str:
    lines = ["# A stack: which models to serve, each on a slice of a GPU of its own."]
    lines += ["# 'gpuslice plan' shows what would happen, 'gpuslice up' makes it so.", "#"]
    lines += ["# Simulated GPUs:" if observed.simulated else "# GPUs of this machine:"]
    lines += [f"#   {gpu.index}: {_describe(gpu)}" for gpu in observed.gpus] or ["#   none"]
    if not any(gpu.geometry for gpu in observed.gpus):
        lines += ["# None of them has MIG, so this file cannot be served here. Try it on simulated"]
        lines += ["# GPUs: gpuslice plan --simulate a100-80gb"]
    return "\n".join(lines)


def _describe(gpu: Gpu) -> str:
    name = _one_line(gpu.name)
    if gpu.geometry is None:
        return f"{name}, {gpu.memory_mib:,} MiB, has no MIG and is left alone"
    plain = [p.name for p in gpu.geometry.profiles if not p.attributes]
    return f"{name}, {gpu.memory_mib:,} MiB; slices: {', '.join(plain)}"


def _models(half: Profile | None, gguf: str | None) -> str:
    source = _quoted(gguf) if gguf else _SERVED[half is None or half.memory_mib >= _ROOMY_MIB]
    why, size = _size(half)
    return f"""\
models:
  # The name is what clients send as "model".
  chat:
    # A hub name (org/name), a local folder, or a .gguf file (paths start at this file's folder).
    model: {source}
    # How many servers of it, each on a slice of its own.
    replicas: 1
    # Longest request in tokens, and how many are answered at the same time.
    context_tokens: 4096
    concurrency: 4
    # {why}
    {size}

  coder:
    model: {source}
    {size}
    # Default engine: llama.cpp for a .gguf file, else vllm. Further arguments for it:
    # args: ["--flag", "value"]
    # Where not everything fits, models of higher priority are served first:
    # priority: 10
    # Each replica on a GPU of its own; and not beside another model:
    # spread: true
    # away: chat"""


def _size(half: Profile | None) -> tuple[str, str]:
    """Say how large a slice is asked for: the comment, and the line itself."""
    if half is None:
        return "Least memory of its slice; or slice: with a profile's name.", "memory: 16GiB"
    why = f"Half of the card, {half.memory_mib:,} MiB. Instead: memory: 16GiB, or nothing where the"
    return f"{why}\n    # model is on this machine: its size is read from its files.", (
        f"slice: {half.name}"
    )


def _runtime() -> str:
    return """\
# Where servers run: docker or process. Left out, gpuslice chooses, and 'gpuslice plan' says which.
# runtime: process"""


def _gateway() -> str:
    return """\
# The one OpenAI-compatible endpoint in front of all models.
gateway:
  port: 8080
  # Reachable from this machine only. For others, also name a file of keys, one per line:
  # host: 0.0.0.0
  # api_keys_file: keys.txt"""


def _prices(observed: Observed) -> str:
    """Offer a price line for each product; commented out, since only the reader knows the price."""
    names = dict.fromkeys(gpu.name for gpu in observed.gpus if gpu.geometry)
    products = list(names) or ["NVIDIA A100-SXM4-80GB"]
    lines = [
        "# What a card costs, for 'gpuslice cost': per_month or per_hour. Put in your own price."
    ]
    lines += ["# prices:"]
    lines += [f"#   {_quoted(name)}: {{per_month: 1000, currency: EUR}}" for name in products]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Write text so that YAML reads it back whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_one_line(escaped)}"'


def _one_line(text: str) -> str:
    """Keep a name from breaking out of its comment or quotes."""
    return "".join(c if c.isprintable() else "?" for c in text)
