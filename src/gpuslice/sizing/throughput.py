"""How many tokens a second a slice will give: a roofline, with what is not known beside it.

A server alternates between two kinds of work. *Prefill* puts the tokens of a prompt through the
model, many in one step, and is limited by arithmetic. *Decode* makes one further token for each
request that is being answered, and is limited by memory: every step reads the weights once, and the
whole context of every request. So with

- ``B``, the requests answered at the same time, and ``c``, the mean context of one of them,
- ``weights(B)``, what a step of B tokens reads (of experts, only those that some token picked),

one step of decode takes the longer of the two sides of the roof, and a fixed time for launching::

    step = max((weights(B) + B c kv) / bandwidth, B (flops + c attention) / arithmetic) + launch

and the prompt of one request takes its arithmetic, or one reading of the weights where that is
more, and a fixed time for taking it in. B requests of ``P`` prompt tokens and ``A`` answer tokens
each are served in ``B prefill(P) + A step``, during which ``B A`` tokens are answered. That is
pessimistic where an engine lets prompts ride along in steps of decode, which is part of the range
below.

**A slice** has the share of the board's bandwidth that its memory slices are of the grid, and the
share of the arithmetic that its SMs are of the board's. On an A100, 2g.20gb has 2/8 and 28/108.

**What is reached.** No engine reaches the data sheet. `Efficiency` has, for each engine, the share
of each peak that it does reach, and how far off an estimate may be in either direction; where a
measured run exists for engine and board, `gpuslice.sizing.calibration` scales the estimate to it.

Cost: a few multiplications. Source: Williams, Waterman, Patterson, "Roofline" (2009), and for the
two phases Pope et al., "Efficiently Scaling Transformer Inference" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Protocol

from gpuslice.hardware.speed import BoardSpeed
from gpuslice.model.geometry import Geometry, Profile

_GIGA, _TERA = 1e9, 1e12
_NEAREST = Context(prec=2, rounding=ROUND_HALF_EVEN)
_DOWN, _UP = Context(prec=2, rounding=ROUND_FLOOR), Context(prec=2, rounding=ROUND_CEILING)


class Work(Protocol):
    """What generating costs, whatever the card; `gpuslice.sizing.architecture.TokenWork` is it."""

    @property
    def kv_bytes_per_token(self) -> int:
        """Cache that a new token reads for each token of its context, bytes."""

    @property
    def state_bytes(self) -> int:
        """Constant state that a new token reads, bytes."""

    @property
    def flops_per_token(self) -> int:
        """Arithmetic of the weights for one token."""

    @property
    def flops_per_context_token(self) -> int:
        """Arithmetic of attention for one token and one token of its context."""

    def weight_bytes(self, tokens: int) -> float:
        """Weights that one step of so many tokens reads, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSpeed:
    """The peaks of one slice.

    Attributes:
        bytes_per_s: Memory bandwidth.
        flops_per_s: Dense arithmetic in the type that the model is computed in.
    """

    bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The requests that one server answers at the same time, all alike.

    Attributes:
        concurrency: How many; at least 1.
        prompt_tokens: Tokens of each prompt.
        answer_tokens: Tokens of each answer; at least 1.
    """

    concurrency: int
    prompt_tokens: int
    answer_tokens: int

    @classmethod
    def of_context(cls, context_tokens: int, concurrency: int) -> Traffic:
        """Assume, where nobody says, that prompt and answer share the longest context evenly."""
        answer = max(1, context_tokens // 2)
        return cls(
            concurrency=concurrency,
            prompt_tokens=context_tokens - answer,
            answer_tokens=answer,
        )

    @property
    def mean_context(self) -> float:
        """Tokens that a new token looks back on, on average over an answer."""
        return self.prompt_tokens + self.answer_tokens / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What an engine reaches of the peaks, and how sure that is.

    Attributes:
        memory_share: Share of the bandwidth in decode, 0 to 1.
        compute_share: Share of the arithmetic in prefill, 0 to 1.
        step_s: Time of a step that is neither, seconds (launches, scheduling, sampling).
        request_s: Time of a prompt that is neither, seconds (taking it in, cutting it up).
        scale: What measured runs gave, as a multiple of the estimate; 1 without any.
        low: The least it may be, as a multiple of the likely; at most 1.
        high: The most it may be; at least 1.
        basis: Where that comes from, in words.
    """

    memory_share: float
    compute_share: float
    step_s: float
    request_s: float = 0.0
    scale: float = 1.0
    low: float
    high: float
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number that is not known exactly.

    Attributes:
        likely: The estimate.
        low: The least it may well be.
        high: The most it may well be.
    """

    likely: float
    low: float
    high: float

    @property
    def shown(self) -> float:
        """The estimate as it is written, and as plans count with it: with two digits."""
        return float(_NEAREST.create_decimal_from_float(self.likely))

    @property
    def least_percent(self) -> int:
        """The least as a share of the likely, percent."""
        return round(100 * self.low / self.likely) if self.likely else 100

    @property
    def shown_least(self) -> float:
        """The least as it is written: of the estimate as that is written, rounded down."""
        return rounded_down(Decimal(str(self.shown)) * self.least_percent / 100)

    @property
    def shown_most(self) -> float:
        """The most as it is written: of the estimate as that is written, rounded up."""
        percent = round(100 * self.high / self.likely) if self.likely else 100
        return float(_UP.plus(Decimal(str(self.shown)) * percent / 100))

    def __str__(self) -> str:
        """Write it, such as ``≈ 410 (280–540)``: more digits would be pretended.

        The ends are of the number that stands before them, so that whoever sums up what slices
        give, and takes the same share of the sum, comes to the same.
        """
        return f"≈ {self.shown:,.10g} ({self.shown_least:,.10g}–{self.shown_most:,.10g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one server on one slice will give.

    Attributes:
        answers: Answer tokens per second of all requests together, prompts included in the time.
        requests: Whole requests per second.
        decode: Answer tokens per second while no prompt is worked on.
        prefill: Prompt tokens per second while nothing is answered.
        bound: What decode waits for: ``memory`` or ``arithmetic``.
    """

    answers: Range
    requests: Range
    decode: Range
    prefill: Range
    bound: str


def slice_speed(
    board: BoardSpeed, profile: Profile, geometry: Geometry, *, fp8: bool = False
) -> SliceSpeed:
    """Work out the peaks of a slice from those of its board.

    Args:
        board: The whole board.
        profile: The slice's profile.
        geometry: The board's geometry, for the length of its grid.
        fp8: True where the model is computed in FP8; a board without it computes in BF16.
    """
    memory = profile.memory_slices / geometry.memory_slices
    compute = min(1.0, profile.sm_count / board.sm_count)
    tflops = (fp8 and board.fp8_tflops) or board.bf16_tflops
    return SliceSpeed(
        bytes_per_s=board.memory_gb_per_s * _GIGA * memory,
        flops_per_s=tflops * _TERA * compute,
    )


def estimate(work: Work, speed: SliceSpeed, traffic: Traffic, efficiency: Efficiency) -> Estimate:
    """Estimate what one server on one slice gives; see the module's text for the method.

    Args:
        work: What the model costs.
        speed: The peaks of the slice.
        traffic: The requests.
        efficiency: What the engine reaches of the peaks.
    """
    reading = _reading_s(work, speed, traffic, efficiency)
    computing = _computing_s(work, speed, traffic, efficiency)
    step = max(reading, computing) + efficiency.step_s
    prefill = prefill_s(work, speed, traffic.prompt_tokens, efficiency)
    served = traffic.concurrency * prefill + traffic.answer_tokens * step
    answers = traffic.concurrency * traffic.answer_tokens / served
    return Estimate(
        answers=_range(answers, efficiency),
        requests=_range(traffic.concurrency / served, efficiency),
        decode=_range(traffic.concurrency / step, efficiency),
        prefill=_range(traffic.prompt_tokens / prefill if prefill else 0.0, efficiency),
        bound="memory" if reading >= computing else "arithmetic",
    )


def prefill_s(work: Work, speed: SliceSpeed, tokens: int, efficiency: Efficiency) -> float:
    """How long the prompt of one request takes, seconds: its work, and taking it in."""
    if not tokens:
        return 0.0
    flops = tokens * (work.flops_per_token + work.flops_per_context_token * tokens / 2)
    computing = flops / (speed.flops_per_s * efficiency.compute_share)
    reading = work.weight_bytes(tokens) / (speed.bytes_per_s * efficiency.memory_share)
    return max(computing, reading) + efficiency.request_s


def _reading_s(work: Work, speed: SliceSpeed, traffic: Traffic, efficiency: Efficiency) -> float:
    context = work.kv_bytes_per_token * traffic.mean_context + work.state_bytes
    read = work.weight_bytes(traffic.concurrency) + traffic.concurrency * context
    return read / (speed.bytes_per_s * efficiency.memory_share)


def _computing_s(work: Work, speed: SliceSpeed, traffic: Traffic, efficiency: Efficiency) -> float:
    each = work.flops_per_token + work.flops_per_context_token * traffic.mean_context
    return traffic.concurrency * each / (speed.flops_per_s * efficiency.compute_share)


def _range(estimated: float, efficiency: Efficiency) -> Range:
    likely = estimated * efficiency.scale
    return Range(likely=likely, low=likely * efficiency.low, high=likely * efficiency.high)


def rounded_down(value: Decimal) -> float:
    """Cut a number to two digits, as the least of a range is written everywhere."""
    return float(_DOWN.plus(value))
