"""Which slice of which board holds a model, what is left there, and what one slice less would cost.

Separate from the estimate, because boards come in here, and because the question is turned round:
not "how much memory does this need" but "what would fit into so much". Both are answered by the
same arithmetic, asked again with less context, fewer requests or a smaller cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gpuslice.hardware import Board, load_boards
from gpuslice.model.geometry import Profile
from gpuslice.model.gpu import Architecture as Generation
from gpuslice.sizing.architecture import CacheType
from gpuslice.sizing.estimate import Sized
from gpuslice.sizing.shape import Load

Need = Callable[[Load], Sized]
"""What a server of the model in question needs under a load."""

_CONTEXT_STEP = 1024
_SHORTEST_CONTEXT = 1024
_MOST_REQUESTS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A profile that holds a model, or would with less.

    Attributes:
        profile: Its name.
        memory_mib: What a server on it sees, MiB.
    """

    profile: str
    memory_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What one board offers for a model.

    Attributes:
        board: Its key, such as ``h100-80gb``.
        choice: The smallest profile that holds it; None where no slice does.
        left_mib: What is left there for more cache, MiB.
        requests: How many requests with a full context it could hold at once.
        smaller: The next smaller profile; None where there is none.
        instead: What one would have to give up there, each alone: ``context 4,096``, ``an fp8
            cache``, ``fp8 weights``, ``1 request at a time``; empty where nothing helps.
        remark: What this board does with the model's quantization, or "".
    """

    board: str
    choice: Choice | None
    left_mib: int = 0
    requests: int = 0
    smaller: Choice | None = None
    instead: tuple[str, ...] = ()
    remark: str = ""


def fit_boards(
    need: Need,
    load: Load,
    *,
    engine: str,
    method: str = "",
    in_fp8: Need | None = None,
    boards: Sequence[str] = (),
) -> tuple[Fitting, ...]:
    """Say for each board which slice holds a model.

    Args:
        need: What the model needs under a load.
        load: What is asked of it.
        engine: Who serves it, for the cache types it knows.
        method: How its weights are packed, as `quantization_of` says.
        in_fp8: What it would need with its weights in fp8; None where that is no choice.
        boards: Keys of the boards to look at; all that can be sliced where none is named.
    """
    known = [board for board in load_boards() if board.has_mig]
    chosen = [board for board in known if not boards or {board.key, *board.aliases} & {*boards}]
    return tuple(
        fit_board(board, need, load, engine=engine, method=method, in_fp8=in_fp8)
        for board in chosen
    )


def fit_board(
    board: Board,
    need: Need,
    load: Load,
    *,
    engine: str,
    method: str = "",
    in_fp8: Need | None = None,
) -> Fitting:
    """Say which slice of one board holds a model; see `Fitting`."""
    sized = need(load)
    profiles = _profiles(board)
    holding = [profile for profile in profiles if profile.memory_mib >= sized.memory_mib]
    too_small = [profile for profile in profiles if profile.memory_mib < sized.memory_mib]
    smaller = too_small[-1] if too_small else None
    instead = _all_instead(smaller, need, load, engine, in_fp8) if smaller else ()
    remark = quantization_remark(method, board.architecture)
    below = _choice(smaller) if smaller else None
    if not holding:
        return Fitting(board=board.key, choice=None, smaller=below, instead=instead, remark=remark)
    chosen = holding[0]
    left = left_for_cache(sized, chosen.memory_mib)
    return Fitting(
        board=board.key,
        choice=_choice(chosen),
        left_mib=left,
        requests=_requests(chosen.memory_mib, need, load),
        smaller=below,
        instead=instead,
        remark=remark,
    )


def left_for_cache(sized: Sized, memory_mib: int) -> int:
    """What a slice has beyond what is asked for, that its engine would give to the cache, MiB.

    An engine that manages a fraction of the slice leaves the rest of what is added free as well.
    """
    if not sized.beside_mib:
        return max(0, memory_mib - sized.memory_mib)
    inside = sum(part.memory_mib for part in sized.parts[:-1])
    managed = min(int(memory_mib * sized.fraction), memory_mib - sized.beside_mib)
    return max(0, managed - inside)


def quantization_remark(method: str, generation: Generation) -> str:
    """Say what a generation of GPUs does with weights that it has no arithmetic for; or ""."""
    if method == "nvfp4" and generation is not Generation.BLACKWELL:
        return "NVFP4 arithmetic begins with Blackwell: weights stay packed, computed in 16 bits"
    if method in {"fp8", "fbgemm_fp8"} and generation is Generation.AMPERE:
        return "no fp8 arithmetic on Ampere: weights stay in fp8, computed in 16 bits"
    if method == "mxfp4" and generation is not Generation.BLACKWELL:
        return "MXFP4 arithmetic begins with Blackwell: weights stay packed, computed in 16 bits"
    return ""


def _profiles(board: Board) -> list[Profile]:
    """Profiles of different memory, by size; of equals the one with least compute."""
    by_size = sorted(board.geometry.profiles, key=lambda p: (p.memory_mib, p.compute_slices))
    plain = [profile for profile in by_size if profile.name == profile.base_name] or by_size
    first = {profile.memory_mib: profile for profile in reversed(plain)}
    return [first[size] for size in sorted(first)]


def _choice(profile: Profile) -> Choice:
    return Choice(profile=profile.name, memory_mib=profile.memory_mib)


def _requests(memory_mib: int, need: Need, load: Load) -> int:
    """Find by halving how many requests with a full context fit."""

    def fits(count: int) -> bool:
        return need(replace(load, concurrency=count)).memory_mib <= memory_mib

    return _largest(fits, load.concurrency, _MOST_REQUESTS)


def _all_instead(
    profile: Profile, need: Need, load: Load, engine: str, in_fp8: Need | None
) -> tuple[str, ...]:
    """List what would make a model fit a profile; smaller weights last, for they cost accuracy."""
    ways = tuple(_instead(profile.memory_mib, need, load, engine))
    if in_fp8 is None or in_fp8(load).memory_mib > profile.memory_mib:
        return ways
    return (*ways, "fp8 weights")


def _instead(memory_mib: int, need: Need, load: Load, engine: str) -> Iterator[str]:
    """List what would make a model fit, each way alone, the mildest first."""

    def fits(other: Load) -> bool:
        return need(other).memory_mib <= memory_mib

    small = CacheType.Q8_0 if engine == "llama.cpp" else CacheType.FP8
    if load.cache is CacheType.F16 and fits(replace(load, cache=small)):
        yield f"an {small} cache" if small is CacheType.FP8 else f"a {small} cache"
    if context := _context_that_fits(fits, load):
        yield f"context {context:,}"
    if requests := _largest(lambda n: fits(replace(load, concurrency=n)), 0, load.concurrency - 1):
        yield f"{requests:,} {'request' if requests == 1 else 'requests'} at a time"


def _context_that_fits(fits: Callable[[Load], bool], load: Load) -> int:
    """Find the longest context that fits, in steps of 1,024; 0 where even one step does not."""
    steps = (load.context_tokens - 1) // _CONTEXT_STEP
    lowest = _SHORTEST_CONTEXT // _CONTEXT_STEP - 1
    most = _largest(lambda n: fits(replace(load, context_tokens=n * _CONTEXT_STEP)), lowest, steps)
    return most * _CONTEXT_STEP if most > lowest else 0


def _largest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number in (low, high] that fits, or low; what fits does so for every less."""
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
