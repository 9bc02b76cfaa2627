"""From wishes to a plan without seats: each GPU settled by itself, and the whole held together.

A plan of slices is a plan like any other (`gpuslice.model.plan.Plan`), so that it is shown, ordered
and carried out by the same code; only nobody sits on its slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gpuslice.errors import GpusliceError, MigUnsupportedError, NoRoomError
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import GpuPlan, Plan
from gpuslice.planner.fingerprint import fingerprint
from gpuslice.planner.partition.parts import Instance
from gpuslice.planner.partition.placing import Placed
from gpuslice.planner.partition.settling import Settled, settle, settled
from gpuslice.planner.partition.wish import (
    Claims,
    GpuWish,
    PlacedSlice,
    is_as_wanted,
    mode_is,
)


def plan_partition(observed: Observed, wishes: Sequence[GpuWish], claims: Claims) -> Plan:
    """Find the least change that makes each GPU what is wished.

    Args:
        observed: The machine; it has every GPU of the wishes.
        wishes: At most one for each GPU; GPUs without one are left alone.
        claims: Whose slices those are that are there.

    Returns:
        A plan with one entry for each wish, by index, and no seats. It changes nothing exactly
        where everything is as wished.

    Raises:
        NoRoomError: A GPU cannot hold what is wished for it; says for each which, why, and what
            would fit.
        MigUnsupportedError: MIG is to be on where there is none.
    """
    found: dict[str, tuple[Settled, bool]] = {}
    refused: list[GpusliceError] = []
    for wish in wishes:
        try:
            found[wish.gpu_uuid] = _settle(observed.gpu(wish.gpu_uuid), wish, claims), wish.mig_on
        except (NoRoomError, MigUnsupportedError) as error:
            refused.append(error)
    if refused:
        raise _all_of(refused)
    return assemble(observed, found, claims)


def assemble(observed: Observed, found: Mapping[str, tuple[Settled, bool]], claims: Claims) -> Plan:
    """Make a plan of what happens on each GPU.

    Args:
        observed: The machine.
        found: By UUID, what happens to the slices, and whether MIG is to be on.
        claims: Whose the slices are.
    """
    gpus = sorted(observed.gpus, key=lambda gpu: gpu.index)
    return Plan(
        gpus=tuple(_gpu_plan(gpu, *found[gpu.uuid], claims) for gpu in gpus if gpu.uuid in found),
        seats=(),
        fingerprint=fingerprint(observed),
    )


def _settle(gpu: Gpu, wish: GpuWish, claims: Claims) -> Settled:
    if not wish.mig_on:
        return Settled(keep=(), destroy=gpu.slices, create=())
    if gpu.geometry is None:
        raise MigUnsupportedError(
            f"GPU {gpu.index} ({gpu.name}) has no MIG, and it is to be on.",
            hint="Leave that GPU out.",
        )
    if wish.placed is not None:
        return _settle_placed(gpu, wish.placed)
    return settle(gpu, Counter(wish.devices), claims)


def _settle_placed(gpu: Gpu, wanted: Sequence[PlacedSlice]) -> Settled:
    """Keep what is at its place, and make the rest there; nothing is to be chosen."""
    assert gpu.geometry is not None, "the caller has asked"
    lying: list[tuple[str, Placement]] = []
    for one in wanted:
        if not gpu.geometry.allows(lying, one.profile, one.placement):
            raise NoRoomError(
                f"GPU {gpu.index} ({gpu.name}) cannot hold {one.profile} at {one.placement}.",
                hint="Restore on the product that the checkpoint was made on.",
            )
        lying.append((one.profile, one.placement))
    kept = [s for s in gpu.slices if any(is_as_wanted(s, one) for one in wanted)]
    there = {s.placement for s in kept}
    missing: Placed = tuple(
        (Instance(profile=one.profile, parts=_largest_first(one.parts)), one.placement)
        for one in wanted
        if one.placement not in there
    )
    return settled(gpu, kept, missing)


def _largest_first(parts: tuple[int, ...]) -> tuple[int, ...]:
    """Order compute instances as they find room: a large one has fewer places to begin."""
    return tuple(sorted(parts, reverse=True))


def _gpu_plan(gpu: Gpu, change: Settled, mig_on: bool, claims: Claims) -> GpuPlan:
    right = mode_is(gpu, on=mig_on)
    return GpuPlan(
        gpu_uuid=gpu.uuid,
        enable_mig=mig_on and not right,
        disable_mig=not mig_on and not right,
        destroy=change.destroy,
        create=change.create,
        keep=tuple(s for s in change.keep if s.key in claims.ours),
        foreign=tuple(s for s in change.keep if s.key not in claims.ours),
    )


def _all_of(refused: Sequence[GpusliceError]) -> GpusliceError:
    """Make one error of several GPUs that cannot be what is wished."""
    if len(refused) == 1:
        return refused[0]
    return NoRoomError(
        f"{len(refused)} GPUs cannot be what is asked for; nothing was changed.",
        hint="Ask for what fits, or leave those GPUs out.",
        details=tuple(_lines(refused)),
    )


def _lines(refused: Iterable[GpusliceError]) -> Iterator[str]:
    for error in refused:
        yield f"{error.message} {error.hint}".strip()
