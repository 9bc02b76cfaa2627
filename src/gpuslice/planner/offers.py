"""What a set of GPUs offers, in words, and what to write instead of a profile nobody has.

Separate because both the check before planning and the reasons after it speak of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu

ID_NOTE = (
    "Profile ids mean different hardware on different boards "
    "(id 14 is a 2g on an A100 and a 1g on an A30, while id 15 is the double-memory 1g), "
    "so name the profile, never the number."
)


def label(gpu: Gpu) -> str:
    """Name a GPU the way people point at it: ``GPU 0 (NVIDIA H200)``."""
    return f"GPU {gpu.index} ({gpu.name})"


def profiles_of(gpu: Gpu) -> tuple[Profile, ...]:
    """List what a GPU offers; nothing where it has no MIG."""
    return gpu.geometry.profiles if gpu.geometry is not None else ()


def describe_offers(gpus: Iterable[Gpu]) -> str:
    """List the profiles of every GPU with their ids; GPUs that offer the same share a line."""
    boards: dict[str, list[str]] = {}
    for gpu in gpus:
        offers = ", ".join(f"{p.name} (id {p.id})" for p in profiles_of(gpu))
        boards.setdefault(offers, []).append(label(gpu))
    return "; ".join(f"{' and '.join(names)}: {offers}" for offers, names in boards.items())


def lacks(gpus: Sequence[Gpu], wanted: str) -> str:
    """Say that no GPU offers a profile, and what they do offer."""
    return f"no chosen GPU offers {wanted}; there is {describe_offers(gpus)}. {ID_NOTE}"


def too_small(gpus: Iterable[Gpu], memory_mib: int) -> str:
    """Say that no slice is large enough, and which is the largest."""
    found = [(p.memory_mib, -gpu.index, p.name, label(gpu)) for gpu in gpus for p in _plain(gpu)]
    largest, _, name, where = max(found)
    return f"needs {memory_mib} MiB, but the largest slice is {name} on {where} with {largest} MiB"


def suggest(gpus: Iterable[Gpu], wanted: str) -> str:
    """Guess what was meant by a profile nobody offers, as a question, or return ""."""
    profiles = [profile for gpu in gpus for profile in profiles_of(gpu)]
    by_number = [p.name for p in profiles if str(p.id) == wanted]
    same_compute = [p.name for p in profiles if p.name.startswith(wanted.partition(".")[0] + ".")]
    names = sorted({p.name for p in profiles})
    guesses = by_number or get_close_matches(wanted, same_compute or names, n=1, cutoff=0.3)
    return f"Did you mean {guesses[0]}?" if guesses else ""


def _plain(gpu: Gpu) -> Iterable[Profile]:
    return (profile for profile in profiles_of(gpu) if not profile.attributes)
