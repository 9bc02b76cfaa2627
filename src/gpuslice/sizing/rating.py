"""What one server gives on one profile of a board: the roofline and its calibration together.

Separate from both, so that plans and screens ask one question, and neither the arithmetic nor the
measured runs know of models and boards at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpuslice.hardware import Board
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.sizing.calibration import efficiency
from gpuslice.sizing.shape import ModelShape
from gpuslice.sizing.throughput import Estimate, Traffic, estimate, slice_speed

_FP8 = frozenset({"fp8", "fbgemm_fp8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What one server gives on one profile.

    Attributes:
        estimate: Tokens and requests per second, each with its range.
        basis: What that rests on, in words.
    """

    estimate: Estimate
    basis: str


def rate_profile(
    model: ModelShape,
    profile: Profile,
    traffic: Traffic,
    *,
    engine: str,
    board: Board,
    product: str = "",
    geometry: Geometry | None = None,
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
    """
    reached = efficiency(engine, board.key)
    speed = slice_speed(
        board.speed(product),
        profile,
        geometry or board.geometry,
        fp8=model.weights.method in _FP8,
    )
    return Rating(estimate=estimate(model.work, speed, traffic, reached), basis=reached.basis)
