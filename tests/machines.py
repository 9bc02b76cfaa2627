"""A simulated machine with its folder, for tests of the agent and the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuslice.agent.node import Node, open_node
from gpuslice.agent.prepare import prepare
from gpuslice.agent.proposal import Prepared
from gpuslice.model.gpu import Slice
from gpuslice.model.machine import Machine, machine_slug
from gpuslice.model.plan import Owned, PlannedSlice
from gpuslice.stack.load import load_stack

TINY_SERVER = Path(__file__).parent / "end_to_end" / "tiny_server.py"
EXAMPLES = Path(__file__).parent.parent / "examples"


def a_machine(home: Path, simulation: str = "a100-80gb") -> Machine:
    """A machine as the command line would find it below GPUSLICE_HOME."""
    return Machine(root=home / machine_slug(simulation), simulation=simulation)


def write_stack(folder: Path, *models: str, name: str = "assistants", more: str = "") -> Path:
    """Write ``gpuslice.yaml``: models as ``name: {…}``, and further top-level lines."""
    lines = "\n".join(f"  {model}" for model in models)
    path = folder / "gpuslice.yaml"
    path.write_text(f"name: {name}\nmodels:\n{lines}\n{more}\n")
    return path


def prepared(node: Node, path: Path) -> Prepared:
    """Plan a stack file on a machine as it is now."""
    return prepare(node, load_stack(path))


def make_slice(node: Node, profile: str, start: int, *, gpu: int = 0) -> Slice:
    """Make a slice on a machine, as any tool would, with MIG mode on."""
    target = node.driver.read().gpus[gpu]
    node.driver.set_mig_mode(target.uuid, enabled=True)
    found = target.geometry.named(profile) if target.geometry else None
    assert found is not None, f"{target.name} has no {profile}"
    placement = next(p for p in found.placements if p.start == start)
    return node.driver.create_slice(
        PlannedSlice(
            gpu_uuid=target.uuid,
            placement=placement,
            profile=profile,
            profile_id=found.id,
            memory_mib=found.memory_mib,
        )
    )


def record_owned(node: Node, *records: Owned) -> None:
    """Write down that slices are ours."""
    node.store.write_record(replace(node.read_record(), owned=records))


def layout_of(node: Node) -> list[tuple[int, str, str]]:
    """Every slice as (GPU, profile, placement)."""
    return [
        (gpu.index, s.profile, str(s.placement))
        for gpu in node.driver.read().gpus
        for s in gpu.slices
    ]


def modes_of(node: Node) -> list[bool]:
    """Whether MIG is on, GPU by GPU."""
    return [gpu.mig is not None and gpu.mig.current for gpu in node.driver.read().gpus]


def open_simulated(home: Path, simulation: str = "a100-80gb") -> Node:
    """Open a simulated machine."""
    return open_node(a_machine(home, simulation))
