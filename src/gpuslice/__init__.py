"""gpuslice: turn data-centre GPUs into isolated slices and serve a model on each.

The public API: what a program needs to read a machine, plan a stack on it and price the plan, and
the values that such a program handles. Everything else may change between versions. Carrying a
plan out is left to the command line, whose agent owns the lock, the journal and the way back.

Names are imported when they are first used, so that ``import gpuslice`` costs next to nothing and
nobody loads a YAML reader to look at a GPU.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpuslice.version import __version__

if TYPE_CHECKING:
    from gpuslice.agent.node import Node, machine_for, open_node
    from gpuslice.agent.prepare import prepare
    from gpuslice.agent.pricing import price_plan
    from gpuslice.agent.proposal import Prepared
    from gpuslice.cost.report import CostReport
    from gpuslice.errors import GpusliceError
    from gpuslice.hardware.boards import board
    from gpuslice.model.demand import Demand, NamedProfile, Rules
    from gpuslice.model.geometry import Geometry, Placement, Profile
    from gpuslice.model.gpu import Gpu, Observed, Slice
    from gpuslice.model.plan import Plan
    from gpuslice.planner.frontier import frontier
    from gpuslice.planner.plan import plan
    from gpuslice.sizing.size import size_model
    from gpuslice.stack.load import load_stack
    from gpuslice.stack.schema import Stack

__all__ = [
    "CostReport",
    "Demand",
    "Geometry",
    "Gpu",
    "GpusliceError",
    "NamedProfile",
    "Node",
    "Observed",
    "Placement",
    "Plan",
    "Prepared",
    "Profile",
    "Rules",
    "Slice",
    "Stack",
    "__version__",
    "board",
    "frontier",
    "load_stack",
    "machine_for",
    "open_node",
    "plan",
    "prepare",
    "price_plan",
    "size_model",
]

# Where each name lives, by the reason it is public.
_ORIGINS = {
    # One `except` catches everything that is raised on purpose.
    "GpusliceError": "gpuslice.errors",
    # Read a stack file, and what came of it.
    "load_stack": "gpuslice.stack.load",
    "Stack": "gpuslice.stack.schema",
    # Open a machine, real or simulated; its driver reads the GPUs.
    "machine_for": "gpuslice.agent.node",
    "open_node": "gpuslice.agent.node",
    "Node": "gpuslice.agent.node",
    # What a machine shows.
    "Observed": "gpuslice.model.gpu",
    "Gpu": "gpuslice.model.gpu",
    "Slice": "gpuslice.model.gpu",
    # What a card can be divided into, also one that is not here.
    "Geometry": "gpuslice.model.geometry",
    "Profile": "gpuslice.model.geometry",
    "Placement": "gpuslice.model.geometry",
    "board": "gpuslice.hardware.boards",
    # What a model needs, and the layout that serves it: pure, without a stack file.
    "size_model": "gpuslice.sizing.size",
    "Demand": "gpuslice.model.demand",
    "NamedProfile": "gpuslice.model.demand",
    "Rules": "gpuslice.model.demand",
    "plan": "gpuslice.planner.plan",
    "frontier": "gpuslice.planner.frontier",
    "Plan": "gpuslice.model.plan",
    # What `gpuslice plan` and `gpuslice cost` do: a stack file thought through and priced.
    "prepare": "gpuslice.agent.prepare",
    "Prepared": "gpuslice.agent.proposal",
    "price_plan": "gpuslice.agent.pricing",
    "CostReport": "gpuslice.cost.report",
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    origin = _ORIGINS.get(name)
    if origin is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(origin), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, for completion."""
    return sorted(__all__)
