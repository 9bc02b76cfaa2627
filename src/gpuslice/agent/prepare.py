"""From a stack file to a checked plan, changing nothing.

The one path that ``plan``, ``up`` and ``cost`` share, so that what is shown is what is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuslice.agent.node import Node
from gpuslice.engines.api import ServeRequest
from gpuslice.engines.catalogue import engine_named
from gpuslice.hardware import MIG_PRODUCTS
from gpuslice.model.desired import Change, Desired, DesiredGateway, DesiredModel, Record
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Demand, Plan, ReplicaId
from gpuslice.planner.admission import check_demands, choose_gpus
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan
from gpuslice.planner.verdict import check_all_placed
from gpuslice.stack.load import LoadedStack
from gpuslice.stack.schema import ModelEntry
from gpuslice.stack.sources import check_sources, resolve_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A plan with everything that is needed to show it and to carry it out.

    Attributes:
        desired: What the stack asks for, resolved.
        demands: What it asks of the planner.
        record: What was recorded when the plan was made.
        observed: The GPUs when the plan was made.
        plan: The checked answer.
        on_paper: True when the GPUs are those of a fleet file: nothing can be carried out there.
    """

    desired: Desired
    demands: tuple[Demand, ...]
    record: Record
    observed: Observed
    plan: Plan
    on_paper: bool = False

    @property
    def change(self) -> Change:
        """What to ask of the agent.

        Raises:
            NoRoomError: Some replicas have no slice: such a plan is shown, never carried out.
        """
        check_all_placed(self.demands, self.plan)
        return Change(desired=self.desired, plan=self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Proposal):
    """A stack file, thought through.

    Attributes:
        loaded: The file.
    """

    loaded: LoadedStack


def prepare(node: Node, loaded: LoadedStack, *, prices: bool = False) -> Prepared:
    """Plan a stack on a machine as it is now. Changes nothing.

    Args:
        node: The machine.
        loaded: The stack file.
        prices: True to compute what one more slice of each profile would cost.

    Raises:
        StackError: A model file is missing, or a size cannot be told.
        PlanningError: A GPU or profile that is not there, or a model that fits nothing.
        DriverError: The GPUs cannot be read, or have no MIG.
    """
    check_file(loaded, node.host.python)
    return plan_on(node.driver.read(), loaded, node.read_record(), prices=prices)


def check_file(loaded: LoadedStack, python: str) -> None:
    """Refuse a stack file before any GPU is looked at.

    Args:
        loaded: The file.
        python: The interpreter that servers would be started with.

    Raises:
        StackError: A model file is missing, or an engine would not take its arguments.
    """
    check_sources(loaded)
    check_launches(resolve(loaded), python)


def plan_on(
    observed: Observed, loaded: LoadedStack, record: Record, *, prices: bool = False
) -> Prepared:
    """Plan a stack on GPUs, wherever they come from.

    Args:
        observed: The GPUs.
        loaded: The stack file; `check_file` has passed it.
        record: Which of their slices are ours.
        prices: True to compute what one more slice of each profile would cost.

    Raises:
        StackError: A size cannot be told.
        PlanningError: A GPU or profile that is not there, or a model that fits nothing.
    """
    desired = resolve(loaded)
    gpus = choose_gpus(observed, loaded.stack.gpus, mig_products=MIG_PRODUCTS)
    demands = tuple(
        _demand(name, entry, loaded.folder) for name, entry in loaded.stack.models.items()
    )
    check_demands(observed, demands, gpus)
    owned = tuple(o for o in record.owned if o.stack == desired.stack)
    made = plan(observed, demands, owned, gpus=gpus, prices=prices)
    check_plan(made, observed, demands, owned, gpus=gpus)
    return Prepared(
        loaded=loaded,
        desired=desired,
        demands=demands,
        record=record,
        observed=observed,
        plan=made,
    )


def resolve(loaded: LoadedStack) -> Desired:
    """Turn a stack file into what the agent needs, with absolute paths and chosen engines."""
    stack = loaded.stack
    keys = stack.gateway.api_keys_file
    return Desired(
        stack=stack.name,
        stack_file=str(loaded.path.absolute()),
        digest=loaded.digest,
        models=tuple(_model(name, e, loaded.folder) for name, e in stack.models.items()),
        gateway=DesiredGateway(
            host=stack.gateway.host,
            port=stack.gateway.port,
            api_keys_file=str((loaded.folder / keys).absolute()) if keys else "",
        ),
    )


def check_launches(desired: Desired, python: str) -> None:
    """Refuse arguments that no engine would take, long before anything is launched.

    Raises:
        StackError: A model's arguments or command contradict its engine.
    """
    for model in desired.models:
        request = ServeRequest(
            stack=desired.stack,
            replica=ReplicaId(model.name, 0),
            source=model.source,
            slice_uuid="",
            slice_memory_mib=0,
            port=0,
            context_tokens=model.context_tokens,
            concurrency=model.concurrency,
            args=model.args,
            command=model.command,
            environment=model.environment,
        )
        engine_named(model.engine, python=python).launch(request)


def _demand(name: str, entry: ModelEntry, folder: Path) -> Demand:
    if entry.slice is not None:
        return Demand(
            model=name, replicas=entry.replicas, profile=entry.slice, reason="asked for by name"
        )
    if entry.memory is not None:
        return Demand(
            model=name, replicas=entry.replicas, memory_mib=entry.memory, reason="as `memory:` says"
        )
    from gpuslice.sizing import size_model

    sized = size_model(
        resolve_source(entry.model or "", folder),
        engine=entry.engine_name,
        context_tokens=entry.context_tokens,
        concurrency=entry.concurrency,
    )
    return Demand(
        model=name, replicas=entry.replicas, memory_mib=sized.memory_mib, reason=sized.reason
    )


def _located(command: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Take a program named by a relative path (``./serve.sh``) from the stack file's folder."""
    if not command or "/" not in command[0]:
        return command
    return (str(folder / command[0]), *command[1:])


def _model(name: str, entry: ModelEntry, folder: Path) -> DesiredModel:
    return DesiredModel(
        name=name,
        engine=entry.engine_name,
        source=resolve_source(entry.model, folder) if entry.model else "",
        context_tokens=entry.context_tokens,
        concurrency=entry.concurrency,
        args=entry.args,
        command=_located(entry.command, folder),
        environment=tuple(sorted(entry.environment.items())),
    )
