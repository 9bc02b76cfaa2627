"""From a stack file to a checked plan, changing nothing.

The one path that ``plan``, ``up`` and ``cost`` share, so that what is shown is what is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gpuslice.agent.demands import demands_of, unknown_products
from gpuslice.agent.estimates import estimate_notes
from gpuslice.agent.node import Node
from gpuslice.agent.places import Ask, Places, choose_places
from gpuslice.agent.pricing import plan_prices
from gpuslice.agent.proposal import PlanOptions, Prepared, Proposal, Tell
from gpuslice.agent.restarts import restarts_of
from gpuslice.agent.sight import leave_out_hidden, require_ours_in_sight
from gpuslice.agent.surroundings import ModelFiles, files_of, settled
from gpuslice.engines.api import Place, ServeRequest, Surroundings
from gpuslice.engines.catalogue import engine_named
from gpuslice.errors import NoRoomError, UnknownGpuError
from gpuslice.hardware import MIG_PRODUCTS
from gpuslice.model.certificate import FrontierPoint
from gpuslice.model.demand import Demand, ReplicaId, Rules
from gpuslice.model.desired import (
    Desired,
    DesiredDocker,
    DesiredGateway,
    DesiredModel,
    Hooks,
    Record,
    RuntimeName,
)
from gpuslice.model.gpu import Observed
from gpuslice.model.plan import Seat
from gpuslice.planner.admission import check_demands, choose_gpus
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan
from gpuslice.runtime.docker.facts import read_facts
from gpuslice.runtime.installed import which
from gpuslice.stack.load import LoadedStack
from gpuslice.stack.schema import ModelEntry, Stack
from gpuslice.stack.sources import check_sources, resolve_source

_AS_USUAL = PlanOptions()
_SOME_SLICE_MIB = 16_384  # arguments are checked before the slice is known


def prepare(
    node: Node,
    loaded: LoadedStack,
    options: PlanOptions = _AS_USUAL,
    *,
    ask: Ask = read_facts,
    tell: Tell = lambda _: None,
) -> Prepared:
    """Plan a stack on a machine as it is now. Changes nothing.

    Args:
        node: The machine.
        loaded: The stack file.
        options: What a command says beside it.
        ask: Asks the Docker engine, where that can matter.
        tell: Told what is going on.

    Raises:
        StackError: A model file is missing, or a size cannot be told.
        PlanningError: A GPU or profile that is not there, demands that contradict each other, or a
            model that fits nothing.
        DriverError: The GPUs cannot be read, or have no MIG.
        PermissionDeniedError: No GPU that the stack may use shows its slices, or one that has
            slices of ours does not.
        DockerUnavailableError: The file wants containers and the Docker engine cannot be asked.
        ContainerError: It wants what that engine cannot give.
    """
    check_file(loaded, node.host.python)
    tell("reading the GPUs")
    observed, record = node.driver.survey(), node.read_record()
    require_ours_in_sight(record, observed)
    made = plan_on(observed, loaded, record, options, ask=ask, tell=tell)
    return replace(made, restarts=restarts_of(node, made))


def check_file(loaded: LoadedStack, python: str) -> None:
    """Refuse a stack file before any GPU is looked at.

    Args:
        loaded: The file.
        python: The interpreter that servers would be started with.

    Raises:
        StackError: A model file is missing, or an engine would not take its arguments.
    """
    check_sources(loaded)
    for simulated in (True, False):
        check_launches(resolve(loaded, simulated=simulated), python)


def plan_on(
    observed: Observed,
    loaded: LoadedStack,
    record: Record,
    options: PlanOptions = _AS_USUAL,
    *,
    addable: frozenset[str] = frozenset(),
    ask: Ask | None = None,
    tell: Tell = lambda _: None,
) -> Prepared:
    """Plan a stack on GPUs, wherever they come from.

    Args:
        observed: The GPUs.
        loaded: The stack file; `check_file` has passed it.
        record: Which of their slices are ours.
        options: What a command says beside the file.
        addable: UUIDs of those GPUs that are not there, but may be added.
        ask: Asks the Docker engine, where that can matter; None to ask nobody.
        tell: Told what is going on.

    Raises:
        StackError: A size cannot be told.
        PlanningError: A GPU or profile that is not there, demands that contradict each other, or a
            model that fits nothing.
        BadPlanError: The plan does not pass its own check.
        DockerUnavailableError: The file wants containers and the Docker engine cannot be asked.
        ContainerError: It wants what that engine cannot give.
    """
    places = choose_places(
        loaded.stack, simulated=observed.simulated, before=record.desired, ask=ask
    )
    desired = resolve(loaded, simulated=observed.simulated, places=places)
    rules, notes = _rules(observed, loaded.stack, options, addable)
    tell("working out what the models need")
    demands = demands_of(loaded, observed)
    desired = _with_what_was_sized(desired, demands)
    owned = tuple(o for o in record.owned if o.stack == desired.stack)
    check_demands(observed, demands, {gpu.uuid for gpu in observed.gpus if rules.allow(gpu.uuid)})
    tell(_told(demands, observed, options))
    made = plan(
        observed, demands, owned, rules, limit_s=options.limit_s, prices=options.slice_prices
    )
    tell("checking the plan")
    check_plan(made, observed, demands, owned, rules)
    return Prepared(
        loaded=loaded,
        desired=desired,
        demands=demands,
        record=record,
        observed=observed,
        plan=made,
        rules=rules,
        notes=(
            *unknown_products(loaded, observed),
            *estimate_notes(demands, made, observed),
            *notes,
            *places.notes,
            *_overruled(desired, made.seats),
        ),
    )


def trade_off(proposal: Proposal, *, limit_s: float = 60.0) -> tuple[FrontierPoint, ...]:
    """Compute the whole trade of GPUs against moves for what was planned; fewest moves last.

    Raises:
        PlanningError: As for `prepare`.
    """
    from gpuslice.planner.frontier import frontier

    rules = replace(proposal.rules, most_moves=None)
    return frontier(proposal.observed, proposal.demands, proposal.owned, rules, limit_s=limit_s)


def resolve(
    loaded: LoadedStack, *, simulated: bool = False, places: Places | None = None
) -> Desired:
    """Turn a stack file into what the agent needs, with absolute paths and chosen engines.

    Args:
        loaded: The stack file.
        simulated: True where there is no GPU to compute on.
        places: Where its servers run; None for what the file alone says of it.
    """
    stack = loaded.stack
    places = places or choose_places(stack, simulated=simulated)
    docker = settled(places.docker) if places.docker else None
    keys = stack.gateway.api_keys_file
    return Desired(
        stack=stack.name,
        stack_file=str(loaded.path.absolute()),
        digest=loaded.digest,
        models=tuple(
            _model(
                name,
                entry,
                loaded.folder,
                simulated=simulated,
                docker=docker if places.runtimes[name] is RuntimeName.DOCKER else None,
            )
            for name, entry in stack.models.items()
        ),
        gateway=DesiredGateway(
            host=stack.gateway.host,
            port=stack.gateway.port,
            api_keys_file=str((loaded.folder / keys).absolute()) if keys else "",
            runtime=RuntimeName(stack.gateway.runtime),
            image=stack.gateway.image or "",
        ),
        hooks=Hooks(
            before=stack.hooks.before,
            after=stack.hooks.after,
            timeout_s=stack.hooks.timeout_s,
        ),
        docker=docker,
    )


def _with_what_was_sized(desired: Desired, demands: Sequence[Demand]) -> Desired:
    """Tell servers what the sizing of their model has found that an engine does not know."""
    beside = {demand.model: demand.beside_mib for demand in demands}
    models = tuple(replace(model, beside_mib=beside[model.name]) for model in desired.models)
    return replace(desired, models=models)


def check_launches(desired: Desired, python: str) -> None:
    """Refuse arguments that no engine would take, long before anything is launched.

    Raises:
        StackError: A model's arguments or command contradict its engine.
    """
    for model in desired.models:
        request = _request(desired, model, memory_mib=_SOME_SLICE_MIB)
        engine_named(model.engine, python=python).launch(request)


def _overruled(desired: Desired, seats: Sequence[Seat]) -> Iterator[str]:
    """Say where a model's own arguments overrule what was worked out, on its first slice."""
    first: dict[str, int] = {}
    for seat in seats:
        first.setdefault(seat.replica.model, seat.slice.memory_mib)
    for model in desired.models:
        if model.name in first and model.args:
            request = _request(desired, model, memory_mib=first[model.name])
            yield from engine_named(model.engine, python="python").launch(request).notes


def _request(desired: Desired, model: DesiredModel, *, memory_mib: int) -> ServeRequest:
    """Ask for a server of a model that is never started: only its arguments count."""
    return ServeRequest(
        stack=desired.stack,
        replica=ReplicaId(model.name, 0),
        source=model.source,
        slice_uuid="",
        slice_memory_mib=memory_mib,
        port=0,
        context_tokens=model.context_tokens,
        concurrency=model.concurrency,
        args=model.args,
        command=model.command,
        environment=model.environment,
        program=model.program,
        ready=model.ready,
        beside_mib=model.beside_mib,
        place=Place.CONTAINER if model.runtime is RuntimeName.DOCKER else Place.PROCESS,
        surroundings=Surroundings(image=model.image),
    )


def _rules(
    observed: Observed, stack: Stack, options: PlanOptions, addable: frozenset[str]
) -> tuple[Rules, tuple[str, ...]]:
    """Say what a plan has to keep to, and what a person should know of it."""
    named = choose_gpus(observed, stack.gpus, mig_products=MIG_PRODUCTS)
    chosen, hidden = leave_out_hidden(observed, named)
    drained = frozenset(_drained(observed, (*stack.drain, *options.drain)))
    usable = chosen - drained | addable
    if not usable:
        raise NoRoomError("every GPU that this stack may use is to be drained", hint="Leave one.")
    prices, note = plan_prices([gpu for gpu in observed.gpus if gpu.uuid in usable], stack.prices)
    rules = Rules(
        gpus=None if stack.gpus == "all" and not hidden else chosen | addable,
        drained=drained,
        addable=addable,
        prices=prices,
        most_moves=options.most_moves,
    )
    return rules, tuple(filter(None, (note, *hidden)))


def _drained(observed: Observed, wanted: Sequence[int | str]) -> tuple[str, ...]:
    try:
        return choose_gpus(observed, wanted) if wanted else ()
    except UnknownGpuError as error:
        hint = "Choose those to be drained among those listed, by index or UUID."
        raise UnknownGpuError(error.message, hint=hint, details=error.details) from error


def _told(demands: Sequence[Demand], observed: Observed, options: PlanOptions) -> str:
    replicas, gpus = sum(demand.replicas for demand in demands), len(observed.gpus)
    most = "up to " if any(demand.target for demand in demands) else ""
    return (
        f"planning {most}{replicas:,} replica{'s' * (replicas != 1)} on "
        f"{gpus:,} GPU{'s' * (gpus != 1)}; the solver may take {options.limit_s:g} s"
    )


def _located(command: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Take a program named by a relative path (``./serve.sh``) from the stack file's folder."""
    if not command or "/" not in command[0]:
        return command
    return (str(folder / command[0]), *command[1:])


def _program(entry: ModelEntry, folder: Path, runtime: RuntimeName, *, simulated: bool) -> str:
    """Choose an engine's program, "" for the usual one.

    llama.cpp has two: its own server, which computes on the slice, and the one in the wheel, which
    usually computes on the CPU. It is chosen once, here, so that installing one later replaces no
    server that runs. In a container it is a program of the image.
    """
    if runtime is RuntimeName.DOCKER:
        return entry.program or ""
    if entry.program:
        return _located((entry.program,), folder)[0]
    if entry.engine_name == "llama.cpp" and not simulated:
        return which("llama-server") or ""
    return ""


def _model(
    name: str, entry: ModelEntry, folder: Path, *, simulated: bool, docker: DesiredDocker | None
) -> DesiredModel:
    """Resolve one model; ``docker`` is its engine where it runs in a container."""
    runtime = RuntimeName.DOCKER if docker else RuntimeName.PROCESS
    source = resolve_source(entry.model, folder) if entry.model else ""
    files = files_of(source, entry.args, docker.hub or docker.cache) if docker else ModelFiles()
    return DesiredModel(
        name=name,
        engine=entry.engine_name,
        source=source,
        context_tokens=entry.context_tokens,
        concurrency=entry.concurrency,
        args=entry.args,
        command=_located(entry.command, folder),
        environment=tuple(sorted(entry.environment.items())),
        program=_program(entry, folder, runtime, simulated=simulated),
        ready=entry.ready or "",
        runtime=runtime,
        image=entry.image or "",
        port=entry.port or 0,
        host_memory_mib=entry.host_memory or 0,
        reads=files.reads,
        user=files.user,
    )
