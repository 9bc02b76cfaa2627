"""Our own flags and the user's in one argument list: the user's win, and no flag stands twice.

Separate because two engines need it and because the rule deserves tests of its own: a repeated
flag is decided differently by every argument parser, so none may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from gpuslice.errors import StackError
from gpuslice.model.demand import ReplicaId

Flags = Sequence[tuple[str, str]]


def merge_arguments(
    ours: Flags, theirs: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Put the user's arguments behind ours and leave out what they replace.

    Args:
        ours: Our flags, each with its value.
        theirs: The user's arguments as written: ``--flag value``, ``--flag=value`` or ``--flag``.
        aliases: Short spellings of our flags, such as ``-tp``.

    Returns:
        One argument list.
    """
    replaced = flags_in(theirs, aliases=aliases)
    kept = [part for flag, value in ours if flag not in replaced for part in (flag, value)]
    return (*kept, *theirs)


def refuse_arguments(
    replica: ReplicaId, theirs: Sequence[str], reserved: Mapping[str, str]
) -> None:
    """Refuse flags that gpuslice has to set itself.

    Args:
        replica: Whose arguments they are.
        theirs: The user's arguments.
        reserved: Each refused flag and why, in words.

    Raises:
        StackError: One of them is there; ``details`` has one line for each.
    """
    # Argument parsers take the beginning of a flag for the flag: --hos is --host.
    given = {flag for flag in flags_in(theirs) if len(flag) > len("--") or flag in reserved}
    found = sorted(flag for flag in reserved if any(map(flag.startswith, given)))
    if found:
        raise StackError(
            f"models.{replica.model}.args: {', '.join(found)} cannot be set here",
            hint="remove it from args",
            details=tuple(f"{flag}: {reserved[flag]}" for flag in found),
        )


def refuse_parallel(
    replica: ReplicaId,
    theirs: Sequence[str],
    flags: Collection[str],
    *,
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Refuse to spread one server over several devices: it has one slice, and sees no other.

    NCCL refuses two slices of one GPU ("Duplicate GPU detected"), and slices of different GPUs
    reach each other neither by NVLink nor by peer access.

    Args:
        replica: Whose arguments they are.
        theirs: The user's arguments.
        flags: Flags that say over how many devices a model is spread; 1 is harmless.
        aliases: Short spellings of them.

    Raises:
        StackError: One of them says more than 1.
    """
    given = values_in(theirs, aliases=aliases)
    more = [flag for flag, value in given.items() if value != "1" and len(flag) > len("--")]
    # Argument parsers take the beginning of a flag for the flag.
    spread = sorted(flag for flag in flags if any(map(flag.startswith, more)))
    if spread:
        raise StackError(
            f"models.{replica.model}.args: {', '.join(spread)} cannot be more than 1 on a slice",
            hint="ask for a larger slice, or for more replicas",
            details=("a server has one slice, and slices of a GPU cannot work on one model",),
        )


def overruled(
    replica: ReplicaId,
    ours: Flags,
    theirs: Sequence[str],
    reasons: Mapping[str, str],
    *,
    aliases: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Say where the user's arguments differ from what was worked out, and what follows.

    Args:
        replica: Whose arguments they are.
        ours: Our flags, each with its value.
        theirs: The user's arguments.
        reasons: What our value of a flag is for, in words; flags without one are not told of.
        aliases: Short spellings of our flags.

    Returns:
        One sentence for each flag whose value differs.
    """
    given = values_in(theirs, aliases=aliases)
    return tuple(
        f"{replica.model}: {flag} {given[flag]} from args counts, not {value}, {reasons[flag]}"
        for flag, value in ours
        if flag in reasons and given.get(flag, value) != value
    )


def values_in(
    arguments: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Read each flag's value: what is behind ``=``, or else the next argument, unless a flag."""
    found = {}
    for argument, following in pairwise((*arguments, "")):
        if not argument.startswith("-"):
            continue
        _, equals, value = argument.partition("=")
        if not equals:
            value = "" if following.startswith("--") else following
        found[_canonical(argument, aliases or {})] = value
    return found


def flags_in(
    arguments: Collection[str], *, aliases: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Name the flags in an argument list; ``--max_model_len=1`` counts as ``--max-model-len``."""
    return frozenset(
        _canonical(argument, aliases or {}) for argument in arguments if argument.startswith("-")
    )


def _canonical(argument: str, aliases: Mapping[str, str]) -> str:
    flag = argument.partition("=")[0]
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
    return aliases.get(flag, flag)
