"""What one server gives on one profile of a board: the roofline and its calibration together.

Separate from both, so that plans and screens ask one question, and neither the arithmetic nor the
measured runs know of models and boards at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpuslice.hardware import Board
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.sizing.architecture import CacheType
from gpuslice.sizing.calibration import efficiency, engines
from gpuslice.sizing.shape import ModelShape
from gpuslice.sizing.throughput import Estimate, Traffic, estimate, slice_speed

_FP8 = frozenset({"fp8", "fbgemm_fp8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What one server gives on one profile.

    Attributes:
        board: Key of the board.
        profile: Name of the profile.
        estimate: Tokens and requests per second, each with its range.
        basis: What that rests on, in words.
    """

    board: str
    profile: str
    estimate: Estimate
    basis: str


def generates(model: ModelShape) -> bool:
    """Tell whether a model generates tokens; one for embeddings keeps nothing, and does not."""
    return bool(model.architecture.layers)


def rate_board(
    model: ModelShape,
    board: Board,
    traffic: Traffic,
    *,
    engine: str,
    memory_mib: int,
    cache: CacheType = CacheType.F16,
) -> tuple[Rating, ...]:
    """Estimate every plain profile of a board that has enough memory, the smallest first.

    There are none for a model that generates nothing, nor for an engine that nobody measured.

    Args:
        model: The model, as its files describe it.
        board: The board.
        traffic: The requests.
        engine: Who serves it.
        memory_mib: Least memory of a slice, MiB.
        cache: Element type of the KV cache.
    """
    if not generates(model) or engine not in engines():
        return ()
    return tuple(
        rate_profile(model, profile, traffic, engine=engine, board=board, cache=cache)
        for profile in board.geometry.profiles
        if not profile.attributes and profile.memory_mib >= memory_mib
    )


def rate_profile(
    model: ModelShape,
    profile: Profile,
    traffic: Traffic,
    *,
    engine: str,
    board: Board,
    product: str = "",
    geometry: Geometry | None = None,
    cache: CacheType = CacheType.F16,
) -> Rating:
    """Estimate what one server gives on a slice of a profile, whether or not it fits there.

    Args:
        model: The model, as its files describe it.
        profile: The slice's profile; it has placements and SMs.
        traffic: The requests.
        engine: Who serves it; one of `gpuslice.sizing.calibration.engines`.
        board: The board.
        product: Its product name, where products of one board differ.
        geometry: The geometry that the profile is of, where it was read from a GPU.
        cache: Element type of the KV cache.
    """
    reached = efficiency(engine, board.key)
    speed = slice_speed(
        board.speed(product),
        profile,
        geometry or board.geometry,
        fp8=model.weights.method in _FP8,
    )
    kept = model.architecture.bytes_per_token(cache)
    made = estimate(replace(model.work, kv_bytes_per_token=kept), speed, traffic, reached)
    return Rating(board=board.key, profile=profile.name, estimate=made, basis=reached.basis)
