"""How fast a server answers, measured at a few points and held against the roofline.

At each point the same clients ask twice, with answers of one token and with whole answers. The
first time is that of the prompts; what the second takes longer is that of the further tokens. So
prefill, decode and both together come from two plain times, with no events to count.

Separate from `throughput`, which starts servers, so that all of this can be tried on any server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

from benchmarks.clients import Served, time_requests

from gpuslice.sizing.throughput import Efficiency, Estimate, SliceSpeed, Traffic, Work, estimate

AIM_S = 4.0
"""A point is tried again, up to `MOST_TRIES` times, while it has taken less than this."""
MOST_TRIES = 3

POINTS = (
    Traffic(concurrency=1, prompt_tokens=128, answer_tokens=256),
    Traffic(concurrency=8, prompt_tokens=1024, answer_tokens=256),
    Traffic(concurrency=32, prompt_tokens=128, answer_tokens=256),
    Traffic(concurrency=32, prompt_tokens=1024, answer_tokens=256),
    Traffic(concurrency=32, prompt_tokens=4096, answer_tokens=128),
    Traffic(concurrency=1, prompt_tokens=8000, answer_tokens=1),
)
"""Decode alone, both together, long contexts, and (with answers of one token) prefill alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One point as it was measured: medians over its tries.

    Attributes:
        concurrency: Requests at the same time.
        prompt_tokens: Tokens of each prompt.
        answer_tokens: Tokens of each answer; 1 where only prompts were measured.
        prompts_s: Until all were answered with one token, seconds.
        whole_s: Until all were answered whole; the same where only prompts were measured.
        tries: How often.
    """

    concurrency: int
    prompt_tokens: int
    answer_tokens: int
    prompts_s: float
    whole_s: float
    tries: int

    @property
    def traffic(self) -> Traffic:
        """The requests."""
        return Traffic(
            concurrency=self.concurrency,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.answer_tokens,
        )

    @property
    def rates(self) -> Mapping[str, float]:
        """What it comes to, tokens per second, under the names of an `Estimate`.

        Decode is left out where a whole answer seems to take no longer than its first token, for
        then the clock was too coarse.
        """
        if self.answer_tokens == 1:
            return {"prefill": self.concurrency * self.prompt_tokens / self.prompts_s}
        found = {"answers": self.concurrency * self.answer_tokens / self.whole_s}
        if self.whole_s > self.prompts_s:
            more = self.concurrency * (self.answer_tokens - 1)
            found["decode"] = more / (self.whole_s - self.prompts_s)
        return found


def time_points(
    served: Served,
    points: Iterable[Traffic] = POINTS,
    *,
    ask: Callable[..., float] = time_requests,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Timed, ...]:
    """Measure every point on one server, after one round that warms it up.

    Raises:
        NoAnswerError: The server refused a request.
    """
    seeds = count()
    points = tuple(points)
    for point in points:  # kernels are compiled and tuned on the first step of each size
        _time(served, point, min(8, point.answer_tokens), next(seeds), ask)
    return tuple(_time_point(served, point, seeds, ask, clock) for point in points)


def _time_point(
    served: Served,
    point: Traffic,
    seeds: Iterable[int],
    ask: Callable[..., float],
    clock: Callable[[], float],
) -> Timed:
    began, prompts, whole, fresh = clock(), list[float](), list[float](), iter(seeds)
    while not prompts or (len(prompts) < MOST_TRIES and clock() - began < AIM_S):
        prompts.append(_time(served, point, 1, next(fresh), ask))
        if point.answer_tokens > 1:
            whole.append(_time(served, point, point.answer_tokens, next(fresh), ask))
    return Timed(
        concurrency=point.concurrency,
        prompt_tokens=point.prompt_tokens,
        answer_tokens=point.answer_tokens,
        prompts_s=median(prompts),
        whole_s=median(whole or prompts),
        tries=len(prompts),
    )


def _time(
    served: Served, point: Traffic, answer_tokens: int, seed: int, ask: Callable[..., float]
) -> float:
    return ask(
        served,
        clients=point.concurrency,
        prompt_tokens=point.prompt_tokens,
        answer_tokens=answer_tokens,
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One measured rate beside its estimate, tokens per second.

    Attributes:
        traffic: The requests.
        what: ``decode``, ``answers`` or ``prefill``.
        measured: As measured.
        low: The least that was estimated.
        likely: The estimate.
        high: The most that was estimated.
    """

    traffic: Traffic
    what: str
    measured: float
    low: float
    likely: float
    high: float

    @property
    def within(self) -> bool:
        """Whether what was measured lies in the range of the estimate."""
        return self.low <= self.measured <= self.high


def compare(
    timed: Sequence[Timed], work: Work, speed: SliceSpeed, reached: Efficiency
) -> tuple[Compared, ...]:
    """Hold measured rates against the roofline.

    Args:
        timed: What was measured.
        work: What the model costs.
        speed: The peaks of the card.
        reached: What the engine is taken to reach of them, and how sure that is.
    """
    return tuple(
        _compared(one.traffic, what, measured, estimate(work, speed, one.traffic, reached))
        for one in timed
        for what, measured in one.rates.items()
    )


def _compared(traffic: Traffic, what: str, measured: float, made: Estimate) -> Compared:
    estimated = {"decode": made.decode, "answers": made.answers, "prefill": made.prefill}[what]
    return Compared(
        traffic=traffic,
        what=what,
        measured=measured,
        low=estimated.low,
        likely=estimated.likely,
        high=estimated.high,
    )


HEAD = (
    "| model | requests | tokens of each | what | measured /s | estimated /s | ratio | in range |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(model: str, one: Compared) -> str:
    """Write one line of the table."""
    traffic = one.traffic
    return (
        f"| {model} | {traffic.concurrency} "
        f"| {traffic.prompt_tokens:,} + {traffic.answer_tokens:,} | {one.what} "
        f"| {one.measured:,.0f} | {one.likely:,.0f} ({one.low:,.0f}–{one.high:,.0f}) "
        f"| {one.measured / one.likely:.2f} | {'yes' if one.within else 'no'} |"
    )
