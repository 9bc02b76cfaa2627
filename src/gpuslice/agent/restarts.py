"""Which servers would be replaced where they sit: what a plan of slices does not say.

A slice's memory is its own server's, so on one slice the old server has to leave before the new
one can come, and the replica does not answer in between. Separate from the planner, which knows
slices and no servers; told with the plan, so that nobody is surprised by it afterwards.

What runs is held against what would be launched, by the hash that decides it later. Why they differ
is told by comparing the stack as it is recorded with the stack as it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from gpuslice.agent.gateway_control import GatewayControl
from gpuslice.agent.launches import server_launches
from gpuslice.agent.node import Node
from gpuslice.agent.ports import moving_with_a_pinned_port
from gpuslice.agent.proposal import Proposal, Restart
from gpuslice.errors import SecretMissingError
from gpuslice.model.desired import Desired, DesiredModel
from gpuslice.model.plan import Owned

# What the stack file calls it, or a reader would, where that is another word.
_KEYS = {"source": "model", "reads": "files", "user": "owner of the files", "beside_mib": "sizing"}
_PINNED = "its port is pinned"
_OTHERWISE = "gpuslice would start it in another way"


def restarts_of(node: Node, proposal: Proposal) -> tuple[Restart, ...]:
    """Find who would be replaced where it sits, the gateway last.

    Args:
        node: The machine.
        proposal: What is planned on it.

    Returns:
        One for each server that runs, stays on its slice, and would be started in another form;
        and for each that moves and has to leave the port that the stack file pins.
    """
    running = {process.key: process for process in node.runtime.list() if not process.headless}
    record = replace(
        proposal.record, desired=proposal.desired, owned=tuple(_kept_by_its_server(proposal))
    )
    found = []
    for launch in server_launches(record, proposal.observed, node.host):
        process = running.get(launch.key)
        if process and process.config_hash != launch.config_hash and launch.replica:
            why = _why(proposal.record.desired, proposal.desired, launch.replica.model)
            found.append(Restart(replica=launch.replica, why=why))
    pinned = moving_with_a_pinned_port(proposal.plan, proposal.desired, proposal.record)
    found += [Restart(replica=replica, why=_PINNED) for replica in sorted(pinned)]
    control = GatewayControl(node)
    try:
        control.refresh(record)
    except SecretMissingError:
        return tuple(found)  # `up` refuses that, and says why
    gateway = control.launch(record)
    process = running.get(gateway.key)
    if process and process.config_hash != gateway.config_hash:
        moved = (process.host, process.port) != (gateway.host, gateway.port)
        why = "its address changed" if moved else "its keys or settings changed"
        found.append(Restart(replica=None, why=why))
    return tuple(found)


def _kept_by_its_server(proposal: Proposal) -> Iterator[Owned]:
    for seat in proposal.plan.seats:
        if seat.kept is not None:
            yield Owned(slice=seat.kept.key, stack=proposal.desired.stack, replica=seat.replica)


def _why(before: Desired | None, after: Desired, model: str) -> str:
    """Name the keys of a model in the stack file that are not as they were."""
    old, new = _model(before, model), _model(after, model)
    if old is None or new is None:
        return _OTHERWISE
    names = [f.name for f in fields(DesiredModel) if getattr(old, f.name) != getattr(new, f.name)]
    if before is not None and before.docker != after.docker:
        names.append("docker")
    if not names:
        return _OTHERWISE
    return f"{', '.join(_KEYS.get(name, name) for name in names)} changed"


def _model(desired: Desired | None, name: str) -> DesiredModel | None:
    models = desired.models if desired is not None else ()
    return next((model for model in models if model.name == name), None)
