"""Planning on GPUs that are not there: those that a fleet file describes.

Separate from `prepare`, so that planning on a machine loads none of it, and from the simulator on
purpose. A simulated machine has state, slices and a life of its own; these GPUs exist for one
plan, and nothing can be done to them.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from gpuslice.agent.prepare import Prepared, check_file, plan_on
from gpuslice.hardware import Board
from gpuslice.model.desired import Record
from gpuslice.model.gpu import Gpu, MigMode, Observed
from gpuslice.stack.fleet import Fleet
from gpuslice.stack.loaded import LoadedStack

_AS_DELIVERED = MigMode(current=False, pending=False)


def prepare_on_paper(loaded: LoadedStack, fleet: Fleet, *, prices: bool = False) -> Prepared:
    """Plan a stack on GPUs that are not there. Needs no driver, reads and records nothing.

    Args:
        loaded: The stack file. A price that the fleet gives for a product replaces the stack's.
        fleet: The GPUs, empty and with MIG mode off.
        prices: True to compute what one more slice of each profile would cost.

    Raises:
        StackError: A model file is missing, or a size cannot be told.
        PlanningError: A GPU or profile that the fleet lacks, or a model that fits nothing.
    """
    check_file(loaded, sys.executable)
    money = {**loaded.stack.prices, **fleet.prices}
    priced = replace(loaded, stack=loaded.stack.model_copy(update={"prices": money}))
    made = plan_on(gpus_on_paper(fleet), priced, Record(), prices=prices)
    return replace(made, on_paper=True)


def gpus_on_paper(fleet: Fleet) -> Observed:
    """Return the GPUs of a fleet as they would be delivered: empty, MIG mode off."""
    gpus = tuple(_gpu(index, board) for index, board in enumerate(fleet.boards))
    return Observed(gpus=gpus, driver_version="")


def _gpu(index: int, board: Board) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-on-paper-{index}",
        name=board.names[0],
        architecture=board.architecture,
        memory_mib=board.memory_mib,
        pci_bus_id="",
        mig=_AS_DELIVERED,
        geometry=board.geometry,
    )
