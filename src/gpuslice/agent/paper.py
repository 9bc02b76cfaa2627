"""Planning on GPUs that are not there: those that a fleet file describes.

Separate from `prepare`, so that planning on a machine loads none of it, and from the simulator on
purpose. A simulated machine has state, slices and a life of its own; these GPUs exist for one
plan, and nothing can be done to them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace

from gpuslice.agent.prepare import check_file, plan_on
from gpuslice.agent.pricing import unpriced
from gpuslice.agent.proposal import PlanOptions, Prepared, Tell
from gpuslice.hardware import Board
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, MigMode, Observed
from gpuslice.stack.fleet import Fleet, LoadedFleet, check_prices
from gpuslice.stack.loaded import LoadedStack

_AS_DELIVERED = MigMode(current=False, pending=False)
_AS_USUAL = PlanOptions()


def prepare_on_paper(
    loaded: LoadedStack,
    fleet: LoadedFleet,
    options: PlanOptions = _AS_USUAL,
    *,
    tell: Tell = lambda _: None,
) -> Prepared:
    """Plan a stack on GPUs that are not there. Needs no driver, reads and records nothing.

    Args:
        loaded: The stack file. A price that the fleet gives for a product replaces the stack's.
        fleet: The GPUs, empty and with MIG mode off, and those that may be added.
        options: What a command says beside the files.
        tell: Told what is going on.

    Raises:
        StackError: A model file is missing, a size cannot be told, or a product of the fleet has
            no price where others have one.
        PlanningError: A GPU or profile that the fleet lacks, or a model that fits nothing.
    """
    check_file(loaded, sys.executable)
    money = {**loaded.stack.prices, **fleet.fleet.prices}
    observed = gpus_on_paper(fleet.fleet)
    check_prices(fleet, unpriced(observed.gpus, money))
    priced = replace(loaded, stack=loaded.stack.model_copy(update={"prices": money}))
    there = len(fleet.fleet.boards)
    addable = frozenset(gpu.uuid for gpu in observed.gpus[there:])
    made = plan_on(observed, priced, Record(), options, addable=addable, tell=tell)
    return replace(made, on_paper=True)


def gpus_on_paper(fleet: Fleet) -> Observed:
    """Return the GPUs of a fleet as they would be delivered: empty, MIG mode off.

    Those that may be added come last.
    """
    there = _gpus(fleet.boards, "GPU-on-paper")
    more = _gpus(fleet.addable_boards, "GPU-to-add", after=len(there))
    return Observed(gpus=(*there, *more), driver_version="")


def _gpus(boards: Iterable[Board], kind: str, *, after: int = 0) -> tuple[Gpu, ...]:
    return tuple(
        _gpu(index, f"{kind}-{index}", board) for index, board in enumerate(boards, start=after)
    )


def _gpu(index: int, uuid: str, board: Board) -> Gpu:
    return Gpu(
        index=index,
        uuid=uuid,
        name=board.names[0],
        architecture=board.architecture,
        memory_mib=board.memory_mib,
        pci_bus_id="",
        mig=_AS_DELIVERED,
        geometry=board.geometry,
    )
