"""What each slice is estimated to give, where a stack file has a target and no measurement.

Separate from `demands`, because an estimate takes much that a demand does not: what the model
costs, how fast the boards at hand are, and in words, how sure all of that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from gpuslice.errors import NoRoomError, SizingError
from gpuslice.hardware import board_for
from gpuslice.model.demand import Demand, NamedProfile, Rate, Target
from gpuslice.model.geometry import Geometry, Profile
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Plan
from gpuslice.stack.notation import milli
from gpuslice.stack.sources import resolve_source

if TYPE_CHECKING:
    from gpuslice.sizing.estimate import Sized
    from gpuslice.sizing.shape import Load, ModelShape
    from gpuslice.sizing.throughput import Range, Traffic
    from gpuslice.stack.model_entry import ModelEntry, TargetEntry

_HINT = "say `throughput:` for this model, what one slice was measured to give"
_HINT_BY_SIZE = "say `slice:` or `memory:` for this model"  # which a target cannot stand beside
_ASIDE = "what you measure wins: write it under `throughput:`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What an estimate makes of a target.

    Attributes:
        target: The target with a rate for each profile that holds the model.
        reason: How sure that is and where it comes from, in words for the plan.
        beside_mib: As `Demand.beside_mib`.
    """

    target: Target
    reason: str
    beside_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A model, what one server of it is asked to hold, and what that takes."""

    engine: str
    model: ModelShape
    load: Load
    sized: Sized


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A plain profile, on a GPU that offers it."""

    gpu: Gpu
    geometry: Geometry
    profile: Profile


def estimate_target(
    name: str, entry: ModelEntry, target: TargetEntry, folder: Path, gpus: Sequence[Gpu]
) -> Estimated:
    """Estimate what each profile gives that serves a model; only plain profiles are used.

    Args:
        name: The model's name in the stack file.
        entry: The model.
        target: Its target.
        folder: The stack file's folder.
        gpus: The GPUs at hand.

    Raises:
        SizingError: What the model needs or costs cannot be told, or how fast the boards are that
            could serve it; or a usual request is longer than what `args` allow.
        NoRoomError: No plain profile is large enough.
    """
    asked = _read(entry, folder)
    offered = _offered(gpus)
    large_enough = tuple(c for c in offered if c.profile.memory_mib >= asked.sized.memory_mib)
    if not large_enough:
        raise _too_large(name, asked.sized.memory_mib, offered)
    traffic = traffic_of(target, asked.load.context_tokens, asked.load.concurrency)
    found = {c: r for c in large_enough if (r := _range(c, asked, traffic, target.unit))}
    rates = tuple(
        Rate(
            named=NamedProfile(profile=c.profile.name, board=c.gpu.name),
            milli_per_s=rate,
            least_percent=likely.least_percent,
        )
        for c, (likely, _) in found.items()
        if (rate := milli(likely.shown)) > 0
    )
    if not rates:
        names = ", ".join(dict.fromkeys(candidate.gpu.name for candidate in large_enough))
        raise SizingError(f"how fast a slice of {names} is cannot be estimated", hint=_HINT)
    return Estimated(
        target=Target(
            milli_per_s=target.milli_per_s,
            rates=rates,
            unit=target.unit,
        ),
        reason=_reason(found, traffic, target.unit),
        beside_mib=asked.sized.beside_mib,
    )


def estimate_notes(demands: Sequence[Demand], made: Plan, observed: Observed) -> tuple[str, ...]:
    """Say of which models the throughput is estimated, how sure that is, and what it comes to.

    Args:
        demands: What was asked of the planner.
        made: Its answer.
        observed: The GPUs.
    """
    return tuple(
        f"{demand.model}: {demand.reason}{_sum(demand.model, demand.target, made, observed)}"
        for demand in demands
        if demand.target is not None and demand.target.estimated
    )


def _sum(model: str, target: Target, made: Plan, observed: Observed) -> str:
    """Say what the slices of a plan give together, and how little it may be; "" without any."""
    known = {(rate.named.profile, rate.named.board): rate for rate in target.rates}
    slices = [seat.slice for seat in made.seats if seat.replica.model == model]
    rates = [known[each.profile, observed.gpu(each.gpu_uuid).name] for each in slices]
    given = sum(rate.milli_per_s for rate in rates)
    least = sum(rate.least_milli_per_s for rate in rates)
    if not given:
        return ""
    less = ""
    if least < target.milli_per_s:
        less = f", less than the {_per_s(target.milli_per_s)} wanted"
    from gpuslice.sizing.throughput import rounded_down  # noqa: PLC0415 - as everywhere here

    only = f"{rounded_down(Decimal(least) / 1000):,.10g}"
    return f". The slices planned give ≈ {_per_s(given)}, perhaps only {only}{less}"


def _per_s(milli_per_s: int) -> str:
    return f"{milli_per_s / 1000:,.10g}"


def traffic_of(target: TargetEntry, context_tokens: int, concurrency: int) -> Traffic:
    """Say what the requests are like, where the file leaves it open as well.

    A prompt that is not given fills what the answer leaves of the context; where neither is given,
    both are half of it. (A target in requests needs the answer, which `gpuslice.stack` checks.)

    Raises:
        SizingError: A usual request is longer than the context, which `args` may have shortened.
    """
    from gpuslice.sizing.throughput import Traffic  # noqa: PLC0415 - most stacks need no estimate

    answer, prompt = target.answer_tokens, target.prompt_tokens
    if answer is None:
        return Traffic.of_context(context_tokens, concurrency)
    if answer + (prompt or 0) > context_tokens:
        text = (
            f"a usual request of the target has {answer + (prompt or 0):,} tokens, and `args` "
            f"allow {context_tokens:,}"
        )
        raise SizingError(text, hint="make them agree: the target's tokens, or the context in args")
    return Traffic(
        concurrency=concurrency,
        prompt_tokens=context_tokens - answer if prompt is None else prompt,
        answer_tokens=answer,
    )


def _read(entry: ModelEntry, folder: Path) -> _Asked:
    """Read a model, and hear what is asked of it, in `args` as well: as for its size."""
    from gpuslice.sizing.calibration import engines  # noqa: PLC0415 - most stacks need no estimate
    from gpuslice.sizing.rating import generates  # noqa: PLC0415 - as above
    from gpuslice.sizing.size import estimate_of, read_asked  # noqa: PLC0415 - as above

    source, engine = resolve_source(entry.model or "", folder), entry.engine_name
    try:
        model, load = read_asked(
            source,
            engine=engine,
            context_tokens=entry.context_tokens,
            concurrency=entry.concurrency,
            arguments=entry.args,
            folder=folder,
        )
        sized = estimate_of(engine)(model, load)
    except SizingError as error:
        hint = error.hint.replace(_HINT_BY_SIZE, _HINT)
        raise SizingError(error.message, hint=hint, details=error.details) from error
    if not generates(model) or engine not in engines():
        text = f"how fast {engine} answers with {source} cannot be estimated"
        raise SizingError(text, hint=_HINT)
    return _Asked(engine=engine, model=model, load=load, sized=sized)


def _offered(gpus: Sequence[Gpu]) -> tuple[_Candidate, ...]:
    """List the plain profiles of each product, with the least memory that one of its GPUs gives."""
    found: dict[tuple[str, str], _Candidate] = {}
    for gpu in gpus:
        if gpu.geometry is None:
            continue
        for profile in gpu.geometry.profiles:
            known = found.get((gpu.name, profile.name))
            smaller = known is None or profile.memory_mib < known.profile.memory_mib
            if smaller and profile.placements and not profile.attributes:
                candidate = _Candidate(gpu=gpu, geometry=gpu.geometry, profile=profile)
                found[gpu.name, profile.name] = candidate
    return tuple(found.values())


def _too_large(name: str, memory_mib: int, offered: Sequence[_Candidate]) -> NoRoomError:
    most = max((candidate.profile.memory_mib for candidate in offered), default=0)
    return NoRoomError(
        f"{name} needs {memory_mib:,} MiB, and the largest slice has {most:,} MiB",
        hint="Ask for a smaller context or concurrency, or use a GPU with more memory.",
    )


def _range(
    candidate: _Candidate, asked: _Asked, traffic: Traffic, unit: str
) -> tuple[Range, str] | None:
    """Estimate one profile, with what that rests on; None where its board is not known."""
    from gpuslice.sizing.rating import rate_profile  # noqa: PLC0415 - most stacks need no estimate

    board = board_for(candidate.gpu.name, candidate.gpu.pci_device_id or None)
    if board is None:
        return None
    rating = rate_profile(
        asked.model,
        candidate.profile,
        traffic,
        engine=asked.engine,
        board=board,
        product=candidate.gpu.name,
        geometry=candidate.geometry,
        cache=asked.load.cache,
    )
    made = rating.estimate
    return (made.answers if unit == "tokens" else made.requests), rating.basis


def _reason(found: dict[_Candidate, tuple[Range, str]], traffic: Traffic, unit: str) -> str:
    by_product: dict[str, list[str]] = {}
    for candidate, (likely, _) in found.items():
        by_product.setdefault(candidate.gpu.name, []).append(f"{candidate.profile.name} {likely}")
    listed = "; ".join(f"{product}: {', '.join(each)}" for product, each in by_product.items())
    bases = "; ".join(dict.fromkeys(basis for _, basis in found.values()))
    return (
        f"{unit}/s are estimated, not measured. On {listed}; for requests of "
        f"{traffic.prompt_tokens:,} + {traffic.answer_tokens:,} tokens, {traffic.concurrency:,} "
        f"at a time; {bases}; {_ASIDE}"
    )
