"""What may be asked of the planner: which GPUs can be chosen, which demands can ever be met.

Separate from the plan because these are mistakes in the question. They are found before any
planning, all at once, and are errors; a replica that finds no room is part of an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gpuslice.errors import (
    BadInputError,
    MigUnsupportedError,
    NoGpuError,
    NoRoomError,
    UnknownGpuError,
    UnknownProfileError,
)
from gpuslice.model.demand import Demand, Rules
from gpuslice.model.gpu import Gpu, Observed
from gpuslice.model.plan import Owned
from gpuslice.planner.offers import (
    describe_names,
    label,
    lacks,
    listed,
    names_of,
    one_of_each,
    profiles_of,
    suggest,
    too_small,
)
from gpuslice.planner.sanity import findings
from gpuslice.planner.situation import can_be_sliced


def choose_gpus(
    observed: Observed, wanted: str | Sequence[int | str], *, mig_products: str = ""
) -> tuple[str, ...]:
    """Turn what a stack file says about GPUs into UUIDs.

    Args:
        observed: The machine.
        wanted: ``"all"`` for every GPU that can be sliced, or NVML indexes and UUIDs.
        mig_products: Which products have MIG, in words, for the error.

    Returns:
        UUIDs by index, each once.

    Raises:
        NoGpuError: The machine has no GPU.
        UnknownGpuError: A GPU that is not in this machine; names those that are.
        MigUnsupportedError: A chosen GPU, or with ``"all"`` every GPU, cannot be sliced.
    """
    if not observed.gpus:
        raise NoGpuError("this machine has no GPU", hint="Check with `nvidia-smi -L`.")
    if wanted == "all":
        capable = [gpu for gpu in observed.gpus if can_be_sliced(gpu)]
        _check_mig(() if capable else observed.gpus, mig_products)
        chosen = capable
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        chosen = _find(observed, names)
        _check_mig([gpu for gpu in chosen if not can_be_sliced(gpu)], mig_products)
    return tuple(gpu.uuid for gpu in sorted(chosen, key=lambda gpu: gpu.index))


def check_input(
    observed: Observed, demands: Sequence[Demand], owned: Sequence[Owned], rules: Rules
) -> None:
    """Refuse a question that makes no sense, whatever there is room for.

    Args:
        observed: The machine.
        demands: What is asked for.
        owned: Which slices are ours.
        rules: What the plan has to keep to.

    Raises:
        BadInputError: Names everything that makes no sense, one line each: a model that is asked
            for twice or only spoken of, GPUs that cannot be told apart or are not there, prices
            that are missing, numbers out of range, slices that cannot lie where they do, more
            replicas than could be written down.
    """
    found = findings(observed, demands, owned, rules)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise BadInputError(
            f"what is asked makes no sense: {found[0]}{more}",
            hint="Correct all that is listed.",
            details=found,
        )


def check_demands(
    observed: Observed, demands: Sequence[Demand], gpus: Collection[str] | None = None
) -> None:
    """Refuse demands that no layout of the chosen GPUs could ever meet.

    Args:
        observed: The machine.
        demands: What is asked for.
        gpus: UUIDs of the GPUs the stack may use; all that can be sliced where it is None.

    Raises:
        UnknownProfileError: Profiles (or rates for them) that no chosen GPU offers; lists those
            they do.
        NoRoomError: More memory or compute than the largest slice has; names that slice.
        MigUnsupportedError: No chosen GPU can be sliced.
    """
    usable = [g for g in observed.gpus if can_be_sliced(g) and (gpus is None or g.uuid in gpus)]
    if not usable:
        raise MigUnsupportedError(
            "no chosen GPU can be sliced", hint="See what there is with `gpuslice gpus`."
        )
    offers = [(p, gpu.name) for gpu in one_of_each(usable) for p in profiles_of(gpu)]
    hopeless = [d for d in demands if not any(d.accepts(*offer) for offer in offers)]
    _check_names(usable, [demand for demand in hopeless if names_of(demand)])
    _check_sizes(usable, [demand for demand in hopeless if not names_of(demand)])


def _check_names(usable: Sequence[Gpu], hopeless: Sequence[Demand]) -> None:
    """Refuse demands for profiles by name."""
    if hopeless:
        guesses = [suggest(usable, named) for d in hopeless for named in names_of(d)]
        wanted = ((d, describe_names(names_of(d))) for d in hopeless)
        raise UnknownProfileError(
            "; ".join(f"{_asks(d)} {names}, which no chosen GPU offers" for d, names in wanted),
            hint=" ".join(dict.fromkeys(filter(None, guesses))) or "Name one of those listed.",
            details=tuple(f"{d.model}: {lacks(usable, d)}" for d in hopeless),
        )


def _check_sizes(usable: Sequence[Gpu], hopeless: Sequence[Demand]) -> None:
    """Refuse demands for memory and compute."""
    if hopeless:
        details = tuple(f"{demand.model} {too_small(usable, demand)}" for demand in hopeless)
        raise NoRoomError(
            details[0] if len(details) == 1 else f"{len(details)} models fit no slice",
            hint="Ask for a smaller context or concurrency, or use a GPU with more memory.",
            details=details,
        )


def _asks(demand: Demand) -> str:
    return f"{demand.model} {'asks for' if demand.target is None else 'has rates for'}"


def _find(observed: Observed, names: Iterable[int | str]) -> list[Gpu]:
    """Look up every GPU that is named, each once."""
    by_name: dict[str, Gpu] = {}
    for gpu in observed.gpus:
        by_name |= {str(gpu.index): gpu, gpu.uuid.lower(): gpu}
    asked = [str(name) for name in names]
    missing = [name for name in asked if name.lower() not in by_name]
    if missing:
        raise UnknownGpuError(
            f"not in this machine: {', '.join(f'GPU {name}' for name in missing)}",
            hint="Choose among those listed, by index or UUID, or write `gpus: all`.",
            details=tuple(f"{label(gpu)}: {gpu.uuid}" for gpu in observed.gpus),
        )
    return list({gpu.uuid: gpu for gpu in (by_name[name.lower()] for name in asked)}.values())


def _check_mig(incapable: Sequence[Gpu], mig_products: str) -> None:
    """Refuse GPUs that cannot be sliced."""
    if incapable:
        raise MigUnsupportedError(
            f"cannot be sliced (no MIG): {listed([label(gpu) for gpu in incapable])}",
            hint=f"MIG is offered by {mig_products}." if mig_products else "Choose other GPUs.",
        )
