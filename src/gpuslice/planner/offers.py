"""What a set of GPUs offers, in words, and what to write instead of a profile nobody has.

Separate because both the check before planning and the reasons after it speak of it. Of many GPUs
the first few are named and the others counted, so that a sentence stays one on a fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from gpuslice.model.demand import Demand, NamedProfile
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Gpu

ID_NOTE = (
    "Profile ids mean different hardware on different boards "
    "(id 14 is a 2g on an A100 and a 1g on an A30, while id 15 is the double-memory 1g), "
    "so name the profile, never the number."
)

TOLD = 4
"""How many of a kind a sentence names before it only counts them."""


def label(gpu: Gpu) -> str:
    """Name a GPU the way people point at it: ``GPU 0 (NVIDIA H200)``."""
    return f"GPU {gpu.index} ({gpu.name})"


def listed(names: Sequence[str], joiner: str = "and") -> str:
    """List names: ``a, b and c``; of many the first few, and how many more there are."""
    told = list(names[:TOLD])
    if len(names) > TOLD:
        told.append(f"{len(names) - TOLD:,} more")
    return f" {joiner} ".join(filter(None, (", ".join(told[:-1]), *told[-1:])))


def profiles_of(gpu: Gpu) -> tuple[Profile, ...]:
    """List what a GPU offers; nothing where it has no MIG."""
    return gpu.geometry.profiles if gpu.geometry is not None else ()


def one_of_each(gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
    """Pick the first GPU of every product and geometry: what one offers, all of them do."""
    first: dict[tuple[str, int], Gpu] = {}
    for gpu in gpus:
        first.setdefault((gpu.name, id(gpu.geometry)), gpu)
    return tuple(first.values())


def names_of(demand: Demand) -> tuple[NamedProfile, ...]:
    """List the profiles a demand names, one way or the other; none where it goes by memory."""
    if demand.target is not None:
        return tuple(rate.named for rate in demand.target.rates)
    return demand.profiles


def describe_names(names: Sequence[NamedProfile]) -> str:
    """List profiles that somebody named: ``2g.20gb or 1g.12gb on NVIDIA A30``."""
    words = [
        f"{named.profile} on {named.board}" if named.board else named.profile for named in names
    ]
    return listed(words, "or")


def describe_offers(gpus: Iterable[Gpu]) -> str:
    """List the profiles of every GPU with their ids; GPUs that offer the same share a line."""
    boards: dict[str, list[str]] = {}
    texts: dict[int, str] = {}
    for gpu in gpus:
        offers = texts.get(id(gpu.geometry))
        if offers is None:
            offers = ", ".join(f"{p.name} (id {p.id})" for p in profiles_of(gpu))
            texts[id(gpu.geometry)] = offers
        boards.setdefault(offers, []).append(label(gpu))
    return "; ".join(f"{listed(names)}: {offers}" for offers, names in boards.items())


def lacks(gpus: Sequence[Gpu], demand: Demand) -> str:
    """Say that no GPU offers what a demand names, and what they do offer."""
    wanted = describe_names(names_of(demand))
    return f"no chosen GPU offers {wanted}; there is {describe_offers(gpus)}. {ID_NOTE}"


def too_small(gpus: Iterable[Gpu], demand: Demand) -> str:
    """Say that no slice is large enough, and which is the largest."""
    found = [
        (p.memory_mib, p.compute_slices, -gpu.index, p.name, label(gpu))
        for gpu in one_of_each(gpus)
        for p in profiles_of(gpu)
        if not p.attributes
    ]
    memory_mib, compute, _, name, where = max(found)
    needs = f"needs {_size(demand.memory_mib or 0, demand.compute_slices)}"
    has = _size(memory_mib, compute if demand.compute_slices else 0)
    return f"{needs}, but the largest slice is {name} on {where} with {has}"


def suggest(gpus: Iterable[Gpu], wanted: NamedProfile) -> str:
    """Guess what was meant by a profile nobody offers, as a question, or return ""."""
    each = one_of_each(gpus)
    meant = [gpu for gpu in each if wanted.board in ("", gpu.name)]
    if not meant:
        boards = get_close_matches(wanted.board, sorted({gpu.name for gpu in each}), n=1)
        return f"Did you mean {boards[0]}?" if boards else ""
    profiles = [profile for gpu in meant for profile in profiles_of(gpu)]
    by_number = [p.name for p in profiles if str(p.id) == wanted.profile]
    compute = wanted.profile.partition(".")[0] + "."
    same_compute = [p.name for p in profiles if p.name.startswith(compute)]
    names = sorted({p.name for p in profiles})
    guesses = by_number or get_close_matches(wanted.profile, same_compute or names, n=1, cutoff=0.3)
    return f"Did you mean {guesses[0]}?" if guesses else ""


def _size(memory_mib: int, compute_slices: int) -> str:
    compute = f" and {compute_slices} compute slices" if compute_slices else ""
    return f"{memory_mib} MiB{compute}"
