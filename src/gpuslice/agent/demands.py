"""From the models of a stack file to what is asked of the planner.

Separate from `prepare`, which joins everything. A demand speaks of products by the names that the
GPUs at hand have; a person may write them without ``NVIDIA`` and in either case of letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuslice.agent.estimates import estimate_target
from gpuslice.hardware import load_boards
from gpuslice.model.demand import Demand, NamedProfile, Rate, Target
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.stack.notation import milli
from gpuslice.stack.problem import did_you_mean, shortened
from gpuslice.stack.sources import resolve_source

if TYPE_CHECKING:
    from gpuslice.stack.loaded import LoadedStack
    from gpuslice.stack.model_entry import ModelEntry, TargetEntry

_Slices = str | Sequence[str] | dict[str, str | tuple[str, ...]]


def demands_of(loaded: LoadedStack, observed: Observed) -> tuple[Demand, ...]:
    """Turn every model of a stack file into a demand, in the order of the file.

    Args:
        loaded: The file; models that say neither slice, memory nor throughput are sized from disk.
        observed: The GPUs, for the names of their products and for estimates.

    Raises:
        StackError: A size or a throughput cannot be told.
        NoRoomError: A model with a target that is to be estimated fits no slice.
    """
    return tuple(
        _demand(name, entry, loaded.folder, observed.gpus)
        for name, entry in loaded.stack.models.items()
    )


def unknown_products(loaded: LoadedStack, observed: Observed) -> tuple[str, ...]:
    """Say which products a stack file names that neither these GPUs nor any known board have.

    A stack file may be written for several machines, so a product that is not here is no mistake;
    one that nobody has heard of probably is.
    """
    known = dict.fromkeys(gpu.name for gpu in observed.gpus)
    known |= dict.fromkeys(name for board in load_boards() for name in board.names)
    keys = {_plain(name) for name in known}
    written = {
        product: model
        for model, entry in loaded.stack.models.items()
        for product in _products_in(entry)
    }
    return tuple(
        f"{model}: no GPU here and no known board is called '{shortened(product)}'"
        + did_you_mean(product, known)
        for product, model in written.items()
        if _plain(product) not in keys
    )


def _demand(name: str, entry: ModelEntry, folder: Path, gpus: Sequence[Gpu]) -> Demand:
    wanted = _wanted(name, entry, folder, gpus)
    return Demand(
        model=name,
        replicas=entry.most_replicas,
        profiles=wanted.profiles,
        memory_mib=wanted.memory_mib,
        compute_slices=entry.compute or 0,
        target=wanted.target,
        reason=wanted.reason,
        beside_mib=wanted.beside_mib,
        priority=entry.priority,
        move_cost=entry.move_cost,
        pinned=entry.pinned,
        most_per_gpu=entry.spread,
        near=_several(entry.near),
        away=_several(entry.away),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which slices serve a model, and why: the part of a demand that takes working out."""

    reason: str
    profiles: tuple[NamedProfile, ...] = ()
    memory_mib: int | None = None
    target: Target | None = None
    beside_mib: int = 0


def _wanted(name: str, entry: ModelEntry, folder: Path, gpus: Sequence[Gpu]) -> _Wanted:
    products = tuple(dict.fromkeys(gpu.name for gpu in gpus))
    if entry.slice is not None:
        profiles = tuple(dict.fromkeys(_named(entry.slice, products)))
        return _Wanted(profiles=profiles, reason="asked for by name")
    if entry.target is not None:
        return _aimed(name, entry, entry.target, folder, gpus)
    if entry.memory is not None:
        return _Wanted(memory_mib=entry.memory, reason="as `memory:` says")
    from gpuslice.sizing import size_model  # noqa: PLC0415 - most stacks need no sizing

    sized = size_model(
        resolve_source(entry.model or "", folder),
        engine=entry.engine_name,
        context_tokens=entry.context_tokens,
        concurrency=entry.concurrency,
        arguments=entry.args,
        folder=folder,
    )
    return _Wanted(memory_mib=sized.memory_mib, reason=sized.reason, beside_mib=sized.beside_mib)


def _aimed(
    name: str, entry: ModelEntry, aim: TargetEntry, folder: Path, gpus: Sequence[Gpu]
) -> _Wanted:
    """Meet a target by what was measured, where the file says it, else by an estimate."""
    if entry.throughput is None:
        made = estimate_target(name, entry, aim, folder, gpus)
        return _Wanted(target=made.target, reason=made.reason, beside_mib=made.beside_mib)
    products = tuple(dict.fromkeys(gpu.name for gpu in gpus))
    target = Target(
        milli_per_s=aim.milli_per_s, rates=tuple(_rates(entry, products)), unit=aim.unit
    )
    return _Wanted(target=target, reason="as `throughput:` says")


def _named(written: _Slices, products: Sequence[str]) -> Iterator[NamedProfile]:
    if not isinstance(written, dict):
        yield from (NamedProfile(profile=name) for name in _several(written))
        return
    for product, below in written.items():
        for board in _called(product, products):
            yield from (NamedProfile(profile=name, board=board) for name in _several(below))


def _rates(entry: ModelEntry, products: Sequence[str]) -> Iterator[Rate]:
    for key, value in (entry.throughput or {}).items():
        if not isinstance(value, dict):
            yield Rate(named=NamedProfile(profile=key), milli_per_s=milli(value))
            continue
        for board in _called(key, products):
            for name, rate in value.items():
                named = NamedProfile(profile=name, board=board)
                yield Rate(named=named, milli_per_s=milli(rate))


def _called(product: str, products: Sequence[str]) -> tuple[str, ...]:
    """Find the products at hand that are meant; the name as it is written where there is none."""
    return tuple(name for name in products if _plain(name) == _plain(product)) or (product,)


def _products_in(entry: ModelEntry) -> Iterator[str]:
    if isinstance(entry.slice, dict):
        yield from entry.slice
    for key, value in (entry.throughput or {}).items():
        if isinstance(value, dict):
            yield key


def _several(written: str | Sequence[str]) -> tuple[str, ...]:
    """Return what was written as one or as a list, each once."""
    return (written,) if isinstance(written, str) else tuple(dict.fromkeys(written))


def _plain(name: str) -> str:
    """Reduce a product name to what people remember of it, as prices do."""
    return name.strip().lower().removeprefix("nvidia ")
